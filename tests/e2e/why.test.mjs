// The panels that say why: sureness of each token, loss along the text, items, states, speed at real size, paired differences.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { mockPages } from "./mock-page.mjs";

const { withRun } = mockPages();

const flat = (text) => text.replace(/\s+/g, " ").trim();

test("each token shows how sure its model was, and the first that differs is told in words", () =>
  withRun({}, async ({ page }) => {
    // e^-0.7 is 50 %, e^-3.7 2.5 %, e^-5 0.67 %.
    await page
      .getByText('There the baseline took " wife." (50%; the compressed model gave it 2.5%), the compressed model " house," (50%; the baseline gave it 0.67%).')
      .waitFor();
    const words = page.locator("[aria-label='Compressed text'] .token");
    const house = words.filter({ hasText: "house," });
    assert.equal(await house.getAttribute("title"), '" house,": baseline 0.67%, compressed 50%');
    assert.equal(await house.evaluate((node) => node.style.getPropertyValue("--sure")), "50%");
    assert.match(await page.locator("[aria-label='Compressed text']").innerText(), /want of a house, and of the country; <b>and<\/b>/, "the text is as it was");
    assert.deepEqual(await page.locator("#sides mark").allTextContents(), ["wife.", "house,"]);
  }));

test("loss along the text: what costs more, what went, and the two together in a sentence", () =>
  withRun({}, async ({ page, tab }) => {
    await tab("Along the text");
    const region = page.getByRole("region", { name: /Loss along the text/ });
    await region
      .getByText(
        'Look at " wife.": it costs the compressed model +3.00 nats more (probability 50% before, 2.5% now). The same word stood in the prompt and was taken away after layer 2.',
      )
      .waitFor();
    assert.deepEqual(await region.locator(".strip .lost").allTextContents(), [" wife."]);
    assert.deepEqual(await region.locator(".strip .went").allTextContents(), [" <b>is</b>", " wife."]);
    await region.locator("summary").click();
    await region.locator("tbody tr").nth(3).waitFor();
    const cells = async (at) => (await region.locator("tbody tr").nth(at).getByRole("cell").allInnerTexts()).map(flat);
    assert.deepEqual(await cells(1), ["–", "–", "–", "after layer 2"]);
    assert.deepEqual(await cells(3), ["50%", "50%", "0.00", "stayed"]);
  }));

test("items: lost ones first, sortable, as text, and as files", () =>
  withRun({}, async ({ page, tab }) => {
    await tab("Items");
    const region = page.getByRole("region", { name: /Items/ });
    await region.getByText("1 of 3 items were right before and are wrong after, 1 the other way round.").waitFor();
    const names = () => region.locator("tbody th").evaluateAll((heads) => heads.map((head) => head.firstChild?.textContent));
    const row = async (at) => (await region.locator("tbody tr").nth(at).getByRole("cell").allInnerTexts()).map(flat);
    assert.deepEqual(await names(), ["made.jsonl:1"]);
    assert.deepEqual(await row(0), ["−5.00 ✓ right", '−7.50 ✗ wrong: " other"', "−2.50"]);
    assert.match(await region.locator("tbody th").first().innerText(), /<i>the<\/i> end/, "markup in an item is shown, not obeyed");
    await region.getByRole("button", { name: "All (3)" }).click();
    assert.deepEqual(await names(), ["made.jsonl:1", "made.jsonl:3", "made.jsonl:2"], "the worst change first");
    await region.getByRole("button", { name: "Change ↑" }).click();
    assert.deepEqual(await names(), ["made.jsonl:2", "made.jsonl:3", "made.jsonl:1"]);
    assert.equal(await region.locator("th[aria-sort]").getAttribute("aria-sort"), "descending");
    await region.getByRole("button", { name: "Item", exact: true }).click();
    assert.deepEqual(await names(), ["made.jsonl:1", "made.jsonl:2", "made.jsonl:3"]);
    const saved = async (name) => {
      const [download] = await Promise.all([page.waitForEvent("download"), region.getByRole("button", { name }).click()]);
      return readFile(await download.path(), "utf8");
    };
    const lines = (await saved("Export as JSONL"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ item, compressed }) => [item, compressed.chosen === compressed.label]),
      [
        ["made.jsonl:1", false],
        ["made.jsonl:2", true],
        ["made.jsonl:3", true],
      ],
    );
    const [head, first] = (await saved("Export as CSV")).split("\r\n");
    assert.equal(head.split(",").length, 9);
    assert.equal(
      first,
      "made.jsonl:1,…<i>the</i> end, one,true,false,0,1,-5;-9,-7.5;-9".replace("-5;-9,-7.5;-9", "'-5;-9,'-7.5;-9"),
      "a cell that begins like a formula is a text",
    );
  }));

