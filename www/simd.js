// Whether this browser runs the engine for relaxed SIMD, whose products and sums may be rounded once. A plain script, for the
// service worker too. The module holds one function: f32x4.relaxed_madd of three zeros.
globalThis.isRelaxed = WebAssembly.validate(Uint8Array.from(atob("AGFzbQEAAAABBQFgAAF7AwIBAAoTAREAQQD9EUEA/RFBAP0R/YUCCw=="), (byte) => byte.charCodeAt(0)));
