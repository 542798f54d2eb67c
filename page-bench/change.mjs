// How soon a changed setting has figures: how much is pruned, moved by one step and let go.
//
// BEFORE=FOLDER also visits the page that was built into FOLDER, in turns: one of an earlier version, if it has the same slider.
import { launch, watchedPage } from "../tests/e2e/browser.mjs";
import { dist, serve } from "../tests/e2e/server.mjs";
import { middle } from "./turns.mjs";

/** What the first slider of the pruning moves, and the link that opens the page; "" is how it opens by itself. */
const CHANGES = [
  { of: "the share that the page prunes at first", link: "" },
  ...["wanda", "mrp"].map((method) => ({ of: `${method}'s sparsity`, link: `#v=1&m=lm-mamba2&tr=utrc&sp=${method}` })),
];
/** Each in a browser of its own. */
const VISITS = 7;
/** Half of the interval of the accuracy's change that is narrow enough to look at. */
const NARROW = 0.03;

/** What is timed, for people, its limit in seconds and its name in what `visit` gives. */
export const FIGURES = [
  ["the cost on paper, while it moves", 0.05, "paper"],
  ["the first measured change", 0.5, "first"],
  [`an interval of at most ${100 * NARROW} points to each side`, 5, "narrow"],
  ["every item", undefined, "scored"],
  ["the run's end", 4, "end"],
];

/** Seconds after every change, by figure: [{ of, now: {...}, before: {...} }]; a figure that a page does not have is absent. */
export async function changes() {
  const folders = { now: dist, ...(process.env.BEFORE && { before: process.env.BEFORE }) };
  const servers = await Promise.all(Object.entries(folders).map(async ([which, folder]) => [which, await serve(folder)]));
  try {
    const found = [];
    for (const { of, link } of CHANGES) {
      const visits = Object.fromEntries(servers.map(([which]) => [which, []]));
      for (let i = 0; i < VISITS; i++) for (const [which, server] of servers) visits[which].push(await visit(server.url + link));
      found.push({ of, ...Object.fromEntries(Object.entries(visits).map(([which, seen]) => [which, summary(seen)])) });
    }
    return found;
  } finally {
    for (const [, server] of servers) await server.close();
  }
}

function summary(visits) {
  const names = FIGURES.map(([, , name]) => name).filter((name) => visits.every((seen) => seen[name] !== undefined));
  return Object.fromEntries(names.map((name) => [name, middle(visits.map((seen) => seen[name] / 1000))]));
}

/** Milliseconds of one visit. */
async function visit(url) {
  const browser = await launch();
  try {
    const { page, problems } = await watchedPage(browser);
    page.setDefaultTimeout(300_000);
    await page.addInitScript(watch, NARROW);
    await page.goto(url);
    await page.waitForFunction(() => window.seen?.complete);
    await page.evaluate(change);
    await page.waitForFunction(() => window.seen.end);
    const { times } = await page.evaluate(() => window.seen);
    if (problems.length) throw new Error(`the page reported problems:\n${problems.join("\n")}`);
    return times;
  } finally {
    await browser.close();
  }
}

// Runs in the page. Holds the slider one step further for a while, lets it go and starts the clock of the figures then.
async function change() {
  const { seen } = window;
  const slider = document.querySelector("#prune input[type=range]");
  slider.stepUp();
  seen.asked = performance.now();
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise((done) => setTimeout(done, 300));
  seen.after = seen.newest;
  seen.released = performance.now();
  slider.dispatchEvent(new Event("change", { bubbles: true }));
}

// Runs in the page, before all else. What the engine tells: piece by piece, or, in earlier versions, the whole run each time.
function watch(narrow) {
  const seen = { times: {}, newest: 0 };
  window.seen = seen;
  const hear = ({ data }) => {
    const now = performance.now();
    const told = (name, since) => {
      if (since !== undefined) seen.times[name] ??= now - since;
    };
    if (data.type === "cost") told("paper", seen.asked);
    const run = data.type === "result" ? data.run : data.run?.number;
    const quality = data.type === "result" ? data.part.quality : data.run?.quality;
    seen.newest = Math.max(seen.newest, run ?? 0);
    const isNew = seen.released !== undefined && run > seen.after;
    for (const { unit, items, items_total, change } of (isNew && quality) || []) {
      if (items > 0) told("first", seen.released);
      const half = change && (change.high - change.low) / 2;
      if (unit === "share" && half > 0 && half <= narrow) told("narrow", seen.released);
      if (items > 0 && items === items_total) told("scored", seen.released);
    }
    if (data.status?.text !== "Run complete") return;
    if (isNew || (seen.released !== undefined && seen.newest > seen.after)) {
      told("end", seen.released);
      seen.end = true;
    } else seen.complete = true;
  };
  window.Worker = class extends Worker {
    constructor(...of) {
      super(...of);
      this.addEventListener("message", hear);
    }
  };
}
