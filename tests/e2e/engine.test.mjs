// The built page with its real engine: the first visit, the GPU, its loss, files of one's own, a link opened elsewhere.
import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { watchedPage } from "./browser.mjs";
import { dist } from "./server.mjs";
import { served } from "./served.mjs";

const LIMIT = { timeout: 300_000 };
const FIRST_LOAD_BYTES = 10_000_000;

const { browser, server } = await served();

async function open(fragment = "") {
  const opened = await watchedPage(browser);
  opened.page.setDefaultTimeout(240_000);
  await opened.page.goto(server.url + fragment);
  return opened;
}

const complete = (page) => page.waitForFunction(() => document.querySelector("#status").textContent === "Run complete");
const words = async (page) => (await page.locator("#sides .words").allTextContents()).map((text) => text.trim());
const scores = (page) => page.locator("#scorecard tbody tr").allInnerTexts();
const model = (name, file) => join(dist, "models", name, file);

test("a first visit runs baseline and compressed by itself and fits the budget", LIMIT, async () => {
  const before = server.requests.length;
  const { page, problems, close } = await open();
  await complete(page);
  const [baseline, compressed] = await words(page);
  assert.ok(baseline.length > 20 && compressed.length > 20);
  const rows = await scores(page);
  assert.ok(rows.length >= 2 && rows.every((row) => /n=100/.test(row)), rows.join("\n"));
  await page.getByRole("tab", { name: "Speed" }).click();
  assert.match(await page.getByRole("region", { name: "Speed" }).innerText(), /Measured on/);
  const paths = new Set(server.requests.slice(before));
  let bytes = 0;
  for (const path of paths) {
    const name = path.replace("/whittle/", "") || "index.html";
    bytes += (await stat(join(dist, name))).size;
  }
  console.log(`first load: ${bytes} bytes in ${paths.size} files`);
  assert.ok(bytes <= FIRST_LOAD_BYTES, `${bytes} bytes`);
  assert.deepEqual(problems, []);
  await close();
});

const GPU_LINK = "#v=1&m=recall-mamba&ev=recall:level=easy,n=8&seed=1&tr=utrc&sp=wanda&gen=4";

test("the GPU gives what the CPU gives, and is named", LIMIT, async () => {
  const sides = [];
  for (const backend of ["cpu", "gpu"]) {
    const { page, problems, close } = await open(`${GPU_LINK}&b=${backend}`);
    await complete(page);
    sides.push([await words(page), await scores(page)]);
    const badge = await page.locator("#backend-badge").textContent();
    assert.match(badge, backend === "gpu" ? /swiftshader.*software.*WebGPU/i : /CPU \(wasm relaxed simd\)/);
    assert.deepEqual(problems, []);
    await close();
  }
  assert.deepEqual(sides[1], sides[0]);
});

test("without relaxed SIMD the other engine runs, is named, and says the same", LIMIT, async () => {
  const sides = [];
  for (const knows of [true, false]) {
    const { page, close } = await watchedPage(browser);
    page.setDefaultTimeout(240_000);
    // A browser that does not know the instruction finds the module with it invalid.
    if (!knows) await page.route("**/simd.js", (route) => route.fulfill({ body: "globalThis.isRelaxed = false;", contentType: "text/javascript" }));
    await page.goto(`${server.url}${GPU_LINK}&b=cpu`);
    await complete(page);
    sides.push([await words(page), await scores(page)]);
    const badge = await page.locator("#backend-badge").textContent();
    assert.match(badge, knows ? /CPU \(wasm relaxed simd\)/ : /CPU \(wasm simd128\)/);
    await close();
  }
  assert.deepEqual(sides[1], sides[0]);
});

test("a lost GPU is opened again and the run is made again", LIMIT, async () => {
  const { page, close } = await watchedPage(browser);
  page.setDefaultTimeout(240_000);
  await page.route("**/worker-start-*.js", async (route) => {
    const body = await (await route.fetch()).text();
    const keep = `const ask = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (...list) { return (self.lastDevice = await ask.apply(this, list)); };\n`;
    await route.fulfill({ body: keep + body, contentType: "text/javascript" });
  });
  await page.goto(`${server.url}${GPU_LINK}&b=gpu`);
  // The status changes at most once a second; any of these means that the GPU is at work.
  await page.waitForFunction(() => /Writing|Reading|Pruning|Scored|Timing/.test(document.querySelector("#status").textContent));
  await page.workers()[0].evaluate(() => self.lastDevice.destroy());
  await page.getByText(/The GPU failed .*lost.* starts again/).waitFor();
  await complete(page);
  assert.equal((await scores(page)).length, 1);
  await close();
});

