// Models of the hub, and models that are too large, in the built page with its real engine.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, watchedPage } from "./browser.mjs";
import { COMMIT, MODEL, startHub } from "./hub-server.mjs";
import { dist, serve } from "./server.mjs";

const LIMIT = { timeout: 300_000 };
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

const complete = (page) => page.waitForFunction(() => document.querySelector("#status").textContent === "Run complete");
const link = (hash) => `#v=1&m=own@${hash}&h=${encodeURIComponent(`${MODEL}@${COMMIT}`)}&ev=recall:level=easy,n=8&seed=1&tr=off&sp=off&gen=2&b=cpu`;

test("a link of a hub model gives a card and a button, runs after two clicks, and says where weights differ", LIMIT, async () => {
  const hub = await startHub();
  const server = await serve(dist, "/whittle/", { hosts: hub.hosts });
  const { page, problems, close } = await watchedPage(browser);
  page.setDefaultTimeout(240_000);
  const hash = createHash("sha256").update(hub.files.get("model.safetensors")).digest("hex").slice(0, 16);
  const press = (name) => page.getByRole("button", { name }).click();
  try {
    await page.goto(server.url + link(hash));
    await page.getByText(`This link is of ${MODEL}@${COMMIT}, a model of the hub (weights ${hash}).`).waitFor();
    assert.deepEqual(hub.requests, []);
    await press("Look it up at the hub");
    await press("Download and open");
    await complete(page);
    await page.waitForURL((url) => url.hash.startsWith(`#v=1&m=own@${hash}&h=some%2Fmodel-1@${COMMIT}&ev=recall`));
    assert.equal(await page.getByText("made with other weights").count(), 0);

    // Another hash: the kept copy opens with a word on it, and nobody is asked.
    const asked = hub.requests.length;
    const other = `${hash.slice(1)}0`;
    await page.goto("about:blank");
    await page.goto(server.url + link(other));
    await press("Open the kept copy");
    await page.getByText(`The link was made with other weights of own (${other})`).waitFor();
    await complete(page);
    assert.equal(hub.requests.length, asked);
    assert.deepEqual(problems, []);
    assert.deepEqual(server.violations, []);
  } finally {
    await close();
    await Promise.all([server.close(), hub.close()]);
  }
});

test("a model that would not fit is refused with both sizes, and the one before goes on", LIMIT, async () => {
  const server = await serve();
  const folder = await mkdtemp(join(tmpdir(), "whittle-"));
  const { page, close } = await watchedPage(browser);
  page.setDefaultTimeout(240_000);
  try {
    const model = (name) => readFile(join(dist, "models/recall-llama", name));
    // 2.4 thousand million weights, none of which are looked at; and a file of which not every place has a number.
    const config = { ...JSON.parse(`${await model("config.json")}`), hidden_size: 2048, intermediate_size: 32_768, num_hidden_layers: 12 };
    const small = [
      ["config.json", Buffer.from(JSON.stringify(config))],
      ["tokenizer.json", await model("tokenizer.json")],
    ];
    const input = page.locator("#files");
    await page.goto(`${server.url}#v=1&m=recall-mamba2&ev=recall:level=easy,n=8&gen=2&tr=off&sp=off&b=cpu`);
    await complete(page);
    const alert = page.getByRole("alert");
    for (const [rows, words] of [
      [84, /would take \d+ MB of memory .*and this tab has \d+ MB left/],
      [1_200_000, /has 4915 MB, and a tab can have 4295 MB/],
    ]) {
      const weights = join(folder, "model.safetensors");
      await sparse(weights, { "model.embed_tokens.weight": [rows, 2048] });
      const files = [weights];
      for (const [name, bytes] of small) {
        const file = await open(join(folder, name), "w");
        await file.writeFile(bytes);
        await file.close();
        files.push(join(folder, name));
      }
      await input.setInputFiles(files);
      await alert.filter({ hasText: words }).waitFor();
    }
    await page.getByRole("button", { name: "Run" }).click();
    await complete(page);
  } finally {
    await close();
    await server.close();
    await rm(folder, { recursive: true });
  }
});

/** A safetensors file of zeros in f16 that takes no room on the disk. */
async function sparse(path, shapes) {
  let end = 0;
  const header = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const start = end;
    end += 2 * shape.reduce((product, side) => product * side, 1);
    header[name] = { dtype: "F16", shape, data_offsets: [start, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = await open(path, "w");
  await file.writeFile(Buffer.concat([length, json]));
  await file.truncate(8 + json.length + end);
  await file.close();
}
