// Items of one's own in the page: a file, dropped or chosen, and rows of the hub, against a hub on this machine.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { splitNamed } from "../../www/hub/rows.js";
import { launch } from "./browser.mjs";
import { COMMIT, startHub } from "./hub-server.mjs";
import { openMock, www } from "./mock-page.mjs";
import { serve } from "./server.mjs";

const SPLIT = "some/set:default:validation";
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** The same rows as in tests/files/rows.rs. */
const rowsOf = (n) => Array.from({ length: n }, (_, i) => ({ target: `house ${i}`, context: "It was a fine “évening”", extra: [i, null, { b: 1, a: 2 }] }));
/** What that file expects of the command line. */
const line = (i) => `{"context":"It was a fine “évening”","extra":[${i},null,{"a":2,"b":1}],"target":"house ${i}"}\n`;

/** A hub with a data set of `n` rows; `change(answer, offset)` may alter an answer with rows. */
async function hubOfRows(n, change = () => {}) {
  const hub = await startHub();
  const rows = rowsOf(n);
  hub.asked = [];
  hub.instead = (path, request, response) => {
    const json = (body, headers = {}) => hub.answer(response, 200, { "content-type": "application/json", ...headers }, JSON.stringify(body));
    if (path === "/api/datasets/some/set/revision/main") {
      json({ sha: COMMIT, tags: ["license:cc-by-4.0"] });
      return true;
    }
    if (path !== "/rows") return false;
    const query = new URL(request.url, "http://hub").searchParams;
    if (["dataset", "config", "split"].map((key) => query.get(key)).join(":") !== SPLIT) return false;
    const [offset, length] = ["offset", "length"].map((key) => Number(query.get(key)));
    hub.asked.push(offset);
    const of = rows.slice(offset, offset + length).map((row, i) => ({ row_idx: offset + i, row, truncated_cells: [] }));
    const answer = { features: [], rows: of, num_rows_total: n, partial: false };
    if (change(answer, offset, response)) return true;
    json(answer, { "x-revision": COMMIT, "access-control-expose-headers": "x-revision" });
    return true;
  };
  return hub;
}

async function withHub(hub, use) {
  const server = await serve(www, "/whittle/", { hosts: hub.hosts });
  const opened = await openMock(browser, server);
  const { page } = opened;
  const data = async () => (await opened.heard()).filter(({ type }) => type === "open_data");
  const press = (name) => page.getByRole("button", { name, exact: true }).click();
  const lookUp = async (name = SPLIT) => {
    await page.getByRole("textbox", { name: "Data set of the hub" }).fill(name);
    await press("Look up rows");
  };
  const told = (words) => page.locator("#rows-said").filter({ hasText: words }).waitFor();
  const openBoxes = async () => {
    await opened.says("Run complete");
    await page.getByText("Advanced: evaluation, sampling, engine").click();
    await page.getByText("Rows of a data set of the hub").click();
  };
  try {
    await openBoxes();
    await use({ ...opened, hub, server, data, press, lookUp, told, openBoxes });
  } finally {
    await opened.close();
    await Promise.all([server.close(), hub.close()]);
  }
}

test("a file of one's own is handed to the engine whole, and what is open is said", async () =>
  withHub(await hubOfRows(1), async ({ page, data, problems, hub }) => {
    const text = '{"context": "The sky is", "choices": ["blue", "a shoe"], "answer": 0}\n';
    const evaluation = page.getByLabel("Evaluation task");
    assert.equal(await evaluation.locator("option", { hasText: "Your own questions" }).count(), 0);
    await page.locator("#data-file").setInputFiles({ name: "mine.jsonl", mimeType: "text/plain", buffer: Buffer.from(text) });
    await page.locator("#data-open").filter({ hasText: "mine.jsonl" }).waitFor();
    assert.match(await page.locator("#data-open").innerText(), /70 bytes, sha256 0d0d0d0d0d0d0d0d/);
    const [{ name, bytes }] = await data();
    assert.equal(name, "mine.jsonl");
    assert.equal(Buffer.from(bytes).toString(), text);
    assert.equal(await evaluation.inputValue(), "questions");
    assert.deepEqual(hub.requests, []);
    assert.deepEqual(problems, []);
  }));

test("dropped data and a dropped model go their own ways", async () =>
  withHub(await hubOfRows(1), async ({ page, data, heard }) => {
    await page.evaluate(() => {
      const transfer = new DataTransfer();
      for (const name of ["twenty.jsonl", "config.json", "merges.txt"]) transfer.items.add(new File([`{"of": "${name}"}`], name));
      dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    });
    await page.locator("#data-open").filter({ hasText: "twenty.jsonl" }).waitFor();
    const opened = async () => (await heard()).filter(({ type }) => type === "open");
    // Which of the two is handed over first is left open.
    while ((await opened()).length === 0);
    assert.deepEqual(
      (await data()).map(({ name }) => name),
      ["twenty.jsonl"],
    );
    assert.deepEqual(
      (await opened()).at(-1).files.map(({ name }) => name),
      ["config.json", "merges.txt"],
    );
  }));

