//! config.json at its limits: the greatest and least that is taken, one more that is not, and what a configuration says.

use super::config::{
    attention_of, llama, mamba, mamba_of, mamba2, mamba2_of, parse, read, rope_of, with,
};
use serde_json::{Value, json};
use whittle::config::{Kind, ModelConfig, RopeScaling};
use whittle::error::Error;

fn granite() -> Value {
    json!({"model_type": "granitemoehybrid", "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_local_experts": 0, "vocab_size": 61, "mamba_n_heads": 4,
        "layer_types": ["mamba", "attention"]})
}

fn falcon() -> Value {
    json!({"model_type": "falcon_mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 61})
}

fn gpt2() -> Value {
    json!({"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 61})
}

fn opt() -> Value {
    json!({"model_type": "opt", "hidden_size": 64, "num_hidden_layers": 2, "ffn_dim": 128,
        "num_attention_heads": 4, "vocab_size": 61})
}

fn smollm3() -> Value {
    json!({"model_type": "smollm3", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 61,
        "num_attention_heads": 4, "intermediate_size": 128})
}

/// The field that a refusal names; none where the file is read.
fn refused(config: &Value) -> Option<String> {
    match parse(config) {
        Ok(_) => None,
        Err(Error::Config { field, .. }) => Some(field),
        Err(other) => panic!("{config}: expected an error about a field, got {other:?}"),
    }
}

#[test]
fn states_of_a_sequence_take_at_most_512_megabytes() {
    // 4 bytes x 8192 channels x 1024 states are 32 MB a layer.
    let of = |n_layer: usize| {
        let sizes = json!({"hidden_size": 64, "intermediate_size": 8192, "state_size": 1024,
            "conv_kernel": 1, "num_hidden_layers": n_layer, "time_step_rank": 1});
        parse(&with(mamba(), sizes))
    };
    let most = of(16).expect("512 MB");
    assert_eq!(most.state_bytes(), 512 << 20);
    let message = of(17).expect_err("more").to_string();
    assert!(message.contains("544 MB") && message.contains("at most 512 MB"), "{message}");
}

#[test]
fn a_configuration_says_what_its_file_said() {
    let config = read(&with(llama(), json!({"zeta": 1})));
    assert_eq!((config.d_model(), config.vocab_size(), config.n_layer()), (576, 49152, 30));
    assert_eq!((config.bos_token_id(), config.eos_token_ids()), (Some(0), &[0, 2][..]));
    assert_eq!(
        (config.family(), config.longest(), config.ignored()),
        ("llama", usize::MAX, &["zeta".to_string()][..])
    );
    assert_eq!(read(&gpt2()).longest(), 1024);
    let prior = |bos: Value, eos: Value| {
        read(&with(llama(), json!({"bos_token_id": bos, "eos_token_id": eos}))).prior_token()
    };
    assert_eq!(prior(json!(7), json!(9)), 7);
    assert_eq!(prior(json!(null), json!([9, 8])), 9);
    assert_eq!(prior(json!(-1), json!(null)), 0);
    let config = read(&granite());
    let kinds = |config: &ModelConfig| -> Vec<Kind> {
        config.layers.iter().map(|layer| layer.mixer.kind()).collect()
    };
    assert_eq!(kinds(&config), [Kind::StateSpace, Kind::Attention]);
    assert_eq!(
        kinds(&config.clone().with_layers(&[1, 1, 0])),
        [Kind::Attention, Kind::Attention, Kind::StateSpace]
    );
    assert_eq!(config.with_eos_token_ids(vec![3, 4]).eos_token_ids(), [3, 4]);
}

/// A base, a field of whole numbers, its least and its greatest value.
type Limits = (fn() -> Value, &'static str, u64, u64);

#[test]
fn the_greatest_value_is_taken_and_one_more_is_refused_by_name() {
    let whole: [Limits; 20] = [
        (llama, "num_hidden_layers", 1, 256),
        (llama, "max_position_embeddings", 1, 1 << 28),
        (llama, "head_dim", 2, 256),
        (mamba, "state_size", 1, 1024),
        (mamba, "conv_kernel", 1, 64),
        (mamba, "time_step_rank", 1, 16_384),
        (mamba2, "chunk_size", 1, 65_536),
        (mamba2, "conv_kernel", 1, 64),
        (granite, "mamba_d_state", 1, 1024),
        (granite, "mamba_d_conv", 1, 64),
        (granite, "mamba_chunk_size", 1, 65_536),
        (granite, "shared_intermediate_size", 1, 131_072),
        (granite, "max_position_embeddings", 1, 1 << 28),
        (gpt2, "n_positions", 1, 1 << 20),
        (gpt2, "n_inner", 1, 131_072),
        (opt, "max_position_embeddings", 1, 1 << 20),
        (opt, "ffn_dim", 1, 131_072),
        (smollm3, "sliding_window", 0, 1 << 28),
        (smollm3, "max_window_layers", 0, 1 << 20),
        (smollm3, "no_rope_layer_interval", 1, 256),
    ];
    for (base, name, least, most) in whole {
        let of = |n: Value| refused(&with(base(), json!({name: n})));
        assert_eq!(of(json!(most)), None, "{name} {most}");
        assert_eq!(of(json!(least)), None, "{name} {least}");
        assert_eq!(of(json!(most + 1)), Some(name.to_string()), "{name} {most} + 1");
        assert_eq!(of(json!(1.5)), Some(name.to_string()), "{name} 1.5");
        if least > 0 {
            assert_eq!(of(json!(0)), Some(name.to_string()), "{name} 0");
        }
    }
}

#[test]
fn a_large_product_of_sizes_is_refused_by_its_name() {
    // 2^29 elements are the most of one tensor.
    for (base, change, name) in [
        (
            llama(),
            json!({"vocab_size": 65_536, "hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": 64}),
            "",
        ),
        (
            llama(),
            json!({"vocab_size": 65_537, "hidden_size": 8192, "num_attention_heads": 64}),
            "vocab_size x hidden_size",
        ),
        (
            llama(),
            json!({"intermediate_size": 65_536, "hidden_size": 8192, "vocab_size": 8, "num_attention_heads": 64, "num_key_value_heads": 64, "bos_token_id": 1, "eos_token_id": 1}),
            "",
        ),
        (
            llama(),
            json!({"intermediate_size": 65_537, "hidden_size": 8192, "vocab_size": 8, "num_attention_heads": 64, "num_key_value_heads": 64, "bos_token_id": 1, "eos_token_id": 1}),
            "intermediate_size x hidden_size",
        ),
        (
            granite(),
            json!({"shared_intermediate_size": 131_072, "hidden_size": 2048, "mamba_n_heads": 64, "num_attention_heads": 64}),
            "",
        ),
        (
            granite(),
            json!({"shared_intermediate_size": 131_072, "hidden_size": 2112, "mamba_n_heads": 64, "num_attention_heads": 66}),
            "shared_intermediate_size",
        ),
        (gpt2(), json!({"n_embd": 16_384, "n_head": 64, "n_inner": 8}), "query_key_value"),
        (gpt2(), json!({"n_embd": 8192, "n_head": 64, "n_inner": 65_537}), "n_inner x n_embd"),
        (gpt2(), json!({"n_positions": 1 << 20, "n_embd": 512}), ""),
        (gpt2(), json!({"n_positions": 1 << 20, "n_embd": 516}), "n_positions x n_embd"),
        (
            llama(),
            json!({"num_attention_heads": 1024, "num_key_value_heads": 1024, "head_dim": 256, "hidden_size": 4096, "vocab_size": 8, "bos_token_id": 1, "eos_token_id": 1}),
            "num_attention_heads x head_dim x hidden_size",
        ),
    ] {
        let expected = Some(name.to_string()).filter(|name| !name.is_empty());
        assert_eq!(refused(&with(base, change.clone())), expected, "{change}");
    }
}

#[test]
fn a_width_inside_of_a_mamba_is_an_expansion_of_its_width() {
    let width = |change: Value| mamba_of(&read(&with(mamba(), change))).d_inner;
    // int(), as in Python.
    assert_eq!(width(json!({"intermediate_size": null, "expand": 1.999})), 1535);
    let refused = |change: Value| refused(&with(mamba(), change));
    let none = json!(null);
    assert_eq!(refused(json!({"intermediate_size": none, "expand": 85})), None);
    assert_eq!(refused(json!({"intermediate_size": none, "expand": 86})), Some("expand".into()));
    assert_eq!(refused(json!({"intermediate_size": 65_536, "time_step_rank": 8})), None);
    assert_eq!(refused(json!({"intermediate_size": 65_537})), Some("intermediate_size".into()));
    let rank = |d_model: usize, rank: Value| {
        let change = json!({"hidden_size": d_model, "time_step_rank": rank});
        mamba_of(&read(&with(falcon(), change))).dt_rank
    };
    assert_eq!([rank(64, none.clone()), rank(65, json!("auto")), rank(65, json!(3))], [4, 5, 3]);
    let stated = json!({"expand": null, "intermediate_size": 512, "num_heads": 16, "n_groups": 4});
    let stated = read(&with(mamba2(), stated));
    assert_eq!(
        (mamba2_of(&stated).d_inner, mamba2_of(&stated).conv_dim()),
        (512, 512 + 2 * 4 * 32)
    );
    let second = read(&with(mamba2(), json!({"time_step_limit": [0.001, 0.1]})));
    assert_eq!(mamba2_of(&second).dt_limit, (0.001, 0.1));
    let equal = read(&with(mamba2(), json!({"time_step_limit": [0.5, 0.5]})));
    assert_eq!(mamba2_of(&equal).dt_limit, (0.5, 0.5));
    assert_eq!(
        mamba2_of(&read(&with(mamba2(), json!({"time_step_limit": none})))).dt_limit,
        (0.0, f32::INFINITY)
    );
}

#[test]
fn llama3_scaling_takes_the_trained_length_for_its_original_and_must_rise() {
    let scaled = |change: Value| {
        let base = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0});
        parse(&with(llama(), json!({"rope_scaling": with(base, change)})))
    };
    let original = |config: &ModelConfig| match rope_of(config).scaling {
        RopeScaling::Llama3 { original_max, .. } => original_max,
        ref other => panic!("expected llama3, got {other:?}"),
    };
    assert_eq!(original(&scaled(json!({})).unwrap()), 8192.0);
    let stated = json!({"original_max_position_embeddings": 2048});
    assert_eq!(original(&scaled(stated).unwrap()), 2048.0);
    for high in [1.0, 0.5] {
        let error = scaled(json!({"high_freq_factor": high})).unwrap_err().to_string();
        assert!(error.contains("above low_freq_factor 1"), "{error}");
    }
    // The same said in two places, and by the old name of its type.
    let both = json!({"rope_scaling": {"type": "linear", "factor": 2.0, "rope_theta": 100000}, "rope_theta": 100000});
    assert_eq!(rope_of(&read(&with(llama(), both))).scaling, RopeScaling::Linear { factor: 2.0 });
    let two = json!({"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e4}, "rope_theta": null});
    assert_eq!(rope_of(&read(&with(llama(), two))).theta, 5e4);
}

#[test]
fn tokens_flags_and_texts_have_the_types_of_their_fields() {
    for (base, change, name) in [
        (llama(), json!({"eos_token_id": [0, 49151]}), None),
        (llama(), json!({"eos_token_id": [0, 49152]}), Some("eos_token_id")),
        (llama(), json!({"bos_token_id": -2}), Some("bos_token_id")),
        (llama(), json!({"tie_word_embeddings": 1}), Some("tie_word_embeddings")),
        (llama(), json!({"rms_norm_eps": 1.0}), Some("rms_norm_eps")),
        (llama(), json!({"rms_norm_eps": 1e-31}), Some("rms_norm_eps")),
        (llama(), json!({"rms_norm_eps": 0.5}), None),
        (llama(), json!({"rope_theta": {"__float__": "Infinity"}}), Some("rope_theta")),
        (llama(), json!({"model_type": 3}), Some("model_type")),
        (llama(), json!({"hidden_size": 580, "head_dim": 64}), None),
        (llama(), json!({"hidden_size": 580}), Some("num_attention_heads")),
        (opt(), json!({"activation_function": 3}), Some("activation_function")),
        (opt(), json!({"word_embed_proj_dim": 64}), None),
        (opt(), json!({"word_embed_proj_dim": 32}), Some("word_embed_proj_dim")),
        (opt(), json!({"do_layer_norm_before": false}), Some("do_layer_norm_before")),
        (smollm3(), json!({"no_rope_layers": [1]}), Some("no_rope_layers")),
        (smollm3(), json!({"no_rope_layers": [1, 2]}), Some("no_rope_layers")),
        (smollm3(), json!({"no_rope_layers": [1, "1"]}), Some("no_rope_layers")),
        (smollm3(), json!({"no_rope_layers": 1}), Some("no_rope_layers")),
        (falcon(), json!({"mixer_rms_eps": 2}), Some("mixer_rms_eps")),
        (granite(), json!({"logits_scaling": 0}), Some("logits_scaling")),
        (granite(), json!({"mamba_d_head": "wide"}), Some("mamba_d_head")),
    ] {
        assert_eq!(refused(&with(base, change.clone())).as_deref(), name, "{change}");
    }
    let own = read(&with(falcon(), json!({"mixer_rms_eps": 1e-4})));
    assert_eq!(mamba_of(&own).norm_eps, Some(1e-4));
    assert_eq!(attention_of(&read(&gpt2())).headdim, 16);
    // A long value is cut in the message.
    let long =
        parse(&with(llama(), json!({"hidden_act": "x".repeat(500)}))).unwrap_err().to_string();
    assert!(
        long.contains(&format!("\"{}...", "x".repeat(56))) && !long.contains(&"x".repeat(57)),
        "{long}"
    );
}
