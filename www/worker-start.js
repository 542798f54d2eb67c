import "./simd.js";

// Filled in where a build has it.
const RELAXED = "";

// The worker's first lines: load the engine, keep what the page says meanwhile, hand it over in order.
const early = [];
const keep = (event) => early.push(event.data);
addEventListener("message", keep);
// A panic inside a promise would otherwise never reach the page's onerror.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  trap(event.reason);
});
addEventListener("error", (event) => {
  event.preventDefault();
  trap(event.error ?? event.message);
});

let engine;
let trapped = false;

// A panic has told its own text before its trap comes here; the page takes the first. A trap with refused memory
// behind it is the lack of memory.
function trap(reason) {
  if (trapped) return;
  trapped = true;
  let refused = 0;
  try {
    refused = engine?.refused_bytes?.() ?? 0;
  } catch {
    // The engine is beyond asking.
  }
  const text =
    refused > 0
      ? `the browser gave it no more memory; the last piece it asked for was ${(refused / 1e6).toFixed(1)} MB. Close other tabs, or take a smaller model or a shorter text`
      : String(reason?.message ?? reason);
  postMessage({ type: "failed", text });
}

// A helper's first message holds the compiled engine.
const first = new Promise((hear) => addEventListener("message", hear, { once: true }));
try {
  // @ts-ignore: the build makes it.
  engine = await import("./worker.js");
  const given = (await first).data.module;
  await engine.default({ module_or_path: given || (RELAXED && globalThis.isRelaxed && new URL(RELAXED, import.meta.url)) || undefined });
} catch (error) {
  postMessage({ type: "failed", text: String(error?.message ?? error) });
}
removeEventListener("message", keep);
for (const data of early) dispatchEvent(new MessageEvent("message", { data }));
