// A model of one's own in the page: peak memory of the tab's process, time to the first baseline number, and how soon a
// cancelled run is over; dropped, and from a hub on this machine.
//
// usage: node page-bench/own.mjs FOLDER      (config.json, tokenizer.json, model.safetensors; dist/ is built)
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { launch } from "../tests/e2e/browser.mjs";
import { MODEL, startHub } from "../tests/e2e/hub-server.mjs";
import { dist, serve } from "../tests/e2e/server.mjs";
import { modelFiles } from "./folder.mjs";
import { peak } from "./memory.mjs";

/** Something small, complete before the measurement begins. */
const BEFORE = "#v=1&m=recall-mamba2&ev=recall:level=easy,n=8&gen=2&tr=off&sp=off&b=cpu";

const [folder] = process.argv.slice(2);
if (!folder) throw new Error("usage: node page-bench/own.mjs FOLDER");
const names = await modelFiles(folder);
const stored = (await stat(join(folder, "model.safetensors"))).size;
const mb = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
console.log(`${folder}: ${mb(stored)} of weights; the bar for memory is ${mb(1.5 * stored + 150e6)}`);
for (const way of ["dropped", "from the hub"]) console.log(`${way}: ${await measure(way)}`);

async function measure(way) {
  const files = new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))])));
  const hub = await startHub({ files });
  const server = await serve(dist, "/whittle/", { hosts: hub.hosts });
  const browser = await launch();
  try {
    const page = await (await browser.newContext({ serviceWorkers: "block" })).newPage();
    page.setDefaultTimeout(570_000);
    await page.goto(server.url + BEFORE);
    await page.waitForFunction(() => document.querySelector("#status").textContent === "Run complete");
    const base = await peak(browser);
    await page.evaluate(watch);
    const start = performance.now();
    if (way === "dropped") await page.locator("#files").setInputFiles(names.map((name) => join(folder, name)));
    else await download(page);
    const fetched = performance.now();
    await page.waitForFunction(
      () => document.querySelector("#about")?.textContent.includes("Your own") && /First baseline number/.test(document.querySelector("#about").textContent),
    );
    const number = performance.now();
    const longest = await page.evaluate(() => window.longest);
    await page.locator("#run").click();
    await page.waitForFunction(() => document.querySelector("#status").textContent === "Cancelled");
    const cancelled = performance.now() - number;
    const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
    const transfer = way === "dropped" ? "" : `, ${seconds(fetched - start)} of them for the download`;
    return (
      `peak ${mb(await peak(browser))} (${mb(base)} before), first baseline number after ${seconds(number - start)}${transfer}, ` +
      `cancelled in ${Math.round(cancelled)} ms, longest stall of the page ${Math.round(longest)} ms`
    );
  } finally {
    await browser.close();
    await Promise.all([server.close(), hub.close()]);
  }
}

async function download(page) {
  await page.getByText("From the Hugging Face hub").click();
  await page.getByRole("textbox", { name: "Model of the hub" }).fill(MODEL);
  await page.getByRole("button", { name: "Look up", exact: true }).click();
  await page.getByRole("button", { name: "Download and open" }).click();
  await page.getByRole("button", { name: /^Open some\/model-1/ }).waitFor();
}

/** Runs in the page: the longest time between two of its timers. */
function watch() {
  let last = performance.now();
  window.longest = 0;
  setInterval(() => {
    const now = performance.now();
    window.longest = Math.max(window.longest, now - last);
    last = now;
  }, 20);
}
