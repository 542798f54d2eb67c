// An engine that does not start, is of another version, or breaks: the page says what happened and what can be done.
import assert from "node:assert/strict";
import { test } from "node:test";
import { mockPages } from "./mock-page.mjs";

const { open } = mockPages();

const alert = (page, words) => page.getByRole("alert").filter({ hasText: words }).waitFor();

test("while the engine loads, the page says so and nothing can be pressed", async () => {
  const { page, says, close } = await open({ scenario: { quiet: true } });
  await says("The engine is ready; choosing a model.");
  for (const name of ["Run", "Reset", "Share", "Open files…"]) {
    assert.equal(await page.getByRole("button", { name, exact: true }).isDisabled(), true, name);
  }
  await close();
});

test("another protocol version is refused", async () => {
  const { page, close } = await open({ scenario: { version: 99 } });
  await alert(page, "protocol 2 and 99");
  await page.getByRole("button", { name: "Reload page" }).waitFor();
  assert.equal(page.workers().length, 0);
  await close();
});

test("a crash is told, its numbers go, and a restart takes up the settings", async () => {
  const { page, says, heard, state, close } = await open({ scenario: { crash: true }, fragment: "#v=1&seed=5" });
  await alert(page, "index out of bounds: the len is 3");
  await says("The engine is not running.");
  assert.equal(await page.locator("#sides .words").first().textContent(), "Nothing generated yet.");
  assert.equal(await page.getByRole("button", { name: "Run", exact: true }).isDisabled(), true);
  state.scenario = {};
  await page.getByRole("button", { name: "Restart engine" }).click();
  await says("Run complete");
  assert.equal((await heard())[0].fragment, "#v=1&m=lm-mamba2&tr=utrc&sp=wanda:0.5&seed=1", "the settings of the last view");
  assert.equal(await page.getByRole("alert").textContent(), "");
  await close();
});

for (const [button, taken] of [
  ["Restart engine", "#v=1&seed=7"],
  ["Start over", "#v=1&m=lm-mamba&tr=off&sp=structured"],
]) {
  test(`after a crash ${button} takes up ${taken}, where a link was opened meanwhile`, async () => {
    const { page, says, heard, state, close } = await open({ scenario: { crash: true }, fragment: "#v=1&seed=5" });
    await says("The engine is not running.");
    await page.evaluate(() => {
      const taken = new Promise((heard) => addEventListener("hashchange", heard, { once: true }));
      location.hash = "#v=1&seed=7";
      return taken;
    });
    state.scenario = {};
    await page.getByRole("button", { name: button }).click();
    await says("Run complete");
    assert.equal((await heard())[0].fragment, taken);
    assert.equal(await page.getByRole("alert").textContent(), "");
    await close();
  });
}

for (const [what, answer, words] of [
  ["missing", { status: 404, contentType: "text/plain", body: "no" }, "could not be started"],
  ["of the wrong type", { contentType: "text/html", body: "<p>Hello" }, "could not be started"],
  ["cut short", { contentType: "text/javascript", body: "const a = [" }, "Unexpected end of input"],
]) {
  test(`an engine file that is ${what} is told, with what to do`, async () => {
    const { page, close } = await open({ before: (page) => page.route("**/worker.js", (route) => route.fulfill(answer)) });
    await page.unroute("**/worker-start.js");
    await page.reload();
    await alert(page, words);
    await alert(page, "wasm served as application/wasm");
    await page.getByRole("button", { name: "Restart engine" }).waitFor();
    await close();
  });
}

test("a worker script that is missing altogether is told", async () => {
  const { page, close } = await open();
  await page.route("**/worker-start.js", (route) => route.fulfill({ status: 404, body: "" }));
  await page.reload();
  await alert(page, "a file of it is missing or of the wrong type");
  await close();
});

test("what is said before the engine is there reaches it, in order", async () => {
  const glue = `export default async function init() {
    await new Promise((ready) => setTimeout(ready, 300));
    self.got = [];
    self.onmessage = ({ data }) => self.got.push(data.type);
  }`;
  const { page, close } = await open({
    before: (page) => page.route("**/worker.js", (route) => route.fulfill({ contentType: "text/javascript", body: glue })),
  });
  await page.unroute("**/worker-start.js");
  await page.reload();
  await page.waitForFunction(() => document.querySelector("#status").textContent.startsWith("Loading the engine"));
  await page.evaluate(() => {
    location.hash = "v=1";
  });
  // The page may say so before the browser has told of the worker.
  const worker = page.workers()[0] ?? (await page.waitForEvent("worker"));
  await worker.evaluate(
    () =>
      new Promise((seen) => {
        const look = () => (self.got?.length === 2 ? seen() : setTimeout(look, 20));
        look();
      }),
  );
  assert.deepEqual(await worker.evaluate(() => self.got), ["hello", "link"]);
  await close();
});

