//! Inputs changed at random, with a fixed seed: whatever comes, there is a result or an error, and never a panic.
//!
//! A few seconds in all; WHITTLE_FUZZ=NUMBER sets how many inputs each target tries, for hours by hand.

use super::tiny::{safetensors, tiny, tokenizer};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use whittle::Rng;
use whittle::backend::Device;
use whittle::config::ModelConfig;
use whittle::method::Setting;
use whittle::models::{Model, NoHooks};
use whittle::session::link::Link;
use whittle::session::open;
use whittle::session::spec::RunSpec;
use whittle::tokenizer::Tokenizer;
use whittle::weights::Checkpoint;

/// Inputs that a target tries.
pub fn tries(few: usize) -> usize {
    std::env::var("WHITTLE_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}

/// A few bytes replaced, doubled, taken out, or all behind a place cut off.
pub fn mutated(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    const WORDS: [&[u8]; 10] = [
        b"0",
        b"-1",
        b"99999999999999999999",
        b"1e400",
        b"null",
        b"[]",
        b"{}",
        b"\"",
        b"\xff",
        b"%",
    ];
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + rng.below(3) {
        let at = rng.below(bytes.len().max(1)).min(bytes.len());
        let end = (at + rng.below(6)).min(bytes.len());
        match rng.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..end, WORDS[rng.below(WORDS.len())].to_vec())),
            2 => {
                let part = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, part));
            }
            3 => drop(bytes.drain(at..end)),
            _ if at < bytes.len() => bytes[at] = rng.below(256) as u8,
            _ => {}
        }
    }
    bytes
}

/// Runs `target` on each input; it says whether the input was taken. Both must happen, or nothing was tried.
pub fn fuzz<T: std::fmt::Debug>(inputs: impl Iterator<Item = T>, target: impl Fn(&T) -> bool) {
    let (mut taken, mut refused) = (0, 0);
    for (number, input) in inputs.enumerate() {
        match catch_unwind(AssertUnwindSafe(|| target(&input))) {
            Ok(true) => taken += 1,
            Ok(false) => refused += 1,
            Err(_) => panic!("input {number} panics: {input:?}"),
        }
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}

#[test]
fn a_config_goes_through_a_forward_pass_or_is_refused() {
    let base = tiny(1);
    let fields: Vec<String> = base.config.as_object().expect("an object").keys().cloned().collect();
    let more = [
        "head_dim",
        "attention_bias",
        "rope_theta",
        "rope_scaling",
        "mlp_bias",
        "partial_rotary_factor",
    ];
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(2),
        json!(3),
        json!(4),
        json!(8),
        json!(16),
        json!(-1),
        json!(1e-30),
        json!(0.5),
        json!(1e38),
        json!(1e300),
        json!(4294967296u64),
        json!("silu"),
        json!([1, 2]),
        json!({"rope_type": "linear", "factor": 2.0}),
        json!({"rope_type": "llama3", "factor": 1e-300}),
        json!({}),
    ];
    let mut rng = Rng::new(5);
    let inputs = (0..tries(1500)).map(|_| {
        let mut config = base.config.clone();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(fields.len() + more.len());
            let field = fields.get(at).map_or_else(|| more[at - fields.len()], String::as_str);
            config[field] = values[rng.below(values.len())].clone();
        }
        config
    });
    let files = base.files();
    fuzz(inputs, |config| {
        let mut files = files.clone();
        files[0].1 = config.to_string().into_bytes();
        let Ok(loaded) = open(files) else { return false };
        let model = Model::load(&Device::Cpu, &loaded.config, &loaded.weights).expect("opened");
        let mut state = model.start(&Device::Cpu);
        let ids = loaded.encode("ab").expect("bytes");
        model.forward(&Device::Cpu, &ids, &mut state, &mut NoHooks);
        model.forward(&Device::Cpu, &ids[..1], &mut state, &mut NoHooks);
        true
    });
}

#[test]
fn the_bytes_of_a_config_are_read_or_refused() {
    let sound = tiny(1).config.to_string().into_bytes();
    let mut rng = Rng::new(6);
    let inputs = (0..tries(20_000)).map(|_| mutated(&sound, &mut rng));
    fuzz(inputs, |bytes| ModelConfig::parse(bytes).is_ok());
}

