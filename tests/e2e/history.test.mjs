// The history of runs: kept over a reload, searched, named, compared, deleted, exported, and read in again.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fromJson, toCsv, toJson, toMarkdown } from "../../www/ui/exports.js";
import { mockPages } from "./mock-page.mjs";

const estimate = (value) => ({ value, low: value - 0.1, high: value + 0.1, n: 100 });
const kept = (more = {}, point = {}) => ({
  id: "a",
  name: "first",
  at: "2026-11-26T10:00:00.000Z",
  texts: null,
  ...more,
  point: {
    key: "a",
    fragment: "#v=1&m=lm-mamba2&tr=off&sp=wanda&seed=1",
    model: "lm-mamba2@aa",
    evaluation: "continuation",
    reduce: "off",
    prune: "wanda",
    seed: 1,
    items: 100,
    items_wanted: 100,
    complete: true,
    cost: { flops_share: 0.8, bytes_per_token: null, bytes_per_token_dense: null, file_bytes: null },
    speed: null,
    ms: null,
    backend: "CPU",
    created: null,
    quality: [
      {
        metric: "accuracy",
        label: "Accuracy",
        unit: "share",
        higher_is_better: true,
        items: 100,
        baseline: estimate(0.7),
        compressed: estimate(0.6),
        change: estimate(-0.1),
      },
    ],
    ...point,
  },
});

test("what is exported as JSON comes back, and what is no run does not", () => {
  const runs = [kept(), kept({ id: "b", name: "<b>" }, { key: "b" })];
  assert.deepEqual(fromJson(toJson(runs)), runs);
  assert.deepEqual(
    fromJson(`${JSON.stringify(kept().point)}\n\nbroken\n`).map(({ id }) => id),
    ["a"],
  );
  for (const bad of [
    "",
    "[]",
    "{}",
    "null",
    "7",
    '{"runs":[null,1,{"key":"x"}]}',
    JSON.stringify([kept({}, { fragment: "javascript:alert(1)" })]),
    JSON.stringify([kept({}, { quality: [{}] })]),
  ]) {
    assert.deepEqual(fromJson(bad), [], bad);
  }
});