test("states: columns and decay before and after, and what to look at", () =>
  withRun({}, async ({ page, tab }) => {
    await tab("States");
    const region = page.getByRole("region", { name: /States/ });
    await region
      .getByText("Look at layer 0: 1 of its 2 state columns carry 90% of what its states give, so little would go with the others. After pruning it is 2 of 2.")
      .waitFor();
    assert.equal(await region.getByRole("img", { name: "Layer 0: 1 of 2 columns carry 90%, the largest 90.0%" }).count(), 1);
    const use = region.getByRole("table").filter({ has: page.getByRole("columnheader", { name: "Channels", exact: true }) });
    assert.deepEqual(await use.locator("tbody tr").first().getByRole("cell").allInnerTexts(), ["1 of 2", "40 of 256", "2 of 2", "40 of 256"]);
    const decay = region.getByRole("table").filter({ has: page.getByRole("columnheader", { name: "≤ 16" }) });
    assert.deepEqual(await decay.locator("tbody tr").first().getByRole("cell").allInnerTexts(), ["0%", "25%", "50%", "25%", "0%", "0%"]);
  }));

test("speed at real size runs on a click, says that it is speed only, and disturbs no result", () =>
  withRun({}, async ({ page, tab, heard }) => {
    await tab("Speed");
    const region = page.getByRole("region", { name: /At real size/ });
    assert.equal(await region.getByRole("table").count(), 0, "nothing is timed before it is asked for");
    assert.equal(await region.getByRole("combobox", { name: "Shape" }).inputValue(), "mamba-130m", "the first is chosen");
    await region.getByRole("combobox", { name: "Shape" }).selectOption("mamba2-130m");
    await region.getByRole("button", { name: "Time it" }).click();
    await region.getByText(/Speed only: 129M seeded random weights in the shape of mamba2-130m/).waitFor();
    assert.match(flat(await region.getByRole("row", { name: "Prefill" }).innerText()), /1\.34× \(1\.32× to 1\.36×\) n=7/);
    assert.deepEqual((await heard()).at(-1), { type: "real_size", shape: "mamba2-130m" });
    assert.match(await page.locator("#headline .quality").innerText(), /−2\.1 pt/);
  }));

test("peers are measured on a click, and those of other settings are not shown", () =>
  withRun({}, async ({ page, says, tab, heard }) => {
    await tab("Scores and controls");
    const region = page.getByRole("region", { name: /Peers at the same cost/ });
    assert.equal(await region.getByRole("table").count(), 0, "nothing is measured before it is asked for");
    await region.getByRole("button", { name: "Measure peers" }).click();
    await region.getByText("Measured", { exact: true }).waitFor();
    assert.deepEqual((await heard()).at(-1), { type: "peers" });
    const line = flat(await region.getByRole("row", { name: /int8/ }).innerText());
    assert.match(line, /gptq:bits=8,group=row/);
    assert.match(line, /1\.2 MB 100\.0% of the FLOPs/);
    assert.match(line, /−2\.1 pt \(−5\.8 to \+1\.7 pt\)/);
    assert.match(line, /1\.34× \(1\.32× to 1\.36×\)/);
    assert.equal(await region.getByRole("row").count(), 3, "columns, this run and one peer");
    await page.getByRole("spinbutton", { name: "Sparsity, exact value" }).fill("0.7");
    await page.keyboard.press("Enter");
    await region.getByRole("table").waitFor({ state: "detached" });
    await says("Run complete");
    await region.getByText("Measured", { exact: true }).waitFor({ state: "detached" });
  }));

test("pinned runs are compared item by item, by the engine", () =>
  withRun({}, async ({ page, says, tab }) => {
    await page.getByRole("spinbutton", { name: "Sparsity, exact value" }).fill("0.7");
    await page.keyboard.press("Enter");
    await page.locator("#results[aria-busy]").waitFor({ state: "detached" });
    await says("Run complete");
    await tab("Runs");
    const runs = page.getByRole("table", { name: "Runs" });
    await runs.getByRole("checkbox").nth(1).waitFor();
    await runs.getByRole("checkbox").nth(0).check();
    await runs.getByRole("checkbox").nth(1).check();
    const paired = page.getByRole("table", { name: "Paired differences" });
    assert.match(
      flat(await paired.getByRole("row", { name: /Accuracy/ }).innerText()),
      /utrc \+ wanda:0\.5 minus utrc \+ wanda:0\.7 −2\.1 pt not significant \(−5\.8 to \+1\.7 pt\) n=240/,
    );
    const [asked] = await page
      .workers()
      .at(-1)
      .evaluate(() => self.compared);
    assert.deepEqual(
      asked.first.map(({ chosen }) => chosen),
      [1, 0, 0],
      "the compressed model's scores, item by item",
    );
    assert.deepEqual(asked.second, asked.first);
  }));
