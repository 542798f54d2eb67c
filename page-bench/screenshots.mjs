// Pictures of the built page for the documents: node page-bench/screenshots.mjs, after `cargo xtask page`.
import { mkdir } from "node:fs/promises";
import { launch, watchedPage } from "../tests/e2e/browser.mjs";
import { serve } from "../tests/e2e/server.mjs";

const WIDE = { viewport: { width: 1440, height: 900 } };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const BOTH = "#v=1&m=lm-mamba2&tr=utrc&sp=wanda";
/** File, where it opens, how, what is done before, and of what the picture is. */
const PICTURES = [
  ["screenshot", "", WIDE],
  ["screenshot-dark", BOTH, { ...WIDE, colorScheme: "dark" }],
  ["screenshot-phone", "", PHONE],
  ["screenshot-tokens", BOTH, WIDE, undefined, "section[aria-labelledby='tokens-title']"],
  ["screenshot-layers", BOTH, WIDE, (page) => page.getByRole("tab", { name: "Layers" }).click(), "#panel-layers"],
];

const [browser, server] = await Promise.all([launch(), serve()]);
await mkdir("docs", { recursive: true });
for (const [name, fragment, options, prepare, part] of PICTURES) {
  const { page, close } = await watchedPage(browser, options);
  page.setDefaultTimeout(240_000);
  await page.goto(server.url + fragment);
  await page.waitForFunction(() => document.querySelector("#status").textContent === "Run complete");
  await prepare?.(page);
  await (part ? page.locator(part) : page).screenshot({ path: `docs/${name}.png` });
  console.log(`docs/${name}.png`);
  await close();
}
await browser.close();
await server.close();
