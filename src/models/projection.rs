//! A linear layer with its optional bias, and the two norms.

use super::{Hooks, Weights};
use crate::Result;
use crate::backend::{Device, Matrix, Tensor, View};
use crate::config::{Common, Norm};
use crate::kernels::layernorm::layernorm;
use crate::kernels::matmul::matmul;
use crate::kernels::rmsnorm::rmsnorm;
use crate::kernels::scale::scale;

/// A linear layer that has not been loaded, and whether it is pruned by default.
pub(super) struct LinearShape {
    /// Behind the layer's name, without ".weight".
    pub part: String,
    pub rows: usize,
    pub cols: usize,
    pub by_default: bool,
}

impl LinearShape {
    pub fn new(part: impl Into<String>, rows: usize, cols: usize) -> Self {
        Self { part: part.into(), rows, cols, by_default: true }
    }
}

/// A loaded linear layer.
pub(super) struct Projection {
    pub weight: Matrix,
    pub bias: Option<Tensor>,
    /// Checkpoint name of the weight.
    pub name: String,
}

impl Projection {
    /// Loads `NAME.weight` `[rows, cols]` and, where there is one, `NAME.bias` `[rows]`.
    pub fn load(
        device: &Device,
        weights: &Weights,
        name: String,
        [rows, cols]: [usize; 2],
        bias: bool,
    ) -> Result<Self> {
        Ok(Self {
            weight: weights.matrix(device, &format!("{name}.weight"), rows, cols)?,
            bias: weights.vector_if(bias, device, &format!("{name}.bias"), rows)?,
            name: format!("{name}.weight"),
        })
    }

    /// Shows `x` `[seq_len, cols]` to the hooks and multiplies: `[seq_len, rows]`.
    pub fn run<'a>(
        &self,
        device: &Device,
        x: impl Into<View<'a>>,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        let x = x.into();
        hooks.linear_input(device, &self.name, x);
        matmul(device, x, &self.weight, self.bias.as_ref(), None)
    }

    /// The same, added to `residual`; nothing is computed where the hooks say that nobody wants it.
    pub fn run_and_add(
        &self,
        device: &Device,
        x: &Tensor,
        residual: &Tensor,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        hooks.linear_input(device, &self.name, x.view());
        if hooks.is_done() {
            return residual.clone();
        }
        matmul(device, x, &self.weight, self.bias.as_ref(), Some(residual))
    }
}

/// A normalisation of rows.
pub(super) enum NormLayer {
    Rms { weight: Tensor, eps: f32 },
    Layer { weight: Tensor, bias: Tensor, eps: f32 },
}

impl NormLayer {
    pub fn load(device: &Device, weights: &Weights, name: &str, c: &Common) -> Result<Self> {
        let vector = |part: &str| weights.vector(device, &format!("{name}.{part}"), c.d_model);
        let (weight, eps) = (vector("weight")?, c.eps);
        Ok(match c.norm {
            Norm::Rms => Self::Rms { weight, eps },
            Norm::Layer => Self::Layer { weight, bias: vector("bias")?, eps },
        })
    }

    /// The same norm, its output multiplied.
    pub fn scaled(self, device: &Device, factor: f32) -> Self {
        match self {
            Self::Rms { weight, eps } => Self::Rms { weight: scale(device, weight, factor), eps },
            Self::Layer { weight, bias, eps } => {
                let [weight, bias] = [weight, bias].map(|x| scale(device, x, factor));
                Self::Layer { weight, bias, eps }
            }
        }
    }

    pub fn run(&self, device: &Device, x: &Tensor) -> Tensor {
        match self {
            Self::Rms { weight, eps } => rmsnorm(device, x, weight, *eps),
            Self::Layer { weight, bias, eps } => layernorm(device, x, weight, bias, *eps),
        }
    }
}
