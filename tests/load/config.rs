//! config.json: published spellings are read, and what would change the result is refused by name.

use serde_json::{Value, json};
use whittle::config::{
    Activation, Attention, FAMILIES, Mamba2Mixer, MambaMixer, Mixer, Mlp, MlpKind, ModelConfig,
    Rope, RopeScaling,
};
use whittle::error::Error;

pub fn parse(config: &Value) -> Result<ModelConfig, Error> {
    ModelConfig::parse(config.to_string().as_bytes())
}

/// `base` with `changes` laid over it; a null removes nothing but counts as absent.
pub fn with(base: Value, changes: Value) -> Value {
    let (Value::Object(mut base), Value::Object(changes)) = (base, changes) else {
        panic!("both are objects")
    };
    base.extend(changes);
    Value::Object(base)
}

pub fn mamba() -> Value {
    json!({"model_type": "mamba", "vocab_size": 50280, "hidden_size": 768, "num_hidden_layers": 24,
        "state_size": 16, "expand": 2, "intermediate_size": 1536, "conv_kernel": 4,
        "time_step_rank": 48, "hidden_act": "silu", "layer_norm_epsilon": 1e-5,
        "use_bias": false, "use_conv_bias": true, "residual_in_fp32": true,
        // As state-spaces/mamba-130m-hf carries them over from the original.
        "d_model": 768, "n_layer": 24, "ssm_cfg": {}, "rms_norm": true, "fused_add_norm": true})
}

pub fn mamba2() -> Value {
    json!({"model_type": "mamba2", "vocab_size": 2048, "hidden_size": 128, "num_hidden_layers": 6,
        "num_heads": 8, "head_dim": 32, "n_groups": 2, "state_size": 32, "chunk_size": 64,
        "time_step_limit": [0.0, {"__float__": "Infinity"}], "norm_before_gate": true})
}

pub fn llama() -> Value {
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

pub fn read(config: &Value) -> ModelConfig {
    parse(config).unwrap_or_else(|e| panic!("{config}: {e}"))
}

pub fn mamba_of(config: &ModelConfig) -> &MambaMixer {
    match &config.layers[0].mixer {
        Mixer::Mamba(mixer) => mixer,
        other => panic!("expected a Mamba, got {other:?}"),
    }
}

pub fn mamba2_of(config: &ModelConfig) -> &Mamba2Mixer {
    match &config.layers[0].mixer {
        Mixer::Mamba2(mixer) => mixer,
        other => panic!("expected a Mamba-2, got {other:?}"),
    }
}

pub fn attention_of(config: &ModelConfig) -> &Attention {
    match &config.layers[0].mixer {
        Mixer::Attention(attention) => attention,
        other => panic!("expected attention, got {other:?}"),
    }
}

pub fn rope_of(config: &ModelConfig) -> &Rope {
    attention_of(config).rope.as_ref().expect("a rotation")
}

pub fn mlp_of(config: &ModelConfig) -> &Mlp {
    config.layers[0].mlp.as_ref().expect("an MLP")
}

pub fn close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        // transformers works in f32: a power and a quotient, a few ulps each.
        assert!((f64::from(*f) / e - 1.0).abs() < 1e-6, "{f} against {e}");
    }
}

#[test]
fn mamba_sizes_are_read_and_leftovers_of_the_original_are_harmless() {
    let config = read(&mamba());
    let mixer = mamba_of(&config);
    assert_eq!((mixer.d_inner, mixer.d_state, mixer.d_conv, mixer.dt_rank), (1536, 16, 4, 48));
    assert_eq!((config.n_layer(), config.layers[0].mlp.is_none()), (24, true));
    assert!(config.common.tie_word_embeddings && mixer.use_conv_bias && !mixer.use_bias);
    assert_eq!(config.common.ignored, Vec::<String>::new());
}

#[test]
fn an_automatic_dt_rank_is_a_sixteenth_of_d_model_rounded_up() {
    let config = with(
        mamba(),
        json!({"hidden_size": 50, "intermediate_size": 100, "time_step_rank": "auto"}),
    );
    assert_eq!(mamba_of(&read(&config)).dt_rank, 4);
}

