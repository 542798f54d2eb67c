//! Llama (Touvron et al. 2023), as `LlamaForCausalLM` computes it, and those that differ in options only: Mistral,
//! Qwen2 (biases on q, k, v), Qwen3 (RMS norms on the heads of q and k), SmolLM3 (layers that do not rotate).
//!
//! Per layer: x += o_proj(attention(rope(q), rope(k), v)), then x += down_proj(silu(gate_proj) * up_proj), each
//! on an RMS-normed input. Tokens that survive a reduction keep their positions.

use super::names::{MlpNames, Names, Qkv};

pub(super) const NAMES: Names = Names {
    embedding: "model.embed_tokens",
    norm: "model.norm",
    layers: "model.layers.",
    mixer_norm: "input_layernorm",
    mlp_norm: "post_attention_layernorm",
    qkv: Qkv::Three(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    o: "self_attn.o_proj",
    mlp: MlpNames {
        gate: "mlp.gate_proj",
        up: "mlp.up_proj",
        down: "mlp.down_proj",
        ..Names::NONE.mlp
    },
    has_free_heads: true,
    ..Names::NONE
};
