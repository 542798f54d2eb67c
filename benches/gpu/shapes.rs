//! Models of published sizes with seeded weights: speed does not depend on what was learned.

use half::f16;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::rc::Rc;
use whittle::Rng;
use whittle::config::ModelConfig;
use whittle::models::Weights;
use whittle::weights::Checkpoint;

/// A name and its config.json.
pub struct Shape {
    pub name: &'static str,
    pub config: Value,
}

/// The sizes of `state-spaces/mamba-130m-hf`, `AntonV/mamba2-130m-hf`, `HuggingFaceTB/SmolLM2-135M`, and three of about
/// 1.3 to 1.7 billion weights: `mamba-1.4b`, `mamba2-1.3b`, `SmolLM2-1.7B`.
pub fn shapes(quick: bool) -> Vec<Shape> {
    if quick {
        return vec![
            Shape { name: "mamba, tiny", config: mamba(64, 2, 200) },
            Shape { name: "mamba2, tiny", config: mamba2(64, 2, 200) },
            Shape { name: "llama, tiny", config: llama(64, 2, [4, 2], 128, 200) },
        ];
    }
    vec![
        Shape { name: "mamba-130m", config: mamba(768, 24, 50_280) },
        Shape { name: "mamba2-130m", config: mamba2(768, 24, 50_288) },
        Shape { name: "SmolLM2-135M", config: llama(576, 30, [9, 3], 1536, 49_152) },
        Shape { name: "mamba-1.4b", config: mamba(2048, 48, 50_280) },
        Shape { name: "mamba2-1.3b", config: mamba2(2048, 48, 50_288) },
        Shape { name: "SmolLM2-1.7B", config: llama(2048, 24, [32, 32], 8192, 49_152) },
    ]
}

fn mamba(width: usize, layers: usize, vocab: usize) -> Value {
    json!({
        "model_type": "mamba", "vocab_size": vocab, "hidden_size": width, "num_hidden_layers": layers,
        "state_size": 16, "conv_kernel": 4, "expand": 2, "tie_word_embeddings": true,
    })
}

fn mamba2(width: usize, layers: usize, vocab: usize) -> Value {
    let headdim = if width < 128 { 16 } else { 64 };
    json!({
        "model_type": "mamba2", "vocab_size": vocab, "hidden_size": width, "num_hidden_layers": layers,
        "state_size": 128, "conv_kernel": 4, "expand": 2, "n_groups": 1, "head_dim": headdim,
        "num_heads": 2 * width / headdim, "tie_word_embeddings": true,
    })
}

fn llama(width: usize, layers: usize, heads: [usize; 2], ff: usize, vocab: usize) -> Value {
    json!({
        "model_type": "llama", "vocab_size": vocab, "hidden_size": width, "num_hidden_layers": layers,
        "num_attention_heads": heads[0], "num_key_value_heads": heads[1], "intermediate_size": ff,
        "rope_theta": 100_000.0, "tie_word_embeddings": true, "max_position_embeddings": 8192,
    })
}

