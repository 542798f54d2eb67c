//! Random valid architectures of every family go through scoring, token reduction and pruning: what config.json accepts
//! must run. An error from a method is an answer (a layer that is not there, a unit that a family lacks); a panic,
//! a value that is not finite, or a refusal to score is a fault.
#![cfg(not(target_arch = "wasm32"))]

use pollster::block_on;
use serde_json::{Value, json};
use whittle::Rng;
use whittle::backend::{Device, Ids, gpu_for_tests};
use whittle::config::FAMILIES;
use whittle::method::Setting;
use whittle::models::{Hooks, Model, NoHooks, Wanted, check_sequence};
use whittle::pace::Pace;
use whittle::prune::{self, Subject};
use whittle::reduce::{self, Reducer};
use whittle::session::shape::Shape;
use whittle::session::{Loaded, open};

/// Architectures of each family, on the CPU and (slow: most adapters of test machines are programs) on the GPU.
const ON_CPU: usize = 12;
const ON_GPU: usize = 1;

struct Draw(Rng);

impl Draw {
    fn of<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.0.below(options.len())]
    }

    fn flag(&mut self) -> bool {
        self.0.below(2) == 1
    }

    fn mamba(&mut self) -> Value {
        json!({"hidden_size": self.of(&[1, 7, 24, 25, 33]), "state_size": self.of(&[1, 3, 16, 130]), "expand": self.of(&[1, 2, 3]),
            "conv_kernel": self.of(&[1, 2, 4, 7, 64]), "time_step_rank": self.of(&[1, 2, 5]), "use_bias": self.flag(),
            "use_conv_bias": self.flag()})
    }

    /// Heads of a Mamba-2: (hidden_size, heads, head width, groups).
    fn mamba2_heads(&mut self) -> [usize; 4] {
        let (headdim, n_groups, each) =
            (self.of(&[1, 2, 5, 16]), self.of(&[1, 2, 3]), self.of(&[1, 2, 4]));
        [headdim * n_groups * each, 2 * n_groups * each, headdim, n_groups]
    }

    fn mamba2(&mut self) -> Value {
        let [hidden, heads, headdim, groups] = self.mamba2_heads();
        json!({"hidden_size": hidden, "num_heads": heads, "head_dim": headdim, "n_groups": groups, "expand": 2,
            "state_size": self.of(&[1, 6, 64, 130]), "conv_kernel": self.of(&[1, 2, 4, 64]),
            "chunk_size": self.of(&[1, 16, 4096]), "use_bias": self.flag(), "use_conv_bias": self.flag()})
    }

    fn llama(&mut self) -> Value {
        let (kv, each, headdim) =
            (self.of(&[1, 2, 3]), self.of(&[1, 2, 4]), self.of(&[2, 6, 16, 256]));
        json!({"hidden_size": kv * each * self.of(&[1, 3, 8]), "num_attention_heads": kv * each, "num_key_value_heads": kv,
            "head_dim": headdim, "intermediate_size": self.of(&[1, 5, 9, 33, 64]), "attention_bias": self.flag(),
            "mlp_bias": self.flag(), "sliding_window": null})
    }

    fn equal_heads(&mut self, names: [&str; 3]) -> Value {
        let n_head = self.of(&[1, 2, 3]);
        let mut config = json!({"rotary_pct": 0.5});
        config[names[0]] = json!(n_head * self.of(&[4, 8, 12, 64]));
        config[names[1]] = json!(n_head);
        config[names[2]] = json!(self.of(&[1, 5, 17, 50]));
        config
    }

    fn granite(&mut self) -> Value {
        let [hidden, heads, headdim, groups] = self.mamba2_heads();
        let kinds: Vec<&str> = (0..3).map(|_| self.of(&["mamba", "attention"])).collect();
        json!({"hidden_size": hidden, "mamba_n_heads": heads, "mamba_d_head": headdim, "mamba_n_groups": groups,
            "mamba_d_state": self.of(&[1, 6, 64]), "mamba_d_conv": self.of(&[1, 3, 4]), "num_attention_heads": 2,
            "num_key_value_heads": self.of(&[1, 2]), "head_dim": 6, "num_local_experts": 0,
            "shared_intermediate_size": self.of(&[1, 9, 40]), "layer_types": kinds, "num_hidden_layers": 3,
            "position_embedding_type": self.of(&[None, Some("rope")]), "residual_multiplier": 0.3, "logits_scaling": 4})
    }

    fn config(&mut self, family: &str) -> Value {
        let mut config = match family {
            "mamba" | "falcon_mamba" => self.mamba(),
            "mamba2" => self.mamba2(),
            "gpt_neox" => {
                self.equal_heads(["hidden_size", "num_attention_heads", "intermediate_size"])
            }
            "gpt2" => self.equal_heads(["n_embd", "n_head", "n_inner"]),
            "opt" => self.equal_heads(["hidden_size", "num_attention_heads", "ffn_dim"]),
            "granitemoehybrid" => self.granite(),
            _ => self.llama(),
        };
        config["model_type"] = json!(family);
        config["vocab_size"] = json!(self.of(&[256, 300]));
        config["tie_word_embeddings"] = json!(self.flag());
        let layers = if family == "gpt2" { "n_layer" } else { "num_hidden_layers" };
        if config[layers].is_null() {
            config[layers] = json!(self.of(&[1, 2, 5]));
        }
        config
    }
}