test("rows of the hub are asked for after a click, shown, fetched whole, kept and deleted", async () =>
  withHub(await hubOfRows(230), async ({ page, hub, server, data, press, lookUp, told, openBoxes, problems }) => {
    assert.deepEqual(hub.requests, []);
    await lookUp();
    const card = page.locator("#rows-card");
    await card.getByText(COMMIT).waitFor();
    const words = await card.innerText();
    for (const part of ["230", SPLIT, "cc-by-4.0"]) assert.ok(words.includes(part), `${words}, not ${part}`);
    assert.deepEqual(hub.asked, [0]);
    await press("Fetch and open");
    await page.locator("#data-open").filter({ hasText: SPLIT }).waitFor();
    const expected = Array.from({ length: 230 }, (_, i) => line(i)).join("");
    assert.equal(Buffer.from((await data())[0].bytes).toString(), expected);
    assert.deepEqual(hub.asked, [0, 0, 100, 200]);
    const asked = hub.requests.length;
    assert.deepEqual(problems, []);
    await page.reload();
    await openBoxes();
    await page.getByRole("button", { name: `Open ${SPLIT}` }).click();
    await page.locator("#data-open").filter({ hasText: SPLIT }).waitFor();
    assert.equal(Buffer.from((await data())[0].bytes).toString(), expected);
    await page.getByRole("button", { name: `Delete ${SPLIT}` }).click();
    await told("Deleted.");
    assert.equal(await page.getByRole("button", { name: `Open ${SPLIT}` }).count(), 0);
    assert.equal(hub.requests.length, asked);
    assert.deepEqual(server.violations, []);
  }));

test("what is not the whole of the rows is refused, and nothing is opened", async () => {
  const cases = [
    [(answer) => Object.assign(answer, { num_rows_total: 20_001 }), "more than 20000"],
    [(answer) => Object.assign(answer, { rows: [], num_rows_total: 0 }), "has no rows"],
    [(answer) => Object.assign(answer, { partial: true }), "beginning only"],
    [(answer) => Object.assign(answer.rows[0], { truncated_cells: ["context"] }), "row 0 comes cut short"],
    [(answer) => answer.rows.pop(), "were asked for"],
    [(answer) => Object.assign(answer.rows[0], { row: [1] }), "were asked for"],
    [(answer) => Object.assign(answer, { rows: "<b>" }), "not understood"],
  ];
  let change;
  const hub = await hubOfRows(3, (answer) => void change(answer));
  await withHub(hub, async ({ lookUp, told, data, page }) => {
    for (const [how, words] of cases) {
      change = how;
      await lookUp();
      await told(words);
      assert.equal(await page.getByRole("button", { name: "Fetch and open" }).count(), 0);
    }
    assert.deepEqual(await data(), []);
    await lookUp("some/set:default");
    await told("expected org/name:config:split");
    await lookUp("other/set:default:test");
    await told("The hub has no data set other/set");
  });
});

test("fetching can be cancelled, and an end in the middle is said", async () => {
  let end = () => {};
  const held = new Promise((reached) => {
    end = reached;
  });
  const hub = await hubOfRows(230, (_, offset, response) => {
    if (offset !== 100) return false;
    response.writeHead(200, hub.allowed).write("{", () => end(response));
    return true;
  });
  await withHub(hub, async ({ page, press, lookUp, told, data }) => {
    await lookUp();
    await press("Fetch and open");
    const response = await held;
    await page.getByText("100 of 230 rows").waitFor();
    await press("Cancel rows");
    await told("Cancelled.");
    response.destroy();
    await press("Fetch and open");
    await page.getByText("100 of 230 rows").waitFor();
    hub.closeAll();
    await told(/broke off|cannot be reached/);
    assert.deepEqual(await data(), []);
  });
});

test("names that lead elsewhere are no rows", () => {
  for (const name of ["a/b", "a/b:c", "a/b:c:d:e", "a/../b:c:d", "a/b:../c:d", "a/b:c:", "https://x/y:c:d", "a/b@v1:c:d"])
    assert.throws(() => splitNamed(name), /expected org\/name:config:split/, name);
  assert.deepEqual(splitNamed(" a/b:c:d "), { dataset: "a/b", config: "c", split: "d" });
});
