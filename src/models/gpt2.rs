//! GPT-2 (Radford et al. 2019), as `GPT2LMHeadModel` computes it.
//!
//! x = wte[ids] + wpe[positions]; per layer x += c_proj(attention(c_attn(ln_1(x)))), then
//! x += c_proj(gelu(c_fc(ln_2(x)))). Its matrices are stored with the inputs first (`names::is_transposed`).

use super::names::{MlpNames, Names, Qkv};

pub(super) const NAMES: Names = Names {
    embedding: "transformer.wte",
    positions: "transformer.wpe",
    norm: "transformer.ln_f",
    layers: "transformer.h.",
    mixer_norm: "ln_1",
    mlp_norm: "ln_2",
    qkv: Qkv::InOrder("attn.c_attn"),
    o: "attn.c_proj",
    mlp: MlpNames { gate: "", up: "mlp.c_fc", down: "mlp.c_proj", width_field: "n_inner" },
    n_layer_field: "n_layer",
    ..Names::NONE
};
