// How the page shows what was measured: tokens, scores with their intervals, controls, the heat map, speed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { mockPages } from "./mock-page.mjs";

const { withPage, withRun } = mockPages();

test("the fate of every token of the prompt is a table that a keyboard opens", () =>
  withPage({}, async ({ page, says }) => {
    await says("Run complete");
    const region = page.getByRole("region", { name: /Tokens of the prompt/ });
    await region.locator("summary").focus();
    await page.keyboard.press("Enter");
    const cells = (row) => region.locator("tbody tr").nth(row).getByRole("cell").allTextContents();
    assert.deepEqual(await cells(0), ['"It"', "●kept, score 0.5", "●kept, score 0.5"]);
    assert.deepEqual(await cells(1), ['" <b>is</b>"', "✕pruned, score 0.1", "gone before"]);
    assert.deepEqual(await cells(2), ['"\\n"', "⤷ 0folded into 0, in the stream only", "gone before"]);
  }));

test("the trace is a picture: a band a layer, a bar a token, as high as its score", () =>
  withPage({}, async ({ page, says }) => {
    await says("Run complete");
    const region = page.getByRole("region", { name: /Tokens of the prompt/ });
    await region.locator("summary").click();
    const bars = async (name) =>
      region
        .getByRole("img", { name })
        .locator("span")
        .evaluateAll((spans) => spans.map((span) => [span.className, span.title, span.style.blockSize]));
    assert.deepEqual(await bars("After layer 2: 1 kept, 1 pruned, 1 folded"), [
      ["kept", '0 "It": kept, score 0.5', "100%"],
      ["pruned", '1 " <b>is</b>": pruned, score 0.1', "12%"],
      ["merged", '2 "\\n": folded into 0, in the stream only', "56%"],
    ]);
    assert.deepEqual(
      (await bars("After layer 3: 1 kept, 0 pruned, 0 folded")).map(([fate]) => fate),
      ["kept", "gone", "gone"],
    );
    assert.match(await region.innerText(), /from the lowest to the highest in this layer/);
    assert.deepEqual(await region.locator(".below span").allTextContents(), ["It", " <b>is</b>", "⏎"]);
  }));

test("a scorecard cell has its interval and n, and a change that may be none says so", () =>
  withPage({}, async ({ page, says }) => {
    await says("Run complete");
    const row = (name) => page.getByRole("row", { name }).getByRole("cell").allInnerTexts();
    const flat = (cells) => cells.map((text) => text.replace(/\s+/g, " "));
    assert.deepEqual(flat(await row("Accuracy")), [
      "75.2% (69.3% to 80.2%) n=240",
      "73.1% (67.1% to 78.3%) n=240",
      "−2.1 pt not significant (−5.8 to +1.7 pt) n=240",
    ]);
    assert.deepEqual(flat(await row("Bits per byte")), [
      "1.535 (1.501 to 1.569) n=240",
      "1.612 (1.577 to 1.648) n=240",
      "+0.077 worse (+0.064 to +0.091) n=240",
    ]);
  }));

test("below eight items there is no interval, and nothing on the page claims one", () =>
  withPage({ scenario: { few: true } }, async ({ page, says, tab }) => {
    await says("Run complete");
    const flat = (text) => text.replace(/\s+/g, " ");
    assert.match(flat(await page.locator("#headline .quality").innerText()), /−2\.1 pt too few items to tell \(no interval, n=3\)$/);
    assert.equal(await page.locator("#headline .quality .whisker").count(), 0, "without an interval nothing is drawn");
    const cells = await page
      .getByRole("row", { name: /^Accuracy/ })
      .getByRole("cell")
      .allInnerTexts();
    assert.deepEqual(cells.map(flat), ["75.2% (no interval) n=3", "73.1% (no interval) n=3", "−2.1 pt too few items (no interval) n=3"]);
    await page.getByRole("button", { name: "Table", exact: true }).click();
    await tab("Runs");
    await page.getByRole("table", { name: "Runs" }).getByRole("cell", { name: "(no interval)" }).first().waitFor();
    assert.doesNotMatch(await page.locator("body").innerText(), /NaN|undefined|null|\(– to –\)/);
  }));

