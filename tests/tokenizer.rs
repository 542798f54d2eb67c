//! Token ids and decoded text equal Hugging Face's on small tokenizers of every published style;
//! whatever is not implemented is refused by name. Cases: tests/tokenizer/make_cases.py.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use whittle::tokenizer::Tokenizer;

#[derive(Deserialize)]
struct Cases {
    tokenizer: Value,
    /// What the template puts before a text.
    #[serde(default)]
    prefix: Vec<u32>,
    /// Text, ids, decoded text.
    cases: Vec<(String, Vec<u32>, String)>,
}

fn load(name: &str) -> (Tokenizer, Cases) {
    load_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/tokenizer/{name}.json")))
}

fn load_from(path: &Path) -> (Tokenizer, Cases) {
    let text = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cases: Cases = serde_json::from_slice(&text).expect("a file of cases");
    let tokenizer = Tokenizer::parse(cases.tokenizer.to_string().as_bytes()).expect("implemented");
    (tokenizer, cases)
}

fn equals_hugging_face(name: &str) {
    let (tokenizer, cases) = load(name);
    compare(name, &tokenizer, &cases);
}

fn compare(name: &str, tokenizer: &Tokenizer, cases: &Cases) {
    assert_eq!(tokenizer.prefix(), cases.prefix, "{name}");
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
fn llama2_style_equals_hugging_face() {
    equals_hugging_face("llama2");
}

#[test]
fn mistral_style_equals_hugging_face() {
    equals_hugging_face("mistral");
}

#[test]
fn gemma_style_equals_hugging_face() {
    equals_hugging_face("gemma");
}

#[test]
fn metaspace_style_equals_hugging_face() {
    equals_hugging_face("metaspace");
}

#[test]
fn opt_style_equals_hugging_face() {
    equals_hugging_face("opt");
}

/// Thousands of texts for each style, where make_cases.py has written them into the folder WHITTLE_CASES.
#[test]
fn wide_comparison_with_hugging_face() {
    let Some(folder) = std::env::var_os("WHITTLE_CASES") else {
        return println!("not run: WHITTLE_CASES names no folder of cases");
    };
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        let (tokenizer, cases) = load_from(&path);
        compare(&path.display().to_string(), &tokenizer, &cases);
        println!("{}: {} texts equal", path.display(), cases.cases.len());
    }
}

#[test]
fn words_style_equals_hugging_face() {
    equals_hugging_face("words");
}

#[test]
fn a_text_that_goes_on_from_another_has_the_tokens_it_has_within() {
    for name in ["llama2", "mistral", "metaspace", "gpt2"] {
        let (tokenizer, _) = load(name);
        let (before, after) = ("The party walked", " home together.");
        let whole = tokenizer.encode(&format!("{before}{after}")).expect("encodable");
        let parts = [tokenizer.encode(before), tokenizer.encode_continued(after)];
        assert_eq!(parts.map(Result::unwrap).concat(), whole, "{name}");
    }
    // By itself the same text begins with a space more where a tokenizer puts one before every text.
    let (llama, _) = load("llama2");
    assert_ne!(llama.encode(" home"), llama.encode_continued(" home"));
}

/// A sound byte-level BPE of three merges, with `changes` laid over its top level.
fn small(changes: Value) -> Value {
    let mut base = json!({
        "added_tokens": [{"id": 7, "content": "<|end|>", "normalized": false, "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
        "post_processor": {"type": "ByteLevel"},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5, "Ã": 6},
            "merges": ["b c", "a b", ["a", "bc"]]}
    });
    let (Some(base_map), Value::Object(changes)) = (base.as_object_mut(), changes) else {
        panic!("both are objects")
    };
    base_map.extend(changes);
    base
}

