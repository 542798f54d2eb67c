//! The MLP of a layer: down(act(up(x))), or gated, down(act(gate(x)) * up(x)).
//!
//! Shapes: x `[seq_len, d_model]`, inside `[seq_len, d_ff]`. Source: Vaswani et al. 2017, section 3.3; Shazeer 2020
//! (arXiv 2002.05202) for the gate.

use super::names::MlpNames;
use super::normed::Normed;
use super::projection::{LinearShape, Projection};
use super::{Hooks, Weights};
use crate::Result;
use crate::backend::{Device, Tensor};
use crate::config::{self, Activation, MlpKind};
use crate::kernels::gelu::{Gelu, gelu};
use crate::kernels::relu::relu;
use crate::kernels::swiglu::swiglu;

pub(super) struct Mlp {
    inner: Inner,
    pub down: Projection, // [d_model, d_ff]
}

enum Inner {
    /// The gate, then up.
    SwiGlu([Projection; 2]), // [d_ff, d_model] both
    /// The gate's rows, then those of up.
    Fused {
        both: Projection,
        d_ff: usize,
    }, // [2 * d_ff, d_model]
    Plain {
        up: Projection,
        activation: Activation,
    }, // [d_ff, d_model]
}

pub(super) fn linears(m: &config::Mlp, names: &MlpNames, d_model: usize) -> Vec<LinearShape> {
    let mut list = Vec::new();
    match m.kind {
        MlpKind::SwiGlu if names.gate == names.up => {
            list.push(LinearShape::new(names.up, 2 * m.d_ff, d_model));
        }
        MlpKind::SwiGlu => {
            list.push(LinearShape::new(names.gate, m.d_ff, d_model));
            list.push(LinearShape::new(names.up, m.d_ff, d_model));
        }
        MlpKind::Plain(_) => list.push(LinearShape::new(names.up, m.d_ff, d_model)),
    }
    list.push(LinearShape::new(names.down, d_model, m.d_ff));
    list
}

impl Mlp {
    pub fn load(
        device: &Device,
        m: &config::Mlp,
        d_model: usize,
        weights: &Weights,
        (layer, names): (&str, &MlpNames),
    ) -> Result<Self> {
        let load = |part: &str, shape| {
            Projection::load(device, weights, format!("{layer}{part}"), shape, m.bias)
        };
        let wide = |part: &str| load(part, [m.d_ff, d_model]);
        let inner = match m.kind {
            MlpKind::SwiGlu if names.gate == names.up => {
                Inner::Fused { both: load(names.up, [2 * m.d_ff, d_model])?, d_ff: m.d_ff }
            }
            MlpKind::SwiGlu => Inner::SwiGlu([wide(names.gate)?, wide(names.up)?]),
            MlpKind::Plain(activation) => Inner::Plain { up: wide(names.up)?, activation },
        };
        Ok(Self { inner, down: load(names.down, [d_model, m.d_ff])? })
    }

    /// What `down` multiplies `[seq_len, d_ff]`, of normed rows `[seq_len, d_model]`.
    pub fn inner(&self, device: &Device, normed: &Normed<'_>, hooks: &mut dyn Hooks) -> Tensor {
        match &self.inner {
            Inner::SwiGlu(both) => normed.gated(device, both, hooks),
            Inner::Fused { both, d_ff } => {
                let both = normed.one(device, both, hooks);
                swiglu(device, both.columns(0, *d_ff), both.columns(*d_ff, *d_ff))
            }
            Inner::Plain { up, activation } => {
                let inner = normed.one(device, up, hooks);
                match activation {
                    Activation::Gelu => gelu(device, &inner, Gelu::Erf),
                    Activation::GeluTanh => gelu(device, &inner, Gelu::Tanh),
                    Activation::Relu => relu(device, &inner),
                }
            }
        }
    }
}
