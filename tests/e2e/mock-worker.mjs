// Stands in for the engine in tests of the page: a worker script that speaks the protocol with canned views.
// It is served in the place of worker-start.js by the tests only and is no part of dist/. Its figures are invented.
// self.scenario, set by a line that the test puts in front, picks what goes wrong.
// `tsc -p www` checks what it sends against the types of the real engine.

/** @import { Ask, Catalog, ControlView, Cost, Event, Knob, ModelChoice, ModelView, Notice, Part, PublishedView, Quality, Score, Speed, StateView, Status, TraceView, WordsView } from "../../www/state.js" */

/** @type {any} */
const worker = self;
const scenario = worker.scenario ?? {};

/** @param {Event} event */
const tell = (event) => worker.postMessage(event);

const families = ["mamba", "mamba2", "llama"];
/** @type {Knob} */
const items = { id: "n", label: "Items", help: "Items scored.", kind: { type: "number", min: 1, max: 2000, step: 1, default: 240 } };
/** @type {import("../../www/state.js").About} */
const utrc = {
  id: "utrc",
  label: "UTRC",
  summary: "Scores tokens by the hidden state's output and drops or merges the least important.",
  source: "Token reduction for state space models, eq. 4.",
  families,
  knobs: [
    {
      id: "ratio",
      label: "Share of tokens removed",
      help: "Share of the context's tokens, 0 to 1.",
      kind: { type: "number", min: 0, max: 0.9, step: 0.05, default: 0.3 },
    },
    {
      id: "metric",
      label: "Score",
      help: "What ranks the tokens.",
      kind: {
        type: "choice",
        options: [
          ["clip", "Clipped output"],
          ["l1", "L1 norm"],
        ],
        default: "clip",
      },
    },
    { id: "layers", label: "Layers", help: "Layer numbers joined by plus signs, e.g. 1+3; empty lets the method choose.", kind: { type: "layers" } },
  ],
};
/** @type {import("../../www/state.js").About} */
const wanda = {
  id: "wanda",
  label: "Wanda",
  summary: "Drops the weights with the least |weight| times input norm in each row.",
  source: "Sun et al. 2023, eq. 1.",
  families,
  knobs: [
    {
      id: "sparsity",
      label: "Sparsity",
      help: "Share of zeros in every pruned matrix, 0 to 1.",
      kind: { type: "number", min: 0, max: 0.95, step: 0.05, default: 0.5 },
    },
    {
      id: "pattern",
      label: "Pattern",
      help: "Where zeros may lie.",
      kind: {
        type: "choice",
        options: [
          ["free", "Unstructured"],
          ["2:4", "2 of every 4"],
        ],
        default: "free",
      },
    },
  ],
};
const ssmOnly = { id: "delta", label: "Step size", summary: "Ranks by the step size.", source: "House rule.", families: ["mamba", "mamba2"], knobs: [] };
const random = { ...utrc, id: "random", label: "Random (control)", summary: "Drops tokens without looking." };
const mrp = { ...wanda, id: "mrp", label: "MRP", summary: "Drops weights and makes up for them in closed form." };
/** @type {ModelChoice[]} */
const models = [
  { id: "lm-mamba2", label: "Mamba-2, English prose", family: "mamba2", parameters: 919440, bytes: 1844440, evaluations: ["text", "continuation"] },
  { id: "lm-mamba", label: "Mamba-1, English prose", family: "mamba", parameters: 961920, bytes: 1930000, evaluations: ["text", "continuation"] },
  { id: "lm-llama", label: "Llama, English prose", family: "llama", parameters: 1369728, bytes: 2750000, evaluations: ["text", "continuation"] },
  { id: "recall-mamba2", label: "Mamba-2, recall", family: "mamba2", parameters: 65624, bytes: 131000, evaluations: ["recall"] },
  { id: "recall-mamba", label: "Mamba-1, recall", family: "mamba", parameters: 70848, bytes: 141000, evaluations: ["recall"] },
  { id: "recall-llama", label: "Llama, recall", family: "llama", parameters: 87616, bytes: 175000, evaluations: ["recall"] },
];
/** @type {Catalog} */
const catalog = {
  version: scenario.version ?? 2,
  models,
  reductions: [utrc, ssmOnly, random],
  prunings: [wanda, mrp],
  evaluations: [
    {
      id: "continuation",
      label: "Four-way continuation",
      summary: "Which of four continuations does the context make likelier?",
      source: "House items.",
      families,
      knobs: [items],
    },
    { id: "text", label: "Held-out text", summary: "Perplexity of four books that no model has seen.", source: "House windows.", families, knobs: [] },
    { id: "questions", label: "Your own questions", summary: "Questions of your own.", source: "A file.", families, knobs: [items] },
    { id: "recall", label: "Recall in noise", summary: "Values of keys that stand among filler.", source: "House items.", families, knobs: [items] },
  ],
  shapes: ["mamba-130m", "mamba2-130m"],
  backends: [
    ["auto", "Automatic"],
    ["cpu", "CPU (wasm simd128)"],
    ["gpu", "WebGPU"],
  ],
};
const defaults = {
  model: "lm-mamba2",
  eval: "continuation",
  "eval.n": "240",
  seed: "1",
  prompt: "It is a truth universally acknowledged, that a single man",
  tokens: "48",
  temperature: "0",
  backend: "auto",
  reduce: "utrc",
  "reduce.ratio": "0.3",
  "reduce.metric": "clip",
  "reduce.layers": "",
  prune: "wanda",
  "prune.sparsity": "0.5",
  "prune.pattern": "free",
};

