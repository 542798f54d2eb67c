//! Random weights in the shape of a config.json: the same every time, loadable, marked, and bounded before they are made.
#![cfg(not(target_arch = "wasm32"))]

use whittle::backend::Device;
use whittle::models::{Model, NoHooks};
use whittle::session::open;
use whittle::session::shape::{BUILT_IN, Shape};
use whittle::weights::Dtype;

const TINY: [&str; 4] = [
    r#"{"model_type": "mamba", "vocab_size": 300, "hidden_size": 24, "num_hidden_layers": 2, "state_size": 5, "dtype": "float32"}"#,
    r#"{"model_type": "mamba2", "vocab_size": 300, "hidden_size": 24, "num_hidden_layers": 2, "state_size": 6, "num_heads": 4,
        "head_dim": 12, "n_groups": 2, "use_bias": true}"#,
    r#"{"model_type": "llama", "vocab_size": 300, "hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 40,
        "num_attention_heads": 4, "num_key_value_heads": 2, "attention_bias": true, "mlp_bias": true}"#,
    r#"{"model_type": "gpt_neox", "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 40,
        "num_attention_heads": 2}"#,
];

fn shape(text: &str) -> Shape {
    Shape::parse(text).expect("begins with shape:").expect("valid")
}

fn weights(shape: &Shape, config: &str) -> Vec<u8> {
    let files = shape.files(config.as_bytes()).unwrap();
    files.into_iter().find(|(name, _)| name == "model.safetensors").unwrap().1
}

#[test]
fn every_family_loads_runs_and_stays_finite_in_its_random_shape() {
    for config in TINY {
        let loaded = open(shape("shape:tiny,seed=3").files(config.as_bytes()).unwrap()).unwrap();
        assert!(loaded.label.contains("Random weights"), "{}", loaded.label);
        assert!(loaded.card.contains("says nothing"));
        let ids = loaded.tokenizer.encode("Any text, é\n").unwrap();
        assert_eq!(ids.len(), "Any text, é\n".len(), "a token for every byte");
        assert_eq!(loaded.tokenizer.decode(&ids), "Any text, é\n");
        let device = Device::Cpu;
        let model = Model::load(&device, &loaded.config, &loaded.weights).unwrap();
        let hidden = model.forward(&device, &ids, &mut model.start(&device), &mut NoHooks);
        let logits = model.logits(&device, &hidden);
        assert!(logits.cpu().iter().all(|x| x.is_finite() && x.abs() < 100.0), "{config}");
    }
}

#[test]
fn equal_seeds_give_equal_bytes_and_other_seeds_other_weights() {
    let make = |text: &str| weights(&shape(text), TINY[0]);
    assert_eq!(make("shape:t"), make("shape:t,seed=0"));
    assert_ne!(make("shape:t"), make("shape:t,seed=1"));
    assert!(make("shape:t,f16").len() * 10 < make("shape:t").len() * 6, "half the bytes");
    assert_eq!(shape("shape:a/b.json,f16,seed=9").dtype, Some(Dtype::F16));
    assert!(Shape::parse("lm-llama").is_none());
    assert!(Shape::parse("shape:t,f8").unwrap().is_err());
}

#[test]
fn the_built_in_shapes_have_the_published_numbers_of_parameters() {
    // As Hugging Face counts them: tied heads once.
    let published = [129_135_360u64, 128_989_632, 162_322_944, 134_515_008];
    for ((name, json), expected) in BUILT_IN.into_iter().zip(published) {
        let config = whittle::config::ModelConfig::parse(json.as_bytes()).unwrap();
        let found: u64 = whittle::models::tensors(&config).iter().map(|t| t.elements()).sum();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_shape_too_large_to_make_is_refused_before_it_is_made() {
    let huge = r#"{"model_type": "llama", "vocab_size": 32000, "hidden_size": 8192, "num_hidden_layers": 80,
        "intermediate_size": 28672, "num_attention_heads": 64}"#;
    let error = shape("shape:huge").files(huge.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("MB of random weights"), "{error}");
}