#[test]
fn a_safetensors_file_is_opened_or_refused() {
    let mut small = tiny(1);
    small.tensors.retain(|name, _| name.contains("layernorm"));
    let sound = safetensors(&small.tensors);
    let header = 8 + u64::from_le_bytes(sound[..8].try_into().expect("eight bytes")) as usize;
    let mut rng = Rng::new(7);
    let inputs = (0..tries(20_000)).map(|number| match number % 3 {
        // A new header of the right length, so that more than the length is tried.
        0 => {
            let json = mutated(&sound[8..header], &mut rng);
            [&(json.len() as u64).to_le_bytes()[..], &json, &sound[header..]].concat()
        }
        1 => mutated(&sound, &mut rng),
        _ => {
            let mut bytes = sound.clone();
            bytes[8 + rng.below(header - 8)] = rng.below(128) as u8;
            bytes
        }
    });
    fuzz(inputs, |bytes| {
        let opened = Checkpoint::open(vec![("model.safetensors".into(), bytes.clone())]);
        let Ok(checkpoint) = opened else { return false };
        for name in checkpoint.names() {
            let shape = checkpoint.shape(name).expect("listed").to_vec();
            let _ = checkpoint.tensor(name, &shape).map(|tensor| tensor.to_f32());
        }
        true
    });
}

#[test]
fn a_tokenizer_encodes_and_decodes_or_is_refused() {
    let mut pieces = tokenizer();
    pieces["normalizer"] = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]});
    pieces["pre_tokenizer"] = Value::Null;
    pieces["decoder"] = json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]});
    pieces["model"] = json!({"type": "BPE", "vocab": {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "ab": 4, "▁ab": 5, "<0xE3>": 6},
        "merges": ["a b", "▁ ab"], "unk_token": "<unk>", "byte_fallback": true, "fuse_unk": true});
    let sound = [tokenizer(), pieces].map(|file| file.to_string().into_bytes());
    let mut rng = Rng::new(8);
    let inputs = (0..tries(4000)).map(|number| {
        let text = mutated("ab <|end|> e\u{301}日本\n\t a  b".as_bytes(), &mut rng);
        let file = &sound[number % 2];
        // The vocabulary is most of the file; what stands round it decides more.
        let (front, back) = (rng.below(2), 400.min(file.len()));
        let file = match front {
            0 => mutated(file, &mut rng),
            _ => [mutated(&file[..back], &mut rng), file[back..].to_vec()].concat(),
        };
        (file, String::from_utf8_lossy(&text).into_owned())
    });
    fuzz(inputs, |(file, text)| {
        let Ok(tokenizer) = Tokenizer::parse(file) else { return false };
        if let Ok(ids) = tokenizer.encode(text) {
            let whole = tokenizer.decode(&ids);
            for end in 0..=ids.len() {
                let shown = tokenizer.decode_whole(&ids[..end]);
                assert!(whole.starts_with(&shown), "{shown:?} is no beginning of {whole:?}");
            }
        }
        tokenizer.decode(&[0, 1, 6, 6, 255, 256, u32::MAX]);
        true
    });
}

#[test]
fn a_link_and_a_spec_are_read_or_refused() {
    let mut spec = RunSpec::first();
    spec.set("prompt", "Größe & 100 %\n日本").expect("a prompt");
    let link = spec.fragment("0123456789abcdef0123").into_bytes();
    let mut rng = Rng::new(9);
    let inputs =
        (0..tries(20_000)).map(|_| String::from_utf8_lossy(&mutated(&link, &mut rng)).into_owned());
    fuzz(inputs, |link| match Link::parse(link) {
        Ok(Some(read)) => {
            let again = Link::parse(&read.spec.fragment("0123456789abcdef"));
            let again = again.expect("made here").expect("not empty");
            assert_eq!(again.spec.values(), read.spec.values());
            true
        }
        Ok(None) => true,
        Err(_) => false,
    });
    let specs = [
        "mrp:pattern=2:4,mask=S",
        "sparsegpt:sparsity=0.5",
        "structured:unit=heads,share=0.25",
        "magnitude",
    ];
    let inputs = (0..tries(20_000))
        .map(|n| String::from_utf8_lossy(&mutated(specs[n % 4].as_bytes(), &mut rng)).into_owned());
    fuzz(inputs, |text| match Setting::parse(text, &whittle::prune::abouts()) {
        Ok(Some(setting)) => {
            let again = Setting::parse(&setting.to_string(), &whittle::prune::abouts());
            assert_eq!(
                again.expect("made here").expect("a method").to_string(),
                setting.to_string()
            );
            true
        }
        Ok(None) => true,
        Err(_) => false,
    });
}
