// Workers that help the engine to score, in the built page: what they find is used, and none of them is needed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { watchedPage, withCores } from "./browser.mjs";
import { served } from "./served.mjs";

const { browser, server } = await served();

const LINK = "#v=1&m=lm-mamba2&ev=continuation:n=100,controls=0&tr=utrc:cut=0.2&sp=wanda:sparsity=0.5,sequences=2&gen=8&b=cpu";

/** Opens the page with the link, runs it a second time and gives, when that is complete, its figures and how many items
 *  others have scored, `first` of them in the first run, for which `loaded` was asked of the server. `broken`: only the
 *  first worker finds its file. */
async function ran({ cores, broken = false }) {
  const { page, problems, close } = await watchedPage(browser);
  page.setDefaultTimeout(120_000);
  await withCores(page, cores);
  await page.addInitScript((broken) => {
    const seen = { workers: 0, scored: 0, runs: 0, quality: [] };
    window.seen = seen;
    const Real = window.Worker;
    window.Worker = class extends Real {
      constructor(url, options) {
        super(broken && seen.workers > 0 ? new URL("nothing-here.js", url) : url, options);
        seen.workers += 1;
        this.addEventListener("message", ({ data }) => {
          if (data.type === "scored") seen.scored += 1;
          // Told when a run is complete.
          if (data.type === "point") seen.runs += 1;
          if (data.type === "result" && data.part.kind === "quality") seen.quality = data.part.quality;
        });
      }
    };
  }, broken);
  const before = server.requests.length;
  await page.goto(server.url + LINK);
  const complete = (n) => page.waitForFunction((n) => window.seen.runs === n, n);
  await complete(1);
  const first = await page.evaluate(() => window.seen.scored);
  const loaded = server.requests.slice(before).filter((path) => /\.wasm|\/models\//.test(path));
  // Another seed has other items in another order, so that the baseline is scored anew.
  await page.evaluate((link) => {
    location.hash = `${link}&seed=9`;
  }, LINK);
  await complete(2);
  const seen = await page.evaluate(() => window.seen);
  const open = page.workers().length;
  const complaints = await page.getByRole("alert").textContent();
  await close();
  return { ...seen, first, loaded: loaded.sort(), open, complaints, problems };
}

test("helpers score a part of the items, and the figures are those of one worker alone", { timeout: 400_000 }, async () => {
  const alone = await ran({ cores: 1 });
  assert.deepEqual([alone.workers, alone.scored], [1, 0]);
  assert.equal(alone.quality[0].items, 100);
  const helped = await ran({ cores: 3 });
  assert.equal(helped.workers, 3);
  assert.ok(helped.first > 0 && helped.first <= 100, `${helped.first} items of the first run`);
  assert.ok(helped.scored > helped.first && helped.scored <= helped.first + 100, `${helped.scored} items of both runs`);
  assert.deepEqual(helped.quality, alone.quality);
  // The server lets nothing be kept: what helpers need of the engine and its files they have been handed.
  assert.ok(alone.loaded.length > 5, alone.loaded.join(" "));
  assert.deepEqual(helped.loaded, alone.loaded);
  assert.deepEqual(helped.problems, []);
});

test("helpers that cannot start are let go, and the run says nothing of them", { timeout: 400_000 }, async () => {
  const { workers, scored, open, complaints, quality } = await ran({ cores: 3, broken: true });
  assert.deepEqual({ workers, scored, open, complaints, items: quality[0].items }, { workers: 3, scored: 0, open: 1, complaints: "", items: 100 });
});
