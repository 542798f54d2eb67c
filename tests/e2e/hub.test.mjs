// Models of the hub in the page, against a hub on this machine: the page from www/ with the mock engine.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { wanted, named } from "../../www/hub/protocol.js";
import { Sha256 } from "../../www/hub/sha256.js";
import { kept, place } from "../../www/hub/store.js";
import { launch } from "./browser.mjs";
import { COMMIT, MODEL, startHub } from "./hub-server.mjs";
import { openMock, www } from "./mock-page.mjs";
import { serve } from "./server.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A page beside a hub of its own, with the hub's box open. */
async function withHub(use) {
  const hub = await startHub();
  const server = await serve(www, "/whittle/", { hosts: hub.hosts });
  const opened = await openMock(browser, server);
  const { page } = opened;
  const field = page.getByRole("textbox", { name: "Model of the hub" });
  const lookUp = async (name = MODEL) => {
    await field.fill(name);
    await page.getByRole("button", { name: "Look up", exact: true }).click();
  };
  const says = (words) => page.locator("#hub-said").filter({ hasText: words }).waitFor();
  const press = (name) => page.getByRole("button", { name }).click();
  try {
    await opened.says("Run complete");
    await page.getByText("From the Hugging Face hub").click();
    await use({ ...opened, hub, server, lookUp, says, press, ran: () => opened.says("Run complete") });
  } finally {
    await opened.close();
    await Promise.all([server.close(), hub.close()]);
  }
}

const isWeights = (path) => path.startsWith("/cdn/");

/** Half of the weights, and then `end`. */
const halfAtFirst = (hub, end) => (path, request, response) => {
  if (!isWeights(path) || request.headers.range) return false;
  const bytes = hub.files.get("model.safetensors");
  response.writeHead(200, { ...hub.allowed, "content-length": bytes.length });
  response.write(bytes.subarray(0, bytes.length / 2), () => end(response));
  return true;
};

const FOLDER = `${MODEL.replace("/", "--")}--${COMMIT}`;

/** Runs in the page, or in a worker of it: until a kept file has so many bytes. Before the first there is no such file.
 *  (`waitForFunction` takes a promise for a yes.) */
async function hasKept({ folder, name, bytes }) {
  for (;;) {
    try {
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("hub");
      const file = await (await root.getDirectoryHandle(folder)).getFileHandle(name);
      if ((await file.getFile()).size === bytes) return;
    } catch {
      // Not yet.
    }
    await new Promise((later) => setTimeout(later, 10));
  }
}

test("nothing is asked without a click; what is fetched is shown before, kept, opened again and deleted", () =>
  withHub(async ({ page, problems, hub, server, lookUp, press, heard, says, ran }) => {
    assert.deepEqual(hub.requests, []);
    await lookUp();
    const card = page.locator("#hub-card");
    await card.getByText(COMMIT).waitFor();
    const words = await card.innerText();
    const weights = hub.files.get("model.safetensors").length;
    for (const part of ["apache-2.0", "3 files", "config.json", `${weights.toLocaleString("en")} bytes`, "Yes: about"])
      assert.ok(words.includes(part), `${words}, not ${part}`);
    assert.equal(hub.requests.length, 1);

    await press("Download and open");
    const kept = page.getByRole("button", { name: `Open ${MODEL}@${COMMIT.slice(0, 8)}` });
    await kept.waitFor();
    const opened = async () => (await heard()).filter(({ type }) => type === "open");
    // The files are handed over after they stand on the shelf.
    while ((await opened()).length === 0);
    const [{ files, origin }] = await opened();
    assert.equal(origin, `${MODEL}@${COMMIT}`);
    assert.deepEqual(
      files.map(({ name }) => name),
      ["config.json", "tokenizer.json", "model.safetensors"],
    );
    for (const { name, bytes } of files) assert.ok(Buffer.from(bytes).equals(hub.files.get(name)), name);
    assert.ok(hub.ofWeights().every(({ host }) => host.startsWith("localhost")));

    const asked = hub.requests.length;
    // A reload breaks off whatever the page still loads for itself.
    assert.deepEqual(problems, []);
    await page.reload();
    // Until then the page is still being put together, and a click may land beside what it was meant for.
    await ran();
    await page.getByText("From the Hugging Face hub").click();
    await kept.click();
    while ((await opened()).length === 0);
    await ran();
    assert.equal((await opened()).length, 1);
    await press(`Delete ${MODEL}@${COMMIT.slice(0, 8)}`);
    await says("Deleted.");
    assert.equal(await kept.count(), 0);
    assert.equal(hub.requests.length, asked);
    assert.deepEqual(server.violations, []);
  }));