/** @type {Record<string, string>} */
let settings = { ...defaults };
/** @type {Notice[]} */
let notices = [];
/** @type {Omit<ModelView, "sha256" | "card" | "ignored" | "notes">} */
let model = models[0];
let isCurrent = false;
/** @type {import("../../www/state.js").DataView | null} */
let data = null;
/** @type {import("../../www/state.js").SweepView | null} */
let sweep = null;
let number = 0;
let answers = 0;
let timer;
/** @type {Status} */
let status = { state: "idle", running: false, text: "Loading model", progress: null };

const estimate = (value, low, high, n) => (scenario.few && n < 8 ? { value, low: null, high: null, n } : { value, low, high, n });
/** Items in all: in the scenario \`few\` fewer than an interval needs. */
const ALL = scenario.few ? 3 : 240;
const base = " in possession of a good fortune, must be in want of a wife. However little known the feelings or views of such a man may be";
const other = " in possession of a good fortune, must be in want of a house, and of the country; <b>and</b> the same time, which was not to be";
const PARTS_AT = Array.from(base).findIndex((c, i) => c !== Array.from(other)[i]);
const fragment = (of = settings) => `#v=1&m=${of.model}&tr=${of.reduce}&sp=${of.prune}:${of["prune.sparsity"] ?? ""}&seed=${of.seed}`;

const unfit = () => ({
  ...(model.family === "llama" ? { reduce: { delta: "needs a model of type mamba or mamba2" } } : {}),
  eval: Object.fromEntries(
    catalog.evaluations
      .map(({ id }) => id)
      .filter((id) => (id === "questions" ? !data : !(models.find((m) => m.id === model.id)?.evaluations ?? [id]).includes(id)))
      .map((id) => [id, `${model.label} was not trained for it`]),
  ),
});

function view() {
  tell({
    type: "view",
    answers,
    settings,
    why_not: unfit(),
    fragment: fragment(),
    data,
    backend: "CPU (wasm simd128)",
    backend_why: "the only GPU is SwiftShader, a program running on the CPU itself",
    model: model && {
      ...model,
      sha256: "3f9a1c22".repeat(8),
      card: "# lm-mamba2\n\nSmall English prose model.\n\n| held-out | loss |\n|---|---|\n| persuasion | 3.683 |",
      ignored: model.id === "own" ? ["foo_bar"] : [],
      notes: [],
    },
    status,
    notices,
    run: isCurrent ? number : null,
    sweep,
  });
}

