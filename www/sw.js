// Keeps the page for use without a network: all files of one build, or none. `cargo xtask page` writes the build and its
// files into the two lines below; in a working copy they are empty, and then nothing is kept or answered here.

const BUILD = "";
/** @type {[string, string][]} Path, SHA-256. */
const FILES = [];

const PREFIX = "whittle-";
const CACHE = PREFIX + BUILD;
const scope = /** @type {any} */ (self);
// Of the two engines only the one that this browser runs is kept.
scope.importScripts("simd.js");
const OTHER = scope.isRelaxed ? "worker_bg" : "worker_relaxed";
const at = (path) => new URL(path, scope.registration.scope).href;

scope.addEventListener("install", (event) => {
  if (BUILD) event.waitUntil(keepAll());
});

scope.addEventListener("activate", (event) => {
  // A worker becomes active when no page of an older build is open or all are about to reload: nobody needs the older files.
  event.waitUntil(
    caches.keys().then((names) => Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)))),
  );
});

// The person chose the newer build; www/ui/offline.js then reloads every open tab.
scope.addEventListener("message", ({ data }) => {
  if (data?.type === "take over") scope.skipWaiting();
});

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (!BUILD || request.method !== "GET" || !request.url.startsWith(scope.registration.scope)) return;
  event.respondWith(answer(request));
});

/** Every file as it was built; where one is missing or of another build, the whole installation fails and is tried again later. */
async function keepAll() {
  const cache = await caches.open(CACHE);
  try {
    await Promise.all(
      FILES.filter(([path]) => !path.startsWith(OTHER)).map(async ([path, sum]) => {
        const answer = await fetch(at(path), { cache: "no-cache" });
        const bytes = await answer.clone().arrayBuffer();
        if (!answer.ok || (await sha256(bytes)) !== sum) throw new Error(`${path} is not of build ${BUILD}`);
        await cache.put(at(path), answer);
      }),
    );
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

async function sha256(bytes) {
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(sum, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A file of this build from the cache. Models are checked by the engine, whoever gives them, and are kept when first used. */
async function answer(request) {
  const cache = await caches.open(CACHE);
  const url = new URL(request.url);
  url.hash = url.search = "";
  const path = url.href === scope.registration.scope ? at("index.html") : url.href;
  const kept = await cache.match(path);
  if (kept) return kept;
  const found = await fetch(request);
  if (found.ok && path.startsWith(at("models/"))) await cache.put(path, found.clone());
  return found;
}
