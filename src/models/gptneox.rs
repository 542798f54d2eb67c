//! GPT-NeoX (Black et al. 2022; Pythia), as `GPTNeoXForCausalLM` computes it.
//!
//! Per layer, parallel form: x + dense(attention(ln1(x))) + mlp(ln2(x)); sequential form: the MLP reads
//! x + attention. The rotation covers the first rotary_ndims of every head. The checkpoint's
//! query_key_value rows are ordered `[n_head, (q, k, v), headdim]`; they are sorted into q, k, v at loading.

use super::Weights;
use super::names::{MlpNames, Names, Qkv};
use super::projection::Projection;
use crate::Result;
use crate::backend::Device;
use crate::config::Attention;

pub(super) const NAMES: Names = Names {
    embedding: "gpt_neox.embed_in",
    heads: &["embed_out.weight", "lm_head.weight"],
    norm: "gpt_neox.final_layer_norm",
    layers: "gpt_neox.layers.",
    mixer_norm: "input_layernorm",
    mlp_norm: "post_attention_layernorm",
    qkv: Qkv::ByHead("attention.query_key_value"),
    o: "attention.dense",
    mlp: MlpNames { up: "mlp.dense_h_to_4h", down: "mlp.dense_4h_to_h", ..Names::NONE.mlp },
    ..Names::NONE
};

/// Queries, keys and values in one matrix `[3 * n_head * headdim, d_model]`, sorted into q, k, v.
pub(super) fn load_qkv(
    device: &Device,
    a: &Attention,
    d_model: usize,
    weights: &Weights,
    name: String,
) -> Result<Projection> {
    let (rows, weight, bias) =
        (3 * a.n_head * a.headdim, format!("{name}.weight"), format!("{name}.bias"));
    let bias = match a.qkv_bias {
        true => {
            let bias = weights.values(&bias, &[rows])?;
            Some(device.tensor(1, rows, &sort_qkv(&bias, a, 1)))
        }
        false => None,
    };
    let values = sort_qkv(&weights.values(&weight, &[rows, d_model])?, a, d_model);
    let matrix = weights.rearranged(device, &weight, [rows, d_model], &values);
    Ok(Projection { weight: matrix, bias, name: weight })
}

/// Rows `[n_head, 3, headdim]` of width `cols` in the order `[3, n_head, headdim]`.
fn sort_qkv(values: &[f32], a: &Attention, cols: usize) -> Vec<f32> {
    let mut sorted = Vec::with_capacity(values.len());
    for part in 0..3 {
        for head in 0..a.n_head {
            let start = (head * 3 + part) * a.headdim * cols;
            sorted.extend_from_slice(&values[start..start + a.headdim * cols]);
        }
    }
    sorted
}