test("a spreadsheet reads the CSV, and takes no name for a formula", () => {
  const [head, line] = toCsv([kept({ name: '=HYPERLINK("x"),1' })]).split("\r\n");
  assert.match(head, /^name,date,model,evaluation,/);
  assert.match(line, /^"'=HYPERLINK\(""x""\),1",2026-11-26T10:00:00\.000Z,lm-mamba2@aa,continuation,off,wanda,1,100,accuracy,0\.7,/);
  assert.match(line, /,-0\.1,-0\.2,0,0\.8,,,,,CPU,#v=1/);
});

test("Markdown has a line a metric, with what a bar would break escaped", () => {
  const [, , line] = toMarkdown([kept({}, { evaluation: "text|x" })]).split("\n");
  assert.equal(line, "| lm-mamba2@aa | off / wanda | text\\|x | 100 | Accuracy | ↑ | 0.6000 | 0.5000 to 0.7000 | -0.1000 | -0.2000 to 0.0000 |");
});

const { withRun } = mockPages();

/** The page with its first run over and the list of runs in view. */
const withRuns = (check, options = {}) =>
  withRun(options, async (opened) => {
    await opened.tab("Runs");
    await check({ ...opened, rows: opened.page.getByRole("table", { name: "Runs", exact: true }).locator("tbody tr") });
  });

/** Another finished run. */
async function again({ page, says }) {
  await page.getByRole("slider", { name: "Sparsity" }).press("ArrowRight");
  await page.getByRole("button", { name: "Cancel" }).waitFor();
  await says("Run complete");
}

test("runs outlive a reload with their names, and are searched, restored and deleted", () =>
  withRuns(async (opened) => {
    const { page, says, rows, tab, heard } = opened;
    await again(opened);
    await page.waitForFunction(() => document.querySelectorAll("#history tbody tr").length === 2);
    await rows.first().getByRole("textbox").fill("the strong one");
    await page.keyboard.press("Enter");
    await page.reload();
    await says("Run complete");
    await tab("Runs");
    await page.waitForFunction(() => document.querySelectorAll("#history tbody tr").length === 2);
    await page.getByRole("searchbox", { name: "Search runs" }).fill("STRONG");
    await page.waitForFunction(() => document.querySelectorAll("#history tbody tr").length === 1);
    assert.equal(await rows.getByRole("textbox").inputValue(), "the strong one");
    await rows.getByRole("button", { name: /^Restore/ }).click();
    assert.match((await heard()).at(-1).fragment, /sp=wanda:0\.55/);
    await rows.getByRole("button", { name: /^Delete/ }).click();
    await page.getByText("No run has these words.").waitFor();
    await page.reload();
    await says("Run complete");
    await tab("Runs");
    await page.waitForFunction(() => document.querySelectorAll("#history tbody tr").length === 1);
  }));

test("every finished run is a row and a point", () =>
  withRuns(async (opened) => {
    const { page, rows } = opened;
    for (const n of [1, 2]) {
      await rows.nth(n - 1).waitFor();
      await page
        .locator(".mark[role]:not(.reference)")
        .nth(n - 1)
        .waitFor();
      assert.deepEqual([await rows.count(), await page.locator(".mark[role]:not(.reference)").count()], [n, n]);
      await again(opened);
    }
  }));

test("a run that is over before the database answers takes no name away", () =>
  withRuns(
    async ({ page, says, rows, tab }) => {
      await rows.first().getByRole("textbox").fill("mine");
      await page.keyboard.press("Enter");
      await page.evaluate(() => sessionStorage.setItem("slow", "1"));
      await page.reload();
      await says("Run complete");
      await page.evaluate(() => self.answer());
      await tab("Runs");
      await page.waitForFunction(() => document.querySelectorAll("#history tbody tr").length === 1);
      assert.equal(await rows.getByRole("textbox").inputValue(), "mine");
    },
    {
      before: (page) =>
        page.addInitScript(() => {
          const real = indexedDB.open.bind(indexedDB);
          const asked = new Promise((answer) => {
            self.answer = answer;
          });
          IDBFactory.prototype.open = (...what) => {
            const request = real(...what);
            if (!sessionStorage.getItem("slow")) return request;
            const slow = {
              get result() {
                return request.result;
              },
              get error() {
                return request.error;
              },
            };
            request.onsuccess = () => asked.then(() => slow.onsuccess());
            return slow;
          };
        }),
    },
  ));

test("pinned runs stand side by side with their texts", () =>
  withRuns(async (opened) => {
    const { page } = opened;
    await again(opened);
    for (const tick of await page.getByRole("checkbox", { name: /^Pin/ }).all()) await tick.check();
    const table = page.getByRole("group", { name: "Comparison" });
    await table.getByText("Same model, items and seed").waitFor();
    assert.equal(await table.getByRole("row", { name: /^Text/ }).getByRole("cell").count(), 2);
    assert.match(await table.getByRole("row", { name: /^Change/ }).innerText(), /−2\.1 pt/);
  }));

test("an exported file is imported elsewhere and lands in the chart", () =>
  withRuns(async ({ page }) => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export the listed runs as JSON" }).click()]);
    const file = JSON.parse(await readFile(await download.path(), "utf8"));
    assert.equal(file.runs.length, 1);
    // The reference lies in the chart too.
    await page.waitForFunction(() => document.querySelectorAll(".mark[role].reference").length > 0);
    const marks = await page.locator(".mark[role]").count();
    const other = kept({ id: "far", name: "from afar" }, { key: "far", prune: "mrp", evaluation: "continuation" });
    await page.locator("#history input[type=file]").setInputFiles({ name: "run.json", mimeType: "application/json", buffer: Buffer.from(toJson([other])) });
    await page.getByText("1 run imported.").waitFor();
    await page.waitForFunction((marks) => document.querySelectorAll(".mark[role]").length === marks + 1, marks);
    await page.locator("#history input[type=file]").setInputFiles({ name: "x.json", mimeType: "application/json", buffer: Buffer.from("nothing") });
    await page.getByText("No run was found in the file").waitFor();
  }));

test("where the browser keeps nothing, the page says so and goes on", () =>
  withRuns(
    async ({ page, rows }) => {
      await page.getByText("This browser does not keep data for this page").waitFor();
      assert.equal(await rows.count(), 1);
    },
    {
      before: (page) =>
        page.addInitScript(() => {
          Object.defineProperty(self, "indexedDB", {
            get() {
              throw new Error("denied");
            },
          });
        }),
    },
  ));
