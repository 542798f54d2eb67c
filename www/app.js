// The page: starts the engine, keeps the newest view and its run, draws them at most once a frame. It measures nothing itself.

/** @import { App, Catalog, Engine, Failure, Panel, RunView, Shown, View } from "./state.js" */

import { startEngine } from "./engine.js";
import { points } from "./points.js";
import { newRun, take } from "./run.js";
import { about } from "./ui/about.js";
import { along } from "./ui/along.js";
import { cost } from "./ui/cost.js";
import { byId } from "./ui/dom.js";
import { embed } from "./ui/embed.js";
import { files } from "./ui/files.js";
import { history as kept } from "./ui/history.js";
import { items } from "./ui/items.js";
import { hub } from "./ui/hub.js";
import { headline } from "./ui/headline.js";
import { keys } from "./ui/keys.js";
import { lasting } from "./ui/lasting.js";
import { notices } from "./ui/notices.js";
import { offline } from "./ui/offline.js";
import { output } from "./ui/output.js";
import { ownData } from "./ui/own-data.js";
import { peers } from "./ui/peers.js";
import { presets } from "./ui/presets.js";
import { realSize } from "./ui/real-size.js";
import { runBar } from "./ui/run.js";
import { scorecard } from "./ui/scorecard.js";
import { settings } from "./ui/settings.js";
import { share } from "./ui/share.js";
import { speed } from "./ui/speed.js";
import { states } from "./ui/states.js";
import { stories } from "./ui/stories.js";
import { tabs } from "./ui/tabs.js";
import { theme } from "./ui/theme.js";
import { trace } from "./ui/trace.js";
import { tradeoff } from "./ui/tradeoff.js";

/** What the page shows where the address names nothing: the first of its stories. */
const OPENING = "#v=1&m=lm-mamba&tr=off&sp=structured";
/** After this long without a sign of life the person is told what is being waited for. */
const SLOW_MS = 10_000;
/** A click on Run so soon after a change means the run that the change has started, not its end. */
const HASTE_MS = 400;
const SILENT =
  "The engine has not answered for a while: it is at a long step, or the browser has ended it. Wait, or restart it to go on with the same settings.";

/** @type {Engine} */
let engine;
/** @type {Catalog | undefined} */
let catalog;
/** @type {View | undefined} */
let view;
/** The run whose parts are coming in. @type {Shown["run"]} */
let run;
/** @type {Shown | undefined} */
let shown;
/** @type {Failure | undefined} */
let failure;
let loading = "";
let slow;
/** Rises for as long as the page lives, over restarts of the engine too: controls remember the number of their change. */
let sent = 0;
/** The newest request that a view answers; what is asked while a slider moves is answered by a cost. */
let awaited = 0;
/** @type {import("./state.js").PaperCost | undefined} */
let paper;
/** What was measured beside a run, by the type of the event that told it. @type {Record<string, any>} */
let found = {};
/** Comparisons that wait for their answer, by the number of the request. @type {Map<number, (found: any) => void>} */
const comparing = new Map();
let changed = -HASTE_MS;
/** The newest fragment: an engine that is started again takes up its settings. */
let fragment = "";
/** @type {number | undefined} */
let frame;

/** @type {App} */
const app = {
  points: points(() => app.redraw()),
  view: () => shown,
  failure: () => failure,
  sent: () => sent,
  hasJustChanged: () => performance.now() - changed < HASTE_MS,
  redraw() {
    shown = view && { ...view, paper, run: run?.number === view.run ? run : undefined };
    if (frame === undefined) frame = requestAnimationFrame(draw);
  },
  send(request, transfer) {
    awaited = sent += 1;
    paper = undefined;
    if (request.type === "set") changed = performance.now();
    // A file that could not be read is forgotten with the next thing the person does.
    if (failure?.action === "dismiss") failure = undefined;
    // A link that is opened while the engine is down is what it is started with: the settings before may be too much for it.
    if (request.type === "link" && failure?.action === "restart") fragment = request.fragment;
    // What is on the page answers an older question until a view knows of this one.
    byId("results").setAttribute("aria-busy", "true");
    engine.send({ id: sent, ...request }, transfer);
    return sent;
  },
  /** A slider is under the finger: what the results show is no longer what is chosen. */
  moving(name, value) {
    byId("results").setAttribute("aria-busy", "true");
    sent += 1;
    engine.send({ id: sent, type: "preview", name, value });
  },
  found: (type) => found[type],
  compare(evaluation, first, second) {
    sent += 1;
    const number = sent;
    engine.send({ id: number, type: "compare", evaluation, first, second });
    return new Promise((answer) => comparing.set(number, answer));
  },
  complain(text) {
    failure = { text, action: "dismiss" };
    app.redraw();
  },
  recover(action) {
    if (action === "reload") return location.reload();
    failure = undefined;
    if (action === "restart" || action === "afresh") {
      engine.stop();
      start(action === "restart" ? fragment || location.hash : "");
    }
    return app.redraw();
  },
};

