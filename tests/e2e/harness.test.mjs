// The other tests rely on problems being noticed. Here is a page with every kind of them.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, watchedPage } from "./browser.mjs";
import { serve } from "./server.mjs";

const PAGE = `<!doctype html><title>bad</title>
<link rel="icon" href="data:,">
<script>window.inline = true</script>
<script type="module" src="absent.js"></script>
<script type="module" src="bad.js"></script>`;
const BAD = `
console.error("said so");
new Worker(new URL("worker.js", document.baseURI), { type: "module" });
setTimeout(() => { throw new Error("thrown"); });`;
const WORKER = `
fetch("https://elsewhere.invalid/").catch(() => {});
console.error("said so in the worker");
setTimeout(() => { throw new Error("thrown in the worker"); }, 100);`;

let browser, server, folder;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "whittle-harness-"));
  const files = { "index.html": PAGE, "bad.js": BAD, "worker.js": WORKER };
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(folder, name), text)));
  [browser, server] = await Promise.all([launch(), serve(folder)]);
});
after(async () => {
  await browser?.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

test("every problem of a bad page is noticed", async () => {
  const { page, problems, close } = await watchedPage(browser);
  await page.goto(server.url);
  const expected = [
    /script-src-elem blocked inline/,
    /404: .*\/whittle\/absent\.js/,
    /console: said so$/m,
    /uncaught: thrown$/m,
    /console: said so in the worker/,
    /thrown in the worker/,
    /connect-src blocked https:\/\/elsewhere\.invalid/,
  ];
  const seen = () => [...problems, ...server.violations].join("\n");
  const unseen = () => expected.filter((pattern) => !pattern.test(seen()));
  for (let waited = 0; unseen().length > 0 && waited < 10_000; waited += 100) await page.waitForTimeout(100);
  assert.deepEqual(unseen(), [], seen());
  assert.deepEqual(server.missing, ["/whittle/absent.js"]);
  assert.equal(await page.evaluate(() => "inline" in window), false, "the inline script did not run");
  await close();
});

test("the server gives nothing but the files of its folder, under its path", async () => {
  const status = async (path) => (await fetch(new URL(path, server.url))).status;
  assert.equal(await status("./"), 200);
  assert.equal(await status("worker.js"), 200);
  assert.equal(await status("/worker.js"), 404);
  assert.equal(await status("..%2f..%2fetc%2fhosts.txt"), 404);
  assert.equal((await fetch(new URL("worker.js", server.url))).headers.get("content-type"), "text/javascript; charset=utf-8");
});
