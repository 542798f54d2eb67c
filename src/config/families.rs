//! One reader for each model_type. Field names on the left of each reader are transformers'.

use serde_json::{Value, json};

use super::fields::{Fields, check_products, float};
use super::rope::{self, RopeNames};
use super::{Activation, Common, GptNeoXConfig, LlamaConfig, Mamba2Config, MambaConfig};
use crate::error::{Error, Result};

/// Known fields without influence on the forward pass in f32.
const HARMLESS: &[&str] = &[
    // Initialisation of new weights.
    "initializer_range",
    "rescale_prenorm_residual",
    "time_step_min",
    "time_step_max",
    "time_step_floor",
    "time_step_scale",
    "time_step_init_scheme",
    // Training: dropout is off at inference, losses and heads are not ours.
    "attention_dropout",
    "hidden_dropout",
    "classifier_dropout",
    "id2label",
    "label2id",
    "problem_type",
    // Precision and storage: everything here is computed in f32 from the stored weights.
    "dtype",
    "torch_dtype",
    "residual_in_fp32",
    // Which of several equal implementations runs.
    "use_cache",
    "use_mambapy",
    "use_associative_scan",
    "fused_add_norm",
    "attn_implementation",
    "_attn_implementation_autoset",
    "pretraining_tp",
    "chunk_size_feed_forward",
    // Shape of the answer or of a batch, not its values.
    "output_hidden_states",
    "output_attentions",
    "return_dict",
    "pad_token_id",
    // Provenance.
    "_name_or_path",
    "transformers_version",
    "transformers.js_config",
    "is_llama_config",
    "is_decoder",
    // Left over from the original mamba_ssm file; transformers does not read them, and the fields
    // it reads instead are checked.
    "d_model",
    "d_inner",
    "n_layer",
    "ssm_cfg",
    "pad_vocab_size_multiple",
    // transformers' Mamba-2 gates before it normalises, whatever this says; its own files say both.
    "norm_before_gate",
    // transformers' Mamba-2 has no low-rank dt.
    "time_step_rank",
];

/// Reads what every family has and refuses what none implements. `tie` is the family's default.
fn common(fields: &mut Fields, architecture: &str, eps: (&str, f64), tie: bool) -> Result<Common> {
    let none = [json!({}), json!([])];
    fields.only("quantization_config", &none, "an unquantised checkpoint (F32, F16 or BF16)")?;
    fields.only("per_layer_config", &none, "the same shape in every layer")?;
    fields.only("pruned_heads", &none, "no head removed")?;
    fields.only("is_encoder_decoder", &[json!(false)], "false")?;
    fields.only("add_cross_attention", &[json!(false)], "false")?;
    if let Some(found) = fields.take("architectures") {
        let named = found.as_array().is_some_and(|list| list.contains(&json!(architecture)));
        if !named {
            return Err(fields.error("architectures", &found, format!("[\"{architecture}\"]")));
        }
    }
    let vocab_size = fields.size("vocab_size", 1..=1_000_000)?;
    let d_model = fields.size("hidden_size", 1..=16_384)?;
    check_products(&[("vocab_size x hidden_size", &[vocab_size, d_model])])?;
    Ok(Common {
        vocab_size,
        d_model,
        n_layer: fields.size("num_hidden_layers", 1..=256)?,
        eps: fields.eps_or(eps.0, eps.1)?,
        tie_word_embeddings: fields.flag_or("tie_word_embeddings", tie)?,
        bos_token_id: fields.token("bos_token_id", vocab_size)?,
        eos_token_ids: fields.tokens("eos_token_id", vocab_size)?,
        ignored: Vec::new(),
    })
}

fn finish(common: &mut Common, fields: &Fields) {
    common.ignored.extend(fields.leftover(|name| HARMLESS.contains(&name)));
}

fn only_silu(fields: &mut Fields) -> Result<()> {
    fields.only("hidden_act", &[json!("silu"), json!("swish")], "silu")
}

/// `d_inner = int(expand * d_model)`; intermediate_size may repeat it.
fn d_inner(fields: &mut Fields, d_model: usize) -> Result<usize> {
    let expand = fields.positive("expand")?;
    let stated = fields.size_or("intermediate_size", 0, 1..=65_536)?;
    let d_inner = match expand {
        None if stated > 0 => stated,
        _ => (expand.unwrap_or(2.0) * d_model as f64) as usize,
    };
    if !(1..=65_536).contains(&d_inner) {
        let found = expand.unwrap_or(2.0);
        return Err(Error::config("expand", found, "expand * hidden_size from 1 to 65536"));
    }
    if stated > 0 && stated != d_inner {
        let expected = format!("{d_inner}, that is expand * hidden_size");
        return Err(Error::config("intermediate_size", stated, expected));
    }
    Ok(d_inner)
}