/** @param {Part} part */
const piece = (part) => tell({ type: "result", run: number, part });

function progress(step, steps) {
  const done = step >= steps;
  const share = Math.min(1, step / 10);
  const first = Math.ceil(share * base.length);
  const second = Math.ceil(Math.max(0, Math.min(1, (step - 5) / 10)) * other.length);
  const before = Math.ceil(Math.max(0, Math.min(1, (step - 6) / 10)) * other.length);
  const items = Math.round(ALL * Math.max(0, (step - 10) / (steps - 10)));
  const differs_at = second > PARTS_AT ? PARTS_AT : null;
  if (step === 1) {
    piece({ kind: "begin", backend: "CPU (wasm simd128)" });
    piece({ kind: "first_number", ms: 412.3 });
    piece({ kind: "cost", cost: cost() });
  }
  if (step <= 10) piece({ kind: "text", side: "baseline", at: 0, text: base.slice(0, first), tokens: Math.round(48 * share), differs_at, done: share === 1 });
  if (second > before)
    piece({
      kind: "text",
      side: "compressed",
      at: before,
      text: other.slice(before, second),
      tokens: Math.round((48 * second) / other.length),
      differs_at,
      done: second === other.length,
    });
  if (items) piece({ kind: "quality", quality: quality(items) });
  if (done) {
    piece({ kind: "speed", speed: speed() });
    piece({ kind: "trace", trace: trace() });
    piece({ kind: "words", words: words() });
    piece({ kind: "states", states: states() });
    if (scenario.published) piece({ kind: "published", published: published() });
    for (const control of controls()) piece({ kind: "control", control });
    piece({ kind: "done" });
    piece({ kind: "items", items: listed() });
  }
  status = done
    ? { state: "complete", running: false, text: "Run complete", progress: 1 }
    : { state: "running", running: true, text: step < 5 ? `Pruning layer ${step} of 6` : `Scoring items (${items} of ${ALL})`, progress: step / steps };
  if (done) {
    view();
    tell({ type: "point", series: "run", point: point(settings, quality(ALL)) });
  } else tell({ type: "status", status });
}

