export {};
// The worker's first lines: load the engine, keep what the page says meanwhile, hand it over in order.
const early = [];
const keep = (event) => early.push(event.data);
addEventListener("message", keep);
// A panic inside a promise would otherwise never reach the page's onerror.
addEventListener("unhandledrejection", (event) => reportError(event.reason));

try {
  // @ts-ignore: the build makes it.
  const engine = await import("./worker.js");
  await engine.default();
} catch (error) {
  postMessage({ type: "failed", text: String(error?.message ?? error) });
}
removeEventListener("message", keep);
for (const data of early) dispatchEvent(new MessageEvent("message", { data }));
