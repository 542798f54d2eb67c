// The page by keyboard, in the dark, on a phone, without motion, and as axe-core sees it.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { mockPages, www } from "./mock-page.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** The scripts that may load a file: the data beside the page, and what keeps it for offline use. */
const LOADERS = ["data.js", "sw.js", "hub/protocol.js"];
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

const { open } = mockPages();

const background = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);

for (const [name, options] of Object.entries({ light: {}, dark: { colorScheme: "dark" }, phone: PHONE })) {
  test(`axe-core finds nothing serious (${name})`, async () => {
    const { page, says, close } = await open({ ...options, scenario: { published: true } });
    await says("Run complete");
    await page.evaluate(() => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
    await page.getByRole("button", { name: "Share" }).click();
    await page.evaluate(axe);
    for (const tab of await page.getByRole("tab").all()) {
      await tab.click();
      const { violations, passes } = await page.evaluate(() => axe.run());
      assert.ok(passes.length > 20, `only ${passes.length} rules applied`);
      assert.deepEqual(
        violations.map(({ id, impact, nodes }) => `${impact} ${id} ${nodes.map((n) => n.target)}`),
        [],
      );
    }
    for (const opener of ["Stories", "Keyboard shortcuts"]) {
      await page.getByRole("button", { name: opener }).click();
      const { violations } = await page.evaluate(() => axe.run());
      assert.deepEqual(
        violations.map(({ id, impact, nodes }) => `${impact} ${id} ${nodes.map((n) => n.target)}`),
        [],
        opener,
      );
      await page.keyboard.press("Escape");
    }
    await close();
  });
}

test("the first Tab is the way to the results, and it leaves the address alone", async () => {
  const { page, midway, close } = await open({ fragment: "#v=1&seed=3", scenario: { tick: 100 } });
  await midway();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to results");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "results");
  assert.match(page.url(), /#v=1&seed=3$/);
  await close();
});

test("Tab reaches every control in the order of the page, with a visible focus", async () => {
  const { page, says, close } = await open();
  await says("Run complete");
  await page.evaluate(() => {
    for (const id of ["#reduce details", "#advanced"]) document.querySelector(id).open = true;
  });
  const order = [];
  for (let i = 0; i < 80; i++) {
    await page.keyboard.press("Tab");
    const [id, outline] = await page.evaluate(() => {
      const node = document.activeElement;
      return [node === document.body ? "" : node.id || node.value || node.ariaLabel || node.textContent, getComputedStyle(node).outlineStyle];
    });
    if (!id) break;
    order.push(id);
    assert.notEqual(outline, "none", `no focus is seen on ${id}`);
  }
  const wanted = [
    "skip",
    "share",
    "theme",
    "lm-mamba2",
    "open",
    "preset",
    "reduce-method",
    "reduce-ratio",
    "2 more settings",
    "reduce-metric",
    "reduce-layers",
    "prune-method",
    "prune-sparsity",
    "eval-method",
    "eval-n",
    "tokens",
    "temperature",
    "seed",
    "backend",
    "run",
    "reset",
    "prompt",
    "tab-panel-scores",
  ];
  assert.deepEqual(
    order.filter((id) => wanted.includes(id)),
    wanted,
  );
  await close();
});

test("dark follows the system, and a choice outlives a reload", async () => {
  const { page, says, close } = await open({ colorScheme: "dark" });
  const button = page.getByRole("button", { name: "Dark theme" });
  await says("Run complete");
  const dark = await background(page);
  assert.equal(await button.getAttribute("aria-pressed"), "true");
  await page.emulateMedia({ colorScheme: "light" });
  const light = await background(page);
  assert.notEqual(light, dark);
  await button.click();
  assert.equal(await background(page), dark);
  await page.reload();
  await says("Run complete");
  assert.equal(await background(page), dark);
  await close();
});

test("forbidden storage hurts nothing", async () => {
  const { page, says, problems, close } = await open({
    before: (page) =>
      page.addInitScript(() =>
        Object.defineProperty(window, "localStorage", {
          get() {
            throw new Error("denied");
          },
        }),
      ),
  });
  await says("Run complete");
  await page.getByRole("button", { name: "Dark theme" }).click();
  assert.equal(await page.getByRole("button", { name: "Dark theme" }).getAttribute("aria-pressed"), "true");
  assert.deepEqual(problems, []);
  await close();
});

test("a phone scrolls down only, keeps Run in view and folds the settings", async () => {
  const { page, says, close } = await open(PHONE);
  await says("Run complete");
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(await wide(), 390);
  const run = page.getByRole("button", { name: "Run", exact: true });
  const inView = () =>
    run.evaluate((node) => {
      const { top, bottom } = node.getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    });
  assert.equal(await inView(), true);
  assert.equal(await page.getByRole("radiogroup", { name: "Model" }).isVisible(), false);
  await page.locator("#settings-body > summary").tap();
  assert.equal(await page.getByRole("radiogroup", { name: "Model" }).isVisible(), true);
  await page.evaluate(() => {
    for (const details of document.querySelectorAll("details")) details.open = true;
    scrollTo(0, 1e6);
  });
  assert.equal(await wide(), 390);
  assert.equal(await inView(), true);
  await close();
});

test("with reduced motion nothing moves", async () => {
  // An engine that takes its time shows a bar that breathes.
  const { page, says, close } = await open({ scenario: { quiet: true } });
  const moving = () => page.evaluate(() => document.getAnimations().length);
  await says("The engine is ready");
  assert.ok((await moving()) >= 1);
  await page.emulateMedia({ reducedMotion: "reduce" });
  assert.equal(await moving(), 0);
  await close();
});

test("while a run is on, the status is told at most once a second", async () => {
  const { page, says, close } = await open({
    scenario: { tick: 100 },
    before: (page) =>
      page.addInitScript(() =>
        addEventListener("DOMContentLoaded", () => {
          self.told = [];
          const status = document.querySelector("#status");
          const note = () => self.told.push({ text: status.textContent, at: performance.now() });
          new MutationObserver(note).observe(status, { childList: true, characterData: true, subtree: true });
        }),
      ),
  });
  await says("Run complete");
  const told = (await page.evaluate(() => self.told)).filter(({ text }) => /^(Loading model|Pruning|Scoring)/.test(text));
  assert.ok(told.length >= 2, `${told.length} changes in a run of three seconds`);
  const gaps = told.slice(1).map(({ at }, i) => at - told[i].at);
  assert.ok(Math.min(...gaps) > 950, gaps.join(", "));
  await close();
});

test("scripts and styles stay under 99 kB gzip as they are written, write no HTML, and load files in named places only", async () => {
  const names = (await readdir(www, { recursive: true })).filter((name) => /\.(js|css)$/.test(name));
  let bytes = 0;
  for (const name of names) {
    const text = await readFile(`${www}/${name}`, "utf8");
    bytes += gzipSync(text).length;
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(/, name);
    if (!LOADERS.includes(name)) assert.doesNotMatch(text, /\bfetch\(/, name);
  }
  assert.ok(names.length > 10);
  // Of these, 6 kB open items of one's own and rows of the hub, and 1 kB measures peers.
  assert.ok(bytes <= 99_000, `${bytes} bytes`);
});
