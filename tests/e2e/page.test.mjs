// What the page does with an engine that speaks the protocol (a mock): drawing, controls, links, files.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { openMock, www } from "./mock-page.mjs";
import { serve } from "./server.mjs";

let browser, server;
before(async () => {
  [browser, server] = await Promise.all([launch(), serve(www)]);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Opens the page, runs `check`, and insists that nothing went wrong meanwhile. */
async function withPage(options, check) {
  const opened = await openMock(browser, server, options);
  await check(opened);
  assert.deepEqual(opened.problems, []);
  await opened.close();
}

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
    assert.match(short, /Prefill\s+measured\s+1\.34×\s+faster \(1\.32× to 1\.36×\)/);
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
    await method.selectOption("utrc");
    await more.click();
    await layers.waitFor();
    await page.getByRole("radio", { name: /^Llama, English prose llama · 1.37M parameters · 2.8 MB$/ }).check();
    await page.waitForFunction(() => [...document.querySelectorAll("#reduce-method option")].some((o) => o.disabled));
    assert.deepEqual(await method.locator("option:disabled").allTextContents(), ["Step size (needs a model of type mamba or mamba2)"]);
    await page.getByRole("radio", { name: "Mamba-2, recall" }).check();
    await page.waitForFunction(() => [...document.querySelectorAll("#eval-method option")].some((o) => o.value === "recall"));
  }));

