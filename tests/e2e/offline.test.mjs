// The built page without a network: what a first visit kept is one whole build, or nothing.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFile, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { watchedPage } from "./browser.mjs";
import { dist, serve } from "./server.mjs";
import { served } from "./served.mjs";

const LIMIT = { timeout: 300_000 };

const { browser, server } = await served();

const complete = (page) => page.waitForFunction(() => document.querySelector("#status").textContent === "Run complete");
const kept = (page) =>
  page.evaluate(async () => {
    await navigator.serviceWorker.ready;
    const names = await caches.keys();
    return Promise.all(names.map(async (name) => [name, (await (await caches.open(name)).keys()).length]));
  });

test("the service worker holds the hash of every file that it keeps", async () => {
  const text = await readFile(join(dist, "sw.js"), "utf8");
  const files = JSON.parse(/const FILES = (\[[\s\S]*?\n\]);/.exec(text)[1].replace(/,\n\]$/, "\n]"));
  assert.ok(files.length > 30, `${files.length} files`);
  for (const [path, sum] of files) {
    assert.equal(
      createHash("sha256")
        .update(await readFile(join(dist, path)))
        .digest("hex"),
      sum,
      path,
    );
  }
  const paths = files.map(([path]) => path);
  for (const needed of ["index.html", "app.js", "stories.json"]) assert.ok(paths.includes(needed), needed);
  // The engine's files have the name of their build, all four the same: an old one never meets a new page.
  const builds = ["worker-start-", "worker-", "worker_bg-", "worker_relaxed-"].map((stem) =>
    paths.map((path) => new RegExp(`^${stem}([0-9a-f]{10})\\.(js|wasm)$`).exec(path)?.[1]).find(Boolean),
  );
  assert.match(`${builds[0]}`, /^[0-9a-f]{10}$/);
  assert.deepEqual(new Set(builds).size, 1, builds.join(" "));
  assert.match(await readFile(join(dist, "engine.js"), "utf8"), new RegExp(`worker-start-${builds[0]}\\.js`));
});

test("after one visit the page opens and runs without a network", LIMIT, async () => {
  const { page, close } = await watchedPage(browser, { serviceWorkers: "allow" });
  page.setDefaultTimeout(240_000);
  await page.goto(server.url);
  await complete(page);
  const [[name, files], ...others] = await kept(page);
  assert.match(name, /^whittle-[0-9a-f]{16}$/);
  assert.ok(files > 30);
  assert.deepEqual(others, []);
  await page.context().setOffline(true);
  await page.reload();
  await complete(page);
  assert.ok((await page.locator("#sides .words").first().textContent()).length > 20);
  await close();
});

test("a newer build is offered, and takes the place of the older one", LIMIT, async () => {
  // The same files with another service worker, as after a deployment.
  const folder = await mkdtemp(join(tmpdir(), "whittle-newer-"));
  for (const name of await readdir(dist)) await (name === "sw.js" ? copyFile : symlink)(join(dist, name), join(folder, name));
  const host = await serve(folder);
  const { page, close } = await watchedPage(browser, { serviceWorkers: "allow" });
  await page.goto(host.url);
  await kept(page);
  await page.reload();
  assert.ok(await page.evaluate(() => Boolean(navigator.serviceWorker.controller)));
  const sealed = await readFile(join(dist, "sw.js"), "utf8");
  await writeFile(join(folder, "sw.js"), sealed.replace(/const BUILD = "[0-9a-f]{16}"/, 'const BUILD = "ffffffffffffffff"'));
  await page.evaluate(async () => {
    await (await navigator.serviceWorker.getRegistration()).update();
  });
  await Promise.all([page.waitForEvent("load"), page.getByRole("button", { name: "Reload with it" }).click()]);
  // `waitForFunction` takes a promise for a yes.
  await page.evaluate(async () => {
    while ((await caches.keys()).join() !== "whittle-ffffffffffffffff") await new Promise(requestAnimationFrame);
  });
  await close();
  await host.close();
  await rm(folder, { recursive: true });
});

test("a build that is not whole is not kept", LIMIT, async () => {
  const { page, close } = await watchedPage(browser, { serviceWorkers: "allow" });
  await page.context().route("**/format.js", async (route) => {
    // Another version of one file, as in the middle of a deployment.
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: `${await answer.text()}\n// newer` });
  });
  await page.goto(server.url);
  const state = await page.evaluate(async () => {
    const registration = (await navigator.serviceWorker.getRegistration()) ?? (await navigator.serviceWorker.register("sw.js"));
    const worker = registration.installing ?? registration.waiting ?? registration.active;
    while (worker && !["activated", "redundant"].includes(worker.state)) await new Promise((later) => setTimeout(later, 50));
    return worker?.state ?? "redundant";
  });
  assert.equal(state, "redundant");
  assert.deepEqual(await page.evaluate(() => caches.keys()), []);
  await close();
});