fn parse(file: &Value) -> Result<Tokenizer, String> {
    Tokenizer::parse(file.to_string().as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn merges_go_by_rank_and_not_from_the_left() {
    let tokenizer = parse(&small(json!({}))).expect("sound");
    // "b c" comes first, so "abcab" is abc + ab although "a b" matches earlier in the text.
    assert_eq!(tokenizer.encode("abcab<|end|>c").expect("encodable"), [5, 3, 7, 2]);
    assert_eq!(tokenizer.vocab_size(), 8);
}

#[test]
fn of_many_added_tokens_the_longest_at_each_place_is_taken() {
    let token = |id: usize, content: String| json!({"id": id, "content": content});
    let mut tokens: Vec<Value> = (0..100_000).map(|i| token(100 + i, format!("<t{i}>"))).collect();
    tokens.push(token(7, "<t1".into()));
    let tokenizer = parse(&small(json!({"added_tokens": tokens}))).expect("sound");
    let ids = tokenizer.encode("a<t1><t12><t99999>b<t1c").expect("encodable");
    assert_eq!(ids, [0, 101, 112, 100_099, 1, 7, 2]);
}

#[test]
fn an_untyped_model_is_read_as_bpe() {
    let mut file = small(json!({}));
    file["model"].as_object_mut().expect("an object").remove("type");
    assert_eq!(parse(&file).expect("sound").encode("ab").expect("encodable"), [3]);
}

#[test]
fn text_that_grows_token_by_token_never_changes_what_was_shown() {
    for name in ["gpt2", "words", "llama2", "metaspace"] {
        let (tokenizer, cases) = load(name);
        for (_, ids, _) in &cases.cases {
            let whole = tokenizer.decode_bytes(ids);
            for end in 0..ids.len() {
                assert!(whole.starts_with(&tokenizer.decode_bytes(&ids[..end])), "{name}: {ids:?}");
            }
        }
    }
}

#[test]
fn half_a_character_decodes_to_a_replacement_and_unknown_ids_to_nothing() {
    let tokenizer = parse(&small(json!({}))).expect("sound");
    assert_eq!(tokenizer.decode_bytes(&[0, 6, 99]), b"a\xc3");
    assert_eq!(tokenizer.decode(&[0, 6, u32::MAX]), "a\u{fffd}");
}

#[test]
fn a_growing_text_shows_whole_characters_only_and_loses_nothing() {
    for name in ["gpt2", "llama3", "llama2", "mistral", "gemma"] {
        let (tokenizer, cases) = load(name);
        for (text, ids, _) in cases.cases.iter().filter(|(text, ..)| !text.contains('\u{fffd}')) {
            for end in 0..ids.len() {
                let shown = tokenizer.decode_whole(&ids[..end]);
                assert!(!shown.contains('\u{fffd}'), "{name}: {text:?}");
                assert!(tokenizer.decode(ids).starts_with(&shown), "{name}: {text:?}");
            }
        }
    }
    let tokenizer = parse(&small(json!({}))).expect("sound");
    // 0xc3 alone is half a character: shown as such only where no other half can come.
    assert_eq!(tokenizer.decode_whole(&[0, 6]), "a");
    assert_eq!(tokenizer.decode_whole(&[0, 6, 1]), "a\u{fffd}b");
}

#[test]
fn a_word_of_a_million_bytes_is_encoded_in_one_go() {
    let tokenizer = parse(&small(json!({}))).expect("sound");
    let text = "ab".repeat(500_000);
    assert_eq!(tokenizer.encode(&text).expect("encodable"), vec![3; 500_000]);
}

#[test]
fn a_vocabulary_of_words_without_an_unknown_token_names_the_word() {
    let file = json!({"pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": {"one": 0}, "unk_token": "<unk>"}});
    let tokenizer = parse(&file).expect("sound");
    assert_eq!(tokenizer.encode(" one\none ").expect("known"), [0, 0]);
    let message = tokenizer.encode("one two").expect_err("unknown").to_string();
    assert!(message.contains("two"), "{message}");
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let model = |changes: Value| {
        let mut file = small(json!({}));
        let Value::Object(changes) = changes else { panic!("an object") };
        file["model"].as_object_mut().expect("an object").extend(changes);
        file
    };
    let added = |flag: &str| {
        let mut token = json!({"id": 7, "content": "<x>"});
        token[flag] = json!(true);
        small(json!({"added_tokens": [token]}))
    };
    let pre = |value: Value| small(json!({"pre_tokenizer": value}));
    let byte_level = json!({"type": "ByteLevel"});
    let split = json!({"type": "Split", "pattern": {"Regex": "a+"}, "behavior": "Isolated"});
    let cases = [
        (model(json!({"type": "Unigram", "vocab": [["a", 0.0]]})), "Unigram"),
        (model(json!({"byte_fallback": true})), "byte_fallback"),
        (model(json!({"dropout": 0.1})), "dropout"),
        (model(json!({"continuing_subword_prefix": "##"})), "continuing_subword_prefix"),
        (model(json!({"end_of_word_suffix": "</w>"})), "end_of_word_suffix"),
        (model(json!({"merges": ["a x"]})), "\"x\""),
        (model(json!({"merges": ["a c"]})), "\"ac\""),
        (model(json!({"merges": ["abc"]})), "a merge"),
        (model(json!({"merges": [["a"]]})), "a merge"),
        (model(json!({"unk_token": "nowhere"})), "nowhere"),
        (model(json!({"vocab": {"a": 4000000}, "merges": []})), "4000000"),
        (model(json!({"vocab": [1]})), "tokenizer.json"),
        (small(json!({"normalizer": {"type": "Lowercase"}})), "Lowercase"),
        (
            small(json!({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}]}})),
            "NFKC",
        ),
        (small(json!({"decoder": null})), "decoder"),
        (small(json!({"decoder": {"type": "Metaspace"}})), "Metaspace"),
        (pre(Value::Null), "ByteLevel"),
        (pre(json!({"type": "Metaspace"})), "Metaspace"),
        (pre(json!({"type": "Sequence", "pretokenizers": [split, byte_level]})), "a+"),
        (pre(json!({"type": "Sequence", "pretokenizers": [byte_level, byte_level]})), "ByteLevel"),
        (
            pre(
                json!({"type": "Sequence", "pretokenizers": vec![json!({"type": "Digits"}); 1000]}),
            ),
            "16",
        ),
        (added("single_word"), "single_word"),
        (small(json!({"added_tokens": [{"id": 9, "content": "ab"}]})), "\"ab\""),
        (small(json!({"model": null})), "tokenizer.json"),
    ];
    for (file, word) in cases {
        let Err(message) = parse(&file) else { panic!("accepted; expected an error with {word}") };
        assert!(message.starts_with("tokenizer.json") && message.contains(word), "{message}");
    }
}

