// The built page where no GPU can be used: it runs on the CPU, and says so in a person's words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launchWithoutGpu, watchedPage } from "./browser.mjs";
import { served } from "./served.mjs";

const LIMIT = { timeout: 300_000 };
const SMALL = "#v=1&m=recall-mamba2&ev=recall:level=easy,n=8,controls=0&tr=off&sp=magnitude&gen=4";

const { browser, server } = await served(launchWithoutGpu);

/** What the worker is told before it starts. */
const CASES = {
  "an adapter is not to be had": "",
  "the browser has no WebGPU": 'Object.defineProperty(WorkerNavigator.prototype, "gpu", { value: undefined });',
};

for (const [name, first] of Object.entries(CASES)) {
  test(`${name}: a run completes on the CPU, and the reason is a sentence with the driver's words folded`, LIMIT, async () => {
    const { page, problems, close } = await watchedPage(browser);
    page.setDefaultTimeout(240_000);
    await page.route("**/worker-start*.js*", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: `${first}\n${await response.text()}` });
    });
    await page.goto(server.url + SMALL);
    await page.waitForFunction(() => document.querySelector("#status").textContent === "Run complete");
    assert.match(await page.locator("#backend-badge").textContent(), /CPU \(wasm relaxed simd\)/);
    await page.getByText(/^Advanced/).click();
    const why = page.locator("#backend-why");
    assert.match(await why.innerText(), /^no GPU can be used here, so the CPU does the work: everything runs, only more slowly\./i);
    assert.equal(await why.locator("details").evaluate((details) => details.open), false);
    assert.equal(await page.getByRole("alert").textContent(), "");
    assert.deepEqual(problems, []);
    await close();
  });
}
