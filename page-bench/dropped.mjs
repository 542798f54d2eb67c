// A model of one's own, dropped into a page that has run something small, and the speeds that the page then tells.
import { launchWithoutGpu } from "../tests/e2e/browser.mjs";
import { serve } from "../tests/e2e/server.mjs";
import { peak } from "./memory.mjs";

/** Tokens that the page reads for its speeds. */
export const PROMPT = 512;

/** Runs `inside` in a page of a fresh browser; adds the peak of the tab's memory to what it gives. */
export async function inBrowser(url, inside) {
  const browser = await launchWithoutGpu();
  try {
    const page = await (await browser.newContext({ serviceWorkers: "block" })).newPage();
    page.setDefaultTimeout(900_000);
    const found = await inside(page, url);
    return { ...found, memory: await peak(browser) };
  } finally {
    await browser.close();
  }
}

/** The speeds of these files, dense and under `methods` (as in a link: tr and sp), what the run costs on paper, and the peak
 *  of memory. */
export async function speeds(files, methods) {
  const server = await serve();
  // Something small for the first run; what is dropped after it is measured with the same methods.
  const link = `#v=1&m=lm-llama&ev=text:context=1,target=64,windows=1&gen=2&${methods}&b=cpu`;
  try {
    return await inBrowser(server.url + link, async (page, url) => {
      await page.addInitScript(listen);
      await page.goto(url);
      await page.waitForFunction(() => window.told.complete);
      await page.evaluate(() => {
        window.told = {};
      });
      await page.locator("#files").setInputFiles(files);
      await page.waitForFunction(() => window.told.complete && window.told.speed);
      const { speed, cost } = await page.evaluate(() => window.told);
      if (speed.prompt_tokens !== PROMPT) throw new Error(`the page read ${speed.prompt_tokens} tokens; expected ${PROMPT}`);
      return { ...speed, cost };
    });
  } finally {
    await server.close();
  }
}

/** Runs in the page, before all else: keeps the newest speeds and costs that the engine tells. */
function listen() {
  window.told = {};
  window.Worker = class extends Worker {
    constructor(...of) {
      super(...of);
      this.addEventListener("message", ({ data }) => {
        for (const part of ["speed", "cost"]) if (data.type === "result" && data.part?.[part]) window.told[part] = data.part[part];
        if (data.status?.text === "Run complete") window.told.complete = true;
      });
    }
  };
}
