// Stories, shortcuts and the embedded page: ways in for who does not know what to move first.
import assert from "node:assert/strict";
import { test } from "node:test";
import { mockPages } from "./mock-page.mjs";

const { withRun } = mockPages();

const withPage = (check, options = {}) => withRun(options, check);

test("without an address the page opens on the first story, and the gallery leads on", () =>
  withPage(async ({ page, heard }) => {
    assert.equal((await heard())[0].fragment, "#v=1&m=lm-mamba&tr=off&sp=structured");
    const story = page.getByRole("region", { name: "Story" });
    await story.getByText("Half the channels, twice the speed").waitFor();
    await story.getByRole("button", { name: "Close story" }).click();
    await story.waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "Stories" }).click();
    const gallery = page.getByRole("dialog", { name: "Stories" });
    assert.ok((await gallery.getByRole("listitem").count()) >= 8);
    await gallery.getByRole("link", { name: /The same holes/ }).click();
    await gallery.waitFor({ state: "hidden" });
    assert.equal((await heard()).at(-1).fragment, "#v=1&m=copy-mamba2&tr=off&sp=magnitude");
  }));

test("a story stays while its own method is moved, and goes with a change that it does not speak of", () =>
  withPage(async ({ page, says }) => {
    const story = page.getByRole("region", { name: "Story" });
    const change = async (menu, value) => {
      await page.getByRole("combobox", { name: menu }).selectOption(value);
      await page.getByRole("button", { name: "Cancel" }).waitFor();
      await says("Run complete");
    };
    await story.getByText("Half the channels, twice the speed").waitFor();
    await page.getByRole("button", { name: "Stories" }).click();
    await page.getByRole("link", { name: /The same holes/ }).click();
    await says("Run complete");
    await change("Sparsity method", "mrp");
    await story.getByText("The same holes, mended or not").waitFor();
    await change("Token reduction method", "off");
    await story.waitFor({ state: "hidden" });
  }));

test("a question mark lists the shortcuts, and focus goes back", () =>
  withPage(async ({ page, heard }) => {
    const opener = page.getByRole("button", { name: "Keyboard shortcuts" });
    await opener.focus();
    await page.keyboard.press("?");
    const dialog = page.getByRole("dialog", { name: "Keyboard shortcuts" });
    await dialog.getByText("run, from any field").waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    assert.equal(await opener.evaluate((node) => node === document.activeElement), true);
    await page.keyboard.press("8");
    assert.equal(await page.getByRole("tab", { name: "Runs" }).getAttribute("aria-selected"), "true");
    const before = (await heard()).length;
    const search = page.getByRole("searchbox", { name: "Search runs" });
    await search.fill("");
    await search.press("r");
    assert.equal(await search.inputValue(), "r", "a letter that is typed is a letter");
    assert.equal((await heard()).length, before);
  }));

test("single letters can be turned off, and stay off", () =>
  withPage(async ({ page, says }) => {
    await page.keyboard.press("?");
    await page.getByLabel("Turn shortcuts of a single key off").check();
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
    await page.reload();
    await says("Run complete");
    await page.keyboard.press("8");
    assert.equal(await page.getByRole("tab", { name: "Runs" }).getAttribute("aria-selected"), "false");
  }));

test("embedded, the page is the chart, the methods and Run, and leads to the whole", () =>
  withPage(
    async ({ page }) => {
      for (const hidden of ["#models", "#advanced", ".tabs", "footer", ".texts", "#preset"])
        assert.equal(await page.locator(hidden).isVisible(), false, hidden);
      for (const shown of ["#tradeoff", "#reduce-method", "#prune-sparsity", "#run", "#headline"])
        assert.equal(await page.locator(shown).isVisible(), true, shown);
      const whole = await page.getByRole("link", { name: "Open in Whittle" }).getAttribute("href");
      assert.match(whole, /^\/whittle\/#v=1&m=lm-mamba2&tr=utrc/);
    },
    { fragment: "?embed=1#v=1&m=lm-mamba2" },
  ));

test("every target is at least 24 pixels in both directions", () =>
  withPage(async ({ page, tab }) => {
    for (const name of ["Scores and controls", "Runs"]) {
      await tab(name);
      const small = await page.evaluate(() =>
        [...document.querySelectorAll("button, select, a[href], summary, textarea, input:not([type='file']), .chip")]
          .filter((node) => node.checkVisibility() && !node.matches(".skip, .chip input, .tick input"))
          .map((node) => [node.id || node.textContent || node.ariaLabel, node.getBoundingClientRect()])
          .filter(([, { width, height }]) => width > 0 && (width < 24 || height < 24))
          .map(([who, { width, height }]) => `${who} ${width}x${height}`),
      );
      assert.deepEqual(small, []);
    }
  }));

test("at 200 % zoom and in forced colours nothing is cut off sideways", () =>
  withPage(
    async ({ page }) => {
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 720);
      assert.equal(await page.getByRole("button", { name: "Run", exact: true }).isVisible(), true);
    },
    { viewport: { width: 720, height: 450 }, deviceScaleFactor: 2, forcedColors: "active" },
  ));