test("the button cancels, and so does Escape", () =>
  withPage({ scenario: { tick: 100 } }, async ({ page, says }) => {
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

test("the address is written when a run is complete, and a new fragment is told", () =>
  withPage({ fragment: "?a=1#v=1&m=lm-mamba", scenario: { tick: 100 } }, async ({ page, says, heard, midway }) => {
    assert.equal((await heard())[0].fragment, "#v=1&m=lm-mamba");
    await midway();
    assert.match(page.url(), /\/whittle\/\?a=1#v=1&m=lm-mamba$/);
    await says("Run complete");
    await page.waitForURL(/\/whittle\/\?a=1#v=1&m=lm-mamba2&tr=utrc&sp=wanda:0.5&seed=1$/);
    assert.equal(
      await page.evaluate(() => history.length),
      await page.evaluate(() => {
        location.hash = "v=1&seed=2";
        return history.length - 1;
      }),
    );
    await page.waitForFunction(() => document.querySelector("#run").textContent === "Cancel");
    assert.deepEqual((await heard()).slice(1), [{ type: "link", fragment: "#v=1&seed=2" }]);
  }));

test("Share copies the whole link, and the box never holds an old one", () =>
  withPage({ permissions: ["clipboard-read", "clipboard-write"], scenario: { tick: 100 } }, async ({ page, midway }) => {
    await midway();
    await page.getByRole("button", { name: "Share" }).click();
    await page.getByText("Link copied.").waitFor();
    const link = page.getByRole("textbox", { name: "Link" });
    const first = await link.inputValue();
    assert.equal(first, `${server.url}#v=1&m=lm-mamba2&tr=utrc&sp=wanda:0.5&seed=1`);
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), first);
    assert.equal(page.url(), first);
    await page.getByText(/^Advanced/).click();
    await page.getByRole("spinbutton", { name: "Seed" }).fill("9");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#link").value.endsWith("seed=9"));
  }));

test("where copying is not allowed the link can still be copied by hand", () =>
  withPage({}, async ({ page, says }) => {
    await page.evaluate(() => {
      navigator.clipboard.writeText = () => Promise.reject(new Error("no"));
    });
    await says("Run complete");
    await page.getByRole("button", { name: "Share" }).click();
    await page.getByText("copy the link from the box").waitFor();
  }));

test("a link that the engine cannot read leaves the defaults and a notice", () =>
  withPage({ fragment: "#<img src=x onerror=alert(1)>" }, async ({ page, says }) => {
    await page.getByText("The link could not be read").waitFor();
    await says("Run complete");
  }));

test("opened files arrive as bytes, and the engine tells what is missing", () =>
  withPage({}, async ({ page, says, heard, tab }) => {
    const file = (name, text) => ({ name, mimeType: "application/octet-stream", buffer: Buffer.from(text) });
    await says("Run complete");
    const chooser = page.waitForEvent("filechooser");
    await page.getByRole("button", { name: "Open files…" }).click();
    await (await chooser).setFiles([file("config.json", "{}")]);
    await page.getByRole("alert").filter({ hasText: "Still missing: model.safetensors, tokenizer.json" }).waitFor();
    await page.locator("#files").setInputFiles([file("config.json", "{}"), file("model.safetensors", "abc"), file("tokenizer.json", "[]")]);
    await page.getByRole("radio", { name: /Opened: config.json/ }).waitFor();
    assert.equal(await page.getByRole("radio", { name: /Opened/ }).isChecked(), true);
    await tab("Method and model");
    await page.getByText("foo_bar").waitFor();
    assert.deepEqual((await heard()).at(-1).files[1], { name: "model.safetensors", bytes: [97, 98, 99] });
  }));

test("files that come one after another add up, also a second download of one", () =>
  withPage({}, async ({ page, says, heard }) => {
    const give = (name) => page.locator("#files").setInputFiles([{ name, mimeType: "application/octet-stream", buffer: Buffer.from("ab") }]);
    await says("Run complete");
    await give("model (1).safetensors");
    await page.getByText("Gathered: model.safetensors. Add what is still missing.").waitFor();
    await page.getByRole("alert").filter({ hasText: "Still missing: config.json, tokenizer.json" }).waitFor();
    await give("config.json");
    await page.getByText("Gathered: model.safetensors, config.json.").waitFor();
    await page.getByRole("button", { name: "Forget them" }).click();
    await give("tokenizer.json");
    await page.getByText("Gathered: tokenizer.json.").waitFor();
    for (const name of ["config.json", "model.safetensors"]) await give(name);
    await page.getByRole("radio", { name: /Opened: config.json/ }).waitFor();
    await page.waitForFunction(() => document.querySelector("#gathered").textContent === "");
    assert.deepEqual(
      (await heard()).at(-1).files.map(({ name }) => name),
      ["tokenizer.json", "config.json", "model.safetensors"],
    );
  }));

test("files can be dropped anywhere", () =>
  withPage({}, async ({ page, says, heard }) => {
    await says("Run complete");
    const carried = await page.evaluateHandle(() => {
      const data = new DataTransfer();
      data.items.add(new File(["{}"], "config.json"));
      return data;
    });
    await page.dispatchEvent("footer", "dragover", { dataTransfer: carried });
    await page.locator("#drop").waitFor();
    await page.dispatchEvent("footer", "drop", { dataTransfer: carried });
    await page.getByRole("alert").filter({ hasText: "Still missing" }).waitFor();
    assert.equal(await page.locator("#drop").isVisible(), false);
    assert.deepEqual((await heard()).at(-1).files, [{ name: "config.json", bytes: [123, 125] }]);
  }));

test("once loaded, the page goes on without a network", () =>
  withPage({}, async ({ page, says }) => {
    await says("Run complete");
    await page.context().setOffline(true);
    await page.getByRole("combobox", { name: "Sparsity method" }).selectOption("off");
    await page.getByRole("button", { name: "Cancel" }).waitFor();
    await says("Run complete");
  }));

test("a file that cannot be read is told, and forgotten with the next deed", () =>
  withPage({}, async ({ page, says }) => {
    await says("Run complete");
    await page.evaluate(() => {
      File.prototype.arrayBuffer = () => Promise.reject(new Error("it is gone"));
    });
    await page.locator("#files").setInputFiles([{ name: "config.json", mimeType: "application/json", buffer: Buffer.from("{}") }]);
    const alert = page.getByRole("alert").filter({ hasText: "config.json could not be read (it is gone)" });
    await alert.waitFor();
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await alert.waitFor({ state: "detached" });
  }));

test("on a phone too a first run hardly moves anything", () =>
  withPage(
    {
      fragment: "#v=1&m=lm-mamba2",
      viewport: { width: 390, height: 844 },
      before: (page) =>
        page.addInitScript(() => {
          self.shifted = 0;
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) self.shifted += entry.value;
          }).observe({ type: "layout-shift", buffered: true });
        }),
    },
    async ({ page, says }) => {
      await says("Run complete");
      const shifted = await page.evaluate(() => self.shifted);
      assert.ok(shifted < 0.1, `layout shift ${shifted}`);
    },
  ));

test("a first run moves nothing that is in view", () =>
  withPage(
    {
      fragment: "#v=1&m=lm-mamba2",
      viewport: { width: 1440, height: 900 },
      before: (page) =>
        page.addInitScript(() => {
          self.shifted = 0;
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) self.shifted += entry.value;
          }).observe({ type: "layout-shift", buffered: true });
        }),
    },
    async ({ page, says }) => {
      await says("Run complete");
      assert.ok((await page.evaluate(() => self.shifted)) < 0.1, `layout shift ${await page.evaluate(() => self.shifted)}`);
      for (const name of ["Run", "Sparsity"]) {
        const box = await (name === "Run" ? page.getByRole("button", { name, exact: true }) : page.getByRole("slider", { name })).boundingBox();
        assert.ok(box.y + box.height <= 900, `${name} is below the fold`);
      }
      for (const name of ["In short", "Output", "Trade-off"]) assert.ok((await page.getByRole("region", { name }).boundingBox()).y < 700, name);
    },
  ));

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
    assert.match(await speed.locator("h3").evaluate((node) => getComputedStyle(node, "::after").content), /being measured again/);
    await says("Run complete");
    assert.equal(await speed.evaluate((node) => node.classList.contains("was")), false);
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