/// In transformers' Mamba a stated width wins over `expand`, whatever that says; in Mamba-2 it must agree.
fn mamba_d_inner(fields: &mut Fields, d_model: usize) -> Result<usize> {
    if !fields.contains("intermediate_size") {
        return d_inner(fields, d_model);
    }
    fields.positive("expand")?;
    fields.size("intermediate_size", 1..=65_536)
}

pub(super) fn mamba(mut fields: Fields) -> Result<MambaConfig> {
    let f = &mut fields;
    let common = common(f, "MambaForCausalLM", ("layer_norm_epsilon", 1e-5), true)?;
    only_silu(f)?;
    f.only("rms_norm", &[json!(true)], "true: transformers' Mamba normalises by RMSNorm only")?;
    let dt_rank = match f.take("time_step_rank") {
        None => common.d_model.div_ceil(16),
        Some(auto) if auto == "auto" => common.d_model.div_ceil(16),
        Some(found) => found
            .as_u64()
            .filter(|rank| (1..=16_384).contains(rank))
            .ok_or_else(|| f.error("time_step_rank", &found, "\"auto\" or from 1 to 16384"))?
            as usize,
    };
    let mut config = MambaConfig {
        d_inner: mamba_d_inner(f, common.d_model)?,
        d_state: f.size_or("state_size", 16, 1..=1024)?,
        d_conv: f.size_or("conv_kernel", 4, 1..=64)?,
        dt_rank,
        use_bias: f.flag_or("use_bias", false)?,
        use_conv_bias: f.flag_or("use_conv_bias", true)?,
        common,
    };
    check_products(&[
        ("in_proj", &[2 * config.d_inner, config.common.d_model]),
        ("x_proj", &[config.dt_rank + 2 * config.d_state, config.d_inner]),
        ("dt_proj", &[config.d_inner, config.dt_rank]),
    ])?;
    finish(&mut config.common, &fields);
    Ok(config)
}

pub(super) fn mamba2(mut fields: Fields) -> Result<Mamba2Config> {
    let f = &mut fields;
    let common = common(f, "Mamba2ForCausalLM", ("layer_norm_epsilon", 1e-5), false)?;
    only_silu(f)?;
    f.only("rms_norm", &[json!(true)], "true: transformers' Mamba-2 always has the gated RMSNorm")?;
    let mut config = Mamba2Config {
        d_inner: d_inner(f, common.d_model)?,
        d_state: f.size_or("state_size", 128, 1..=1024)?,
        d_conv: f.size_or("conv_kernel", 4, 1..=64)?,
        n_head: f.size_or("num_heads", 128, 1..=4096)?,
        headdim: f.size_or("head_dim", 64, 1..=4096)?,
        n_groups: f.size_or("n_groups", 8, 1..=4096)?,
        chunk_size: f.size_or("chunk_size", 256, 1..=65_536)?,
        dt_limit: dt_limit(f)?,
        use_bias: f.flag_or("use_bias", false)?,
        use_conv_bias: f.flag_or("use_conv_bias", true)?,
        common,
    };
    if config.n_head * config.headdim != config.d_inner {
        let found = format!("{} with head_dim {}", config.n_head, config.headdim);
        let expected = format!("num_heads * head_dim = expand * hidden_size = {}", config.d_inner);
        return Err(Error::config("num_heads", found, expected));
    }
    divides("n_groups", config.n_groups, "num_heads", config.n_head)?;
    check_products(&[("in_proj", &[config.d_in_proj(), config.common.d_model])])?;
    finish(&mut config.common, &fields);
    Ok(config)
}

/// time_step_limit: [low, high], high possibly infinite in one of several spellings.
fn dt_limit(fields: &mut Fields) -> Result<(f32, f32)> {
    let Some(found) = fields.take("time_step_limit") else { return Ok((0.0, f32::INFINITY)) };
    let ends = match found.as_array().map(Vec::as_slice) {
        Some([low, high]) => float(low).zip(float(high)),
        _ => None,
    };
    match ends {
        Some((low, high)) if (0.0..1e30).contains(&low) && low <= high => {
            Ok((low as f32, high as f32))
        }
        _ => Err(fields.error("time_step_limit", &found, "[low, high] with 0 <= low <= high")),
    }
}

