import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, watchedPage } from "./browser.mjs";
import { serve } from "./server.mjs";

let browser, server;
before(async () => { [browser, server] = await Promise.all([launch(), serve()]); });
after(async () => { await browser?.close(); await server?.close(); });

test("the page opens under a sub-path without errors, violations or missing files", async () => {
  const { page, problems, close } = await watchedPage(browser);
  await page.goto(server.url);
  await page.waitForFunction(() => document.querySelector("#status").textContent === "The engine is ready.");
  await page.waitForLoadState("networkidle");
  assert.deepEqual(problems, []);
  assert.deepEqual(server.missing, []);
  assert.deepEqual(server.violations, []);
  await close();
});

test("one wasm module is loaded, by one dedicated worker", async () => {
  const { page, problems, close } = await watchedPage(browser);
  const before = server.requests.length;
  await page.goto(server.url);
  await page.waitForFunction(() => document.querySelector("#status").textContent === "The engine is ready.");
  const modules = server.requests.slice(before).filter((path) => path.endsWith(".wasm"));
  assert.equal(modules.length, 1, modules.join(", "));
  assert.equal(page.workers().length, 1);
  assert.deepEqual(problems, []);
  await close();
});