test("a panic inside a promise of the engine is heard", async () => {
  const glue = "export default async function init() { setTimeout(async () => { throw new Error('unreachable'); }); }";
  const { page, close } = await open({
    before: (page) => page.route("**/worker.js", (route) => route.fulfill({ contentType: "text/javascript", body: glue })),
  });
  await page.unroute("**/worker-start.js");
  await page.reload();
  await alert(page, "unreachable");
  await close();
});

for (const [what, scenario] of [
  ["hangs", { hang: true }],
  ["was ended without a word", { ended: true }],
]) {
  test(`an engine that ${what} is noticed, and a restart goes on with the same settings`, { timeout: 60_000 }, async () => {
    const { page, says, heard, state, close } = await open({ scenario });
    await alert(page, "The engine has not answered for a while");
    state.scenario = {};
    await page.getByRole("button", { name: "Restart engine" }).click();
    await says("Run complete");
    assert.match((await heard())[0].fragment, /^#v=1&m=lm-mamba2&/);
    assert.equal(await page.getByRole("alert").textContent(), "");
    await close();
  });
}

for (const [what, answer] of [
  ["missing", { status: 404, contentType: "text/plain", body: "no" }],
  ["of the wrong type", { contentType: "text/html", body: "<p>Hello" }],
  ["cut short", { contentType: "text/javascript", body: "export const a = [" }],
]) {
  test(`a script of the page that is ${what} is told, with what to do`, async () => {
    const { page, close } = await open({ before: (page) => page.route("**/ui/share.js", (route) => route.fulfill(answer)) });
    await alert(page, "Reload it without its cache");
    assert.equal(await page.getByRole("status").first().textContent(), "The page is not running.");
    await close();
  });
}

test("the text of a panic and a lack of memory reach the page through the first lines of the worker", async () => {
  for (const [refused, words] of [
    [0, "unreachable executed"],
    [48_000_000, "no more memory; the last piece it asked for was 48.0 MB"],
  ]) {
    const glue = `export default async function init() { setTimeout(() => { throw new Error("unreachable executed"); }); }
      export const refused_bytes = () => ${refused};`;
    const { page, close } = await open({
      before: (page) => page.route("**/worker.js", (route) => route.fulfill({ contentType: "text/javascript", body: glue })),
    });
    await page.unroute("**/worker-start.js");
    await page.reload();
    await alert(page, words);
    await close();
  }
});

/** Opens a mock whose run takes seconds, with a clock that jumps and a tab that hides at a word, and every alert written down. */
async function openDisturbed() {
  const opened = await open({
    scenario: { tick: 250 },
    before: (page) =>
      page.addInitScript(() => {
        const clock = performance.now.bind(performance);
        Object.assign(window, { ahead: 0, away: false, alerts: [] });
        performance.now = () => clock() + window.ahead;
        Object.defineProperty(document, "hidden", { get: () => window.away });
        addEventListener("DOMContentLoaded", () => {
          const box = document.querySelector("[role=alert]");
          new MutationObserver(() => window.alerts.push(box.textContent)).observe(box, { childList: true, subtree: true, characterData: true });
        });
      }),
  });
  const speeds = async () => {
    await opened.tab("Speed");
    return opened.page.getByRole("region", { name: "Speed" }).innerText();
  };
  const alerts = () => opened.page.evaluate(() => window.alerts.filter(Boolean));
  const again = async () => {
    await opened.tab("Scores");
    await opened.page.getByRole("button", { name: "Run", exact: true }).click();
    await opened.midway();
    await opened.says("Run complete");
  };
  return { ...opened, speeds, alerts, again };
}

for (const [what, disturb, recover] of [
  [
    "a computer that slept",
    () => {
      window.ahead += 3_600_000;
    },
    () => {},
  ],
  [
    "a hidden tab",
    () => {
      window.away = true;
    },
    () => {
      window.away = false;
    },
  ],
]) {
  test(`${what} is no silent engine, and the speeds of its run are marked and not kept`, { timeout: 60_000 }, async () => {
    const { page, midway, says, speeds, alerts, again, close } = await openDisturbed();
    await midway();
    await page.evaluate(disturb);
    await says("Run complete");
    assert.match(await speeds(), /the tab was hidden or the computer slept/);
    assert.deepEqual(await alerts(), []);
    await page.evaluate(recover);
    const kept = () =>
      page.evaluate(
        () =>
          new Promise((done, fail) => {
            const open = indexedDB.open("whittle", 1);
            open.onerror = () => fail(open.error);
            open.onsuccess = () => {
              const all = open.result.transaction("runs").objectStore("runs").getAll();
              all.onsuccess = () => done(all.result.map(({ point }) => point.speed !== null));
            };
          }),
      );
    assert.deepEqual(await kept(), [false]);
    await again();
    assert.doesNotMatch(await speeds(), /computer slept/);
    assert.deepEqual(await kept(), [true], "the same settings measured again take its place");
    await close();
  });
}
