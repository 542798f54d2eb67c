// The built page with its real engine, as a static host serves it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { watchedPage, withCores } from "./browser.mjs";
import { served } from "./served.mjs";

const { browser, server } = await served();

/** The two modules of the page: bg for every browser, relaxed for those that know relaxed SIMD. */
const engines = readdirSync(fileURLToPath(new URL("../../dist", import.meta.url))).filter((name) => name.endsWith(".wasm"));
const engineOf = (name) => /worker_(bg|relaxed)-[0-9a-f]{10}\.wasm$/.exec(name)?.[1];

test("under a sub-path one worker on one core loads one wasm module, without errors, violations or missing files", async () => {
  const { page, problems, close } = await watchedPage(browser);
  await withCores(page, 1);
  await page.goto(server.url);
  const module = await page.waitForResponse((response) => response.url().endsWith(".wasm"));
  assert.equal(module.headers()["content-type"], "application/wasm");
  await module.finished();
  await page.getByRole("status").filter({ hasText: /\S/ }).waitFor();
  assert.equal(page.workers().length, 1);
  // Chromium knows relaxed SIMD.
  assert.deepEqual(server.requests.filter((path) => path.endsWith(".wasm")).map(engineOf), ["relaxed"]);
  assert.equal(server.requests.filter((path) => path.includes("mock")).length, 0);
  assert.equal(await page.getByRole("alert").textContent(), "");
  assert.deepEqual(server.missing, []);
  assert.deepEqual(problems, []);
  await close();
});

test("the page names the engine that runs by its hash, and the licences of what is in it", async () => {
  const dist = (file) => readFileSync(fileURLToPath(new URL(`../../dist/${file}`, import.meta.url)));
  const sums = engines.map((name) => [engineOf(name), createHash("sha256").update(dist(name)).digest("hex")]);
  const index = dist("index.html").toString();
  const attribute = { bg: "data-engine", relaxed: "data-relaxed" };
  for (const [engine, sum] of sums) assert.ok(index.includes(`${attribute[engine]}="${sum}"`), engine);
  const { page, close } = await watchedPage(browser);
  await page.goto(`${server.url}#v=1&m=recall-mamba2&ev=recall:n=8,controls=0&gen=1`);
  await page.locator("#about", { hasText: Object.fromEntries(sums).relaxed }).waitFor({ state: "attached" });
  await close();
  const notices = dist("NOTICES.txt").toString();
  for (const part of [/^wgpu \d/m, /^serde_json \d/m, /Permission is hereby granted/, /Apache License/]) assert.match(notices, part);
});

test("the menus of the engine: families with sizes, methods beside their controls, what does not fit with its reason", async () => {
  const { page, problems, close } = await watchedPage(browser);
  await page.goto(`${server.url}#v=1&m=recall-llama&gen=1`);
  const models = page.getByRole("radiogroup", { name: "Model" }).getByRole("radio");
  await models.first().waitFor();
  const names = await models.evaluateAll((all) => all.map((radio) => radio.getAttribute("aria-label")));
  for (const family of [" mamba ", " mamba2 ", " llama "])
    assert.ok(
      names.some((name) => name.includes(family)),
      `${family}: ${names}`,
    );
  for (const name of names) assert.match(name, /\d (kB|MB)/);
  const menu = (name) => page.getByRole("combobox", { name }).locator("option");
  await page.waitForFunction(() => document.querySelector("#reduce-method option:disabled"));
  for (const option of await menu("Token reduction method").and(page.locator(":disabled")).allTextContents()) assert.match(option, /needs a model of type/);
  const reductions = (await menu("Token reduction method").allTextContents()).join("\n");
  for (const method of [/^Off/m, /UTRC/, /EViT/, /PuMer/]) assert.match(reductions, method);
  const prunings = (await menu("Sparsity method").allTextContents()).join("\n");
  for (const method of [/^Off/m, /Magnitude/, /Wanda/, /SparseGPT/, /MRP/]) assert.match(prunings, method);
  assert.deepEqual(problems, []);
  await close();
});

