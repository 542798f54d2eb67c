//! Models of attention layers with a plain MLP and layer norms: GPT-NeoX, GPT-2, OPT.

use serde_json::{Value, json};

use super::common::{Defaults, common, divides, finish, n_layer};
use super::fields::{Fields, check_products};
use super::llama::{check_headdim, d_ff};
use super::rope::{self, RopeNames};
use super::{Activation, Attention, Layer, Mixer, Mlp, MlpKind, ModelConfig, Norm};
use crate::error::Result;

pub(super) fn gpt_neox(mut fields: Fields) -> Result<ModelConfig> {
    const NAMES: RopeNames = RopeNames {
        theta: &["rotary_emb_base", "rope_theta"],
        default_theta: 10_000.0,
        partial: &["rotary_pct", "partial_rotary_factor"],
        default_partial: 0.25,
    };
    let f = &mut fields;
    let mut common = common(
        f,
        &Defaults {
            architecture: "GPTNeoXForCausalLM",
            norm: Norm::Layer,
            eps: ("layer_norm_eps", 1e-5),
            tie: false,
            bos: Some(0),
            eos: Some(2),
            d_model: "hidden_size",
        },
    )?;
    let n_layer = n_layer(f, "num_hidden_layers")?;
    let shape = equal_heads(f, "num_attention_heads", common.d_model)?;
    let max_seq_len = f.size_or("max_position_embeddings", 2048, 1..=1 << 28)?;
    common.max_seq_len = Some(max_seq_len);
    let rope = rope::read(f, &NAMES, shape.headdim, max_seq_len, &mut common.ignored)?;
    common.is_parallel = f.flag_or("use_parallel_residual", true)?;
    let d_ff = d_ff(f, "intermediate_size", common.d_model)?;
    let bias = f.flag_or("attention_bias", true)?;
    let attention = Attention { qkv_bias: bias, o_bias: bias, rope: Some(rope), ..shape };
    let act = activation(f, "hidden_act", Activation::Gelu)?;
    let mlp = Mlp { d_ff, kind: MlpKind::Plain(act), bias: true };
    let layer = Layer { mixer: Mixer::Attention(attention), mlp: Some(mlp) };
    Ok(finish(common, vec![layer; n_layer], &fields))
}

/// Heads that fill d_model, all with keys and values of their own.
fn equal_heads(f: &mut Fields, name: &'static str, d_model: usize) -> Result<Attention> {
    let n_head = f.size(name, 1..=1024)?;
    divides(name, n_head, "hidden_size", d_model)?;
    let headdim = d_model / n_head;
    check_headdim(headdim, n_head)?;
    check_products(&[("query_key_value", &[3, d_model, d_model])])?;
    let scale = Attention::scale(headdim);
    let (n_kv_head, qkv_bias, o_bias, has_qk_norm, rope) = (n_head, false, false, false, None);
    Ok(Attention { n_head, n_kv_head, headdim, qkv_bias, o_bias, has_qk_norm, rope, scale })
}

pub(super) fn gpt2(mut fields: Fields) -> Result<ModelConfig> {
    let f = &mut fields;
    let mut common = common(
        f,
        &Defaults {
            architecture: "GPT2LMHeadModel",
            norm: Norm::Layer,
            eps: ("layer_norm_epsilon", 1e-5),
            tie: true,
            bos: Some(50_256),
            eos: Some(50_256),
            d_model: "n_embd",
        },
    )?;
    let n_layer = n_layer(f, "n_layer")?;
    let n_positions = f.size_or("n_positions", 1024, 1..=1 << 20)?;
    f.take("n_ctx");
    check_products(&[("n_positions x n_embd", &[n_positions, common.d_model])])?;
    common.max_seq_len = Some(n_positions);
    common.hard_limit = Some((n_positions, "n_positions"));
    common.position_offset = Some(0);
    let shape = equal_heads(f, "n_head", common.d_model)?;
    let d_ff = f.size_or("n_inner", 4 * common.d_model, 1..=131_072)?;
    check_products(&[("n_inner x n_embd", &[d_ff, common.d_model])])?;
    let act = activation(f, "activation_function", Activation::GeluTanh)?;
    let mlp = Mlp { d_ff, kind: MlpKind::Plain(act), bias: true };
    let scales = f.flag_or("scale_attn_weights", true)?;
    let by_layer = f.flag_or("scale_attn_by_inverse_layer_idx", false)?;
    let layer = |index: usize| {
        let scale = if scales { shape.scale } else { 1.0 };
        let scale = if by_layer { scale / (index + 1) as f32 } else { scale };
        let attention = Attention { qkv_bias: true, o_bias: true, scale, ..shape.clone() };
        Layer { mixer: Mixer::Attention(attention), mlp: Some(mlp.clone()) }
    };
    Ok(finish(common, (0..n_layer).map(layer).collect(), &fields))
}

pub(super) fn opt(mut fields: Fields) -> Result<ModelConfig> {
    let f = &mut fields;
    let mut common = common(
        f,
        &Defaults {
            architecture: "OPTForCausalLM",
            norm: Norm::Layer,
            // No field: the class never passes one to its norms.
            eps: ("layer_norm_eps", 1e-5),
            tie: true,
            bos: Some(2),
            eos: Some(2),
            d_model: "hidden_size",
        },
    )?;
    let n_layer = n_layer(f, "num_hidden_layers")?;
    f.only("do_layer_norm_before", &[json!(true)], "true: norms before attention and MLP")?;
    f.only("_remove_final_layer_norm", &[json!(false)], "false")?;
    f.only("layer_norm_elementwise_affine", &[json!(true)], "true")?;
    let equal = [json!(common.d_model)];
    f.only("word_embed_proj_dim", &equal, "hidden_size: no projection of the embedding")?;
    let n_positions = f.size_or("max_position_embeddings", 2048, 1..=1 << 20)?;
    check_products(&[(
        "max_position_embeddings x hidden_size",
        &[n_positions + 2, common.d_model],
    )])?;
    common.max_seq_len = Some(n_positions);
    common.hard_limit = Some((n_positions, "max_position_embeddings"));
    common.position_offset = Some(2);
    let bias = f.flag_or("enable_bias", true)?;
    let shape = equal_heads(f, "num_attention_heads", common.d_model)?;
    let attention = Attention { qkv_bias: bias, o_bias: bias, ..shape };
    let d_ff = d_ff(f, "ffn_dim", common.d_model)?;
    let act = activation(f, "activation_function", Activation::Relu)?;
    let mlp = Mlp { d_ff, kind: MlpKind::Plain(act), bias };
    let layer = Layer { mixer: Mixer::Attention(attention), mlp: Some(mlp) };
    Ok(finish(common, vec![layer; n_layer], &fields))
}

fn activation(fields: &mut Fields, field: &str, default: Activation) -> Result<Activation> {
    let Some(name) = fields.text(field)? else { return Ok(default) };
    match name.as_str() {
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_python_tanh" => {
            Ok(Activation::GeluTanh)
        }
        "relu" => Ok(Activation::Relu),
        _ => {
            let expected = "gelu, gelu_new, gelu_fast, gelu_pytorch_tanh or relu";
            Err(fields.error(field, &Value::String(name), expected))
        }
    }
}