test("controls stand below the scorecard, method minus control, and go with the settings", () =>
  withPage({ scenario: { tick: 60 } }, async ({ page, says, midway }) => {
    const table = page.getByRole("table").filter({ has: page.getByRole("columnheader", { name: "Control", exact: true }) });
    await midway();
    assert.equal(await table.count(), 0, "before the main figures are there");
    await says("Run complete");
    const row = async (name) => (await table.getByRole("row", { name }).getByRole("cell").allInnerTexts()).map((text) => text.replace(/\s+/g, " "));
    assert.deepEqual(await row("Random"), ["+3.1 pt better (+0.4 to +7.0 pt) n=50 control 70.0%", "−0.048 better (−0.070 to −0.020) n=50 control 1.660"]);
    assert.deepEqual(await row("Stride"), [
      "−0.9 pt not significant (−5.0 to +3.0 pt) n=50 control 74.0%",
      "+0.032 worse (+0.010 to +0.050) n=50 control 1.580",
    ]);
    assert.equal(await page.getByRole("heading", { name: "The scorer as published" }).count(), 0);
    await page.getByRole("combobox", { name: "Sparsity method" }).selectOption("off");
    await table.waitFor({ state: "detached" });
  }));

test("the scorer as published stands beside the honest one, with its warning", () =>
  withPage({ scenario: { published: true } }, async ({ page, says }) => {
    await says("Run complete");
    const region = page.getByRole("tabpanel", { name: "Scores and controls" });
    await region.getByText("Not a measure of quality. Rows slip against their labels. In step here: 11% of the rows.").waitFor();
    const table = region.getByRole("table").filter({ has: page.getByRole("columnheader", { name: "As published" }) });
    const cells = await table.getByRole("row", { name: "Accuracy" }).getByRole("cell").allInnerTexts();
    assert.deepEqual(
      cells.map((text) => text.replace(/\s+/g, " ")),
      ["73.1% (67.1% to 78.3%) n=240", "23.3% (18.4% to 29.1%) n=240"],
    );
  }));

test("the heat map names its darkest cell, and the speed panel says what decides", () =>
  withPage({}, async ({ page, says, tab }) => {
    await says("Run complete");
    await tab("Layers");
    const region = page.getByRole("region", { name: "Cost on paper" });
    await region.getByText("All matrices are alike in this").waitFor();
    await region.getByRole("button", { name: "Output error, held out" }).click();
    await region.getByText("Look for a dark cell: backbone.layers.5.mixer.out_proj.weight suffers the most: its output is off by 0.052").waitFor();
    const table = region.getByRole("group", { name: "Heat map of layers and matrices" });
    assert.deepEqual(await table.getByRole("columnheader").allTextContents(), ["Layer", "in_proj", "out_proj"]);
    assert.equal(await region.getByRole("button", { name: "Output error, held out" }).evaluate((node) => node === document.activeElement), true);
    await tab("Speed");
    const speed = page.getByRole("region", { name: "Speed" });
    await speed.getByText("Decode is measured at 1.00× (0.98× to 1.01×) although only 1.3 MB of 1.8 MB of weights are read for a token").waitFor();
    assert.equal(await speed.getByText(/^Prefill is/).count(), 0, "what became faster needs no excuse");
  }));

test("every token of the prompt is a cell with its fate for a name, in the layer that a slider chooses", () =>
  withRun({}, async ({ page }) => {
    const cells = page.getByRole("grid", { name: "Token fate" }).getByRole("gridcell");
    const names = () => cells.evaluateAll((all) => all.map((cell) => cell.getAttribute("aria-label")));
    const slider = page.getByRole("slider", { name: "Layer", exact: true });
    await slider.press("Home");
    assert.deepEqual(await names(), [
      '0 "It": kept, score 0.5',
      '1 " <b>is</b>": pruned, score 0.1',
      '2 "\\n": folded into 0, in the stream only, which is "It"',
    ]);
    const said = page.locator("#fate-said");
    const before = await said.textContent();
    await slider.press("ArrowRight");
    assert.equal(await slider.getAttribute("aria-valuetext"), "layer 3");
    assert.notEqual(await said.textContent(), before);
    assert.deepEqual((await names()).slice(1), ['1 " <b>is</b>": gone before', '2 "\\n": gone before']);
  }));
