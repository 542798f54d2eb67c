//! config.json: published spellings are read, and what would change the result is refused by name.

use serde_json::{Value, json};
use whittle::config::{Activation, ModelConfig, RopeScaling};
use whittle::error::Error;

fn parse(config: &Value) -> Result<ModelConfig, Error> {
    ModelConfig::parse(config.to_string().as_bytes())
}

/// `base` with `changes` laid over it; a null removes nothing but counts as absent.
fn with(base: Value, changes: Value) -> Value {
    let (Value::Object(mut base), Value::Object(changes)) = (base, changes) else {
        panic!("both are objects")
    };
    base.extend(changes);
    Value::Object(base)
}

fn mamba() -> Value {
    json!({"model_type": "mamba", "vocab_size": 50280, "hidden_size": 768, "num_hidden_layers": 24,
        "state_size": 16, "expand": 2, "intermediate_size": 1536, "conv_kernel": 4,
        "time_step_rank": 48, "hidden_act": "silu", "layer_norm_epsilon": 1e-5,
        "use_bias": false, "use_conv_bias": true, "residual_in_fp32": true,
        // As state-spaces/mamba-130m-hf carries them over from the original.
        "d_model": 768, "n_layer": 24, "ssm_cfg": {}, "rms_norm": true, "fused_add_norm": true})
}

fn mamba2() -> Value {
    json!({"model_type": "mamba2", "vocab_size": 2048, "hidden_size": 128, "num_hidden_layers": 6,
        "num_heads": 8, "head_dim": 32, "n_groups": 2, "state_size": 32, "chunk_size": 64,
        "time_step_limit": [0.0, {"__float__": "Infinity"}], "norm_before_gate": true})
}

fn llama() -> Value {
    json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 49152,
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_act": "silu",
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 100000,
        "rope_scaling": null, "rope_interleaved": false, "is_llama_config": true,
        "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": [0, 2]})
}

fn neox() -> Value {
    json!({"model_type": "gpt_neox", "vocab_size": 50304, "hidden_size": 120,
        "intermediate_size": 480, "num_hidden_layers": 6, "num_attention_heads": 3,
        "rotary_pct": 0.25, "rotary_emb_base": 2000, "layer_norm_eps": 1e-5})
}

fn llama_of(config: Value) -> whittle::config::LlamaConfig {
    match parse(&config) {
        Ok(ModelConfig::Llama(llama)) => llama,
        other => panic!("expected a Llama, got {other:?}"),
    }
}

fn close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        // transformers works in f32: a power and a quotient, a few ulps each.
        assert!((f64::from(*f) / e - 1.0).abs() < 1e-6, "{f} against {e}");
    }
}

#[test]
fn mamba_sizes_are_read_and_leftovers_of_the_original_are_harmless() {
    let Ok(ModelConfig::Mamba(config)) = parse(&mamba()) else { panic!("not read") };
    let sizes = (config.d_inner, config.d_state, config.d_conv, config.dt_rank);
    assert_eq!(sizes, (1536, 16, 4, 48));
    assert!(config.common.tie_word_embeddings && config.use_conv_bias && !config.use_bias);
    assert_eq!(config.common.ignored, Vec::<String>::new());
}

#[test]
fn an_automatic_dt_rank_is_a_sixteenth_of_d_model_rounded_up() {
    let config = with(
        mamba(),
        json!({"hidden_size": 50, "intermediate_size": 100, "time_step_rank": "auto"}),
    );
    let Ok(ModelConfig::Mamba(config)) = parse(&config) else { panic!("not read") };
    assert_eq!(config.dt_rank, 4);
}

#[test]
fn every_published_spelling_of_infinity_is_read() {
    let spellings =
        [json!({"__float__": "Infinity"}), json!("inf"), json!("Infinity"), json!(1e300)];
    for high in spellings {
        let config = with(mamba2(), json!({"time_step_limit": [0.0, high.clone()]}));
        let Ok(ModelConfig::Mamba2(config)) = parse(&config) else { panic!("{high} not read") };
        assert_eq!(config.dt_limit, (0.0, f32::INFINITY), "{high}");
    }
}

#[test]
fn the_bare_infinity_that_python_writes_is_read() {
    let text = with(
        mamba2(),
        json!({"time_step_limit": [0.01, "HERE"], "_name_or_path": "a \"Infinity\" b"}),
    )
    .to_string()
    .replace("\"HERE\"", "Infinity");
    let Ok(ModelConfig::Mamba2(config)) = ModelConfig::parse(text.as_bytes()) else {
        panic!("{text} not read")
    };
    assert_eq!(config.dt_limit, (0.01, f32::INFINITY));
}