/** @param {string} from What the settings come from. */
function start(from) {
  catalog = view = run = failure = undefined;
  found = {};
  loading = "Loading the engine (WebAssembly).";
  clearTimeout(slow);
  slow = setTimeout(() => {
    loading = "Still loading the engine (WebAssembly); the network is slow.";
    app.redraw();
  }, SLOW_MS);
  engine = startEngine({
    catalog(event) {
      clearTimeout(slow);
      catalog = event;
      loading = "The engine is ready; choosing a model.";
      app.redraw();
    },
    view(event) {
      view = event;
      fragment = view.fragment;
      if (view.answers >= awaited) byId("results").removeAttribute("aria-busy");
      app.redraw();
    },
    status(status) {
      if (view) view = { ...view, status };
      app.redraw();
    },
    result(number, part) {
      if (run?.number !== number) run = newRun(number);
      if (document.hidden) run.disturbed = true;
      take(run, part);
      app.redraw();
    },
    cost(answers, cost) {
      // One that comes after the slider was let go is of no use any more.
      if (answers > awaited) paper = cost;
      app.redraw();
    },
    found({ type, found: newest }) {
      found[type] = newest;
      app.redraw();
    },
    compared(answers, quality, problem) {
      comparing.get(answers)?.({ quality, problem });
      comparing.delete(answers);
    },
    point(series, point) {
      const measured = { ...point, created: new Date().toISOString() };
      if (series === "run") keep(measured);
      else app.points.add(measured);
    },
    disturbed() {
      if (!run || run.finished || run.disturbed) return;
      run.disturbed = true;
      app.redraw();
    },
    silent(isSilent) {
      failure = isSilent ? { text: SILENT, action: "restart" } : undefined;
      app.redraw();
    },
    failed(event) {
      clearTimeout(slow);
      catalog = view = run = undefined;
      failure = event;
      loading = "The engine is not running.";
      app.redraw();
    },
  });
  app.send({ type: "hello", fragment: from || OPENING, base: document.baseURI });
}

/** A finished run becomes a point and a line of the history. */
function keep(point) {
  if (!run) return;
  const texts = { baseline: run.baseline.text, compressed: run.compressed.text };
  const scores = run.items && { items: run.items.map(({ item }) => item), compressed: run.items.map(({ compressed }) => compressed) };
  // A speed that the browser or the system decided is not kept as one of the model's.
  const kept = run.disturbed ? { ...point, speed: null } : point;
  runs.keep({ id: point.key, name: "", at: point.created, point: kept, texts, scores });
}

theme();
tabs();
keys();
offline();
const runs = kept(app);
const held = lasting();
/** @type {Panel[]} */
const panels = [
  embed(),
  files(app),
  hub(app),
  stories(app),
  settings(app),
  ownData(app),
  presets(app),
  runBar(app),
  notices(app),
  share(app),
  headline(),
  output(),
  tradeoff(app),
  trace(),
  scorecard(),
  peers(app),
  speed(),
  realSize(app),
  along(),
  items(),
  states(),
  cost(),
  about(),
];

function draw() {
  frame = undefined;
  // A view means something only together with what can be chosen.
  const drawn = counted(held(catalog && shown));
  for (const panel of panels) panel(drawn, /** @type {Catalog} */ (catalog), loading);
}

/** The run with what was counted for the slider that moves. @param {Shown | undefined} shown @returns {Shown | undefined} */
function counted(shown) {
  const { run, paper } = shown ?? {};
  return shown && run?.cost && paper ? { ...shown, run: { ...run, cost: { ...run.cost, ...paper } } } : shown;
}

// Followed as a link this would change the fragment, which holds the settings.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("results").focus();
});

start(location.hash);
draw();
document.documentElement.dataset.started = "";
