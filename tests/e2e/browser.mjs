// A real headless Chromium with WebGPU, and a page that remembers everything that went wrong.
import { chromium } from "playwright-core";

const ARGUMENTS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

const start = (...more) => chromium.launch({ executablePath: "/usr/bin/chromium", args: [...ARGUMENTS, ...more] });

/** With WebGPU on a software adapter. */
export const launch = () => start("--enable-unsafe-webgpu");

/** As on most computers without a graphics card: WebGPU is there and has no adapter. */
export const launchWithoutGpu = () => start();

/** A fresh page without a service worker (tests stand in the place of files, which one would answer from its own), its context made with `options`, and its `problems`: console errors (policy violations among
 *  them), uncaught errors, requests that failed or were answered with an error. */
export async function watchedPage(browser, options = {}) {
  const context = await browser.newContext({ serviceWorkers: "block", ...options });
  const problems = [];
  context.on("console", (message) => {
    if (message.type() === "error" && !isIconMissed(message.location().url, message.text())) problems.push(`console: ${message.text()}`);
  });
  context.on("weberror", (error) => problems.push(`uncaught: ${error.error().message}`));
  context.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    // What the page itself breaks off, as with the next choice, or when it is left, has not failed.
    if (why !== "net::ERR_ABORTED" && !isIconMissed(request.url(), why)) problems.push(`failed: ${request.url()} ${why}`);
  });
  context.on("response", (response) => {
    if (response.status() >= 400) problems.push(`${response.status()}: ${response.url()}`);
  });
  // A violation inside a worker reaches the console of its page; one in the page also fires this.
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      console.error(`policy: ${event.violatedDirective} blocked ${event.blockedURI}`);
    });
  });
  return { page: await context.newPage(), problems, close: () => context.close() };
}

/** Chromium may ask for the tab's icon again when the address changes, also without a network. */
function isIconMissed(url, why) {
  return url.endsWith("/favicon.svg") && `${why}`.includes("ERR_INTERNET_DISCONNECTED");
}

/** Lets the page, which is not open yet, believe that the machine has so many cores. */
export function withCores(page, cores) {
  return page.addInitScript((n) => Object.defineProperty(Navigator.prototype, "hardwareConcurrency", { get: () => n }), cores);
}
