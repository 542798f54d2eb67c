//! config.json of the families: what an absent field means, and what each flag does.

use super::config::{
    attention_of, llama, mamba, mamba_of, mamba2, mamba2_of, mlp_of, parse, read, rope_of, with,
};
use serde_json::{Value, json};
use whittle::config::{Activation, Layer, Mixer, MlpKind, ModelConfig};
use whittle::error::Error;

fn gpt2() -> Value {
    json!({"model_type": "gpt2", "n_embd": 768, "n_layer": 3, "n_head": 12, "vocab_size": 50257})
}

fn opt() -> Value {
    json!({"model_type": "opt", "hidden_size": 512, "num_hidden_layers": 2, "ffn_dim": 2048,
        "num_attention_heads": 8, "vocab_size": 512})
}

/// Of every layer.
fn scales(config: &ModelConfig) -> Vec<f32> {
    let scale = |layer: &Layer| match &layer.mixer {
        Mixer::Attention(attention) => attention.scale,
        other => panic!("expected attention, got {other:?}"),
    };
    config.layers.iter().map(scale).collect()
}

#[test]
fn gpt2_scales_attention_as_its_flags_say_and_has_every_bias() {
    let plain = read(&gpt2());
    let (attention, mlp) = (attention_of(&plain), mlp_of(&plain));
    assert!(attention.qkv_bias && attention.o_bias && mlp.bias);
    assert_eq!((mlp.d_ff, &mlp.kind), (3072, &MlpKind::Plain(Activation::GeluTanh)));
    assert_eq!(scales(&plain), [0.125; 3]);
    let flags = json!({"scale_attn_weights": false, "scale_attn_by_inverse_layer_idx": true});
    assert_eq!(scales(&read(&with(gpt2(), flags))), [1.0, 0.5, 1.0 / 3.0]);
}

#[test]
fn opt_has_two_rows_of_positions_more_than_it_says() {
    let of = |n: usize| parse(&with(opt(), json!({"max_position_embeddings": n})));
    let config = of(2048).unwrap();
    assert_eq!(config.common.position_offset, Some(2));
    assert_eq!(config.check_length(2048), Ok(None));
    assert!(config.check_length(2049).is_err());
    // With the two the table has 2^29 elements, which is the most there may be.
    assert!(of((1 << 20) - 2).is_ok() && of((1 << 20) - 1).is_err());
    let bias = |config: &ModelConfig| {
        [attention_of(config).qkv_bias, attention_of(config).o_bias, mlp_of(config).bias]
    };
    assert_eq!(bias(&config), [true; 3]);
    assert_eq!(bias(&read(&with(opt(), json!({"enable_bias": false})))), [false; 3]);
}

#[test]
fn activations_have_the_names_of_transformers() {
    for (name, kind) in [
        ("gelu", Activation::Gelu),
        ("gelu_python", Activation::Gelu),
        ("gelu_new", Activation::GeluTanh),
        ("gelu_fast", Activation::GeluTanh),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("relu", Activation::Relu),
    ] {
        let config = read(&with(opt(), json!({"activation_function": name})));
        assert_eq!(mlp_of(&config).kind, MlpKind::Plain(kind), "{name}");
    }
    assert!(parse(&with(opt(), json!({"activation_function": "swish"}))).is_err());
}

#[test]
fn widths_and_states_of_a_mixer_follow_from_its_sizes() {
    let facts = |config: &ModelConfig| {
        let mixer = &config.layers[0].mixer;
        (mixer.width(), mixer.key_width(), mixer.state_bytes(), mixer.d_conv())
    };
    // Three older inputs of every channel of the convolution, and the states, in f32.
    assert_eq!(facts(&read(&mamba())), (1536, 16, 4 * (3 * 1536 + 1536 * 16), Some(4)));
    let read_mamba2 = read(&mamba2());
    assert_eq!(facts(&read_mamba2), (256, 64, 4 * (3 * 384 + 256 * 32), Some(4)));
    let mixer = mamba2_of(&read_mamba2);
    assert_eq!((mixer.conv_dim(), mixer.d_in_proj(), mixer.norm_group_size()), (384, 648, 128));
    assert_eq!(facts(&read(&llama())), (576, 192, 0, None));
    assert_eq!(attention_of(&read(&llama())).scale, 0.125);
}

/// Facts of an attention model: key heads, head width, biases of q and o, of the MLP, norms of q and k, longest text.
type Facts = (usize, usize, bool, bool, bool, bool, Option<usize>);