/** @type {(items: number) => Quality[]} */
const quality = (items) => [
  {
    metric: "accuracy",
    label: "Accuracy",
    definition: "Share of items whose right continuation gains most from the context, of four.",
    unit: "share",
    higher_is_better: true,
    baseline: estimate(0.752, 0.693, 0.802, items),
    compressed: estimate(0.731, 0.671, 0.783, items),
    change: estimate(-0.021, -0.058, 0.017, items),
    items,
    items_total: ALL,
    verdict: items < ALL ? "none" : scenario.few ? "too_few" : "not_significant",
  },
  {
    metric: "bits_per_byte",
    label: "Bits per byte",
    definition: "Negative log2 likelihood of the right continuation over its bytes.",
    unit: "bits",
    higher_is_better: false,
    baseline: estimate(1.535, 1.501, 1.569, items),
    compressed: estimate(1.612, 1.577, 1.648, items),
    change: estimate(0.077, 0.064, 0.091, items),
    items,
    items_total: ALL,
    verdict: items < ALL ? "none" : scenario.few ? "too_few" : "worse",
  },
];
// The same figures between others: method minus control, and published beside honest.
const between = (accuracy, bits) => {
  const [first, second] = quality(50);
  return [
    { ...first, definition: "", ...accuracy },
    { ...second, definition: "", ...bits },
  ];
};
/** @type {() => ControlView[]} */
const controls = () => [
  {
    label: "Random (control)",
    spec: "random:ratio=0.3",
    quality: between(
      { baseline: estimate(0.7, 0.56, 0.81, 50), change: estimate(0.031, 0.004, 0.07, 50), verdict: "better" },
      { baseline: estimate(1.66, 1.6, 1.7, 50), change: estimate(-0.048, -0.07, -0.02, 50), verdict: "better" },
    ),
  },
  {
    label: "Stride (control)",
    spec: "stride:ratio=0.3",
    quality: between(
      { baseline: estimate(0.74, 0.6, 0.84, 50), change: estimate(-0.009, -0.05, 0.03, 50), verdict: "not_significant" },
      { baseline: estimate(1.58, 1.5, 1.6, 50), change: estimate(0.032, 0.01, 0.05, 50), verdict: "worse" },
    ),
  },
];
/** @type {() => PublishedView} */
const published = () => ({
  warning: "Rows slip against their labels.",
  in_step: 0.11,
  quality: between({ baseline: estimate(0.731, 0.671, 0.783, 240), compressed: estimate(0.233, 0.184, 0.291, 240) }, {}),
});
/** @type {() => Speed} */
const speed = () => ({
  prompt_tokens: 512,
  decode_tokens: 64,
  baseline: {
    prefill_tokens_per_s: estimate(4210, 4150, 4290, 7),
    decode_tokens_per_s: estimate(611.4, 602, 618, 7),
    first_token_ms: estimate(123.4, 120, 127, 7),
  },
  compressed: {
    prefill_tokens_per_s: estimate(5630, 5580, 5710, 7),
    decode_tokens_per_s: estimate(609.1, 598, 617, 7),
    first_token_ms: estimate(92.6, 91, 95, 7),
  },
  prefill_ratio: estimate(1.34, 1.32, 1.36, 7),
  decode_ratio: estimate(0.996, 0.98, 1.01, 7),
});
/** @type {() => Cost} */
const cost = () => ({
  flops_saved_layers: 0.18,
  flops_saved_total: 0.141,
  lengths: [512, 512, 358, 358, 358, 358],
  sparsity: 0.5,
  sparsity_of_model: 0.312,
  decode: { bytes_dense: 1.78e6, bytes: 1.31e6, flops_dense: 2.1e6, flops: 1.6e6, packed: 12, text: "12 of 12 pruned matrices are packed as 2:4." },
  matrices: [0, 1, 2, 3, 4, 5].flatMap((layer) => [
    {
      name: `backbone.layers.${layer}.mixer.in_proj.weight`,
      rows: 584,
      cols: 128,
      requested: 0.5,
      achieved: 0.5,
      error: 0.0213 + layer / 300,
      held_out_error: 0.0241 + layer / 300,
      milliseconds: 3.2,
      damping: 0.01,
      retries: 0,
      on_gpu: false,
      left: null,
    },
    {
      name: `backbone.layers.${layer}.mixer.out_proj.weight`,
      rows: 128,
      cols: 256,
      requested: 0.5,
      achieved: 0.5,
      error: 0.0341 + layer / 300,
      held_out_error: 0.0355 + layer / 300,
      milliseconds: 2.9,
      damping: 0.01,
      retries: 0,
      on_gpu: false,
      left: null,
    },
  ]),
});
/** @type {import("../../www/state.js").Fate} */
const kept = { fate: "kept", score: 0.5 };
/** @type {() => TraceView} */
const trace = () => ({
  layers: [2, 3],
  left_out: 0,
  tokens: [
    { position: 0, text: "It", fates: [kept, kept] },
    { position: 1, text: " <b>is</b>", fates: [{ fate: "pruned", score: 0.1 }, { fate: "gone" }] },
    { position: 2, text: "\n", fates: [{ fate: "merged", into: 0, hidden: false, residual: true, score: null }, { fate: "gone" }] },
  ],
});

