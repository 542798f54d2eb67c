// SmolLM2 in the page beside wllama (llama.cpp in wasm), one worker each, in turns: prefill, decoding, memory of the tab.
//
// usage: node page-bench/wllama.mjs FOLDER Q8.gguf [TURNS]     (FOLDER as for own.mjs; dist/ is built; `cargo xtask setup`)
//
// Whittle runs the folder with int8 against its own f16; its speed section reads 512 tokens and decodes in turns. wllama
// reads as many tokens of the same kind of text, decodes as many as it is asked for, and times itself; it has one
// thread, because this server sends no headers that let it have more, and no GPU layers.
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { createReadStream } from "node:fs";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { inBrowser, PROMPT, speeds } from "./dropped.mjs";
import { modelFiles } from "./folder.mjs";
import { middle } from "./turns.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const WLLAMA = join(here, "node_modules/@wllama/wllama");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm", ".gguf": "application/octet-stream" };
const DECODE = 32;

const [folder, gguf, turns = "3"] = process.argv.slice(2);
if (!folder || !gguf) throw new Error("usage: node page-bench/wllama.mjs FOLDER Q8.gguf [TURNS]");
const { version } = JSON.parse(await readFile(join(WLLAMA, "package.json"), "utf8"));
const files = (await modelFiles(folder)).map((name) => join(folder, name));

const seen = { whittle: [], wllama: [] };
for (let turn = 0; turn < Number(turns); turn++) {
  const sides = [
    ["whittle", whittle],
    ["wllama", wllama],
  ];
  for (const [name, measure] of turn % 2 ? sides.reverse() : sides) {
    seen[name].push(await measure());
    console.error(`turn ${turn + 1}, ${name}: ${JSON.stringify(seen[name].at(-1))}`);
  }
}
report();

/** Tokens a second of dense f16 and of int8, as the page's speed section tells them. */
async function whittle() {
  const { baseline, compressed, memory } = await speeds(files, "tr=off&sp=rtn:bits=8,group=row");
  const of = (side) => ({ prefill: side.prefill_tokens_per_s.value, decode: side.decode_tokens_per_s.value });
  return { f16: of(baseline), int8: of(compressed), memory };
}

/** Tokens a second of q8_0, as llama.cpp times itself. */
async function wllama() {
  const server = await serveWllama();
  try {
    return await inBrowser(server.url, async (page, url) => {
      await page.goto(url);
      const timings = await page.evaluate(complete, { PROMPT, DECODE });
      if (Math.abs(timings.prompt_n - PROMPT) > 2) throw new Error(`wllama read ${timings.prompt_n} tokens; expected ${PROMPT}`);
      return { prefill: timings.prompt_per_second, decode: timings.predicted_per_second };
    });
  } finally {
    await server.close();
  }
}

/** Runs in the page: the second of two readings, so that neither compiling nor a cold cache is in it. */
async function complete({ PROMPT, DECODE }) {
  const { Wllama } = await import("/esm/index.js");
  const engine = new Wllama({ default: "/esm/wasm/wllama.wasm" }, { suppressNativeLog: true });
  const blob = await (await fetch("/model.gguf")).blob();
  await engine.loadModel([blob], { n_threads: 1, n_ctx: 1024, n_batch: PROMPT, n_gpu_layers: 0 });
  const ask = (word, max_tokens) => engine.createCompletion({ prompt: word.repeat(PROMPT), max_tokens, temperature: 0, cache_prompt: false, ignore_eos: true });
  await ask(" a", 1);
  const { timings } = await ask(" the", DECODE);
  return timings;
}

async function serveWllama() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const page = '<!doctype html><meta charset="utf-8"><title>wllama</title>';
    if (pathname === "/") return response.writeHead(200, { "content-type": TYPES[".html"] }).end(page);
    const name = pathname === "/model.gguf" ? gguf : join(WLLAMA, "esm", pathname.startsWith("/esm/") ? pathname.slice(5) : "");
    const about = await stat(name).catch(() => undefined);
    if (!about?.isFile() || !(extname(name) in TYPES)) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extname(name)], "content-length": about.size });
    createReadStream(name).pipe(response);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const close = () => {
    server.closeAllConnections();
    return new Promise((closed) => server.close(closed));
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}

function report() {
  const ours = seen.whittle;
  const theirs = seen.wllama;
  const cell = (values, digits = 1) => {
    const { median, low, high } = middle(values);
    return `${median.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;
  };
  console.log(`SmolLM2 in Chromium, ${basename(gguf)} in wllama ${version}; ${PROMPT} tokens read, one worker each, ${turns} turns.\n`);
  console.log("| | prefill, tokens/s | as fast as wllama | decoding, tokens/s | as fast as wllama |\n|---|---|---|---|---|");
  for (const kind of ["f16", "int8"]) {
    const speed = (what) => cell(ours.map((turn) => turn[kind][what]));
    const ratio = (what) =>
      cell(
        ours.map((turn, i) => turn[kind][what] / theirs[i][what]),
        2,
      );
    console.log(`| Whittle, ${kind} | ${speed("prefill")} | ${ratio("prefill")} | ${speed("decode")} | ${ratio("decode")} |`);
  }
  console.log(`| wllama, q8_0 | ${cell(theirs.map((t) => t.prefill))} | | ${cell(theirs.map((t) => t.decode))} | |`);
  const mb = (side) =>
    cell(
      side.map(({ memory }) => memory / 1e6),
      0,
    );
  console.log(`\nPeak memory of the tab's process, MB: Whittle, which holds f16 and int8 at once, ${mb(ours)}; wllama ${mb(theirs)}.`);
}