impl Shape {
    pub fn parse(&self) -> ModelConfig {
        let bytes = serde_json::to_vec(&self.config).expect("JSON");
        ModelConfig::parse(&bytes).expect("a configuration that transformers publishes")
    }

    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let size = |name: &str| self.config[name].as_u64().unwrap_or(0) as usize;
        let (vocab, d, layers) =
            (size("vocab_size"), size("hidden_size"), size("num_hidden_layers"));
        let (inner, n) = (2 * d, size("state_size"));
        let mut list: Vec<(String, Vec<usize>)> = Vec::new();
        let mut add = |name: String, shape: &[usize]| list.push((name, shape.to_vec()));
        match self.config["model_type"].as_str() {
            Some("llama") => {
                let (ff, head) = (size("intermediate_size"), d / size("num_attention_heads"));
                let kv = size("num_key_value_heads") * head;
                add("model.embed_tokens.weight".into(), &[vocab, d]);
                add("model.norm.weight".into(), &[d]);
                for i in 0..layers {
                    let at = |part: &str| format!("model.layers.{i}.{part}.weight");
                    add(at("input_layernorm"), &[d]);
                    add(at("post_attention_layernorm"), &[d]);
                    for (part, rows) in [("q", d), ("k", kv), ("v", kv), ("o", d)] {
                        add(at(&format!("self_attn.{part}_proj")), &[rows, d]);
                    }
                    add(at("mlp.gate_proj"), &[ff, d]);
                    add(at("mlp.up_proj"), &[ff, d]);
                    add(at("mlp.down_proj"), &[d, ff]);
                }
            }
            family => {
                let heads = size("num_heads");
                let is_second = family == Some("mamba2");
                add("backbone.embeddings.weight".into(), &[vocab, d]);
                add("backbone.norm_f.weight".into(), &[d]);
                for i in 0..layers {
                    let at = |part: &str| format!("backbone.layers.{i}.{part}");
                    let conv = if is_second { inner + 2 * n } else { inner };
                    add(at("norm.weight"), &[d]);
                    add(at("mixer.conv1d.weight"), &[conv, 1, 4]);
                    add(at("mixer.conv1d.bias"), &[conv]);
                    add(at("mixer.out_proj.weight"), &[d, inner]);
                    if is_second {
                        add(at("mixer.in_proj.weight"), &[inner + conv + heads, d]);
                        add(at("mixer.norm.weight"), &[inner]);
                        for part in ["dt_bias", "A_log", "D"] {
                            add(at(&format!("mixer.{part}")), &[heads]);
                        }
                    } else {
                        let rank = d.div_ceil(16);
                        add(at("mixer.in_proj.weight"), &[2 * inner, d]);
                        add(at("mixer.x_proj.weight"), &[rank + 2 * n, inner]);
                        add(at("mixer.dt_proj.weight"), &[inner, rank]);
                        add(at("mixer.dt_proj.bias"), &[inner]);
                        add(at("mixer.A_log"), &[inner, n]);
                        add(at("mixer.D"), &[inner]);
                    }
                }
            }
        }
        list
    }

    /// Every weight in f16, seeded.
    pub fn weights(&self) -> Weights {
        let (mut header, mut data) = (Map::new(), Vec::new());
        let mut blocks = Blocks::default();
        for (name, shape) in self.tensors() {
            let start = data.len();
            blocks.append(&mut data, &name, &shape);
            let about =
                json!({ "dtype": "F16", "shape": shape, "data_offsets": [start, data.len()] });
            header.insert(name, about);
        }
        let mut text = serde_json::to_vec(&header).expect("JSON");
        text.resize(text.len().next_multiple_of(8), b' ');
        let mut file = (text.len() as u64).to_le_bytes().to_vec();
        file.append(&mut text);
        file.append(&mut data);
        let checkpoint = Checkpoint::open(vec![("model.safetensors".into(), file)]);
        Weights::new(Rc::new(checkpoint.expect("a checkpoint of the right form")))
    }
}

/// A million random numbers a scale, used again and again: drawing billions would take longer than measuring.
#[derive(Default)]
struct Blocks(HashMap<u32, Vec<u8>>);

impl Blocks {
    fn append(&mut self, data: &mut Vec<u8>, name: &str, shape: &[usize]) {
        let n: usize = shape.iter().product();
        let fill = |x: f32| f16::from_f32(x).to_le_bytes().repeat(n);
        let end = |part: &str| name.ends_with(part);
        if end("norm.weight") || end("layernorm.weight") || end("norm_f.weight") || end(".D") {
            return data.extend(fill(1.0));
        }
        if end("dt_bias") || end("dt_proj.bias") {
            return data.extend(fill(-4.0));
        }
        if end("A_log") {
            return data.extend(fill(1.0));
        }
        // Keeps the size of what goes in; a first layer of unit rows needs a larger table.
        let fan_in = shape.last().copied().unwrap_or(1).max(4);
        let scale = if end("embeddings.weight") || end("embed_tokens.weight") {
            1.0
        } else {
            (3.0 / fan_in as f32).sqrt()
        };
        let block = self.0.entry(scale.to_bits()).or_insert_with(|| {
            let mut rng = Rng::new(u64::from(scale.to_bits()));
            let draw = |_| f16::from_f32((2.0 * rng.uniform() - 1.0) * scale).to_le_bytes();
            (0..1_000_003).flat_map(draw).collect()
        });
        let mut left = 2 * n;
        while left > 0 {
            let part = left.min(block.len());
            data.extend_from_slice(&block[..part]);
            left -= part;
        }
    }
}
