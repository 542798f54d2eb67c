// The trade-off chart: what its modules give for plain data, and what a person can do with it in the page.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { padded, ticks } from "../../www/ui/chart/scale.js";
import { taskOf } from "../../www/points.js";
import { COSTS, frontier, placed, words } from "../../www/ui/chart/figures.js";
import { mockPages } from "./mock-page.mjs";

const point = (reduce, prune, accuracy, flops, more = {}) => ({
  key: `${reduce} ${prune}`,
  fragment: `#v=1&m=lm-mamba2&tr=${reduce}&sp=${prune}&seed=1`,
  model: "lm-mamba2@aa",
  evaluation: "continuation",
  reduce,
  prune,
  seed: 1,
  items: 100,
  items_wanted: 100,
  complete: true,
  quality: [
    {
      metric: "accuracy",
      label: "Accuracy",
      definition: "",
      unit: "share",
      higher_is_better: true,
      items: 100,
      items_total: 100,
      baseline: { value: 0.76, low: 0.67, high: 0.83, n: 100 },
      compressed: { value: accuracy, low: accuracy - 0.08, high: accuracy + 0.08, n: 100 },
      change: { value: accuracy - 0.76, low: accuracy - 0.8, high: accuracy - 0.72, n: 100 },
    },
  ],
  cost: { flops_share: flops, bytes_per_token: 1e6, bytes_per_token_dense: 2e6, file_bytes: null },
  speed: null,
  ms: null,
  backend: "CPU",
  created: null,
  ...more,
});

test("an axis names round numbers within its range", () => {
  assert.deepEqual(ticks(0.53, 1.02, 6), [0.6, 0.7, 0.8, 0.9, 1]);
  assert.deepEqual(ticks(-3, 12, 4), [0, 5, 10]);
  assert.deepEqual(ticks(5, 5), [5]);
  assert.deepEqual(padded([NaN, undefined]), [0, 1]);
});

test("the frontier is what nothing beats in both, and a control is never on it", () => {
  const entries = [
    ["off", "off", 0.76, 1],
    ["utrc", "off", 0.7, 0.8],
    ["evit", "off", 0.6, 0.8],
    ["random", "off", 0.9, 0.5],
    ["off", "mrp", 0.7, 0.9],
  ].map(([reduce, prune, accuracy, flops]) => ({ point: point(reduce, prune, accuracy, flops), source: "live", control: reduce === "random" }));
  const flops = COSTS.find(({ id }) => id === "flops");
  const best = frontier(placed(entries, flops, "accuracy"), flops, true);
  assert.deepEqual(
    best.map(({ point: p }) => p.key),
    ["utrc off", "off off"],
  );
  // A metric of which less is better, against a cost of which more is better.
  const speedy = COSTS.find(({ id }) => id === "decode");
  const timed = [
    [1.5, 0.8],
    [1.2, 0.7],
    [1.1, 0.9],
  ].map(([ratio, value], i) => ({
    point: point("off", `wanda${i}`, value, 1, { speed: { prefill_ratio: null, decode_ratio: { value: ratio, low: ratio, high: ratio, n: 5 } } }),
  }));
  assert.deepEqual(
    frontier(placed(timed, speedy, "accuracy"), speedy, false).map(({ x }) => x.value),
    [1.5, 1.2],
  );
});

test("more items of a task belong into its chart, another level of it does not", () => {
  assert.equal(taskOf("recall:n=20,controls=0"), taskOf("recall"));
  assert.equal(taskOf("recall:level=hard,n=20"), "recall:level=hard");
  assert.notEqual(taskOf("recall:level=hard"), taskOf("recall"));
});

test("a figure that is absent or not finite is no point", () => {
  const none = point("off", "wanda", 0.7, null);
  const broken = point("off", "mrp", NaN, 0.5);
  assert.equal(
    placed(
      [{ point: none }, { point: broken }],
      COSTS.find(({ id }) => id === "flops"),
      "accuracy",
    ).length,
    0,
  );
  const bytes = COSTS.find(({ id }) => id === "bytes");
  const [p] = placed([{ point: none, label: "Wanda", source: "reference" }], bytes, "accuracy");
  assert.equal(words(p, bytes), "Wanda, reference: Accuracy 70.0% (62.0% to 78.0%), n=100; weights read per token 50.0%");
});

const { withPage } = mockPages();

const REFERENCE = [point("off", "off", 0.76, 1), point("utrc:cut=0.4", "off", 0.6, 0.6), point("random", "off", 0.5, 0.8), point("utrc", "wanda", 0.1, 0.8)];