#[test]
fn an_absent_field_is_the_default_of_its_class() {
    // What transformers 5.23 fills in.
    let cases: [(&str, Facts); 5] = [
        ("llama", (64, 16, false, false, false, false, Some(2048))),
        ("mistral", (8, 16, false, false, false, false, Some(131_072))),
        ("qwen2", (32, 16, true, false, false, false, Some(32_768))),
        ("qwen3", (32, 128, false, false, false, true, Some(32_768))),
        ("smollm3", (4, 16, false, false, false, false, Some(32_768))),
    ];
    let base = |family: &str| {
        json!({"model_type": family, "hidden_size": 1024, "num_hidden_layers": 8, "vocab_size": 512,
            "num_attention_heads": 64, "intermediate_size": 64, "bos_token_id": 1, "eos_token_id": 2})
    };
    let facts = |config: &ModelConfig| -> Facts {
        let (a, mlp) = (attention_of(config), mlp_of(config));
        let longest = config.common.max_seq_len;
        (a.n_kv_head, a.headdim, a.qkv_bias, a.o_bias, mlp.bias, a.has_qk_norm, longest)
    };
    for (family, expected) in cases {
        assert_eq!(facts(&read(&base(family))), expected, "{family}");
    }
    let biased = |family: &str| {
        facts(&read(&with(base(family), json!({"attention_bias": true, "mlp_bias": true}))))
    };
    assert_eq!(biased("llama"), (64, 16, true, true, true, false, Some(2048)));
    assert_eq!(biased("smollm3"), (4, 16, true, true, true, false, Some(32_768)));
    assert_eq!(biased("qwen3"), (32, 128, true, true, false, true, Some(32_768)));
    // null is as many as heads.
    let whole = read(&with(base("qwen2"), json!({"num_key_value_heads": null})));
    assert_eq!(attention_of(&whole).n_kv_head, 64);
    let rotated = |config: &ModelConfig| -> Vec<bool> {
        let of = |layer: &Layer| match &layer.mixer {
            Mixer::Attention(attention) => attention.rope.is_some(),
            other => panic!("expected attention, got {other:?}"),
        };
        config.layers.iter().map(of).collect()
    };
    let smollm3 = read(&base("smollm3"));
    assert_eq!(rotated(&smollm3), [true, true, true, false, true, true, true, false]);
    let third = read(&with(base("smollm3"), json!({"no_rope_layer_interval": 3})));
    assert_eq!(rotated(&third), [true, true, false, true, true, false, true, true]);
    let listed = with(base("smollm3"), json!({"no_rope_layers": [0, 1, 1, 1, 1, 1, 1, 0, 1]}));
    assert_eq!(rotated(&read(&listed)), [false, true, true, true, true, true, true, false]);
    assert_eq!(rotated(&read(&base("qwen3"))), [true; 8]);
    assert_eq!((rope_of(&smollm3).theta, rope_of(&read(&base("llama"))).theta), (2e6, 1e4));
    // Windows only where they are used, and from the layer on that is named.
    let limit = |change: Value| read(&with(base("qwen3"), change)).common.hard_limit;
    let used = json!({"use_sliding_window": true, "max_window_layers": 7});
    assert_eq!(limit(used), Some((4096, "sliding_window")));
    assert_eq!(limit(json!({"use_sliding_window": true, "max_window_layers": 8})), None);
    assert_eq!(limit(json!({"sliding_window": 64, "max_window_layers": 0})), None);
    let none = json!({"use_sliding_window": true, "max_window_layers": 0, "sliding_window": null});
    assert_eq!(limit(none), None);
    let types = |kind: &str| json!({"use_sliding_window": true, "layer_types": [kind, kind]});
    assert_eq!(limit(types("sliding_attention")), Some((4096, "sliding_window")));
    assert_eq!(limit(types("full_attention")), None);
    let half = with(base("llama"), json!({"partial_rotary_factor": 0.5}));
    let error = parse(&half).unwrap_err().to_string();
    assert!(error.contains("0.5"), "{error}");
}

