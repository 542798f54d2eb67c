// The worker's first lines: load the one wasm module, whose `main` takes over.
import init from "./worker.js";
await init();
