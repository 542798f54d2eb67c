// Pictures of the built page for the documents: `cargo xtask screenshots`, or, after `cargo xtask page`,
// node page-bench/screenshots.mjs [NAME..].
import { mkdir } from "node:fs/promises";
import { launch, watchedPage } from "../tests/e2e/browser.mjs";
import { serve } from "../tests/e2e/server.mjs";

const WIDE = { viewport: { width: 1440, height: 900 } };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const BOTH = "#v=1&m=lm-mamba2&tr=utrc&sp=wanda";
const tab = (name) => (page) => page.getByRole("tab", { name }).click();
/** Measures the chosen method over its main setting, and waits for the curve. */
async function sweep(page) {
  await page.getByRole("button", { name: "Sweep", exact: true }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await page.getByRole("button", { name: "Pause" }).waitFor({ state: "hidden" });
}
/** The last layer that drops: most is gone there. */
const lastLayer = (page) => page.getByRole("slider", { name: "Layer", exact: true }).press("End");
/** File, where it opens, how, what is done before, and of what the picture is. */
const PICTURES = [
  ["screenshot", "", WIDE],
  ["screenshot-dark", BOTH, { ...WIDE, colorScheme: "dark" }],
  ["screenshot-phone", "", PHONE],
  ["screenshot-sweep", "#v=1&m=copy-mamba2&tr=off&sp=mrp", WIDE, sweep, "#tradeoff-section"],
  ["screenshot-tokens", BOTH, WIDE, lastLayer, "section[aria-labelledby='tokens-title']"],
  ["screenshot-layers", BOTH, WIDE, tab("Layers"), "#panel-layers"],
  ["screenshot-along", BOTH, WIDE, tab("Along the text"), "#panel-along"],
  ["screenshot-states", "#v=1&m=lm-mamba2&tr=off&sp=magnitude", WIDE, tab("States"), "#panel-states"],
];

const [browser, server] = await Promise.all([launch(), serve()]);
await mkdir("docs", { recursive: true });
const wanted = process.argv.slice(2);
for (const [name, fragment, options, prepare, part] of PICTURES) {
  if (wanted.length && !wanted.includes(name)) continue;
  const { page, close } = await watchedPage(browser, options);
  page.setDefaultTimeout(240_000);
  await page.goto(server.url + fragment);
  await page.waitForFunction(() => document.querySelector("#status").textContent === "Run complete");
  await prepare?.(page);
  if (!part) await page.screenshot({ path: `docs/${name}.png` });
  else {
    // As high as what is in it, not as what stands beside it.
    await page.locator(part).evaluate((node) => (node.style.alignSelf = "start"));
    await page.locator(part).screenshot({ path: `docs/${name}.png` });
  }
  console.log(`docs/${name}.png`);
  await close();
}
await browser.close();
await server.close();
