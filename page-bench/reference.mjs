// Measures the reference points that the page shows before anything was measured in it, and writes them to www/reference:
// one file a model, one Point a line, and the list of models. What is there is not measured again, so that it can be
// broken off and go on; delete a file to measure it anew. From the repository's root:
//
//   node page-bench/reference.mjs [PATH OF whittle] [MODEL..]
//
// Quality and counted cost only: times belong to the machine that measures them.
import { execFile } from "node:child_process";
import { appendFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { inLink } from "../www/points.js";

const FOLDER = "www/reference";
const run = promisify(execFile);
const [program = "target/release/whittle", ...models] = process.argv.slice(2);

const prune = (...specs) => specs.map((spec) => ["off", spec]);
const reduce = (...specs) => specs.map((spec) => [spec, "off"]);
const at = (id, knob, ...values) => values.map((value) => `${id}:${knob}=${value}`);
const PROSE = [
  ["off", "off"],
  ...prune("structured", ...at("structured", "share", 0.25, 0.75), ...at("magnitude", "sparsity", 0.7), "magnitude", ...at("mrp", "sparsity", 0.7), "mrp"),
  ...reduce("utrc", ...at("utrc", "cut", 0.1, 0.3), "random", ...at("random", "cut", 0.1, 0.3)),
  ...prune("wanda", ...at("wanda", "sparsity", 0.3, 0.7), ...at("magnitude", "sparsity", 0.3), ...at("mrp", "sparsity", 0.3)),
];
const TASK = [
  ["off", "off"],
  ...prune("magnitude", "mrp", ...at("magnitude", "sparsity", 0.3, 0.7), ...at("mrp", "sparsity", 0.3, 0.7)),
  ...reduce("utrc", ...at("utrc", "cut", 0.1, 0.25), "random", ...at("random", "cut", 0.1, 0.25)),
];
const PLAN = {
  "lm-mamba": ["continuation:n=100,controls=0", PROSE],
  "lm-mamba2": ["continuation:n=100,controls=0", PROSE],
  "lm-llama": ["continuation:n=100,controls=0", PROSE],
  "copy-mamba2": ["copy:n=100,controls=0", TASK],
  "recall-mamba2": ["recall:n=100,controls=0", TASK],
};

/** A run as it is printed, as a Point. */
async function point(model, evaluation, [reduction, pruning]) {
  const asked = ["run", "--json", "--model", model, "--eval", evaluation, "--reduce", reduction, "--prune", pruning];
  const { stdout } = await run(program, asked, { maxBuffer: 1 << 28 });
  const { link, quality, cost, backend } = JSON.parse(stdout);
  return {
    key: link,
    fragment: link,
    model: inLink(link, "m"),
    evaluation: evaluation.split(":")[0],
    reduce: inLink(link, "tr"),
    prune: inLink(link, "sp"),
    seed: 1,
    items: quality[0].items,
    items_wanted: quality[0].items_total,
    complete: true,
    quality,
    cost: {
      flops_share: 1 - cost.flops_saved_total,
      bytes_per_token: cost.decode?.bytes ?? null,
      bytes_per_token_dense: cost.decode?.bytes_dense ?? null,
      file_bytes: null,
    },
    speed: null,
    ms: null,
    backend,
    created: null,
  };
}

await mkdir(FOLDER, { recursive: true });
for (const model of models.length ? models : Object.keys(PLAN)) {
  const [evaluation, settings] = PLAN[model];
  const file = `${FOLDER}/${model}.jsonl`;
  const before = await readFile(file, "utf8").catch(() => "");
  const measured = new Set(
    before
      .split("\n")
      .filter(Boolean)
      .map(JSON.parse)
      .map(({ reduce, prune }) => `${reduce} ${prune}`),
  );
  for (const setting of settings) {
    if (measured.has(setting.join(" "))) continue;
    const found = await point(model, evaluation, setting);
    await appendFile(file, `${JSON.stringify(found)}\n`);
    console.log(model, ...setting);
  }
}
const there = (await readdir(FOLDER)).filter((name) => name.endsWith(".jsonl")).map((name) => name.replace(".jsonl", ""));
await writeFile(`${FOLDER}/index.json`, `${JSON.stringify({ command: "node page-bench/reference.mjs", models: there })}\n`);