fn parse(spec: &str, abouts: &[&'static whittle::method::About]) -> Setting {
    Setting::parse(spec, abouts).unwrap().unwrap()
}

/// A pass of which the last row is wanted gives the last of these rows, `[tokens, d_model]` and normed, and nothing else.
fn check_last_row(
    device: &Device,
    model: &Model,
    ids: &Ids,
    hooks: &mut dyn Hooks,
    (rows, what): (&[f32], &str),
) {
    let alone = model.forward_ids(device, ids, &mut model.start(device), hooks, Wanted::LastRow);
    let alone = block_on(device.read(&alone)).unwrap();
    let last = &rows[rows.len() - model.head().cols()..];
    assert_eq!(alone.len(), last.len(), "{what}");
    // One row may be multiplied by another kernel than many: sums in another order, of values of about 1.
    let differs = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-3 * (1.0 + b.abs());
    assert!(!alone.iter().zip(last).any(differs), "{what}");
}

fn finite(device: &Device, loaded: &Loaded, model: &Model, ids: &[u32]) -> bool {
    let read = device.ids(&ids[..ids.len() - 1]);
    let mut state = model.start(device);
    let hidden = model.forward_ids(device, &read, &mut state, &mut NoHooks, Wanted::EveryRow);
    let rows = block_on(device.read(&hidden)).unwrap();
    if rows.iter().all(|x| x.is_finite()) {
        check_last_row(device, model, &read, &mut NoHooks, (&rows, loaded.config.family()));
    }
    let nll = model.nll(device, &hidden, &device.ids(&ids[1..]));
    assert_eq!(loaded.config.n_layer(), loaded.config.layers.len());
    block_on(device.read(&nll)).unwrap().iter().all(|x| x.is_finite())
}

fn reduce_all(device: &Device, loaded: &Loaded, model: &Model, ids: &[u32]) -> usize {
    let mut ran = 0;
    for about in reduce::abouts() {
        for knobs in ["", ":keep=0.5", ":cut=0.1,guard=off"] {
            let setting = parse(&format!("{}{knobs}", about.id), &reduce::abouts());
            let Ok(mut reducer) = Reducer::new(&loaded.config, &setting, ids.len()) else {
                continue;
            };
            let left = reducer.read(device, model, &device.ids(ids));
            let mut state = model.start(device);
            let hidden =
                model.forward_ids(device, &left, &mut state, &mut reducer, Wanted::EveryRow);
            let values = block_on(device.read(&hidden)).unwrap();
            assert!(values.iter().all(|x| x.is_finite()), "{setting}");
            let mut again = Reducer::new(&loaded.config, &setting, ids.len()).unwrap();
            let left = again.read(device, model, &device.ids(ids));
            let what = setting.to_string();
            check_last_row(device, model, &left, &mut again, (&values, &what));
            ran += 1;
        }
    }
    ran
}

fn prune_all(device: &Device, loaded: &Loaded, model: &Model, ids: &[u32]) -> usize {
    let mut ran = 0;
    let subject =
        Subject { device, config: &loaded.config, weights: &loaded.weights, dense: model };
    let specs = [
        "magnitude:sparsity=0.5",
        "wanda:pattern=2:4",
        "ria:sparsity=0.3",
        "sparsegpt:pattern=4:8,mask=M",
        "mrp:pattern=2:4,mask=M",
        "mrp:pattern=1:4,mask=M",
        "mrp:sparsity=0.7",
        "structured:unit=channels",
        "structured:unit=heads",
        "structured:unit=states",
        "structured:unit=layers",
    ];
    let sequences = [ids.to_vec(), ids.to_vec()];
    for spec in specs {
        let setting = parse(spec, &prune::abouts());
        let pace = Pace::default();
        let (mut cache, mut progress) = (None, |_, _| {});
        let done = prune::prune(&subject, &sequences, &setting, &mut cache, &pace, &mut progress);
        let Ok(pruned) = block_on(done) else { continue };
        let (mut config, mut weights) =
            (loaded.config.clone(), loaded.weights.with_edits(pruned.edits));
        if let Some(smaller) = pruned.smaller {
            weights = weights.with_layers(&smaller.layers);
            config = smaller.config;
        }
        let model = Model::load(device, &config, &weights).unwrap();
        let hidden = model.forward(device, ids, &mut model.start(device), &mut NoHooks);
        let values = block_on(device.read(&hidden)).unwrap();
        assert!(values.iter().all(|x| x.is_finite()), "{spec}");
        ran += 1;
    }
    ran
}

fn all_on(device: &Device, each: usize, seed: u64) {
    let mut draw = Draw(Rng::new(seed));
    let [mut reductions, mut prunings] = [0, 0];
    for family in FAMILIES {
        for _ in 0..each {
            let config = draw.config(family);
            println!("{config}");
            let shape = Shape::parse("shape:random,f16").unwrap().unwrap();
            let loaded = open(shape.files(config.to_string().as_bytes()).unwrap()).unwrap();
            let length = draw.of(&[17, 40, 70]);
            let ids: Vec<u32> = (0..length).map(|_| draw.0.below(256) as u32).collect();
            check_sequence(&loaded.config, ids.len()).unwrap();
            let weights = loaded.weights.for_new_device();
            let model = Model::load(device, &loaded.config, &weights).unwrap();
            assert!(finite(device, &loaded, &model, &ids), "{config}");
            reductions += reduce_all(device, &loaded, &model, &ids);
            prunings += prune_all(device, &loaded, &model, &ids);
        }
    }
    println!("{reductions} reductions and {prunings} prunings ran");
    assert!(reductions >= each * FAMILIES.len() && prunings >= each * FAMILIES.len());
}

#[test]
fn what_config_json_accepts_runs_on_the_cpu() {
    all_on(&Device::Cpu, ON_CPU, 1);
}

#[test]
fn what_config_json_accepts_runs_on_the_gpu() {
    if let Some(gpu) = gpu_for_tests() {
        all_on(&gpu, ON_GPU, 2);
    }
}

#[test]
fn what_would_take_more_memory_than_there_may_be_is_refused_before_it_is_taken() {
    let huge_state = json!({"model_type": "mamba2", "vocab_size": 300, "hidden_size": 1, "num_hidden_layers": 3, "expand": 65_536,
        "num_heads": 4096, "head_dim": 16, "n_groups": 1, "state_size": 1024});
    let error = whittle::config::ModelConfig::parse(huge_state.to_string().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("MB of states"), "{error}");
    let wide = json!({"model_type": "llama", "vocab_size": 300, "hidden_size": 8, "num_hidden_layers": 256, "head_dim": 256,
        "num_attention_heads": 1024, "intermediate_size": 8});
    let config = whittle::config::ModelConfig::parse(wide.to_string().as_bytes()).unwrap();
    let error = check_sequence(&config, 2000).unwrap_err().to_string();
    assert!(error.contains("MB beside the weights"), "{error}");
}
