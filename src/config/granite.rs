//! Granite 4 in its dense form: Mamba-2 in some layers, attention in others, a gated MLP in each, and multipliers.

use serde_json::{Value, json};

use super::common::{Defaults, common, divides, finish, n_layer, only_silu};
use super::fields::{Fields, check_products};
use super::llama::{heads, whole_rope};
use super::mamba::dt_limit;
use super::{
    Attention, Kind, Layer, Mamba2Mixer, Mixer, Mlp, MlpKind, ModelConfig, Multipliers, Norm,
};
use crate::error::{Error, Result};

pub(super) fn read(mut fields: Fields) -> Result<ModelConfig> {
    let f = &mut fields;
    let mut common = common(
        f,
        &Defaults {
            architecture: "GraniteMoeHybridForCausalLM",
            norm: Norm::Rms,
            eps: ("rms_norm_eps", 1e-6),
            tie: false,
            bos: Some(1),
            eos: Some(2),
            d_model: "hidden_size",
        },
    )?;
    let n_layer = n_layer(f, "num_hidden_layers")?;
    only_silu(f)?;
    let experts = f.take("num_local_experts").unwrap_or(json!(8));
    if experts != json!(0) {
        return Err(f.error("num_local_experts", &experts, "0: the dense form, without experts"));
    }
    f.take("num_experts_per_tok");
    f.take("intermediate_size"); // of the experts
    let max_seq_len = f.size_or("max_position_embeddings", 2048, 1..=1 << 28)?;
    common.max_seq_len = Some(max_seq_len);
    let logits = f.positive("logits_scaling")?.unwrap_or(1.0);
    common.multipliers = Multipliers {
        embedding: f.positive("embedding_multiplier")?.unwrap_or(1.0) as f32,
        residual: f.positive("residual_multiplier")?.unwrap_or(1.0) as f32,
        logits: (1.0 / logits) as f32,
    };
    let kinds = kinds(f, n_layer)?;
    let shape = heads(f, common.d_model, None, None)?;
    let position = f.text("position_embedding_type")?;
    let rope = whole_rope(f, 10_000.0, shape.headdim, max_seq_len, &mut common.ignored)?;
    let bias = f.flag_or("attention_bias", false)?;
    let attention = Attention {
        qkv_bias: bias,
        o_bias: bias,
        rope: position.filter(|p| p == "rope").map(|_| rope),
        scale: f.positive("attention_multiplier")?.unwrap_or(1.0) as f32,
        ..shape
    };
    let mamba = mamba2(f, common.d_model)?;
    let d_ff = f.size_or("shared_intermediate_size", 1024, 1..=131_072)?;
    check_products(&[("shared_intermediate_size", &[2, d_ff, common.d_model])])?;
    let mlp = Mlp { d_ff, kind: MlpKind::SwiGlu, bias: false };
    let layer = |kind: Kind| Layer {
        mixer: match kind {
            Kind::StateSpace => Mixer::Mamba2(mamba.clone()),
            Kind::Attention => Mixer::Attention(attention.clone()),
        },
        mlp: Some(mlp.clone()),
    };
    Ok(finish(common, kinds.into_iter().map(layer).collect(), &fields))
}

/// What each layer mixes by; all by Mamba-2 where the file is silent.
fn kinds(f: &mut Fields, n_layer: usize) -> Result<Vec<Kind>> {
    let (new, old) = (f.take("layer_types"), f.take("layers_block_type"));
    let Some(found) = new.or(old) else { return Ok(vec![Kind::StateSpace; n_layer]) };
    let kind = |value: &Value| match value.as_str()? {
        "mamba" | "linear_attention" => Some(Kind::StateSpace),
        "attention" | "full_attention" => Some(Kind::Attention),
        _ => None,
    };
    let list = found.as_array().filter(|list| list.len() == n_layer);
    let kinds = list.and_then(|list| list.iter().map(kind).collect::<Option<Vec<_>>>());
    let expected = || format!("\"mamba\" or \"attention\" for each of {n_layer} layers");
    kinds.ok_or_else(|| f.error("layer_types", &found, expected()))
}

fn mamba2(f: &mut Fields, d_model: usize) -> Result<Mamba2Mixer> {
    let d_inner = f.size_or("mamba_expand", 2, 1..=64)? * d_model;
    let n_head = f.size_or("mamba_n_heads", 128, 1..=4096)?;
    divides("mamba_n_heads", n_head, "mamba_expand * hidden_size", d_inner)?;
    let headdim = match f.take("mamba_d_head") {
        None => d_inner / n_head,
        Some(auto) if auto == "auto" => d_inner / n_head,
        Some(found) => found.as_u64().unwrap_or(0) as usize,
    };
    if headdim * n_head != d_inner {
        let expected = format!("mamba_expand * hidden_size / mamba_n_heads = {}", d_inner / n_head);
        return Err(Error::config("mamba_d_head", headdim, expected));
    }
    let mixer = Mamba2Mixer {
        d_inner,
        d_state: f.size_or("mamba_d_state", 256, 1..=1024)?,
        d_conv: f.size_or("mamba_d_conv", 4, 1..=64)?,
        n_head,
        headdim,
        n_groups: f.size_or("mamba_n_groups", 1, 1..=4096)?,
        chunk_size: f.size_or("mamba_chunk_size", 256, 1..=65_536)?,
        dt_limit: dt_limit(f)?,
        use_bias: f.flag_or("mamba_proj_bias", false)?,
        use_conv_bias: f.flag_or("mamba_conv_bias", true)?,
    };
    divides("mamba_n_groups", mixer.n_groups, "mamba_n_heads", n_head)?;
    check_products(&[
        ("in_proj", &[mixer.d_in_proj(), d_model]),
        ("state", &[mixer.d_inner, mixer.d_state]),
    ])?;
    Ok(mixer)
}
