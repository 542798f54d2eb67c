// What run.mjs times: two ways to the same result on the same operands in one page. Driven from there: prepare, then
// repeat.
import init, { Decode, Gemm, Scan } from "./pkg/whittle_page_bench.js";
import { matmulModel } from "./onnx.mjs";

let calls;

/** Makes the two calls (0 is Whittle's, 1 the peer's) and runs each once. Gives the device's name, how many
 *  products a call computes, how far the results lie apart and how large they are. */
window.prepare = async (wanted) => {
  await init();
  const pair = await KINDS[wanted.kind](wanted);
  calls = pair.calls;
  const [ours, theirs] = [await pair.results[0](), await pair.results[1]()];
  if (ours.length !== theirs.length) throw new Error(`${ours.length} values beside ${theirs.length}`);
  const most = (f) => ours.reduce((most, v, i) => Math.max(most, Math.abs(f(v, theirs[i]))), 0);
  const products = pair.products ?? [1, 1];
  return { device: pair.device, products, largest: most((a) => a), difference: most((a, b) => a - b) };
};

/** Milliseconds a call, over `times` calls one after another. */
window.repeat = async (which, times) => {
  const start = performance.now();
  for (let i = 0; i < times; i++) await calls[which]();
  return (performance.now() - start) / times;
};

/** y = x Wᵀ with W on the device; both are given x and give y to JavaScript in every call. */
async function gemm({ backend, rows, outs, depth }) {
  const ort = await import(backend === "gpu" ? "/ort/ort.webgpu.min.mjs" : "/ort/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "/ort/";
  const { x, w, turned } = operands(rows, outs, depth);
  const ours = await Gemm.open(backend, outs, depth, w);
  const session = await ort.InferenceSession.create(matmulModel(rows, outs, depth, turned), {
    executionProviders: [backend === "gpu" ? "webgpu" : "wasm"],
  });
  const feeds = { a: new ort.Tensor("float32", x, [rows, depth]) };
  const both = [() => ours.run(x), async () => (await session.run(feeds)).y.data];
  return { device: ours.label(), calls: both, results: both };
}

/** The selective scan on the GPU, its states in registers and as a thread a state. */
async function scan({ seqLen, dInner, dState }) {
  const example = await Scan.open(seqLen, dInner, dState);
  const forms = ["registers", "barriers"];
  return {
    device: example.label(),
    calls: forms.map((form) => () => example.run(form)),
    results: forms.map((form) => () => example.output(form)),
  };
}

/** One row of x with whole numbers and with their values in f32, on the CPU. */
function decode({ outs, depth, bits, group }) {
  const both = Decode.open(outs, depth, bits, group);
  return {
    device: both.label(),
    products: [0, 1].map((form) => both.products(form)),
    calls: [0, 1].map((form) => () => both.run(form)),
    results: [0, 1].map((form) => () => both.output(form)),
  };
}

const KINDS = { gemm, scan, decode };

function operands(rows, outs, depth) {
  let seed = 1;
  const next = () => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    return seed / 2 ** 31 - 1;
  };
  const x = Float32Array.from({ length: rows * depth }, next);
  const w = Float32Array.from({ length: outs * depth }, next);
  const turned = new Float32Array(w.length);
  for (let o = 0; o < outs; o++) for (let k = 0; k < depth; k++) turned[k * outs + o] = w[o * depth + k];
  return { x, w, turned };
}

document.title = "ready";
