// What the page does with an engine that speaks the protocol (a mock): its first picture, controls, runs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { mockPages } from "./mock-page.mjs";

const { withPage, withRun } = mockPages();

test("without a click a run completes and every panel shows it", () =>
  withPage({}, async ({ page, says, tab }) => {
    assert.match(await page.title(), /Whittle/);
    assert.deepEqual(await page.getByRole("heading", { level: 1 }).allTextContents(), ["Whittle"]);
    for (const landmark of ["banner", "main", "contentinfo"]) assert.equal(await page.getByRole(landmark).count(), 1, landmark);
    assert.equal(await page.getByRole("form", { name: "Run settings" }).count(), 1);
    await says("Run complete");
    const panel = (name) => page.getByRole("region", { name }).innerText();
    const output = await panel("Output");
    assert.match(output, /want of a wife/);
    assert.match(output, /<b>and<\/b>/, "markup in generated text is shown, not obeyed");
    assert.deepEqual(await page.locator("#sides mark").allTextContents(), ["wife.", "house,"]);
    assert.match(output, /part after 55 characters/);
    assert.match(output, /48 tokens · 611 tokens\/s, measured/);
    const short = await panel("In short");
    assert.match(short, /Accuracy\s+measured\s+−2\.1 pt\s+may be no change at all \(−5\.8 to \+1\.7 pt, n=240\)/);
    assert.match(short, /Prefill\s+measured\s+1\.34×\s+reads faster \(1\.32× to 1\.36×\)/);
    assert.match(short, /Weights read\s+counted\s+0\.74×/);
    await tab("Speed");
    assert.match(await panel("Speed"), /Measured on CPU \(wasm simd128\): the only GPU is SwiftShader/);
    await tab("Layers");
    const paper = await panel("Cost on paper");
    assert.match(paper, /counted, not measured/);
    assert.match(paper, /12 of 12 pruned matrices are packed as 2:4\./);
    assert.match(paper, /1\.3 MB/);
    assert.match(paper, /18\.0%/);
  }));

test("a moved slider is one message, and the numbers of the old settings go", () =>
  withPage({ scenario: { tick: 100 } }, async ({ page, heard }) => {
    await page.getByRole("row", { name: "Accuracy" }).waitFor();
    const slider = page.getByRole("slider", { name: "Sparsity" });
    await slider.focus();
    await page.keyboard.press("ArrowRight");
    await page.getByRole("row", { name: "Accuracy" }).waitFor({ state: "detached" });
    assert.equal(await slider.inputValue(), "0.55");
    assert.equal(await page.getByRole("spinbutton", { name: "Sparsity, exact value" }).inputValue(), "0.55");
    assert.deepEqual((await heard()).slice(1), [{ type: "set", name: "prune.sparsity", value: "0.55" }]);
  }));

test("while a slider is under the finger, the cost on paper follows it", () =>
  withPage({}, async ({ page, says, heard }) => {
    await says("Run complete");
    await page.locator("#prune-sparsity").evaluate((slider) => {
      slider.value = "0.7";
      slider.dispatchEvent(new Event("input"));
    });
    const flops = page.locator("#headline .flops");
    await flops.getByText("25.0% of the operations saved").waitFor();
    assert.deepEqual((await heard()).slice(1), [], "nothing is set before the finger is off");
    const previews = await page
      .workers()
      .at(-1)
      .evaluate(() => self.previews.map(({ id, ...rest }) => rest));
    assert.deepEqual(previews, [{ type: "preview", name: "prune.sparsity", value: "0.7" }]);
    await page.locator("#prune-sparsity").evaluate((slider) => slider.dispatchEvent(new Event("change")));
    await flops.getByText("14.1% of the operations saved").waitFor();
    assert.equal(await page.locator("#results").getAttribute("aria-busy"), null);
  }));

test("a value that the engine refuses goes back, with an alert", () =>
  withPage({}, async ({ page }) => {
    const box = page.getByRole("spinbutton", { name: "Sparsity, exact value" });
    await box.fill("7");
    await box.press("Enter");
    await page.getByRole("alert").filter({ hasText: "found 7, expected a number from 0 to 0.95" }).waitFor();
    await page.waitForFunction(() => document.querySelector("[aria-label='Sparsity, exact value']").value === "0.5");
  }));

