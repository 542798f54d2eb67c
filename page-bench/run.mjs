// The speed of Whittle beside what it is held against, in headless Chromium: one Markdown table on standard output.
//
// `cargo xtask bench` makes what this needs (dist/, page-bench/pkg, page-bench/node_modules) and runs it. `node page-bench/run.mjs
// ROW ...` measures some rows alone: gemm-cpu, gemm-gpu, scan, decode (or one of its rows), page, prune, change. Exit code 0 whatever
// the figures are.
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { cpus, loadavg, type } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { changes, FIGURES } from "./change.mjs";
import { earlierRow, fixed, limitRow, ratioRow, spread, table } from "./table.mjs";
import { prunings } from "./prune.mjs";
import { inTurns } from "./turns.mjs";
import { visits } from "./visit.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const ORT = join(here, "node_modules/onnxruntime-web");
const TYPES = { ".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm" };
/** Also on a machine with a GPU: the bars are about one adapter that every machine has. */
const ARGUMENTS = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
/** Both sides compute in f32; sums in another order differ by about 1e-6 of the largest value. */
const TOLERANCE = 1e-4;
const GEMM = { kind: "gemm", rows: 256, outs: 768, depth: 768 };

const ort = JSON.parse(await readFile(join(ORT, "package.json"), "utf8")).version;
const ROWS = {
  "gemm-cpu": {
    what: "GEMM 256x768x768, wasm, one thread",
    peer: `onnxruntime-web ${ort}, wasm, one thread`,
    wanted: { ...GEMM, backend: "cpu" },
    bar: 0.8,
  },
  "gemm-gpu": {
    what: "GEMM 256x768x768, WebGPU",
    peer: `onnxruntime-web ${ort}, WebGPU`,
    wanted: { ...GEMM, backend: "gpu" },
    bar: 5,
  },
  scan: {
    what: "Mamba-1 scan, L 256, d_inner 768, N 16, WebGPU",
    peer: "thread-per-state form with barriers, this repository",
    wanted: { kind: "scan", seqLen: 256, dInner: 768, dState: 16 },
    bar: 20,
  },
};

/** One decoded row times weights of these shapes (outputs x inputs): int8 and int4, a scale a row and in groups of 64. */
const SHAPES = [
  [3072, 768],
  [768, 3072],
  [4096, 4096],
];
const DECODE = SHAPES.flatMap(([outs, depth]) =>
  [8, 4].flatMap((bits) =>
    [depth, 64].map((group) => {
      const scales = group === depth ? "a scale a row" : `groups of ${group}`;
      const row = {
        what: `Decoding ${outs}x${depth}, int${bits}, ${scales}, wasm`,
        peer: "the same weights in f32, wasm, this repository",
        wanted: { kind: "decode", outs, depth, bits, group },
        bar: bits === 8 ? 1.5 : undefined,
      };
      return [`int${bits}-${group === depth ? "row" : group}-${outs}x${depth}`, row];
    }),
  ),
);
Object.assign(ROWS, Object.fromEntries(DECODE));

/** Rows that open the built page. */
const PAGES = ["page", "prune", "change"];

async function measured(browser, address, { wanted }) {
  // A fresh page each: what one measurement leaves in memory does not meet the next.
  const page = await browser.newPage();
  page.on("pageerror", (problem) => console.error(`page: ${problem}`));
  await page.goto(address);
  await page.waitForFunction(() => document.title === "ready");
  const prepared = await page.evaluate((wanted) => window.prepare(wanted), wanted);
  if (!(prepared.largest > 0 && prepared.difference <= TOLERANCE * prepared.largest)) {
    throw new Error(`the two results differ by ${prepared.difference}, their largest value is ${prepared.largest}`);
  }
  const times = await inTurns((which, times) => page.evaluate(([which, times]) => window.repeat(which, times), [which, times]));
  await page.close();
  return { ...prepared, ...ofOne(times, prepared.products) };
}

