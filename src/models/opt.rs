//! OPT (Zhang et al. 2022, arXiv 2205.01068), as `OPTForCausalLM` computes it where norms stand before attention and MLP.
//!
//! x = embed_tokens[ids] + embed_positions[positions + 2]; per layer x += out_proj(attention(q, k, v)), then
//! x += fc2(relu(fc1)), each on a layer-normed input.

use super::names::{MlpNames, Names, Qkv};

pub(super) const NAMES: Names = Names {
    embedding: "model.decoder.embed_tokens",
    positions: "model.decoder.embed_positions",
    norm: "model.decoder.final_layer_norm",
    layers: "model.decoder.layers.",
    mixer_norm: "self_attn_layer_norm",
    mlp_norm: "final_layer_norm",
    qkv: Qkv::Three(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    o: "self_attn.out_proj",
    mlp: MlpNames { gate: "", up: "fc1", down: "fc2", width_field: "ffn_dim" },
    ..Names::NONE
};