test("knobs follow the method, and what a model cannot run is not offered", () =>
  withPage({}, async ({ page }) => {
    const method = page.getByRole("combobox", { name: "Token reduction method" });
    const layers = page.getByRole("textbox", { name: "Layers" });
    const more = page.getByText("2 more settings");
    await more.click();
    await layers.waitFor();
    await method.selectOption("off");
    await layers.waitFor({ state: "detached" });
    await page.getByText("Drops tokens of the prompt on the way through the layers: less to read.").waitFor();
    await method.selectOption("utrc");
    await more.click();
    await layers.waitFor();
    // The settings of the next method are in view where those of the last were.
    await method.selectOption("random");
    await page.locator("#reduce-about", { hasText: "Drops tokens without looking." }).waitFor();
    await layers.waitFor();
    await page.getByRole("radio", { name: /^Llama, English prose llama · 1.37M parameters · 2.8 MB$/ }).check();
    await page.waitForFunction(() => [...document.querySelectorAll("#reduce-method option")].some((o) => o.disabled));
    assert.deepEqual(await method.locator("option:disabled").allTextContents(), ["Step size (needs a model of type mamba or mamba2)"]);
    await page.getByRole("radio", { name: "Mamba-2, recall" }).check();
    await page.waitForFunction(() => [...document.querySelectorAll("#eval-method option")].some((o) => o.value === "recall"));
  }));

test("the button cancels, and so does Escape, and what was cancelled is no run", () =>
  withPage({ scenario: { tick: 100 } }, async ({ page, says, tab }) => {
    const cancelled = async () => {
      await says("Cancelled");
      await page.getByRole("button", { name: "Run", exact: true }).waitFor();
      assert.equal(await page.locator("#sides .words").first().textContent(), "Nothing generated yet.");
    };
    await page.getByRole("button", { name: "Cancel" }).click();
    await cancelled();
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByRole("button", { name: "Cancel" }).waitFor();
    await page.keyboard.press("Escape");
    await cancelled();
    await tab("Runs");
    assert.equal(await page.getByRole("table", { name: "Runs", exact: true }).locator("tbody tr").count(), 0);
    assert.equal(await page.locator(".mark[role]:not(.reference)").count(), 0);
  }));

test("typing is not disturbed by views, and Run right after it does not cancel", () =>
  withPage({ scenario: { tick: 100 } }, async ({ page, says, heard, midway }) => {
    await midway();
    const prompt = page.getByRole("textbox", { name: "Prompt" });
    await prompt.fill("Once");
    await says("Run complete");
    assert.equal(await prompt.inputValue(), "Once");
    const box = await page.getByRole("button", { name: "Run", exact: true }).boundingBox();
    await page.mouse.move(box.x + 5, box.y + 5);
    await page.mouse.down();
    await page.getByRole("button", { name: "Cancel" }).waitFor();
    await page.mouse.up();
    await says("Run complete");
    assert.deepEqual((await heard()).slice(1), [{ type: "set", name: "prompt", value: "Once" }]);
  }));

test("of a long prompt the end is in view, where the texts go on", () =>
  withRun({}, async ({ page }) => {
    const prompt = page.getByRole("textbox", { name: "Prompt" });
    await prompt.fill("and then ".repeat(200));
    await prompt.evaluate((box) => {
      box.scrollTop = 0;
      box.blur();
    });
    await page.waitForFunction(() => {
      const { scrollTop, clientHeight, scrollHeight } = document.querySelector("#prompt");
      return scrollTop > 0 && scrollTop + clientHeight >= scrollHeight - 1;
    });
  }));

test("a click on Run right after a change does not cancel the run that the change started", () =>
  withPage({ scenario: { tick: 100 } }, async ({ page, says, heard }) => {
    await says("Run complete");
    await page.evaluate(async () => {
      const method = document.querySelector("#prune-method");
      method.value = "off";
      method.dispatchEvent(new Event("change"));
      // The engine has answered, so the button says Cancel by now.
      while (document.querySelector("#run").textContent !== "Cancel") await new Promise(requestAnimationFrame);
      document.querySelector("#run").click();
    });
    await says("Run complete");
    assert.deepEqual((await heard()).slice(1), [{ type: "set", name: "prune", value: "off" }]);
  }));

test("Ctrl+Enter in the prompt runs once, with or without an edit", () =>
  withPage({}, async ({ page, says, heard }) => {
    await says("Run complete");
    const prompt = page.getByRole("textbox", { name: "Prompt" });
    await prompt.press("Control+Enter");
    await page.getByRole("button", { name: "Cancel" }).waitFor();
    await says("Run complete");
    await prompt.pressSequentially("!");
    await prompt.press("Control+Enter");
    await page.getByRole("button", { name: "Cancel" }).waitFor();
    const [run, set, ...more] = (await heard()).slice(1);
    assert.deepEqual(run, { type: "run" });
    assert.match(set.value, /!$/);
    assert.deepEqual(more, []);
  }));

