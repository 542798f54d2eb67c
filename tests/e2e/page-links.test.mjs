// What goes in and out of the page: addresses, links, files.
import assert from "node:assert/strict";
import { test } from "node:test";
import { mockPages } from "./mock-page.mjs";

const { withPage, url } = mockPages();

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
    assert.equal(first, `${url()}#v=1&m=lm-mamba2&tr=utrc&sp=wanda:0.5&seed=1`);
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
