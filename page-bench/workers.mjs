// Scoring in the page by one worker, and by as many as it takes on this machine: a run's items, in turns.
//
// usage: node page-bench/workers.mjs [TURNS]     (dist/ is built)
//
// Timed is from the first item that is scored until the last of both sides; every visit is a fresh browser.
import { cpus } from "node:os";
import { serve } from "../tests/e2e/server.mjs";
import { inBrowser } from "./dropped.mjs";
import { middle } from "./turns.mjs";

const LINK = "#v=1&m=lm-mamba2&ev=continuation:n=300&gen=2&tr=off&sp=magnitude&b=cpu";
const turns = Number(process.argv[2] ?? 5);

const seconds = { one: [], all: [] };
for (let turn = 0; turn < turns; turn++) {
  const sides = ["one", "all"];
  for (const side of turn % 2 ? sides.reverse() : sides) seconds[side].push(await scoring(side === "one"));
  console.error(`turn ${turn + 1}: one worker ${seconds.one.at(-1).toFixed(2)} s, all ${seconds.all.at(-1).toFixed(2)} s`);
}
const shown = ({ median, low, high }) => `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
console.log(`${cpus().length} cores of ${cpus()[0].model}, ${turns} turns, median and middle half`);
console.log(`one worker: ${shown(middle(seconds.one))} s`);
console.log(`as many as the page takes: ${shown(middle(seconds.all))} s`);
console.log(`times as fast, formed within a turn: ${shown(middle(seconds.one.map((one, i) => one / seconds.all[i])))}`);

/** Seconds from the first scored item to the last. */
async function scoring(alone) {
  const server = await serve();
  try {
    const { first, last } = await inBrowser(server.url + LINK, async (page, url) => {
      await page.addInitScript(watch, alone);
      await page.goto(url);
      await page.waitForFunction(() => window.seen.last !== undefined);
      return await page.evaluate(() => window.seen);
    });
    return (last - first) / 1000;
  } finally {
    await server.close();
  }
}

/** Runs in the page, before all else: notes when scoring begins and ends. */
function watch(alone) {
  if (alone) Object.defineProperty(navigator, "hardwareConcurrency", { value: 1 });
  window.seen = {};
  window.Worker = class extends Worker {
    constructor(...of) {
      super(...of);
      this.addEventListener("message", ({ data }) => {
        const text = data.status?.text ?? "";
        if (text.startsWith("Scored")) window.seen.first ??= performance.now();
        if (text.startsWith("Timing both")) window.seen.last ??= performance.now();
      });
    }
  };
}
