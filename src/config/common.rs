//! What every family's file has, and what none implements.

use serde_json::json;

use super::fields::{Fields, check_products};
use super::{Common, Family, Layer, ModelConfig, Multipliers, Norm};
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
    "init_std",
    // Training: dropout is off at inference, losses and heads are not ours.
    "attention_dropout",
    "hidden_dropout",
    "classifier_dropout",
    "dropout",
    "layerdrop",
    "attn_pdrop",
    "embd_pdrop",
    "resid_pdrop",
    "summary_type",
    "summary_use_proj",
    "summary_activation",
    "summary_proj_to_labels",
    "summary_first_dropout",
    "task_specific_params",
    "output_router_logits",
    "router_aux_loss_coef",
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
    "use_falcon_mambapy",
    "reorder_and_upcast_attn",
    "prefix",
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
    "use_mrope",
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

/// What a family's class takes for fields that are absent, and what it calls those that differ.
pub(super) struct Defaults {
    pub architecture: &'static str,
    pub norm: Norm,
    /// Field and value of the epsilon.
    pub eps: (&'static str, f64),
    pub tie: bool,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub d_model: &'static str,
}

/// Reads what every family has and refuses what none implements.
pub(super) fn common(fields: &mut Fields, defaults: &Defaults) -> Result<Common> {
    let none = [json!({}), json!([])];
    fields.only("quantization_config", &none, "an unquantised checkpoint (F32, F16 or BF16)")?;
    fields.only("per_layer_config", &none, "the same shape in every layer")?;
    fields.only("pruned_heads", &none, "no head removed")?;
    fields.only("is_encoder_decoder", &[json!(false)], "false")?;
    fields.only("add_cross_attention", &[json!(false)], "false")?;
    if let Some(found) = fields.take("architectures") {
        let expected = defaults.architecture;
        let named = found.as_array().is_some_and(|list| list.contains(&json!(expected)));
        if !named {
            return Err(fields.error("architectures", &found, format!("[\"{expected}\"]")));
        }
    }
    let vocab_size = fields.size("vocab_size", 1..=1_000_000)?;
    let d_model = fields.size(defaults.d_model, 1..=16_384)?;
    check_products(&[("vocab_size x hidden_size", &[vocab_size, d_model])])?;
    // A default that is no token of this model stands for none.
    let in_vocab = |id: &u32| (*id as usize) < vocab_size;
    let bos = fields.is_absent("bos_token_id").then_some(defaults.bos).flatten().filter(in_vocab);
    let eos = fields.is_absent("eos_token_id").then_some(defaults.eos).flatten().filter(in_vocab);
    let mut eos_token_ids = fields.tokens("eos_token_id", vocab_size)?;
    eos_token_ids.extend(eos);
    Ok(Common {
        vocab_size,
        d_model,
        norm: defaults.norm,
        eps: fields.eps_or(defaults.eps.0, defaults.eps.1)?,
        is_parallel: false,
        tie_word_embeddings: fields.flag_or("tie_word_embeddings", defaults.tie)?,
        max_seq_len: None,
        hard_limit: None,
        position_offset: None,
        multipliers: Multipliers::default(),
        bos_token_id: fields.token("bos_token_id", vocab_size)?.or(bos),
        eos_token_ids,
        ignored: Vec::new(),
    })
}

pub(super) fn n_layer(fields: &mut Fields, name: &str) -> Result<usize> {
    fields.size(name, 1..=256)
}

/// The configuration of these layers; what nobody has read is noted.
pub(super) fn finish(mut common: Common, layers: Vec<Layer>, fields: &Fields) -> ModelConfig {
    common.ignored.extend(fields.leftover(|name| HARMLESS.contains(&name)));
    // The reader's own are filled in by `ModelConfig::parse`.
    ModelConfig { model_type: "", family: Family::Llama, common, layers }
}

pub(super) fn only_silu(fields: &mut Fields) -> Result<()> {
    fields.only("hidden_act", &[json!("silu"), json!("swish")], "silu")
}

pub(super) fn divides(name: &str, divisor: usize, whole_name: &str, whole: usize) -> Result<()> {
    if whole.is_multiple_of(divisor) {
        return Ok(());
    }
    Err(Error::config(name, divisor, format!("a divisor of {whole_name} {whole}")))
}
