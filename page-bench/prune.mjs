// How long the page prunes: from the calibration text to the pruned model, the engine loaded and its baseline written.
import { launch, watchedPage } from "../tests/e2e/browser.mjs";
import { serve } from "../tests/e2e/server.mjs";
import { middle } from "./turns.mjs";

const MODELS = ["lm-mamba2", "lm-mamba", "lm-llama"];
const SPECS = ["sparsegpt:sparsity=0.5", "mrp:sparsity=0.5"];
/** Each in a page of its own: what one run leaves in the engine's cache does not meet the next. */
const VISITS = 3;

/** Seconds of every model and method: [{ model, spec, seconds }]. */
export async function prunings() {
  const server = await serve();
  const browser = await launch();
  try {
    const found = [];
    for (const model of MODELS) {
      for (const spec of SPECS) {
        const times = [];
        for (let i = 0; i < VISITS; i++) times.push(await visit(browser, server.url, model, spec));
        found.push({ model, spec, seconds: middle(times.map((ms) => ms / 1000)) });
      }
    }
    return found;
  } finally {
    await browser.close();
    await server.close();
  }
}

async function visit(browser, url, model, spec) {
  const { page, problems } = await watchedPage(browser);
  page.setDefaultTimeout(300_000);
  await page.addInitScript(watch);
  await page.goto(`${url}#v=1&m=${model}&ev=text&sp=${spec}`);
  await page.waitForFunction(() => window.pruned?.end);
  const { start, end } = await page.evaluate(() => window.pruned);
  if (problems.length) throw new Error(`the page reported problems:\n${problems.join("\n")}`);
  await page.close();
  return end - start;
}

// Runs in the page. When the engine says that it reads the calibration text, and what it does next but prune.
function watch() {
  const pruned = {};
  window.pruned = pruned;
  const hear = ({ data }) => {
    const text = data?.status?.text ?? "";
    if (text.startsWith("Reading calibration")) pruned.start ??= performance.now();
    else if (pruned.start && text && !text.startsWith("Pruning")) pruned.end ??= performance.now();
  };
  window.Worker = class extends Worker {
    constructor(...of) {
      super(...of);
      this.addEventListener("message", hear);
    }
  };
}
