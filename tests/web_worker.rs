//! The engine in a dedicated worker, as `wasm-pack test --headless --chrome` opens it.
#![cfg(target_arch = "wasm32")]

mod browser;

use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
async fn every_shader_agrees_with_its_cpu_form() {
    assert!(
        browser::global_has("DedicatedWorkerGlobalScope"),
        "this test must run in a dedicated worker"
    );
    browser::every_shader_agrees_with_its_cpu_form().await;
}

#[wasm_bindgen_test]
async fn an_invalid_shader_is_an_error_and_not_zeros() {
    browser::an_invalid_shader_is_an_error_and_not_zeros().await;
}

#[wasm_bindgen_test]
async fn models_equal_transformers() {
    browser::models_equal_transformers().await;
}
