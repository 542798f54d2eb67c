// Times y = x Wᵀ in Whittle and in onnxruntime-web, on the same operands in the same page. The runs of the two take
// turns, so that both meet the same load. Driven by gemm.mjs: prepare, then measure.
import init, { Gemm } from "./pkg/whittle_bench.js";

const median = (times) => times.toSorted((a, b) => a - b)[times.length >> 1];

// A MatMul model [rows, depth] x [depth, outs] as ONNX protobuf bytes (opset 13); B is an initializer, as weights are.
function onnxModel(rows, outs, depth, b) {
  const text = (s) => new TextEncoder().encode(s);
  const varint = (n) => {
    const out = [];
    for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) | 128);
    return Uint8Array.from([...out, n]);
  };
  const join = (parts) => {
    const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
    parts.reduce((at, p) => (all.set(p, at), at + p.length), 0);
    return all;
  };
  const bytes = (field, value) => join([varint(field * 8 + 2), varint(value.length), value]);
  const number = (field, value) => join([varint(field * 8), varint(value)]);
  const dims = (shape) => bytes(2, join(shape.map((d) => bytes(1, number(1, d)))));
  const value = (name, shape) =>
    join([bytes(1, text(name)), bytes(2, bytes(1, join([number(1, 1), dims(shape)])))]);
  const node = join([bytes(1, text("a")), bytes(1, text("b")), bytes(2, text("y")), bytes(4, text("MatMul"))]);
  const weights = join([
    number(1, depth), number(1, outs), number(2, 1), bytes(8, text("b")),
    bytes(9, new Uint8Array(b.buffer, b.byteOffset, b.byteLength)),
  ]);
  const graph = join([
    bytes(1, node), bytes(2, text("g")), bytes(5, weights),
    bytes(11, value("a", [rows, depth])), bytes(12, value("y", [rows, outs])),
  ]);
  return join([number(1, 8), bytes(7, graph), bytes(8, number(2, 13))]);
}

function operands(rows, outs, depth) {
  let seed = 1;
  const next = () => ((seed = (seed * 1664525 + 1013904223) >>> 0) / 2 ** 31 - 1);
  const x = Float32Array.from({ length: rows * depth }, next);
  const w = Float32Array.from({ length: outs * depth }, next);
  const turned = new Float32Array(w.length);
  for (let o = 0; o < outs; o++) for (let k = 0; k < depth; k++) turned[k * outs + o] = w[o * depth + k];
  return { x, w, turned };
}

async function time(run) {
  const start = performance.now();
  await run();
  return { ms: performance.now() - start };
}

// options: { backend: "cpu" | "gpu", rows, outs, depth }. Afterwards `calls` is [ours, theirs].
window.prepare = async ({ backend, rows, outs, depth }) => {
  await init();
  const ort = await import(backend === "gpu" ? "/ort/ort.webgpu.min.mjs" : "/ort/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "/ort/";
  const { x, w, turned } = operands(rows, outs, depth);
  const ours = await Gemm.open(backend, rows, outs, depth, x, w);
  const session = await ort.InferenceSession.create(onnxModel(rows, outs, depth, turned), {
    executionProviders: [backend === "gpu" ? "webgpu" : "wasm"],
  });
  const feeds = { a: new ort.Tensor("float32", x, [rows, depth]) };
  window.calls = [() => ours.run(), async () => (await session.run(feeds)).y.data];
  const [y, theirs] = [await window.calls[0](), await window.calls[1]()];
  const difference = y.reduce((most, v, i) => Math.max(most, Math.abs(v - theirs[i])), 0);
  return { device: ours.label(), largest_difference: difference };
};

window.repeat = async (which, times) => {
  for (let i = 0; i < times; i++) await window.calls[which]();
};

// A sample is as many calls as take 50 ms. Gives milliseconds a call.
window.measure = async ({ rows, outs, depth, runs }) => {
  const again = await time(window.calls[0]);
  const repeats = Math.max(1, Math.ceil(50 / again.ms));
  // Compiled wasm is swapped for its optimised form while it runs.
  for (const which of [0, 1]) await window.repeat(which, repeats);
  const times = [[], []];
  for (let i = 0; i < runs; i++) {
    for (const which of [0, 1]) times[which].push((await time(() => window.repeat(which, repeats))).ms / repeats);
  }
  const summary = (t) => ({
    median_ms: median(t),
    best_ms: Math.min(...t),
    gflop_per_s: (2 * rows * outs * depth) / median(t) / 1e6,
  });
  const [whittle, onnxruntime] = times.map(summary);
  return {
    shape: `${rows}x${depth} by ${outs}x${depth}`, runs, repeats, whittle, onnxruntime,
    ratio: onnxruntime.median_ms / whittle.median_ms, ratio_best: onnxruntime.best_ms / whittle.best_ms,
  };
};
document.title = "ready";
