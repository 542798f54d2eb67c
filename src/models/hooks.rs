//! Named places in a forward pass where something else may look on or take over.

use crate::backend::{Device, Ids, Tensor, View};
pub use crate::kernels::token_ssm::SsmInputs;

/// What a layer hands over when a hook asked for it.
pub struct LayerOutput<'a> {
    /// From 0.
    pub layer: usize,
    /// The layer's own contribution `[tokens, d_model]` (mixer output; attention plus MLP in a transformer).
    pub hidden: &'a Tensor,
    /// The stream before that contribution `[tokens, d_model]`; the next layer reads hidden + residual.
    pub residual: &'a Tensor,
    /// SSM output with the D skip, before the gate `[tokens, d_inner]`; in a transformer the attention output
    /// before o_proj `[tokens, n_head * headdim]`.
    pub mixer: &'a Tensor,
    /// What the mixer was made of.
    pub inputs: MixerInputs<'a>,
}

/// What entered a layer's mixer. Only references: nothing is computed until somebody asks for it.
#[derive(Clone, Copy)]
pub enum MixerInputs<'a> {
    /// Of a state space, Mamba-1 or Mamba-2.
    Ssm(SsmInputs<'a>),
    /// Of a transformer's layer.
    Attention(AttentionInputs<'a>),
}

/// Queries and keys before rotation, and where their tokens stand.
#[derive(Clone, Copy)]
pub struct AttentionInputs<'a> {
    /// `[tokens, n_head * headdim]`
    pub q: View<'a>,
    /// `[tokens, n_kv_head * headdim]`
    pub k: View<'a>,
    /// Query heads.
    pub n_head: usize,
    /// Key heads; divides n_head.
    pub n_kv_head: usize,
    /// Columns of a head.
    pub headdim: usize,
    /// Positions in the original sequence `[tokens]`.
    pub positions: &'a Ids,
    /// `[1, rotated dims / 2]`; absent where the layer does not rotate.
    pub inv_freq: Option<&'a Tensor>,
    /// What the products of queries and keys are multiplied by.
    pub scale: f32,
}

/// What goes on to the next layer. All have the same number of rows.
pub struct Reduced {
    /// As [`LayerOutput::hidden`] `[kept, d_model]`.
    pub hidden: Tensor,
    /// As [`LayerOutput::residual`] `[kept, d_model]`.
    pub residual: Tensor,
    /// Rows of the layer output that were kept, increasing.
    pub keep: Ids,
    /// ln of the tokens that a row stands for `[kept, 1]`, where later attention is to weigh by it.
    pub log_sizes: Option<Tensor>,
}

/// Callbacks of a forward pass.
pub trait Hooks {
    /// `x` is about to be multiplied by the weight of this checkpoint name.
    fn linear_input(&mut self, _device: &Device, _weight: &str, _x: View<'_>) {}

    /// Whether [`Hooks::linear_input`] wants to know. Where nobody does it may not be called, because what it would show may
    /// never be written.
    fn looks_on(&self) -> bool {
        true
    }

    /// Asked after the last input of a layer: whether nobody wants what the layer gives. It may give anything then.
    fn is_done(&self) -> bool {
        false
    }

    /// Whether [`Hooks::before_scan`] wants this layer, which has a state space and runs on `tokens` tokens.
    fn wants_scan(&self, _layer: usize, _tokens: usize) -> bool {
        false
    }

    /// Rows that go into the scan of a layer and beyond it, increasing; called only where `wants_scan` said so. `None`
    /// keeps all. A layer that is cut here is not offered to [`Hooks::reduce`].
    fn before_scan(
        &mut self,
        _device: &Device,
        _layer: usize,
        _inputs: SsmInputs<'_>,
    ) -> Option<Ids> {
        None
    }

    /// Whether [`Hooks::reduce`] wants this layer, which runs on `tokens` tokens.
    fn wants_layer(&self, _layer: usize, _tokens: usize) -> bool {
        false
    }

    /// Shortens the sequence after a layer; called only where `wants_layer` said so. `None` keeps everything.
    fn reduce(&mut self, _device: &Device, _output: LayerOutput<'_>) -> Option<Reduced> {
        None
    }
}

/// Nobody looks on.
pub struct NoHooks;

impl Hooks for NoHooks {
    fn looks_on(&self) -> bool {
        false
    }
}
