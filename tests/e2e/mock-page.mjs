// The page from www/ as it lies there, with the mock engine in the place of the real one.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, watchedPage } from "./browser.mjs";
import { serve } from "./server.mjs";

export const www = fileURLToPath(new URL("../../www", import.meta.url));
const mock = await readFile(new URL("mock-worker.mjs", import.meta.url), "utf8");

/** Opens `fragment` with the mock in a `scenario`; `options` are emulated (viewport, colours); `before` runs first. */
export async function openMock(browser, server, { scenario = {}, fragment = "", before, ...options } = {}) {
  const opened = await watchedPage(browser, options);
  const { page } = opened;
  const state = { scenario };
  await page.route("**/worker-start.js", (route) =>
    route.fulfill({
      contentType: "text/javascript",
      body: `self.scenario = ${JSON.stringify(state.scenario)};\n${mock}`,
    }),
  );
  await before?.(page);
  await page.goto(server.url + fragment);
  return {
    ...opened,
    state,
    /** Some items are scored, more are to come. */
    midway: () => page.getByRole("row", { name: /Accuracy.*items so far/ }).waitFor(),
    /** Brings a panel below the fold to the front. */
    tab: (name) => page.getByRole("tab", { name }).click(),
    says: (text) => page.getByRole("status").filter({ hasText: text }).waitFor(),
    /** What the page has told the engine: the bytes as a list, the requests' numbers, which rise, left out. */
    heard: async () => {
      // The newest: one that was given up on may still be there.
      const worker = page.workers().at(-1) ?? (await page.waitForEvent("worker"));
      return worker.evaluate(async () => {
        while (!self.heard) await new Promise((later) => setTimeout(later, 10));
        const list = async (bytes) => [...(bytes instanceof Blob ? new Uint8Array(await bytes.arrayBuffer()) : bytes)];
        const plain = async ({ name, bytes }) => ({ name, bytes: await list(bytes) });
        if (self.heard.some(({ id }, at) => at > 0 && !(id > self.heard[at - 1].id))) throw new Error("numbers of requests must rise");
        return Promise.all(
          self.heard.map(async ({ id, ...message }) => {
            if (message.bytes) return { ...message, bytes: await list(message.bytes) };
            return message.files ? { ...message, files: await Promise.all(message.files.map(plain)) } : message;
          }),
        );
      });
    },
  };
}

/** One browser and one server for the tests of a file, begun before the first and ended after the last. */
export function mockPages() {
  let browser, server;
  before(async () => {
    [browser, server] = await Promise.all([launch(), serve(www)]);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });
  const open = (options) => openMock(browser, server, options);
  /** Opens the page, runs `check`, and insists that nothing went wrong meanwhile. */
  const withPage = async (options, check) => {
    const opened = await open(options);
    await check(opened);
    assert.deepEqual(opened.problems, []);
    await opened.close();
  };
  return {
    open,
    withPage,
    /** As `withPage`, with the first run over. */
    withRun: (options, check) =>
      withPage(options, async (opened) => {
        await opened.says("Run complete");
        await check(opened);
      }),
    /** The address of the page without a fragment. */
    url: () => server.url,
  };
}
