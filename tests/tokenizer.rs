//! Token ids and decoded text equal Hugging Face's on small tokenizers of every published style;
//! whatever is not implemented is refused by name. Cases: tests/tokenizer/make_cases.py.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use whittle::tokenizer::Tokenizer;

#[derive(Deserialize)]
struct Cases {
    tokenizer: Value,
    /// Text, ids, decoded text.
    cases: Vec<(String, Vec<u32>, String)>,
}

fn load(name: &str) -> (Tokenizer, Cases) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/tokenizer/{name}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cases: Cases = serde_json::from_slice(&text).expect("a file of cases");
    let tokenizer = Tokenizer::parse(cases.tokenizer.to_string().as_bytes()).expect("implemented");
    (tokenizer, cases)
}

fn equals_hugging_face(name: &str) {
    let (tokenizer, cases) = load(name);
    assert!(cases.cases.len() > 100, "{name}: {} cases", cases.cases.len());
    for (text, ids, decoded) in &cases.cases {
        let found = tokenizer.encode(text).expect("encodable");
        assert_eq!(&found, ids, "{name}: {text:?}");
        assert_eq!(&tokenizer.decode(ids), decoded, "{name}: {ids:?}");
    }
}

#[test]
fn gpt2_style_equals_hugging_face() {
    equals_hugging_face("gpt2");
}

#[test]
fn gpt_neox_style_equals_hugging_face() {
    equals_hugging_face("gpt_neox");
}

#[test]
fn smollm2_style_equals_hugging_face() {
    equals_hugging_face("smollm2");
}

#[test]
fn llama3_style_equals_hugging_face() {
    equals_hugging_face("llama3");
}

#[test]
fn qwen2_style_equals_hugging_face() {
    equals_hugging_face("qwen2");
}

#[test]
fn prefix_space_style_equals_hugging_face() {
    equals_hugging_face("prefix_space");
}

#[test]
fn bytes_missing_style_equals_hugging_face() {
    equals_hugging_face("bytes_missing");
}

#[test]
fn bytes_unknown_style_equals_hugging_face() {
    equals_hugging_face("bytes_unknown");
}

#[test]
fn words_style_equals_hugging_face() {
    equals_hugging_face("words");
}
