// A real headless Chromium with WebGPU, and a page that remembers everything that went wrong.
import { chromium } from "playwright-core";

const ARGUMENTS = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch() {
  return chromium.launch({ executablePath: "/usr/bin/chromium", args: ARGUMENTS });
}

/** A fresh page and its `problems`: console errors, uncaught errors, requests that failed or were
 *  answered with an error. Violations of the content security policy are the server's to report. */
export async function watchedPage(browser) {
  const context = await browser.newContext();
  const problems = [];
  context.on("console", (message) => {
    if (message.type() === "error") problems.push(`console: ${message.text()}`);
  });
  context.on("weberror", (error) => problems.push(`uncaught: ${error.error().message}`));
  context.on("requestfailed", (request) => problems.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
  context.on("response", (response) => {
    if (response.status() >= 400) problems.push(`${response.status()}: ${response.url()}`);
  });
  return { page: await context.newPage(), problems, close: () => context.close() };
}