#[test]
fn a_hybrid_has_the_mixers_its_list_names_and_multiplies_as_it_says() {
    let base = json!({"model_type": "granitemoehybrid", "hidden_size": 28, "num_hidden_layers": 4,
        "num_attention_heads": 2, "num_local_experts": 0, "vocab_size": 61, "mamba_n_heads": 4,
        "layer_types": ["mamba", "linear_attention", "attention", "full_attention"],
        "attention_bias": true, "attention_multiplier": 0.25, "logits_scaling": 8.0,
        "embedding_multiplier": 12.0, "residual_multiplier": 0.5, "shared_intermediate_size": 38,
        "max_position_embeddings": 4096});
    let config = read(&base);
    let is_state_space: Vec<bool> =
        config.layers.iter().map(|layer| matches!(layer.mixer, Mixer::Mamba2(_))).collect();
    assert_eq!(is_state_space, [true, true, false, false]);
    let Mixer::Attention(attention) = &config.layers[2].mixer else { panic!("no attention") };
    assert_eq!((attention.qkv_bias, attention.o_bias, attention.scale), (true, true, 0.25));
    assert!(attention.rope.is_none(), "none unless it is asked for");
    let m = &config.common.multipliers;
    assert_eq!((m.embedding, m.residual, m.logits), (12.0, 0.5, 0.125));
    let Mixer::Mamba2(mamba) = &config.layers[0].mixer else { panic!("no Mamba-2") };
    assert_eq!((mamba.d_inner, mamba.headdim, mamba.d_state), (56, 14, 256));
    assert_eq!(mlp_of(&config).d_ff, 38);
    for width in [json!("auto"), json!(14)] {
        let config = read(&with(base.clone(), json!({"mamba_d_head": width})));
        assert_eq!(config.layers[0], read(&base).layers[0], "{width}");
    }
    let rotated = read(&with(base.clone(), json!({"position_embedding_type": "rope"})));
    let Mixer::Attention(attention) = &rotated.layers[3].mixer else { panic!("no attention") };
    assert!(attention.rope.is_some());
    let silent = with(base.clone(), json!({"layer_types": null}));
    assert!(read(&silent).layers.iter().all(|l| matches!(l.mixer, Mixer::Mamba2(_))));
    for (change, field) in [
        (json!({"num_local_experts": 2}), "num_local_experts"),
        (json!({"num_local_experts": null}), "num_local_experts"),
        (json!({"layer_types": ["mamba"]}), "layer_types"),
        (json!({"layer_types": ["mamba", "mamba", "mamba", "rwkv"]}), "layer_types"),
        (json!({"mamba_d_head": 15}), "mamba_d_head"),
        (json!({"mamba_n_heads": 5}), "mamba_n_heads"),
        (json!({"mamba_n_groups": 3}), "mamba_n_groups"),
    ] {
        match parse(&with(base.clone(), change.clone())) {
            Err(Error::Config { field: named, .. }) => assert_eq!(named, field, "{change}"),
            other => panic!("{change}: expected an error about {field}, got {other:?}"),
        }
    }
}

#[test]
fn matrices_of_a_mamba_have_at_most_half_a_milliard_elements() {
    let of = |d_model: usize, dt_rank: usize| {
        parse(
            &json!({"model_type": "mamba", "vocab_size": 8, "hidden_size": d_model, "num_hidden_layers": 1,
            "intermediate_size": 65536, "state_size": 16, "time_step_rank": dt_rank}),
        )
    };
    let named = |result: Result<ModelConfig, Error>| match result {
        Err(Error::Config { field, .. }) => field,
        other => panic!("expected an error about a size, got {other:?}"),
    };
    // in_proj has twice the rows, x_proj those of dt and of B and C; 2^29 elements are the most.
    assert!(of(4096, 64).is_ok());
    assert_eq!(named(of(4097, 64)), "in_proj");
    assert!(of(64, 8192 - 32).is_ok());
    assert_eq!(named(of(64, 8192 - 31)), "x_proj");
}

#[test]
fn the_width_of_a_mamba_is_stated_or_an_expansion() {
    let width = |change: Value| mamba_of(&read(&with(mamba(), change))).d_inner;
    assert_eq!(width(json!({"intermediate_size": null, "expand": null})), 1536);
    assert_eq!(width(json!({"intermediate_size": null, "expand": 1.5})), 1152);
    let width = |change: Value| parse(&with(mamba2(), change)).map(|c| mamba2_of(&c).d_inner);
    assert_eq!(width(json!({"expand": null, "intermediate_size": 256})).unwrap(), 256);
    assert_eq!(width(json!({"expand": 2, "intermediate_size": 256})).unwrap(), 256);
    assert_eq!(width(json!({"expand": null, "intermediate_size": null})).unwrap(), 256);
    assert!(width(json!({"expand": null, "intermediate_size": 512})).is_err(), "heads of 32");
}

#[test]
fn two_spellings_of_a_scaled_rotation_must_say_the_same() {
    let linear =
        |factor: f64| json!({"rope_type": "linear", "factor": factor, "rope_theta": 100000});
    let both = |old: f64, new: f64| {
        parse(&with(llama(), json!({"rope_scaling": linear(old), "rope_parameters": linear(new)})))
    };
    assert!(both(2.0, 2.0).is_ok());
    match both(2.0, 4.0) {
        Err(Error::Config { field, .. }) => assert_eq!(field, "rope_scaling"),
        other => panic!("expected an error about rope_scaling, got {other:?}"),
    }
}