/** The prompt is read under a reduction, and its second token goes; the baseline's fourth word costs the other 3 nats more. */
const inWords = (text) => text.match(/^\S+|\s+\S+/g) ?? [];
/** @type {() => WordsView} */
const words = () => ({
  left_out: 0,
  prompt: ["It", " <b>is</b>", " wife."].map((text, at) => ({ text, went_after: at === 0 ? null : 2, baseline: null, compressed: null })),
  baseline: inWords(base).map((text) => ({ text, baseline: 0.7, compressed: text === " wife." ? 3.7 : 0.7 })),
  compressed: inWords(other).map((text) => ({ text, baseline: text === " house," ? 5 : 0.7, compressed: 0.7 })),
});
/** @type {() => StateView} */
const states = () => {
  const layer = (number, columns, most) => ({
    layer: number,
    columns,
    columns_for_most: most,
    channels_for_most: 40,
    channels: 256,
    half_lives: [0, 0.25, 0.5, 0.25, 0, 0],
  });
  return { tokens: 14, baseline: [layer(0, [0.1, 0.9], 1), layer(1, [0.5, 0.5], 2)], compressed: [layer(0, [0.2, 0.8], 2), layer(1, [0.5, 0.5], 2)] };
};
/** @type {(right: boolean, cost: number) => Score} */
const choice = (right, cost) => ({ kind: "choice", nats: [cost, 9], prior: [20, 20], bytes: [4, 5], chars: [4, 5], chosen: right ? 0 : 1, label: 0 });
/** Of three: lost, won, and right on both. @type {() => import("../../www/state.js").ItemView[]} */
const listed = () =>
  [
    [true, false, 5, 7.5],
    [false, true, 8, 6],
    [true, true, 4, 4],
  ].map(([a, b, x, y], at) => ({
    item: `made.jsonl:${at + 1}`,
    context: "…<i>the</i> end",
    options: [" one", " other"],
    baseline: choice(Boolean(a), Number(x)),
    compressed: choice(Boolean(b), Number(y)),
  }));

/** @returns {import("../../www/state.js").Point} */
const point = (of, quality) => ({
  key: fragment(of),
  fragment: fragment(of),
  model: of.model,
  evaluation: of.eval,
  reduce: of.reduce,
  prune: `${of.prune}:${of["prune.sparsity"] ?? ""}`,
  seed: Number(of.seed),
  items: ALL,
  items_wanted: ALL,
  complete: true,
  quality,
  cost: { flops_share: 1 - cost().flops_saved_total, bytes_per_token: 1.31e6, bytes_per_token_dense: 1.78e6, file_bytes: 1844440 },
  speed: { prefill_ratio: speed().prefill_ratio, decode_ratio: speed().decode_ratio },
  ms: 1234,
  backend: "CPU (wasm simd128)",
  created: null,
});

function start() {
  clearInterval(timer);
  number += 1;
  let step = 0;
  const steps = scenario.steps ?? 30;
  isCurrent = true;
  status = { state: "running", running: true, text: "Loading model", progress: null };
  view();
  timer = setInterval(() => {
    // Two thirds of a run are over: the rest when the test says so.
    if (scenario.waits && step === 20 && !(/** @type {any} */ (self).released)) return;
    step += 1;
    if (scenario.hang && step === 8) for (;;);
    if (scenario.ended && step === 8) return self.close();
    if (scenario.crash && step === 8) throw new Error("index out of bounds: the len is 3");
    progress(step, steps);
    if (step >= steps) clearInterval(timer);
  }, scenario.tick ?? 30);
}

function set(name, value) {
  settings = { ...settings, [name]: value };
  if (name === "model") {
    const chosen = models.find((m) => m.id === value) ?? models[0];
    model = chosen;
    if (!chosen.evaluations.includes(settings.eval)) settings.eval = chosen.evaluations[0];
  }
  if (name === "reduce") for (const key of Object.keys(settings)) if (key.startsWith("reduce.")) delete settings[key];
  if (name === "reduce" && value === "utrc") Object.assign(settings, { "reduce.ratio": "0.3", "reduce.metric": "clip", "reduce.layers": "" });
}

/** @param {{ data: Ask }} event */
worker.onmessage = ({ data: asked }) => {
  if (asked.type === "open_data") {
    data = { name: asked.name, bytes: asked.bytes.length, sha256: "0d".repeat(32) };
    settings = { ...settings, eval: "questions" };
  }
  answer(asked);
};