#[test]
fn every_published_spelling_of_infinity_is_read() {
    let spellings =
        [json!({"__float__": "Infinity"}), json!("inf"), json!("Infinity"), json!(1e300)];
    for high in spellings {
        let config = with(mamba2(), json!({"time_step_limit": [0.0, high.clone()]}));
        assert_eq!(mamba2_of(&read(&config)).dt_limit, (0.0, f32::INFINITY), "{high}");
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
    let config = ModelConfig::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(mamba2_of(&config).dt_limit, (0.01, f32::INFINITY));
}

#[test]
fn mamba2_derived_sizes_follow_from_heads_and_groups() {
    let config = read(&mamba2());
    let mixer = mamba2_of(&config);
    // 256 channels, and B and C of 32 for each of 2 groups; 8 dt.
    assert_eq!((mixer.conv_dim(), mixer.d_in_proj(), mixer.norm_group_size()), (384, 648, 128));
    assert!(!config.common.tie_word_embeddings);
}

#[test]
fn llama_with_the_fields_of_transformers_4_is_read() {
    let config = read(&llama());
    let attention = attention_of(&config);
    assert_eq!((attention.n_head, attention.n_kv_head, attention.headdim), (9, 3, 64));
    assert_eq!((mlp_of(&config).d_ff, mlp_of(&config).kind), (1536, MlpKind::SwiGlu));
    assert_eq!((rope_of(&config).dim, rope_of(&config).theta), (64, 100_000.0));
    assert_eq!(rope_of(&config).scaling, RopeScaling::Default);
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
        let config = read(&with(llama(), spelling));
        close(&rope_of(&config).inv_freq(), &expected);
    }
}

