// One browser and the built page on a server, for the tests of a file.
import { after } from "node:test";
import { launch } from "./browser.mjs";
import { serve } from "./server.mjs";

/** Both, ended after the last test; `start` opens the browser. */
export async function served(start = launch) {
  const [browser, server] = await Promise.all([start(), serve()]);
  after(async () => {
    await browser.close();
    await server.close();
  });
  return { browser, server };
}