/** @param {Ask} data */
function answer(data) {
  if (data.type === "ping") return tell({ type: "pong" });
  if (data.type === "preview") {
    worker.previews = [...(worker.previews ?? []), data];
    return tell({
      type: "cost",
      answers: data.id,
      cost: { flops_saved_layers: 0.3, flops_saved_total: 0.25, lengths: [512, 512, 300, 300, 300, 300], sparsity: Number(data.value), sparsity_of_model: 0.4 },
    });
  }
  if (data.type === "compare") {
    worker.compared = [...(worker.compared ?? []), data];
    return tell({
      type: "compared",
      answers: data.id,
      quality: data.first.length < 2 ? [] : quality(ALL).slice(0, 1),
      problem: data.first.length < 2 ? "one item" : null,
    });
  }
  worker.heard ??= [];
  worker.heard.push(data);
  answers = data.id;
  notices = [];
  if (data.type === "hello") {
    if (data.fragment && !data.fragment.startsWith("#v=1")) {
      notices = [{ level: "warning", text: "The link could not be read (found no v=1). The defaults are shown instead." }];
    }
    tell({ type: "catalog", ...catalog });
    if (scenario.quiet) return;
  }
  if (data.type === "cancel") {
    clearInterval(timer);
    isCurrent = false;
    status = { state: "cancelled", running: false, text: "Cancelled", progress: null };
    return view();
  }
  if (data.type === "set") {
    if (data.name === "prune.sparsity" && !(Number(data.value) <= 0.95)) {
      notices = [{ level: "error", text: `prune.sparsity: found ${data.value}, expected a number from 0 to 0.95. The old value stays.` }];
      return view();
    }
    set(data.name, data.value);
  }
  if (data.type === "reset") settings = { ...defaults };
  if (data.type === "open") {
    const names = data.files.map((file) => file.name);
    const missing = ["config.json", "model.safetensors", "tokenizer.json"].filter((name) => !names.includes(name));
    if (missing.length) {
      notices = [{ level: "error", text: `Still missing: ${missing.join(", ")}. Open them together with ${names.join(", ")}.` }];
      return view();
    }
    model = {
      id: "own",
      label: "Opened: config.json",
      family: "mamba",
      parameters: 1234,
      bytes: data.files.reduce((sum, file) => sum + ("size" in file.bytes ? file.bytes.size : file.bytes.length), 0),
    };
    settings.model = "own";
  }
  if (data.type === "pause" && sweep) {
    sweep = { ...sweep, paused: !sweep.paused };
    return view();
  }
  if (data.type === "real_size") {
    const found = {
      shape: data.shape,
      text: "Timed",
      done: true,
      backend: "CPU (wasm simd128)",
      reduce: "off",
      prune: "magnitude",
      parameters: 129_000_000,
      speed: speed(),
    };
    tell({ type: "real_size", found: { ...found, text: "Making random weights", done: false, speed: null } });
    tell({ type: "real_size", found });
    return view();
  }
  if (data.type === "peers") {
    const cost = { flops_share: 1, bytes_per_token: 1_200_000, bytes_per_token_dense: 2_000_000, file_bytes: 1_900_000 };
    const { decode_ratio, prefill_ratio } = speed();
    const peer = {
      label: "int8, a scale a row (GPTQ)",
      reduce: "off",
      prune: "gptq:bits=8,group=row",
      cost,
      quality: quality(ALL),
      decode_ratio,
      prefill_ratio,
    };
    const found = { fragment: fragment(), text: "Measured", done: true, found: { cost, peers: [peer] } };
    tell({ type: "peers", found: { ...found, text: "Scoring this run", done: false, found: { cost, peers: [] } } });
    tell({ type: "peers", found });
    return view();
  }
  if (data.type === "sweep") {
    const [group] = data.knob.split(".");
    sweep = { knob: data.knob, done: 0, total: data.values.length, paused: false };
    if (scenario.held) {
      sweep.done = 2;
      return view();
    }
    for (const value of data.values) {
      tell({ type: "point", series: `${data.knob} ${settings[group]}`, point: point({ ...settings, [data.knob]: value }, quality(ALL)) });
    }
    sweep = null;
    return view();
  }
  return start();
}