/** Half of the weights is kept, and the download is cancelled. */
async function cancelledHalfway({ page, hub, lookUp, press, says }) {
  const bytes = Math.floor(hub.files.get("model.safetensors").length / 2);
  hub.instead = halfAtFirst(hub, () => {});
  await lookUp();
  await press("Download and open");
  await page.evaluate(hasKept, { folder: FOLDER, name: "model.safetensors", bytes });
  const worker = page.workers().find((worker) => worker.url().endsWith("hub/worker.js"));
  const gone = worker.waitForEvent("close");
  await press("Cancel download");
  await Promise.all([says("Cancelled"), gone]);
  return bytes;
}

test("a cancelled download ends at once, and goes on where it was, after a reload too", () =>
  withHub(async (opened) => {
    const { page, hub, press, ran } = opened;
    const half = await cancelledHalfway(opened);
    await page.reload();
    // Until then the page is still being put together, and a click may land beside what it was meant for.
    await ran();
    await page.getByText("From the Hugging Face hub").click();
    await press(`Go on with ${MODEL}`);
    await press("Go on with the download, then open");
    await page.getByRole("button", { name: `Open ${MODEL}` }).waitFor();
    assert.deepEqual(
      hub.ofWeights().map(({ range }) => range),
      [undefined, `bytes=${half}-`],
    );
  }));

test("a file that somebody else still holds is waited for", () =>
  withHub(async (opened) => {
    const { page, hub, press } = opened;
    await cancelledHalfway(opened);
    const engine = page.workers().find((worker) => worker.url().endsWith("worker-start.js"));
    await engine.evaluate(async (folder) => {
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("hub");
      const file = await (await root.getDirectoryHandle(folder)).getFileHandle("model.safetensors");
      self.held = await file.createSyncAccessHandle();
    }, FOLDER);
    const begun = page.waitForEvent("worker");
    await press("Go on with the download, then open");
    const worker = await begun;
    // It was refused, and has not given up.
    await worker.evaluate(
      () =>
        new Promise((refused) => {
          const open = FileSystemFileHandle.prototype.createSyncAccessHandle;
          FileSystemFileHandle.prototype.createSyncAccessHandle = async function () {
            try {
              return await open.call(this);
            } catch (error) {
              refused();
              throw error;
            }
          };
        }),
    );
    await engine.evaluate(() => self.held.close());
    await page.getByRole("button", { name: `Open ${MODEL}` }).waitFor();
    assert.equal(hub.ofWeights().length, 2);
  }));

test("a hub that has no part that it lists is left with a sentence", () =>
  withHub(async ({ hub, lookUp, press, says }) => {
    hub.instead = (path, _, response) => {
      if (!isWeights(path)) return false;
      hub.answer(response, 416);
      return true;
    };
    await lookUp();
    await press("Download and open");
    await says("model.safetensors: the hub has no such part of it");
    assert.equal(hub.ofWeights().length, 5);
  }));

test("a download that stops answering is given up with a sentence", () =>
  withHub(async ({ page, lookUp, press, says }) => {
    await page.route("**/hub/worker.js", (route) => route.fulfill({ contentType: "text/javascript", body: "" }));
    await page.clock.install();
    await lookUp();
    await press("Download and open");
    await page.getByRole("button", { name: "Cancel download" }).waitFor();
    await page.clock.runFor(60_000);
    await says("The download stopped answering");
    await page.getByRole("button", { name: "Download and open" }).waitFor();
  }));

test("a transfer that breaks off is taken up by itself", () =>
  withHub(async ({ page, hub, lookUp, press }) => {
    // Once: what the browser had not handed on when the connection broke is asked for again from the start.
    const half = halfAtFirst(hub, (response) => response.socket.end());
    hub.instead = (...request) => hub.ofWeights().length === 1 && half(...request);
    await lookUp();
    await press("Download and open");
    await page.getByRole("button", { name: `Open ${MODEL}` }).waitFor();
    const [whole, rest, ...more] = hub.ofWeights().map(({ range }) => range);
    assert.equal(whole, undefined);
    assert.match(rest ?? "bytes=0-", /^bytes=\d+-$/);
    assert.deepEqual(more, []);
  }));