/** The page with these reference points beside it. */
const withChart = (check, options = {}) =>
  withPage(
    {
      ...options,
      before: async (page) => {
        await page.route("**/reference/index.json", (route) => route.fulfill({ json: { models: ["lm-mamba2"] } }));
        await page.route("**/reference/lm-mamba2.jsonl", (route) =>
          route.fulfill({ body: `${REFERENCE.map((p) => JSON.stringify(p)).join("\n")}\nbroken\n{"key":1}\n` }),
        );
      },
    },
    (opened) => check({ ...opened, marks: opened.page.getByRole("group", { name: "Trade-off chart" }).getByRole("button") }),
  );

test("the reference stands before the first run is over, and a live point takes the place of its twin", () =>
  withChart(
    async ({ page, marks, midway, says }) => {
      await midway();
      await marks.nth(3).waitFor();
      assert.equal(await marks.count(), 4);
      assert.equal(await page.locator(".mark[role].reference").count(), 4);
      await page.getByText("pale: reference, measured before").waitFor();
      await page
        .workers()
        .at(-1)
        .evaluate(() => (self.released = true));
      await says("Run complete");
      await page.locator(".mark[role]:not(.reference)").waitFor();
      assert.equal(await marks.count(), 5);
      await page.getByRole("slider", { name: "Sparsity" }).press("ArrowRight");
      await page.getByRole("button", { name: "Cancel" }).waitFor();
      await says("Run complete");
      await page.waitForFunction(() => document.querySelectorAll(".mark[role]").length === 6);
    },
    { scenario: { waits: true } },
  ));

test("marks tell their figures to pointer and keyboard, and Enter takes their settings", () =>
  withChart(async ({ page, marks, says, heard }) => {
    await says("Run complete");
    await page.getByRole("combobox", { name: "Cost" }).selectOption({ label: "Arithmetic" });
    const dense = page.getByRole("button", {
      name: /^Dense, reference: Accuracy 76\.0% \(68\.0% to 84\.0%\), n=100; arithmetic 100\.0%\. Take its settings\.$/,
    });
    await dense.hover();
    await page.getByText(/^Dense, reference: Accuracy 76\.0%/).waitFor();
    await page.mouse.move(0, 0);
    await page.locator(".mark[tabindex='0']").focus();
    await page.keyboard.press("ArrowRight");
    const name = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
    assert.match(name, /Take its settings/);
    assert.equal(`${await page.locator(".readout").textContent()}. Take its settings.`, name);
    await page.keyboard.press("Enter");
    const { type, fragment } = (await heard()).at(-1);
    assert.equal(type, "link");
    assert.match(fragment, /^#v=1&m=lm-mamba2&/);
    assert.equal(await marks.count(), 5);
  }));

test("the table twin holds what the chart holds, and names the frontier", () =>
  withChart(async ({ page, says }) => {
    await says("Run complete");
    await page.getByRole("combobox", { name: "Cost" }).selectOption({ label: "Arithmetic" });
    await page.getByRole("button", { name: "Table" }).click();
    const rows = page.getByRole("figure", { name: "Trade-off" }).locator("tbody tr");
    await rows.nth(4).waitFor();
    assert.equal(await rows.count(), 5);
    assert.match(
      (await rows.filter({ hasText: "cut=0.4" }).innerText()).replace(/\s+/g, " "),
      /reference, on the frontier 60\.0% \(52\.0% to 68\.0%\) n=100 60\.0%/,
    );
    // Only what was timed lies on an axis of time.
    await page.getByRole("combobox", { name: "Cost" }).selectOption({ label: "Prefill speed" });
    await page.waitForFunction(() => document.querySelectorAll(".twin tbody tr").length === 1);
  }));

test("the chart is saved as a picture that stands alone", () =>
  withChart(async ({ page, says }) => {
    await says("Run complete");
    const saved = async (name) => {
      const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: `Save the chart as ${name}` }).click()]);
      return readFile(await download.path());
    };
    const text = (await saved("SVG")).toString();
    assert.match(text, /^<svg[^>]* xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    assert.ok(!/class=|var\(/.test(text), "names of styles are left");
    assert.match(text, /stroke="rgb/);
    assert.equal((await saved("PNG")).subarray(1, 4).toString(), "PNG");
  }));

test("a sweep asks for the main knob from end to end, says how far it is, and can be paused", () =>
  withChart(
    async ({ page, says, heard }) => {
      await says("Run complete");
      await page.getByRole("combobox", { name: "Knob to sweep" }).selectOption({ label: "Wanda: Sparsity" });
      await page.getByRole("button", { name: "Sweep" }).click();
      await page.getByText("2 of 5").waitFor();
      const { type, knob, values } = (await heard()).at(-1);
      assert.deepEqual([type, knob, values], ["sweep", "prune.sparsity", ["0", "0.2", "0.4", "0.6", "0.8"]]);
      assert.equal(await page.getByRole("button", { name: "Sweep" }).isDisabled(), true);
      await page.getByRole("button", { name: "Pause" }).click();
      await page.getByRole("button", { name: "Resume" }).waitFor();
      assert.equal((await heard()).at(-1).type, "pause");
    },
    { scenario: { held: true } },
  ));
