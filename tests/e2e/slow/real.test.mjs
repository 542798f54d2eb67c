// The built page with its real engine for minutes: 200 runs in a row, and how long the main thread is held. Not part of
// `cargo xtask test`: `node --test tests/e2e/slow`, after `cargo xtask page`, on a machine that does nothing else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { watchedPage } from "../browser.mjs";
import { countRuns, runs } from "./runs.mjs";
import { served } from "../served.mjs";

const LIMIT = { timeout: 3_600_000 };
const RUNS = Number(process.env.RUNS ?? 200);
const SMALL = "#v=1&m=recall-mamba2&ev=recall:level=easy,n=8,controls=0&seed=1&tr=off&sp=magnitude&gen=4&b=cpu";
/** The largest piece of work that a page may do without a pause, in milliseconds. */
const LONGEST = 200;

const { browser, server } = await served();

/** A page that is given time: the machine may be busy. */
async function patientPage(options) {
  const opened = await watchedPage(browser, options);
  opened.page.setDefaultTimeout(600_000);
  return opened;
}

const complete = (page) =>
  page.waitForFunction(() => document.querySelector("#status").textContent === "Run complete" && document.querySelector("#run").textContent === "Run", null, {
    timeout: 600_000,
  });

/** Keeps the memory of every wasm instance of the worker where a test can see it. */
const KEEP_MEMORY = `for (const name of ["instantiate", "instantiateStreaming"]) {
  const real = WebAssembly[name];
  WebAssembly[name] = async (...given) => {
    const made = await real(...given);
    self.wasmMemory = (made.instance ?? made).exports.memory;
    return made;
  };
}
`;

test(`${RUNS} runs in a row leave the engine's memory as it was`, LIMIT, async (t) => {
  const { page, problems, close } = await patientPage();
  await page.route("**/worker-start*.js*", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: KEEP_MEMORY + (await response.text()) });
  });
  await countRuns(page);
  await page.goto(server.url + SMALL);
  await complete(page);
  // The engine's own; those of helpers come after it.
  const bytes = () => page.workers()[0].evaluate(() => self.wasmMemory.buffer.byteLength);
  await runs(page, Math.ceil(RUNS / 10));
  const early = await bytes();
  await runs(page, RUNS - Math.ceil(RUNS / 10));
  const late = await bytes();
  t.diagnostic(`wasm memory: ${early} bytes after ${Math.ceil(RUNS / 10)} runs, ${late} after ${RUNS}`);
  // Memory of wasm never shrinks and grows by pages of 64 KiB: what leaks shows.
  assert.ok(late - early <= 4 * 65_536, `${late - early} bytes more`);
  assert.deepEqual(problems, []);
  await close();
});

test(`no task of the main thread takes more than ${LONGEST} ms during a run and a sweep`, LIMIT, async (t) => {
  const { page, problems, close } = await patientPage({ viewport: { width: 1440, height: 900 } });
  await page.addInitScript(() => {
    globalThis.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
    }).observe({ type: "longtask", buffered: true });
  });
  await page.goto(`${server.url}#v=1&m=lm-mamba2&tr=utrc&sp=wanda`);
  await complete(page);
  await page.getByRole("button", { name: "Sweep", exact: true }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await page.getByRole("button", { name: "Pause" }).waitFor({ state: "hidden", timeout: 1_800_000 });
  const longest = await page.evaluate(() => globalThis.longest);
  t.diagnostic(`longest task: ${longest} ms`);
  assert.ok(longest <= LONGEST, `${longest} ms`);
  assert.deepEqual(problems, []);
  await close();
});

test("every bundled model runs to its end with both methods on", LIMIT, async () => {
  const { models } = JSON.parse(readFileSync(new URL("../../../models/index.json", import.meta.url), "utf8"));
  for (const { id } of models) {
    const { page, problems, close } = await patientPage();
    const evaluation = { lm: "continuation:n=8,controls=0", recall: "recall:n=8,controls=0", copy: "copy:n=8,controls=0" }[id.split("-")[0]];
    await page.goto(`${server.url}#v=1&m=${id}&ev=${evaluation}&tr=utrc&sp=wanda&gen=4`);
    await complete(page);
    assert.equal(await page.getByRole("alert").textContent(), "", id);
    assert.deepEqual(problems, [], id);
    await close();
  }
});