#[test]
fn mamba2_derived_sizes_follow_from_heads_and_groups() {
    let Ok(ModelConfig::Mamba2(config)) = parse(&mamba2()) else { panic!("not read") };
    // 256 channels, and B and C of 32 for each of 2 groups; 8 dt.
    assert_eq!((config.conv_dim(), config.d_in_proj(), config.norm_group_size()), (384, 648, 128));
    assert!(!config.common.tie_word_embeddings);
}

#[test]
fn llama_with_the_fields_of_transformers_4_is_read() {
    let config = llama_of(llama());
    assert_eq!((config.n_head, config.n_kv_head, config.headdim, config.d_ff), (9, 3, 64, 1536));
    assert_eq!((config.rope.dim, config.rope.theta), (64, 100_000.0));
    assert_eq!(config.rope.scaling, RopeScaling::Default);
    assert_eq!(config.common.eos_token_ids, [0, 2]);
    assert_eq!(config.common.ignored, Vec::<String>::new());
}

#[test]
fn both_spellings_of_llama3_scaling_give_the_frequencies_of_transformers() {
    // transformers 5.23 LlamaRotaryEmbedding(...).inv_freq of this very configuration.
    let expected = LLAMA3_INV_FREQ;
    let scaling = json!({"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192});
    let old = json!({"head_dim": 24, "rope_theta": 500000.0,
        "rope_scaling": with(scaling.clone(), json!({"type": "llama3"}))});
    let new = json!({"head_dim": 24, "rope_theta": null,
        "rope_parameters": with(scaling, json!({"rope_type": "llama3", "rope_theta": 500000.0}))});
    for spelling in [old, new] {
        close(&llama_of(with(llama(), spelling)).rope.inv_freq(), &expected);
    }
}

#[test]
fn linear_scaling_gives_the_frequencies_of_transformers() {
    let config = json!({"head_dim": 16, "rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 4.0}});
    close(&llama_of(with(llama(), config)).rope.inv_freq(), &LINEAR_INV_FREQ);
}

#[test]
fn gpt_neox_rotates_a_part_of_each_head_in_both_spellings() {
    let new = json!({"rotary_pct": null, "rotary_emb_base": null,
        "rope_parameters": {"partial_rotary_factor": 0.25, "rope_theta": 2000, "rope_type": "default"}});
    for config in [neox(), with(neox(), new)] {
        let Ok(ModelConfig::GptNeoX(config)) = parse(&config) else { panic!("not read") };
        assert_eq!((config.headdim, config.rope.dim), (40, 10));
        assert!(config.use_parallel_residual && config.attention_bias);
        assert_eq!(config.activation, Activation::Gelu);
        close(&config.rope.inv_freq(), &NEOX_INV_FREQ);
    }
}

#[test]
fn unknown_fields_are_listed_and_not_refused() {
    let config = llama_of(with(
        llama(),
        json!({"zeta": 1, "alpha": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000, "beta": 3}}),
    ));
    assert_eq!(config.common.ignored, ["rope_parameters.beta", "alpha", "zeta"]);
}

#[test]
fn a_field_that_would_change_the_result_is_refused_by_name() {
    let cases = [
        (mamba(), json!({"hidden_act": "relu"}), "hidden_act"),
        (mamba(), json!({"intermediate_size": 0}), "intermediate_size"),
        (mamba2(), json!({"expand": 2, "intermediate_size": 255}), "intermediate_size"),
        (mamba(), json!({"time_step_rank": 0}), "time_step_rank"),
        (mamba(), json!({"layer_norm_epsilon": 0}), "layer_norm_epsilon"),
        (mamba(), json!({"expand": -2}), "expand"),
        (mamba(), json!({"expand": 0.0001, "intermediate_size": null}), "expand"),
        (mamba(), json!({"use_bias": "yes"}), "use_bias"),
        (mamba(), json!({"bos_token_id": 50280}), "bos_token_id"),
        (mamba(), json!({"eos_token_id": [0, -7]}), "eos_token_id"),
        (mamba(), json!({"quantization_config": {"bits": 4}}), "quantization_config"),
        (mamba(), json!({"hidden_size": 16385}), "hidden_size"),
        (mamba(), json!({"num_hidden_layers": 0}), "num_hidden_layers"),
        (mamba(), json!({"vocab_size": 1e30}), "vocab_size"),
        (mamba(), json!({"vocab_size": 1000000}), "vocab_size x hidden_size"),
        (mamba2(), json!({"rms_norm": false}), "rms_norm"),
        (mamba2(), json!({"num_heads": 7}), "num_heads"),
        (mamba2(), json!({"n_groups": 3}), "n_groups"),
        (mamba2(), json!({"time_step_limit": [0.1, 0.01]}), "time_step_limit"),
        (mamba2(), json!({"time_step_limit": [0.1, "NaN"]}), "time_step_limit"),
        (mamba2(), json!({"time_step_limit": 3}), "time_step_limit"),
        (mamba2(), json!({"time_step_limit": [-1, 1]}), "time_step_limit"),
        (llama(), json!({"num_key_value_heads": 4}), "num_key_value_heads"),
        (
            llama(),
            json!({"num_attention_heads": 7, "num_key_value_heads": 7}),
            "num_attention_heads",
        ),
        (llama(), json!({"head_dim": 15}), "partial_rotary_factor"),
        (llama(), json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor"),
        (llama(), json!({"rope_scaling": {"type": "yarn", "factor": 2}}), "rope_scaling.rope_type"),
        (
            llama(),
            json!({"rope_scaling": {"type": "llama3", "factor": 2}}),
            "rope_scaling.low_freq_factor",
        ),
        (llama(), json!({"rope_parameters": {"rope_theta": 1e4}}), "rope_theta"),
        (llama(), json!({"rope_parameters": 7}), "rope_parameters"),
        (llama(), json!({"rope_theta": "big"}), "rope_theta"),
        (llama(), json!({"architectures": ["LlamaForSequenceClassification"]}), "architectures"),
        (llama(), json!({"rope_interleaved": true}), "rope_interleaved"),
        (neox(), json!({"hidden_act": "relu"}), "hidden_act"),
        (neox(), json!({"rotary_pct": 0.125}), "rotary_pct"),
        (neox(), json!({"rotary_pct": 1.5}), "rotary_pct"),
        (neox(), json!({"num_attention_heads": 7}), "num_attention_heads"),
    ];
    for (base, change, field) in cases {
        assert!(parse(&base).is_ok(), "the base of {field} is sound");
        match parse(&with(base, change.clone())) {
            Err(Error::Config { field: named, .. }) => assert_eq!(named, field, "{change}"),
            other => panic!("{change}: expected an error about {field}, got {other:?}"),
        }
    }
}

#[test]
fn a_stated_width_of_mamba_wins_over_expand_as_in_transformers() {
    let Ok(ModelConfig::Mamba(config)) = parse(&with(mamba(), json!({"intermediate_size": 1535})))
    else {
        panic!("a Mamba configuration");
    };
    assert_eq!(config.d_inner, 1535);
}

#[test]
fn a_missing_size_is_named() {
    let mut config = llama();
    config.as_object_mut().expect("an object").remove("intermediate_size");
    let message = parse(&config).expect_err("refused").to_string();
    assert!(message.contains("intermediate_size is absent"), "{message}");
}

#[test]
fn an_unknown_model_type_is_named_beside_the_four_supported() {
    let message = parse(&json!({"model_type": "gpt2"})).expect_err("refused").to_string();
    for word in ["\"gpt2\"", "mamba", "mamba2", "llama", "gpt_neox"] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn an_original_mamba_ssm_file_is_sent_to_its_conversion() {
    let original = json!({"d_model": 768, "n_layer": 24, "ssm_cfg": {"layer": "Mamba2"}});
    let message = parse(&original).expect_err("refused").to_string();
    assert!(message.contains("mamba_ssm") && message.contains("-hf"), "{message}");
}

#[test]
fn what_is_not_a_json_object_says_what_it_is() {
    let cases: [(&[u8], &str); 6] = [
        (b"", "empty"),
        (b"[1, 2]", "expected a JSON object"),
        (b"{\"model_type\": ", "not valid JSON"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git-lfs"),
        (b"{\"model_type\": \"\xff\"}", "not valid JSON"),
    ];
    for (bytes, word) in cases {
        let message = ModelConfig::parse(bytes).expect_err("refused").to_string();
        assert!(message.starts_with("config.json") && message.contains(word), "{message}");
    }
}

const LLAMA3_INV_FREQ: [f64; 12] = [
    1.0,
    0.3350316286087036,
    0.11224619299173355,
    0.03760603070259094,
    0.012599208392202854,
    0.004221134819090366,
    0.0005248460220173001,
    5.922580021433532e-05,
    1.9842507754219696e-05,
    6.647869668086059e-06,
    2.2272474780038465e-06,
    7.461979407707986e-07,
];

const LINEAR_INV_FREQ: [f64; 8] = [
    0.25,
    0.07905694097280502,
    0.02500000037252903,
    0.007905694656074047,
    0.0024999999441206455,
    0.0007905694656074047,
    0.0002500000118743628,
    7.905694656074047e-05,
];

const NEOX_INV_FREQ: [f64; 5] =
    [1.0, 0.21867240965366364, 0.047817621380090714, 0.010456393472850323, 0.0022865249775350094];
