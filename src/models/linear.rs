//! The linear layers inside the blocks of a model: what may be pruned, and what arithmetic is counted by.

use super::names::Names;
use super::{attention, mamba, mamba2, mlp};
use crate::config::{Mixer, ModelConfig};

/// A linear layer that may be pruned.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Checkpoint name, e.g. "backbone.layers.0.mixer.in_proj.weight".
    pub name: String,
    /// From 0.
    pub layer: usize,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Whether a method prunes it unless told otherwise (small projections of Mamba-1 are left alone).
    pub by_default: bool,
}

/// Every linear layer inside the blocks, in the order of the forward pass.
pub fn linears(config: &ModelConfig) -> Vec<Linear> {
    let names = Names::of(config.family);
    let (mut list, d_model) = (Vec::new(), config.d_model());
    for (layer, block) in config.layers.iter().enumerate() {
        let mut shapes = match &block.mixer {
            Mixer::Mamba(m) => mamba::linears(m, names.ssm, d_model),
            Mixer::Mamba2(m) => mamba2::linears(m, names.ssm, d_model),
            Mixer::Attention(a) => attention::linears(a, names, d_model),
        };
        if let Some(m) = &block.mlp {
            shapes.extend(mlp::linears(m, &names.mlp, d_model));
        }
        list.extend(shapes.into_iter().map(|shape| Linear {
            name: format!("{}{}.weight", names.layer(layer), shape.part),
            layer,
            rows: shape.rows,
            cols: shape.cols,
            by_default: shape.by_default,
        }));
    }
    list
}