test("once loaded, the page goes on without a network", () =>
  withPage({}, async ({ page, says }) => {
    await says("Run complete");
    await page.context().setOffline(true);
    await page.getByRole("combobox", { name: "Sparsity method" }).selectOption("off");
    await page.getByRole("button", { name: "Cancel" }).waitFor();
    await says("Run complete");
  }));

test("numbers typed as in Germany or China reach the engine as it reads them, and arrows step", () =>
  withPage({}, async ({ page, heard }) => {
    const box = page.getByRole("spinbutton", { name: "Sparsity, exact value" });
    for (const [typed, sent] of [
      ["0,6", "0.6"],
      ["０．７", "0.7"],
    ]) {
      await box.fill(typed);
      await box.press("Enter");
      await page.waitForFunction((sent) => document.querySelector("[aria-label='Sparsity, exact value']").value === sent, sent);
      assert.equal((await heard()).at(-1).value, sent);
    }
    await box.press("ArrowDown");
    assert.equal((await heard()).at(-1).value, "0.65");
  }));

test("an arrow key that is held on a slider is one change", () =>
  withPage({}, async ({ page, says, heard }) => {
    await says("Run complete");
    const slider = page.getByRole("slider", { name: "Sparsity" });
    await slider.focus();
    for (let i = 0; i < 6; i++) await page.keyboard.press("ArrowRight");
    await page.getByRole("button", { name: "Cancel" }).waitFor();
    assert.deepEqual(
      (await heard()).filter(({ type }) => type === "set"),
      [{ type: "set", name: "prune.sparsity", value: "0.8" }],
    );
  }));

test("a preset exchanges the two methods and leaves the rest of the link", () =>
  withPage({}, async ({ page, says, heard }) => {
    await says("Run complete");
    const preset = page.getByRole("combobox", { name: "Preset" });
    assert.equal(await preset.locator("option:checked").textContent(), "Custom");
    await preset.selectOption({ label: "Aggressive" });
    const { type, fragment } = (await heard()).at(-1);
    assert.deepEqual([type, fragment], ["link", "#v=1&m=lm-mamba2&tr=utrc:cut=0.3&sp=mrp:sparsity=0.7&seed=1"]);
  }));

test("while a new run measures, the old figures stand dimmed and say so", () =>
  withPage({ scenario: { tick: 100 } }, async ({ page, says }) => {
    await says("Run complete");
    const speed = page.locator(".card-figure.prefill");
    assert.match(await speed.innerText(), /1\.34×/);
    await page.getByRole("slider", { name: "Sparsity" }).press("ArrowRight");
    await page.waitForFunction(() => document.querySelector(".card-figure.prefill").classList.contains("was"));
    assert.match(await speed.innerText(), /1\.34×/);
    assert.match(await speed.locator("h3").evaluate((node) => getComputedStyle(node, "::after").content), /measuring again/);
    await says("Run complete");
    assert.equal(await speed.evaluate((node) => node.classList.contains("was")), false);
  }));

/** How far what is in view moved between opening this page and the end of its first run, as the browser counts it. */
async function shifted({ page, says }) {
  await says("Run complete");
  return page.evaluate(() => self.shifted);
}
const countShifts = (page) =>
  page.addInitScript(() => {
    self.shifted = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) self.shifted += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
  });

for (const [screen, viewport] of Object.entries({ desk: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } })) {
  test(`a first run hardly moves what is in view (${screen})`, () =>
    withPage({ fragment: "#v=1&m=lm-mamba2", viewport, before: countShifts }, async (opened) => {
      const far = await shifted(opened);
      assert.ok(far < 0.1, `layout shift ${far}`);
    }));
}

test("settings, figures, texts and chart stand above the fold", () =>
  withRun({ fragment: "#v=1&m=lm-mamba2", viewport: { width: 1440, height: 900 } }, async ({ page }) => {
    for (const part of [page.getByRole("button", { name: "Run", exact: true }), page.getByRole("slider", { name: "Sparsity" })]) {
      const box = await part.boundingBox();
      assert.ok(box.y + box.height <= 900, `${part} is below the fold`);
    }
    for (const name of ["In short", "Output", "Trade-off"]) assert.ok((await page.getByRole("region", { name }).boundingBox()).y < 700, name);
  }));
