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

/// The browser reads them, natively Rust does.
#[wasm_bindgen_test]
fn numbers_of_settings_are_read_as_rust_reads_them() {
    for text in [
        "0.5",
        "-3",
        "+1",
        "1e-3",
        ".5",
        "5.",
        "1.e5",
        "0.30000000000000004",
        "1.7976931348623157e308",
        "4.9e-324",
        "1e400",
        "",
        ".",
        "-",
        "1e",
        " 1",
        "1 ",
        "0x10",
        "1_0",
        "--1",
        "1,5",
        "1n",
    ] {
        let rust = text.parse::<f64>().ok().map(f64::to_bits);
        assert_eq!(whittle::method::decimal(text).map(f64::to_bits), rust, "{text:?}");
    }
}

/// The browser knows large and small letters, natively Rust does.
#[wasm_bindgen_test]
fn texts_are_capitalised_as_rust_capitalises_them() {
    for text in
        ["", "He SAYS so", "éTUDE", "ßA", "ŉ", "ΟΔΟΣ ΟΔΟΣ.", "İI", "Ǆ", "ﬃX", "𐐨𐐀", "中文 A"]
    {
        let mut chars = text.chars();
        let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
        let rust = first + &chars.as_str().to_lowercase();
        assert_eq!(whittle::eval::capitalized(text), rust, "{text:?}");
    }
}