test("another content than the hub lists is removed", () =>
  withHub(async ({ hub, lookUp, press, says, heard }) => {
    hub.instead = (path, _, response) => {
      if (!isWeights(path)) return false;
      const other = Buffer.from(hub.files.get("model.safetensors"));
      other[other.length - 1] ^= 1;
      hub.answer(response, 200, { "content-length": other.length }, other);
      return true;
    };
    await lookUp();
    await press("Download and open");
    await says(/model\.safetensors: what came has sha256 .* it was removed/);
    assert.equal((await heard()).filter(({ type }) => type === "open").length, 0);
  }));

test("each refusal has a sentence of its own, and so have silence and a hub that is not there", () =>
  withHub(async ({ page, hub, lookUp, says }) => {
    const sentences = new Set();
    for (const [status, headers, words] of [
      [401, {}, /401.*does not exist/],
      [403, {}, /403.*conditions/],
      [404, { "x-error-code": "RevisionNotFound" }, /no branch, tag or commit main \(404\)/],
      [404, {}, /no model some\/model-1.*Check the name/],
      [429, { "retry-after": "17" }, /429.*wait 17 seconds/],
      [429, {}, /429.*some minutes/],
      [503, {}, /trouble.*503/],
    ]) {
      hub.instead = (_, __, response) => {
        hub.answer(response, status, headers, "<b>no</b>");
        return true;
      };
      await lookUp();
      await says(words);
      sentences.add(await page.locator("#hub-said").textContent());
    }
    assert.equal(sentences.size, 7);
    hub.instead = (_, __, response) => {
      hub.answer(response, 200, {}, "<html>");
      return true;
    };
    await lookUp();
    await says("not understood");
    await lookUp("../../etc/passwd");
    await says("names no model of the hub");
    await hub.close();
    await lookUp();
    await says("cannot be reached");
    await page.context().setOffline(true);
    await lookUp();
    await says("There is no network");
  }));

test("what does not fit is refused with both sizes before anything is fetched", () =>
  withHub(async ({ page, hub, lookUp }) => {
    const weights = hub.listing.siblings.find(({ rfilename }) => rfilename === "model.safetensors");
    weights.lfs.size = 5_000_000_000;
    await lookUp();
    await page.getByText(/It does not fit: it would take about 5,250(\.0)? MB of memory, and a tab can have 4,295(\.0)? MB/).waitFor();
    assert.equal(await page.getByRole("button", { name: "Download and open" }).count(), 0);
    assert.equal(hub.requests.length, 1);
  }));

test("a browser that keeps no files for a page is told as such, and has nothing kept", async (t) => {
  const had = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { storage: {} }, configurable: true });
  t.after(() => (had ? Object.defineProperty(globalThis, "navigator", had) : delete globalThis.navigator));
  await assert.rejects(place(true), /this browser has no place for the files of a page/);
  assert.deepEqual(await kept(), []);
});

test("a hash of pieces is the hash of the whole", () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000, 70_001]) {
    const bytes = randomBytes(length);
    const expected = createHash("sha256").update(bytes).digest("hex");
    for (const step of [1, 63, 64, 65, 4096]) {
      const hash = new Sha256();
      for (let at = 0; at < length; at += step) hash.update(bytes.subarray(at, at + step));
      assert.equal(hash.hex(), expected, `${length} bytes by ${step}`);
    }
  }
});

test("only what a model is opened from is fetched, and only names of the hub are asked for", () => {
  const small = ["config.json", "tokenizer.json"];
  const other = ["README.md", "LICENSE", "onnx/model.onnx", "tf_model.h5", "../model.safetensors"];
  for (const [weights, expected] of [
    [["pytorch_model.bin", "model.safetensors"], ["model.safetensors"]],
    [["pytorch_model.bin", "flax_model.msgpack"], ["pytorch_model.bin"]],
    [
      ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin"],
      ["model.safetensors.index.json", "model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"],
    ],
    [
      ["pytorch_model-00001-of-00001.bin", "pytorch_model-1-of-1.bin", "pytorch_model.bin.index.json"],
      ["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"],
    ],
  ])
    assert.deepEqual(wanted([...other, ...weights, ...small]), [...small, ...expected]);
  for (const [text, model, revision] of [
    [" org/name ", "org/name", "main"],
    ["org/name@v1.0", "org/name", "v1.0"],
    ["org/name@refs/pr/1", "org/name", "refs/pr/1"],
    ["https://huggingface.co/org/name", "org/name", "main"],
    ["https://huggingface.co/org/name/tree/v2", "org/name", "v2"],
  ])
    assert.deepEqual(named(text), { model, revision });
  for (const text of ["", "name", "a/b/c", "../b", "a/..", "a/b@../x", "a/b@x@y", "a b/c", "a/b?x"])
    assert.throws(() => named(text), /names no model of the hub/, text);
});
