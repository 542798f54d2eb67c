// What stays flat with the mock engine: many changes leave one run, many runs leave no memory behind. Takes minutes, and so is
// not part of `cargo xtask test`: `node --test tests/e2e/slow`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { mockPages } from "../mock-page.mjs";
import { countRuns, runs } from "./runs.mjs";

// On two cores that did much else, 500 changes took 41 s and 200 runs 29 s.
const LIMIT = { timeout: 600_000 };

const { open } = mockPages();

/** Bytes that the page's scripts hold after a collection. */
async function heap(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.enable");
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return usedSize;
}

/** A page that keeps a row, a point or a listener of each change or run would hold far more than this. */
const FLAT = 1_500_000;

test("500 changes in a row leave one run and flat memory", LIMIT, async (t) => {
  const { page, says, heard, problems, tab, close } = await open({ scenario: { steps: 12, tick: 200 } });
  await says("Run complete");
  // Each change as a person makes it, each in a frame of its own.
  const change = (from, to) =>
    page.evaluate(
      async ([from, to]) => {
        const slider = document.querySelector("#prune-sparsity");
        for (let i = from; i < to; i += 1) {
          slider.value = String(0.05 * (1 + (i % 18)));
          slider.dispatchEvent(new Event("input", { bubbles: true }));
          slider.dispatchEvent(new Event("change", { bubbles: true }));
          await new Promise(requestAnimationFrame);
        }
      },
      [from, to],
    );
  await change(0, 100);
  const early = await heap(page);
  await change(100, 500);
  const late = await heap(page);
  t.diagnostic(`heap: ${early} bytes after 100 changes, ${late} after 500`);
  await page.locator("#results[aria-busy]").waitFor({ state: "detached" });
  await says("Run complete");
  const sets = (await heard()).filter(({ type }) => type === "set");
  assert.equal(sets.length, 500, "each change is one message");
  assert.equal(await page.locator("#prune-sparsity").inputValue(), sets.at(-1).value);
  // The address is written when a run is complete: that of the last change, and no other ever was.
  await page.waitForFunction((value) => location.hash.includes(`sp=wanda:${value}&`), sets.at(-1).value);
  const runs = page.getByRole("table", { name: "Runs" }).locator("tbody tr");
  await tab("Runs");
  assert.equal(await runs.count(), 2, "the first run and that of the last change");
  assert.ok(late - early < FLAT, `the heap grew by ${late - early} bytes over 400 changes`);
  assert.deepEqual(problems, []);
  await close();
});

test("200 runs in a row leave flat memory and one row", LIMIT, async (t) => {
  const { page, says, problems, tab, close } = await open({ scenario: { steps: 12, tick: 4 }, before: countRuns });
  await says("Run complete");
  await runs(page, 40);
  const early = await heap(page);
  await runs(page, 160);
  const late = await heap(page);
  t.diagnostic(`heap: ${early} bytes after 40 runs, ${late} after 200`);
  assert.ok(late - early < FLAT, `the heap grew by ${late - early} bytes over 160 runs`);
  await tab("Runs");
  assert.equal(await page.getByRole("table", { name: "Runs" }).locator("tbody tr").count(), 1, "equal settings are one row");
  assert.deepEqual(problems, []);
  await close();
});
