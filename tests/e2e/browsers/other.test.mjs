// The built page in Firefox and WebKitGTK: it loads, runs, passes a link on and opens files. Not part of `cargo xtask test`,
// since the browsers take 400 MB: CONTRIBUTING.md says what to install. `node --test tests/e2e/browsers`, after `cargo xtask page`;
// BROWSERS=firefox takes one of them.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { dist, serve } from "../server.mjs";
import { KEYS, open, until } from "./driver.mjs";

const LIMIT = { timeout: 900_000 };
const RUN_MS = 300_000;
const SMALL = "#v=1&m=recall-mamba2&ev=recall:level=easy,n=12,controls=0&seed=1&tr=off&sp=magnitude&gen=8";
const MODEL = fileURLToPath(new URL("../../../models/recall-mamba2", import.meta.url));
const names = (process.env.BROWSERS ?? "firefox,webkit").split(",");

/** What the page says, and what went wrong in it. */
const LOOK = `return {
  status: document.querySelector("#status")?.textContent,
  button: document.querySelector("#run")?.textContent,
  hash: location.hash,
  sparsity: document.querySelector("#prune-sparsity")?.value,
  badge: document.querySelector("#backend-badge")?.textContent,
  model: document.querySelector("#model-choices input:checked")?.closest("label")?.textContent,
  alerts: document.querySelector("#alerts").textContent,
  words: [...document.querySelectorAll("#sides .words")].map((words) => words.textContent.trim()),
  scores: document.querySelector("#scorecard tbody tr")?.textContent,
  problems: self.problems,
}`;
/** Every setting of the form under its name. */
const SETTINGS = `return Object.fromEntries([...document.querySelectorAll("#settings :is(input, select, textarea):not([type='file'])")]
  .map((field) => [field.id || field.name + field.value, /radio|checkbox/.test(field.type) ? field.checked : field.value]))`;

let server;
before(async () => {
  server = await serve(dist, "/whittle/", { first: readFileSync(new URL("watch.js", import.meta.url), "utf8") });
});
after(() => server?.close());

for (const name of names) {
  test(`${name}: the page runs, changes, passes a link on and opens files`, LIMIT, async (t) => {
    const page = await open(name);
    try {
      const look = () => page.evaluate(LOOK);
      const complete = (is) =>
        until(
          async () => {
            const seen = await look();
            return seen.status === "Run complete" && seen.button === "Run" && is(seen) && seen;
          },
          RUN_MS,
          async () => JSON.stringify(await look()),
        );
      await page.goto(server.url + SMALL);
      const first = await complete(() => true);
      t.diagnostic(`${page.version}: ${first.badge}`);
      assert.ok(first.words.length === 2 && first.words.every((words) => words.length > 0), `${first.words}`);
      assert.match(first.scores, /n=12/);

      // A change of a setting, as a person makes it.
      const before = Number(first.sparsity);
      await page.type("#prune-sparsity", KEYS.right);
      const changed = await complete((seen) => Number(seen.sparsity) > before && !seen.hash.includes("sp=magnitude&"));

      // The link, opened anew.
      await page.click("#share");
      const link = await until(() => page.evaluate(`return document.querySelector("#link").value`), RUN_MS);
      const settings = await page.evaluate(SETTINGS);
      await page.goto("about:blank");
      await page.goto(link);
      const again = await complete(() => true);
      assert.deepEqual(await page.evaluate(SETTINGS), settings);
      assert.deepEqual(again.words, changed.words);

      // Files of one's own.
      await page.type("#files", ["config.json", "model.safetensors", "tokenizer.json"].map((file) => `${MODEL}/${file}`).join("\n"));
      const own = await complete((seen) => /own/.test(seen.model));
      assert.ok(
        own.words.every((words) => words.length > 0),
        `${own.words}`,
      );

      assert.equal(own.alerts, "");
      assert.deepEqual(own.problems, []);
      assert.deepEqual(server.missing, []);
      assert.deepEqual(server.violations, []);
    } finally {
      await page.close();
    }
  });
}
