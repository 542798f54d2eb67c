import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, watchedPage } from "./browser.mjs";
import { serve } from "./server.mjs";

let browser, server;
before(async () => { [browser, server] = await Promise.all([launch(), serve()]); });
after(async () => { await browser?.close(); await server?.close(); });

const modules = (since) => server.requests.slice(since).filter((path) => path.endsWith(".wasm"));

/** Until the worker has asked for its module and nothing more is under way. */
async function engineRequested(page, since) {
  for (let waited = 0; modules(since).length === 0 && waited < 60_000; waited += 100) await page.waitForTimeout(100);
  await page.waitForLoadState("networkidle");
}

test("the page opens under a sub-path without errors, violations or missing files", async () => {
  const { page, problems, close } = await watchedPage(browser);
  await page.goto(server.url);
  await engineRequested(page, 0);
  assert.equal(modules(0).length, 1, "the engine was loaded");
  assert.deepEqual(problems, []);
  assert.deepEqual(server.missing, []);
  assert.deepEqual(server.violations, []);
  await close();
});

test("one wasm module is loaded, by one dedicated worker", async () => {
  const { page, problems, close } = await watchedPage(browser);
  const earlier = server.requests.length;
  await page.goto(server.url);
  await engineRequested(page, earlier);
  assert.equal(modules(earlier).length, 1, modules(earlier).join(", "));
  assert.equal(page.workers().length, 1);
  assert.deepEqual(problems, []);
  await close();
});