test("a preset moves both sliders, and a slider that is moved makes it custom", async () => {
  const { page, problems, close } = await watchedPage(browser);
  await page.goto(`${server.url}#v=1&m=recall-mamba2&ev=recall:n=8,controls=0&gen=1`);
  const preset = (label) => page.waitForFunction((label) => document.querySelector("#preset").selectedOptions[0]?.label === label, label);
  const sliders = () => Promise.all(["#reduce-cut", "#prune-sparsity"].map((id) => page.locator(id).inputValue()));
  await page.locator("#preset:enabled").selectOption({ label: "Balanced" });
  await preset("Balanced");
  const before = await sliders();
  await page.locator("#preset").selectOption({ label: "Aggressive" });
  await page.waitForFunction((before) => document.querySelector("#prune-sparsity").value !== before, before[1]);
  const after = await sliders();
  for (const at of [0, 1]) assert.notEqual(after[at], before[at]);
  await page.getByRole("slider", { name: "Sparsity" }).press("ArrowRight");
  await preset("Custom");
  assert.deepEqual(problems, []);
  await close();
});

test("a link runs, and with both methods off the two sides are the same", { timeout: 240_000 }, async () => {
  const { page, problems, close } = await watchedPage(browser);
  page.setDefaultTimeout(100_000);
  const complete = (n) =>
    page.waitForFunction((n) => {
      const row = document.querySelector("#scorecard tbody tr");
      return document.querySelector("#status").textContent === "Run complete" && row?.textContent.includes(`n=${n}`);
    }, n);
  const words = async () => (await page.locator("#sides .words").allTextContents()).map((text) => text.trim());
  await page.goto(`${server.url}#v=1&m=recall-mamba2&ev=recall:level=easy,n=12&gen=8`);
  await complete(12);
  const [baseline, compressed] = await words();
  assert.ok(baseline.length > 0 && compressed.length > 0);
  await page.getByRole("tab", { name: "Speed" }).click();
  assert.match(await page.getByRole("region", { name: "Speed" }).innerText(), /Measured on .+: .+/);

  await page.getByRole("combobox", { name: "Token reduction method" }).selectOption("off");
  await page.getByRole("combobox", { name: "Sparsity method" }).selectOption("off");
  await page.getByText(/^Advanced/).click();
  await page.getByRole("tab", { name: "Scores" }).click();
  const items = page.getByRole("spinbutton", { name: "Items, exact value" });
  await items.fill("10");
  await items.press("Enter");
  await complete(10);
  const [same, twin] = await words();
  assert.equal(same, baseline, "the baseline does not depend on the compression");
  assert.equal(twin, same);
  const [, , change] = await page.getByRole("row", { name: "Accuracy" }).getByRole("cell").allInnerTexts();
  assert.match(change.replace(/\s+/g, " "), /^0\.0 pt not significant \(−[\d.]+ to \+[\d.]+ pt\) n=10$/);
  await page.waitForURL(/#v=1&m=recall-mamba2@[0-9a-f]{16}&.*tr=off&sp=off/);
  assert.deepEqual(problems, []);
  await close();
});

test("either engine is at most 700 kB of gzip, and a first visit loads at most 5 MB", { timeout: 240_000 }, async () => {
  const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
  assert.deepEqual(engines.map(engineOf).sort(), ["bg", "relaxed"]);
  for (const name of engines) {
    // By gzip itself, as the benchmarks do: Node's zlib packs one per cent worse.
    const engine = execFileSync("gzip", ["-9", "-n", "-c", dist + name], { maxBuffer: 1 << 28 }).length;
    assert.ok(engine <= 700_000, `${name}: ${engine} bytes`);
  }

  const { page, close } = await watchedPage(browser);
  const before = server.requests.length;
  await page.goto(server.url);
  // The model and the evaluation's items have been read by then.
  await page.locator("#scorecard tbody tr").first().waitFor({ timeout: 100_000 });
  const paths = server.requests.slice(before);
  assert.ok(
    paths.some((path) => path.endsWith("model.safetensors")),
    paths.join(" "),
  );
  const size = (path) => statSync(dist + (path.replace(/^\/[^/]*\//, "").split("?")[0] || "index.html")).size;
  const bytes = paths.reduce((sum, path) => sum + size(path), 0);
  assert.ok(bytes <= 5_000_000, `${bytes} bytes`);
  await close();
});
