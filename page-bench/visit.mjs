// Facts of the built page: what a first visit transfers, how large the engine is, how soon there is a number.
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { launch, watchedPage } from "../tests/e2e/browser.mjs";
import { dist, serve } from "../tests/e2e/server.mjs";
import { middle } from "./turns.mjs";

/** Visits that are timed; each in a browser of its own, so that no file and no compiled module is there already. */
const VISITS = 7;

export async function visits() {
  const server = await serve();
  try {
    const timed = [];
    for (let i = 0; i < VISITS; i++) timed.push(await visit(server));
    return {
      ...timed[0],
      wasmGzip: gzipped(readdirSync(dist).filter((name) => name.endsWith(".wasm"))),
      firstWords: middle(timed.map(({ words }) => words / 1000)),
      firstNumber: middle(timed.map(({ number }) => number / 1000)),
      firstRun: middle(timed.map(({ run }) => run / 1000)),
    };
  } finally {
    await server.close();
  }
}

/** Opens the page and stays until the run that a visit starts is complete. */
async function visit(server) {
  const before = server.requests.length;
  const browser = await launch();
  try {
    const { page, problems } = await watchedPage(browser);
    page.setDefaultTimeout(300_000);
    await page.addInitScript(watch);
    await page.goto(server.url);
    await page.waitForFunction(() => window.seen?.run);
    const seen = await page.evaluate(() => window.seen);
    const backend = await page.locator("#backend-badge").textContent();
    if (problems.length) throw new Error(`the page reported problems:\n${problems.join("\n")}`);
    const paths = [...new Set(server.requests.slice(before))];
    return { ...seen, backend, files: paths.length, bytes: await sizes(paths) };
  } finally {
    await browser.close();
  }
}

// Runs in the page. Milliseconds since navigation until there is text of the baseline, until the page says how long its first
// baseline number took, and until its run is complete.
function watch() {
  const seen = {};
  window.seen = seen;
  const look = () => {
    const words = document.querySelector("#sides .words");
    if (words?.textContent && !words.querySelector(".empty")) seen.words ??= performance.now();
    if (document.querySelector("#about")?.textContent.includes("First baseline number")) seen.number ??= performance.now();
    if (document.querySelector("#status")?.textContent === "Run complete") seen.run ??= performance.now();
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
}

async function sizes(paths) {
  const files = paths.map((path) => stat(join(dist, path.replace("/whittle/", "") || "index.html")));
  return (await Promise.all(files)).reduce((sum, { size }) => sum + size, 0);
}

function gzipped(names) {
  if (names.length !== 2) throw new Error(`found ${names.length} wasm files in ${dist}; expected the plain one and the relaxed one`);
  const sizes = names.map((name) => execFileSync("gzip", ["-9", "-n", "-c", join(dist, name)], { maxBuffer: 1 << 28 }).length);
  return Math.max(...sizes);
}