#[test]
fn linear_scaling_gives_the_frequencies_of_transformers() {
    let config = json!({"head_dim": 16, "rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 4.0}});
    let config = read(&with(llama(), config));
    close(&rope_of(&config).inv_freq(), &LINEAR_INV_FREQ);
}

#[test]
fn gpt_neox_rotates_a_part_of_each_head_in_both_spellings() {
    let new = json!({"rotary_pct": null, "rotary_emb_base": null,
        "rope_parameters": {"partial_rotary_factor": 0.25, "rope_theta": 2000, "rope_type": "default"}});
    for config in [neox(), with(neox(), new)] {
        let config = read(&config);
        let attention = attention_of(&config);
        assert_eq!((attention.headdim, rope_of(&config).dim), (40, 10));
        assert!(config.common.is_parallel && attention.qkv_bias && attention.o_bias);
        assert_eq!(mlp_of(&config).kind, MlpKind::Plain(Activation::Gelu));
        close(&rope_of(&config).inv_freq(), &NEOX_INV_FREQ);
    }
}

#[test]
fn unknown_fields_are_listed_and_not_refused() {
    let config = read(&with(
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
        (neox(), json!({"hidden_act": "silu"}), "hidden_act"),
        (llama(), json!({"head_dim": 512}), "head_dim"),
        (neox(), json!({"num_attention_heads": 1, "hidden_size": 512}), "num_attention_heads"),
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
    let config = read(&with(mamba(), json!({"intermediate_size": 1535})));
    assert_eq!(mamba_of(&config).d_inner, 1535);
}

#[test]
fn a_missing_size_is_named() {
    let mut config = llama();
    config.as_object_mut().expect("an object").remove("intermediate_size");
    let message = parse(&config).expect_err("refused").to_string();
    assert!(message.contains("intermediate_size is absent"), "{message}");
}

#[test]
fn an_unknown_model_type_is_named_beside_those_supported() {
    let message = parse(&json!({"model_type": "rwkv7"})).expect_err("refused").to_string();
    for word in ["\"rwkv7\""].iter().chain(&FAMILIES) {
        assert!(message.contains(word), "{message}");
    }
}

/// state-spaces/mamba-130m and mamba2-130m as their files are.
fn original(layer: Option<&str>) -> Value {
    let ssm = layer.map_or(json!({}), |layer| json!({"layer": layer}));
    json!({"d_model": 768, "d_intermediate": 0, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": ssm,
        "attn_layer_idx": [], "attn_cfg": {}, "rms_norm": true, "residual_in_fp32": true,
        "fused_add_norm": true, "pad_vocab_size_multiple": if layer.is_some() { 16 } else { 8 },
        "tie_embeddings": true})
}

#[test]
fn an_original_file_means_what_its_conversion_says() {
    let config = read(&original(None));
    let converted = read(&with(mamba(), json!({"bos_token_id": 0, "eos_token_id": 0})));
    assert_eq!(config, converted);
    let config = read(&original(Some("Mamba2")));
    assert_eq!((config.family(), config.vocab_size(), config.n_layer()), ("mamba2", 50_288, 24));
    let mixer = mamba2_of(&config);
    let sizes = (mixer.d_inner, mixer.n_head, mixer.headdim, mixer.n_groups, mixer.d_state);
    assert_eq!(sizes, (1536, 24, 64, 1, 128));
    assert!(config.common.tie_word_embeddings && config.common.ignored.is_empty());
}

#[test]
fn what_an_original_file_may_hold_and_is_not_implemented_is_refused_by_name() {
    let cases = [
        (json!({"attn_layer_idx": [3]}), "attn_layer_idx"),
        (json!({"d_intermediate": 512}), "d_intermediate"),
        (json!({"rms_norm": false}), "rms_norm"),
        (json!({"ssm_cfg": {"layer": "Mamba3"}}), "ssm_cfg.layer"),
        (json!({"ssm_cfg": {"D_has_hdim": true}}), "ssm_cfg.D_has_hdim"),
        (json!({"ssm_cfg": {"surprise": 1}}), "ssm_cfg.surprise"),
        (json!({"ssm_cfg": {"layer": "Mamba2", "headdim": 7}}), "head_dim"),
    ];
    for (change, field) in cases {
        match parse(&with(original(None), change.clone())) {
            Err(Error::Config { field: named, .. }) => assert_eq!(named, field, "{change}"),
            other => panic!("{change}: expected an error about {field}, got {other:?}"),
        }
    }
}

#[test]
fn absent_tokens_are_those_of_the_class_and_null_is_none() {
    // transformers 5.23: Llama 1 and 2, GPT-NeoX 0 and 2, Mamba 0 and 0, Mamba-2 0 and 2.
    for (config, bos, eos) in [
        (with(llama(), json!({})), 0, vec![0, 2]),
        (neox(), 0, vec![2]),
        (mamba(), 0, vec![0]),
        (mamba2(), 0, vec![2]),
    ] {
        let config = read(&config);
        assert_eq!((config.bos_token_id(), config.eos_token_ids()), (Some(bos), &eos[..]));
    }
    let none = read(&with(mamba(), json!({"bos_token_id": null, "eos_token_id": null})));
    assert_eq!((none.bos_token_id(), none.eos_token_ids()), (None, &[][..]));
    // The class's own end is no token of so small a model.
    let small = read(&with(neox(), json!({"vocab_size": 2})));
    assert_eq!((small.bos_token_id(), small.eos_token_ids()), (Some(0), &[][..]));
    let only_end = read(&with(mamba(), json!({"bos_token_id": null, "eos_token_id": 5})));
    assert_eq!((only_end.prior_token(), none.prior_token()), (5, 0), "no context");
}

#[test]
fn published_files_of_the_other_families_are_read() {
    let qwen = read(
        &json!({"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02,
        "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 24, "model_type": "qwen2",
        "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "transformers_version": "4.40.1", "use_cache": true, "use_mrope": false, "use_sliding_window": false,
        "vocab_size": 151936}),
    );
    let attention = attention_of(&qwen);
    assert_eq!((attention.n_kv_head, attention.headdim), (2, 64));
    assert_eq!((attention.qkv_bias, attention.o_bias, attention.has_qk_norm), (true, false, false));
    assert_eq!((qwen.common.hard_limit, qwen.common.ignored.len()), (None, 0));
    let falcon = read(
        &json!({"architectures": ["FalconMambaForCausalLM"], "bos_token_id": 0, "conv_kernel": 4,
        "eos_token_id": 11, "expand": 16, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.1,
        "intermediate_size": 8192, "layer_norm_epsilon": 1e-05, "model_type": "falcon_mamba", "num_hidden_layers": 64,
        "pad_token_id": 11, "state_size": 16, "tie_word_embeddings": false, "time_step_rank": 256,
        "torch_dtype": "bfloat16", "use_bias": false, "use_conv_bias": true, "vocab_size": 65024}),
    );
    assert_eq!((mamba_of(&falcon).d_inner, mamba_of(&falcon).norm_eps), (8192, Some(1e-6)));
    let gpt2 = read(
        &json!({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 768, "n_layer": 12,
        "n_head": 12, "n_positions": 1024, "n_ctx": 1024, "vocab_size": 50257, "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "bos_token_id": 50256, "eos_token_id": 50256}),
    );
    assert_eq!((mlp_of(&gpt2).d_ff, gpt2.common.hard_limit), (3072, Some((1024, "n_positions"))));
}

#[test]
fn a_sequence_beyond_what_can_be_computed_is_refused_and_beyond_training_gets_a_word() {
    let longer = read(&with(neox(), json!({"max_position_embeddings": 4096})));
    assert_eq!(longer.check_length(4096), Ok(None));
    assert!(longer.check_length(4097).unwrap().is_some());
    let config = read(&llama());
    assert_eq!(config.check_length(8192), Ok(None));
    let word = config.check_length(8193).unwrap().expect("a word of caution");
    assert!(word.contains("8192"), "{word}");
    let mistral = with(
        llama(),
        json!({"model_type": "mistral", "architectures": ["MistralForCausalLM"],
        "sliding_window": 4096, "rope_interleaved": null, "is_llama_config": null}),
    );
    let error = read(&mistral).check_length(4097).unwrap_err().to_string();
    assert!(error.contains("sliding_window") && error.contains("4096"), "{error}");
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
