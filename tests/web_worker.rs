//! The engine in a dedicated worker, as `wasm-pack test --headless --chrome` opens it.
#![cfg(target_arch = "wasm32")]

mod browser;

use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use whittle::weights::{Bytes, Checkpoint};

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

/// Layers are read at once, in whatever order their tensors are asked for.
#[wasm_bindgen_test]
fn a_file_that_the_browser_holds_gives_what_one_in_memory_gives() {
    // Of layers 1 and 10, which begin alike, and of none; below and above the size that is worth a layer.
    let names = ["embed.w", "layers.1.a", "layers.1.b", "layers.1.c", "layers.10.a", "layers.10.b"];
    let sizes = [70_000, 90_000, 4, 200_000, 90_000, 8];
    let mut at = 0;
    let entries = names.iter().zip(sizes).map(|(name, size)| {
        let (start, count) = (at, size / 4);
        at += size;
        format!(r#""{name}":{{"dtype":"F32","shape":[{count}],"data_offsets":[{start},{at}]}}"#)
    });
    let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend((0..at).map(|i| (i * (i % 1009) % 251) as u8));
    let parts = js_sys::Array::of1(&js_sys::Uint8Array::from(&file[..]));
    let blob = web_sys::Blob::new_with_u8_array_sequence(&parts).expect("a file");
    let open = |bytes: Bytes| Checkpoint::open(vec![("model.safetensors".into(), bytes)]);
    let held = open(file.into()).expect("sound");
    for order in [[0, 1, 2, 3, 4, 5], [3, 2, 1, 0, 5, 4], [1, 4, 3, 2, 0, 1], [2, 2, 3, 5, 1, 4]] {
        let opened = open(Bytes::Opened(blob.clone())).expect("sound");
        for name in order.map(|at: usize| names[at]) {
            assert_eq!(opened.stored(name), held.stored(name), "{name} in {order:?}");
        }
        assert_eq!(opened.sha256(), held.sha256());
    }
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
