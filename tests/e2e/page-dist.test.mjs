// The built page with its real engine, as a static host serves it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, watchedPage } from "./browser.mjs";
import { serve } from "./server.mjs";

let browser, server;
before(async () => { [browser, server] = await Promise.all([launch(), serve()]); });
after(async () => { await browser?.close(); await server?.close(); });

test("under a sub-path one worker loads one wasm module, without errors, violations or missing files", async () => {
  const { page, problems, close } = await watchedPage(browser);
  await page.goto(server.url);
  const module = await page.waitForResponse((response) => response.url().endsWith(".wasm"));
  assert.equal(module.headers()["content-type"], "application/wasm");
  await module.finished();
  await page.getByRole("status").filter({ hasText: /\S/ }).waitFor();
  assert.equal(page.workers().length, 1);
  assert.equal(server.requests.filter((path) => path.endsWith(".wasm")).length, 1);
  assert.equal(server.requests.filter((path) => path.includes("mock")).length, 0);
  assert.equal(await page.getByRole("alert").textContent(), "");
  assert.deepEqual(server.missing, []);
  assert.deepEqual(problems, []);
  await close();
});