#[test]
fn what_is_not_a_tokenizer_file_says_so() {
    let cases: [(&[u8], &str); 4] = [
        (b"", "empty"),
        (b"<html>", "HTML"),
        (b"{}", "model"),
        (b"{\"model\": {\"type\": \"BPE\", \"vocab\"", "tokenizer"),
    ];
    for (bytes, word) in cases {
        let Err(error) = Tokenizer::parse(bytes) else { panic!("accepted {bytes:?}") };
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn every_truncation_and_many_flips_of_a_sound_file_never_panic() {
    let sound = small(json!({"normalizer": {"type": "NFC"}})).to_string().into_bytes();
    let mut state = 88_172_645_463_325_252u64;
    let mut random = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % n
    };
    let (mut accepted, mut refused) = (0, 0);
    let mut check = |bytes: &[u8]| match Tokenizer::parse(bytes) {
        Err(_) => refused += 1,
        Ok(tokenizer) => {
            accepted += 1;
            if let Ok(ids) = tokenizer.encode("abc<|end|> e\u{301} 12  ab") {
                tokenizer.decode(&ids);
            }
        }
    };
    (0..=sound.len()).for_each(|end| check(&sound[..end]));
    for _ in 0..5_000 {
        let mut bytes = sound.clone();
        let at = random(bytes.len());
        bytes[at] = random(128) as u8;
        check(&bytes);
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}