test("a GPU that is lost twice gives way to the CPU, and the run comes to its end", LIMIT, async () => {
  const { page, close } = await watchedPage(browser);
  page.setDefaultTimeout(240_000);
  await page.route("**/worker-start-*.js", async (route) => {
    const body = await (await route.fetch()).text();
    // Every device goes as soon as it has been given work.
    const lose = `const submit = GPUQueue.prototype.submit;
      const ask = GPUAdapter.prototype.requestDevice;
      const owners = new Map();
      GPUAdapter.prototype.requestDevice = async function (...list) {
        const device = await ask.apply(this, list);
        owners.set(device.queue, device);
        return device;
      };
      GPUQueue.prototype.submit = function (...list) { submit.apply(this, list); owners.get(this)?.destroy(); };\n`;
    await route.fulfill({ body: lose + body, contentType: "text/javascript" });
  });
  await page.goto(`${server.url}${GPU_LINK}&b=gpu`);
  await page.getByText(/The GPU failed .*lost.* once more on the GPU/).waitFor();
  await page.getByText(/The GPU failed .*lost.* on the CPU/).waitFor();
  await complete(page);
  assert.equal((await scores(page)).length, 1);
  assert.match(await page.locator("#backend-badge").textContent(), /CPU \(wasm relaxed simd\)/);
  await close();
});

test("a network that is cut in the middle of a model ends in a sentence, and Run goes on where it is back", LIMIT, async () => {
  const { page, close } = await watchedPage(browser);
  page.setDefaultTimeout(240_000);
  await page.route("**/recall-mamba2/model.safetensors", (route) => route.abort("connectionreset"));
  await page.goto(`${server.url}#v=1&m=recall-mamba2&ev=recall:level=easy,n=8&gen=2&b=cpu`);
  await page
    .getByText(/recall-mamba2\/model\.safetensors/)
    .first()
    .waitFor();
  await page.unroute("**/recall-mamba2/model.safetensors");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await complete(page);
  assert.equal((await scores(page)).length, 1);
  await close();
});

test("broken files are refused by name, the model that was there goes on, and good files run", LIMIT, async () => {
  const { page, close } = await open("#v=1&m=recall-mamba2&ev=recall:level=easy,n=8&gen=2");
  await complete(page);
  const input = page.locator("#files");
  const file = async (name) => ({ name, mimeType: "application/octet-stream", buffer: await readFile(model("recall-llama", name)) });
  const [config, weights, tokenizer] = await Promise.all(["config.json", "model.safetensors", "tokenizer.json"].map(file));
  const alert = page.getByRole("alert");

  await input.setInputFiles([config, tokenizer]);
  await alert.filter({ hasText: /safetensors/ }).waitFor();
  await input.setInputFiles([config, tokenizer, { ...weights, buffer: weights.buffer.subarray(0, 5000) }]);
  await alert.filter({ hasText: /model\.safetensors/ }).waitFor();
  await input.setInputFiles([{ ...config, buffer: Buffer.from(config.buffer.toString().replace('"llama"', '"bert"')) }, tokenizer, weights]);
  await alert.filter({ hasText: /bert.*mamba/ }).waitFor();
  await input.setInputFiles([
    { ...config, buffer: Buffer.from(config.buffer.toString().replace('"hidden_size": 64', '"hidden_size": 128')) },
    tokenizer,
    weights,
  ]);
  await alert.filter({ hasText: /tensor|head_dim|hidden_size/ }).waitFor();

  await page.getByRole("button", { name: "Run" }).click();
  await complete(page);
  await page.getByRole("tab", { name: "Method and model" }).click();
  assert.match(await page.getByText("Mamba-2, recall in noise").first().innerText(), /Mamba-2/);

  await input.setInputFiles([config, weights, tokenizer]);
  await page
    .getByText(/Your own llama model/)
    .first()
    .waitFor();
  await complete(page);
  await close();
});

test("a config.json alone is tried with random weights, which are named as such", LIMIT, async () => {
  const { page, close } = await open("#v=1&m=recall-mamba2&ev=recall:level=easy,n=8&gen=2&b=cpu");
  await complete(page);
  const buffer = await readFile(model("lm-llama", "config.json"));
  await page.locator("#files").setInputFiles([{ name: "config.json", mimeType: "application/json", buffer }]);
  await page.getByRole("button", { name: "Try its shape with random weights" }).click();
  await page.getByText("Random weights in the shape of config.json (seed 0)").first().waitFor();
  await complete(page);
  await close();
});

test("a link opened elsewhere gives the same text and the same figures", LIMIT, async () => {
  const link = "#v=1&m=lm-llama&ev=continuation:n=12&seed=3&tr=utrc:cut=0.3&sp=wanda:pattern=2:4&gen=16&t=0.8";
  const first = await open(link);
  await complete(first.page);
  await first.page.waitForURL(/#v=1&m=lm-llama@[0-9a-f]{16}/);
  const second = await open(new URL(first.page.url()).hash);
  await complete(second.page);
  assert.deepEqual(await words(second.page), await words(first.page));
  assert.deepEqual(await scores(second.page), await scores(first.page));
  assert.equal(new URL(second.page.url()).hash, new URL(first.page.url()).hash);
  await first.close();
  await second.close();
});
