//! Granite 4 without experts, as `GraniteMoeHybridForCausalLM` computes it: a hybrid.
//!
//! x = embedding_multiplier * embed_tokens[ids]; per layer x += r * mixer(norm(x)) with Mamba-2 or attention as the
//! layer says, then x += r * mlp(norm(x)), r the residual multiplier; the logits are divided by logits_scaling.
//! Attention has a scale of its own and rotates only where the configuration says so.

use super::names::{MlpNames, Names, Qkv};

pub(super) const NAMES: Names = Names {
    embedding: "model.embed_tokens",
    norm: "model.norm",
    layers: "model.layers.",
    mixer_norm: "input_layernorm",
    mlp_norm: "post_attention_layernorm",
    ssm: "mamba.",
    qkv: Qkv::Three(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    o: "self_attn.o_proj",
    mlp: MlpNames {
        gate: "shared_mlp.input_linear",
        up: "shared_mlp.input_linear",
        down: "shared_mlp.output_linear",
        width_field: "shared_intermediate_size",
    },
    ..Names::NONE
};
