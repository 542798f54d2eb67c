//! WebGPU in a page's window, as `wasm-pack test --headless --chrome` opens it.
#![cfg(target_arch = "wasm32")]

mod browser;

use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
async fn a_compute_shader_gives_the_right_numbers_in_a_window() {
    assert!(browser::global_has("document"), "this test must run in a window");
    browser::the_device_computes().await;
}