/** The times of calls that compute so many products each, as those of one product. */
function ofOne({ ms, ratio, cpuRatio }, [ours, theirs]) {
  const times = (spread, factor) => Object.fromEntries(Object.entries(spread).map(([name, value]) => [name, value * factor]));
  const factor = ours / theirs;
  return { ms: [times(ms[0], 1 / ours), times(ms[1], 1 / theirs)], ratio: times(ratio, factor), cpuRatio: cpuRatio * factor };
}

async function serveBench() {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    const file = path.startsWith("/ort/") ? join(ORT, "dist", path.slice(5)) : join(here, path);
    try {
      const body = await readFile(file);
      response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

async function kernels(names, rows, about) {
  const server = await serveBench();
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ARGUMENTS });
  about.push(["Browser", `Chromium ${browser.version()}, headless`]);
  try {
    for (const name of names) {
      console.error(`measuring ${name}`);
      const result = await measured(browser, `http://127.0.0.1:${server.address().port}/page.html`, ROWS[name]);
      rows.push(ratioRow(ROWS[name], result));
      about.push([`Device of ${name}`, result.device]);
    }
  } finally {
    await browser.close();
    server.close();
  }
}

async function page(rows, about) {
  console.error("measuring page");
  const { bytes, files, wasmGzip, firstNumber, firstWords, firstRun, backend } = await visits();
  rows.push(
    limitRow(`First visit, ${files} files, uncompressed`, fixed(bytes / 1e6), "MB", 5),
    limitRow("Engine wasm, gzip -9", fixed(wasmGzip / 1e3), "kB", 700),
    limitRow("Navigation to the first baseline number", firstNumber, "s", 5),
    limitRow("Navigation to the end of the first run", firstRun, "s", 8),
  );
  about.push(["Backend the page chose", backend]);
  about.push(["Navigation to the first generated word of the baseline", spread(firstWords, "s")]);
}

async function pruning(rows) {
  console.error("measuring prune");
  for (const { model, spec, seconds } of await prunings()) rows.push(limitRow(`Pruning in the page, ${model}, ${spec}`, seconds, "s", 3));
}

async function change(rows) {
  console.error("measuring change");
  const name = process.env.BEFORE && `the page of ${commit(process.env.BEFORE)}`;
  for (const { of, now, before } of await changes()) {
    for (const [what, limit, figure] of FIGURES) {
      if (now[figure]) rows.push(earlierRow(`After a change of ${of}: ${what}`, "s", limit, now[figure], { name, figure: before?.[figure] }));
    }
  }
}

const commit = (cwd) => execFileSync("git", ["describe", "--always", "--dirty"], { cwd, encoding: "utf8" }).trim();

const asked = process.argv.slice(2);
const meant = asked.flatMap((name) => (name === "decode" ? DECODE.map(([row]) => row) : [name]));
const names = meant.length ? meant : [...Object.keys(ROWS), ...PAGES];
const unknown = names.filter((name) => !PAGES.includes(name) && !(name in ROWS));
if (unknown.length) throw new Error(`found row ${unknown.join(", ")}; expected ${Object.keys(ROWS).join(", ")}, decode or ${PAGES.join(" or ")}`);
const rows = [];
const about = [];
const load = () =>
  loadavg()
    .map((n) => n.toFixed(2))
    .join(" ");
const loadBefore = load();
await kernels(
  names.filter((name) => name in ROWS),
  rows,
  about,
);
if (names.includes("page")) await page(rows, about);
if (names.includes("prune")) await pruning(rows);
if (names.includes("change")) await change(rows);
console.log(table(rows));
console.log();
const facts = [
  ["Date", `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`],
  ["Commit", commit(here)],
  ["Machine", `${cpus().length} x ${cpus()[0].model}, ${type()}`],
  ["Load average (1, 5, 15 minutes)", `before ${loadBefore}, after ${load()}`],
  ...about,
];
for (const [what, value] of facts) console.log(`- ${what}: ${value}`);
