//! WebGPU in a dedicated worker, where the engine lives.
#![cfg(target_arch = "wasm32")]

mod browser;

use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
async fn a_compute_shader_gives_the_right_numbers_in_a_dedicated_worker() {
    assert!(!browser::global_has("document"), "this test must run in a worker");
    assert!(
        browser::global_has("DedicatedWorkerGlobalScope"),
        "this test must run in a dedicated worker"
    );
    browser::the_device_computes().await;
}
