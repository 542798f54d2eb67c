// The built page with its real engine, and what a browser can do to it: a transfer that stalls, memory that is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { watchedPage, withCores } from "./browser.mjs";
import { served } from "./served.mjs";

const LIMIT = { timeout: 300_000 };

const { browser, server } = await served();

const SMALL = "#v=1&m=recall-llama&ev=recall:level=easy,n=8&gen=2&tr=off&sp=off&b=cpu";
const complete = (page) => page.waitForFunction(() => document.querySelector("#status").textContent === "Run complete");
const rows = (page) => page.locator("#scorecard tbody tr").count();

test("a download that stalls is broken off by Cancel and by the next choice", LIMIT, async () => {
  const { page, close } = await watchedPage(browser);
  page.setDefaultTimeout(240_000);
  const weights = /recall-mamba2\/model\.safetensors/;
  // Never answered.
  await page.route(weights, () => {});
  const asked = () => page.waitForRequest(weights);
  const brokenOff = () => page.waitForEvent("requestfailed", (request) => weights.test(request.url()));
  await page.goto(server.url + SMALL);
  await complete(page);
  const go = (link) =>
    page.evaluate((to) => {
      location.hash = to;
    }, link);
  const stalled = SMALL.replace("recall-llama", "recall-mamba2");
  for (const leave of [
    async () => {
      await page.getByRole("button", { name: "Cancel", exact: true }).click();
      await page.getByRole("status").filter({ hasText: "Cancelled" }).waitFor();
      assert.equal(await page.getByRole("button", { name: "Run", exact: true }).isEnabled(), true);
      await go(SMALL);
    },
    () => go(SMALL),
  ]) {
    const [request, broken] = [asked(), brokenOff()];
    await go(stalled);
    await request;
    await Promise.all([leave(), broken]);
    await complete(page);
    assert.equal(await rows(page), 1);
  }
  await close();
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

/** A number of a wasm module (LEB128) and the place behind it. */
function number(module, at) {
  let value = 0;
  let shift = 0;
  for (;;) {
    const byte = module[at];
    at += 1;
    value |= (byte & 127) << shift;
    shift += 7;
    if (byte < 128) return [value, at];
  }
}

function written(value) {
  return value < 128 ? [value] : [(value & 127) | 128, ...written(value >>> 7)];
}

/** The module with a memory that ends at so many pages of 64 KiB: past them the browser refuses, as it does where there is none left. */
function capped(module, pages) {
  const MEMORY = 5;
  let at = 8;
  while (module[at] !== MEMORY) {
    const [size, start] = number(module, at + 1);
    at = start + size;
  }
  const [size, start] = number(module, at + 1);
  // One memory, its flags, its least pages.
  const [least] = number(module, start + 2);
  const section = [1, 1, ...written(least), ...written(pages)];
  return Buffer.concat([module.subarray(0, at), Buffer.from([MEMORY, ...written(section.length), ...section]), module.subarray(start + size)]);
}

test("memory that is refused ends in a sentence that says so, and a smaller model runs after it", LIMIT, async () => {
  const { page, problems, close } = await watchedPage(browser);
  // The engine alone: what its helpers take is another memory.
  await withCores(page, 1);
  page.setDefaultTimeout(240_000);
  let most = 0;
  await page.route("**/*.wasm", async (route) => {
    const response = await route.fetch();
    const body = await response.body();
    await route.fulfill({ response, body: most > 0 ? capped(body, most) : body });
  });
  await page.route("**/worker-start*.js*", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: KEEP_MEMORY + (await response.text()) });
  });
  await page.goto(server.url + SMALL);
  await complete(page);
  const bytes = () =>
    page
      .workers()
      .at(-1)
      .evaluate(() => self.wasmMemory.buffer.byteLength);
  // What the small model takes, and 1 MB more; the other has 1.8 MB of weights.
  most = (await bytes()) / 65_536 + 16;
  await page.goto("about:blank");
  await page.goto(`${server.url}#v=1&m=lm-mamba2&b=cpu`);
  await page.getByRole("alert").filter({ hasText: "the browser gave it no more memory" }).waitFor();
  await page.evaluate((link) => {
    location.hash = link;
  }, SMALL);
  await page.waitForFunction((link) => location.hash === link, SMALL);
  await page.getByRole("button", { name: "Restart engine" }).click();
  await complete(page);
  assert.equal(await rows(page), 1);
  assert.ok((await bytes()) <= most * 65_536, "the maximum holds");
  assert.equal(await page.getByRole("alert").textContent(), "");
  assert.deepEqual(problems, []);
  await close();
});
