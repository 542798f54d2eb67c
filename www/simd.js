// Which of the two engines this browser runs: the one that may round a product and its sum once where the processor
// does (relaxed SIMD), or the one whose bits are the same everywhere. A plain script, also for the service worker.

/** A function of one instruction, f32x4.relaxed_madd of three zeros, is valid where the browser knows it. */
globalThis.isRelaxed = WebAssembly.validate(
  // biome-ignore format: sections as they follow each other
  new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0,
    1, 5, 1, 96, 0, 1, 123,
    3, 2, 1, 0,
    10, 19, 1, 17, 0, 65, 0, 253, 17, 65, 0, 253, 17, 65, 0, 253, 17, 253, 133, 2, 11,
  ]),
);