pub(super) fn llama(mut fields: Fields) -> Result<LlamaConfig> {
    const NAMES: RopeNames = RopeNames {
        theta: &["rope_theta"],
        partial: &["partial_rotary_factor"],
        default_partial: 1.0,
    };
    let f = &mut fields;
    let mut common = common(f, "LlamaForCausalLM", ("rms_norm_eps", 1e-6), false)?;
    only_silu(f)?;
    f.only("rope_interleaved", &[json!(false)], "false: rotary pairs are (i, i + head_dim / 2)")?;
    let n_head = f.size("num_attention_heads", 1..=1024)?;
    let n_kv_head = f.size_or("num_key_value_heads", n_head, 1..=1024)?;
    divides("num_key_value_heads", n_kv_head, "num_attention_heads", n_head)?;
    if !f.contains("head_dim") {
        divides("num_attention_heads", n_head, "hidden_size", common.d_model)?;
    }
    let headdim = f.size_or("head_dim", common.d_model / n_head, 1..=1024)?;
    let max_seq_len = f.size_or("max_position_embeddings", 2048, 1..=1 << 28)?;
    let rope = rope::read(f, &NAMES, headdim, max_seq_len, &mut common.ignored)?;
    // transformers' Llama rotates the whole head with the default rope and a part with llama3.
    if rope.dim != headdim {
        let expected = "1: Llama rotates the whole head";
        return Err(Error::config(
            "partial_rotary_factor",
            rope.dim as f64 / headdim as f64,
            expected,
        ));
    }
    let mut config = LlamaConfig {
        d_ff: f.size("intermediate_size", 1..=131_072)?,
        n_head,
        n_kv_head,
        headdim,
        attention_bias: f.flag_or("attention_bias", false)?,
        mlp_bias: f.flag_or("mlp_bias", false)?,
        max_seq_len,
        rope,
        common,
    };
    check_products(&[
        ("num_attention_heads x head_dim x hidden_size", &[n_head, headdim, config.common.d_model]),
        ("intermediate_size x hidden_size", &[config.d_ff, config.common.d_model]),
    ])?;
    finish(&mut config.common, &fields);
    Ok(config)
}

pub(super) fn gpt_neox(mut fields: Fields) -> Result<GptNeoXConfig> {
    const NAMES: RopeNames = RopeNames {
        theta: &["rotary_emb_base", "rope_theta"],
        partial: &["rotary_pct", "partial_rotary_factor"],
        default_partial: 0.25,
    };
    let f = &mut fields;
    let mut common = common(f, "GPTNeoXForCausalLM", ("layer_norm_eps", 1e-5), false)?;
    let n_head = f.size("num_attention_heads", 1..=1024)?;
    divides("num_attention_heads", n_head, "hidden_size", common.d_model)?;
    let headdim = common.d_model / n_head;
    let max_seq_len = f.size_or("max_position_embeddings", 2048, 1..=1 << 28)?;
    let rope = rope::read(f, &NAMES, headdim, max_seq_len, &mut common.ignored)?;
    let mut config = GptNeoXConfig {
        d_ff: f.size("intermediate_size", 1..=131_072)?,
        n_head,
        headdim,
        use_parallel_residual: f.flag_or("use_parallel_residual", true)?,
        attention_bias: f.flag_or("attention_bias", true)?,
        activation: activation(f)?,
        max_seq_len,
        rope,
        common,
    };
    check_products(&[
        ("query_key_value", &[3, config.common.d_model, config.common.d_model]),
        ("intermediate_size x hidden_size", &[config.d_ff, config.common.d_model]),
    ])?;
    finish(&mut config.common, &fields);
    Ok(config)
}

fn activation(fields: &mut Fields) -> Result<Activation> {
    let Some(name) = fields.text("hidden_act")? else { return Ok(Activation::Gelu) };
    match name.as_str() {
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_python_tanh" => {
            Ok(Activation::GeluTanh)
        }
        _ => {
            let expected = "gelu, gelu_new, gelu_fast or gelu_pytorch_tanh";
            Err(fields.error("hidden_act", &Value::String(name), expected))
        }
    }
}

fn divides(name: &str, divisor: usize, whole_name: &str, whole: usize) -> Result<()> {
    if whole.is_multiple_of(divisor) {
        return Ok(());
    }
    Err(Error::config(name, divisor, format!("a divisor of {whole_name} {whole}")))
}
