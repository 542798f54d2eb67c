//! The arithmetic of a model on paper: multiply-adds times two; 9 for every state element of Mamba-1's scan, 5 of
//! Mamba-2's (docs/token-reduction.md). Every layer is counted by itself, and whole for every token that enters it, as the
//! papers count; what [`Wanted::LastRow`](super::Wanted) leaves out of the last one is in it. Memory likewise, before it is taken.

use super::linear::linears;
use crate::config::{Mixer, ModelConfig};
use crate::{Error, Result};

/// Arithmetic of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LayerFlops {
    /// Per token, without what grows with the length.
    pub per_token: f64,
    /// Per (query, key) pair; 0 without attention.
    pub per_pair: f64,
}

/// Arithmetic of every layer and of the head.
#[derive(Debug, Clone, PartialEq)]
pub struct Flops {
    /// In the order of the model.
    pub layers: Vec<LayerFlops>,
    /// Per scored token.
    pub head_per_token: f64,
}

impl LayerFlops {
    /// Over `n` tokens that attend causally.
    pub fn of(&self, n: usize) -> f64 {
        let n = n as f64;
        self.per_token * n + self.per_pair * n * (n + 1.0) / 2.0
    }
}

impl Flops {
    /// All layers over `n` tokens each, without the head.
    pub fn dense(&self, n: usize) -> f64 {
        self.layers.iter().map(|layer| layer.of(n)).sum()
    }

    /// All layers over the tokens that enter each, without the head.
    pub fn over(&self, lengths: &[usize]) -> f64 {
        self.layers.iter().zip(lengths).map(|(layer, &n)| layer.of(n)).sum()
    }

    /// One token through all layers, without what grows with the length, and without the head.
    pub fn per_token(&self) -> f64 {
        self.layers.iter().map(|layer| layer.per_token).sum()
    }
}

/// FLOPs of a model.
pub fn flops(config: &ModelConfig) -> Flops {
    let mut layers: Vec<LayerFlops> = config.layers.iter().map(|l| beside(&l.mixer)).collect();
    for linear in linears(config) {
        layers[linear.layer].per_token += (2 * linear.rows * linear.cols) as f64;
    }
    Flops { layers, head_per_token: (2 * config.vocab_size() * config.d_model()) as f64 }
}

/// What a mixer does beside its linear layers.
fn beside(mixer: &Mixer) -> LayerFlops {
    let (per_token, per_pair) = match mixer {
        Mixer::Mamba(m) => (m.d_inner * (2 * m.d_conv + 9 * m.d_state), 0),
        Mixer::Mamba2(m) => (m.conv_dim() * 2 * m.d_conv + 5 * m.d_inner * m.d_state, 0),
        Mixer::Attention(a) => (0, 4 * a.n_head * a.headdim),
    };
    LayerFlops { per_token: per_token as f64, per_pair: per_pair as f64 }
}

/// Most bytes that a sequence may take beside the weights: what wasm can address less the weights, or a small machine.
const MAX_SEQUENCE_BYTES: u64 = if cfg!(target_arch = "wasm32") { 1536 << 20 } else { 16 << 30 };

/// Bytes that a sequence takes beside the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// States of fixed size, all layers.
    pub state: u64,
    /// Keys and values of all layers.
    pub keys_and_values: u64,
    /// The tensors of the widest layer while it runs, and the stream.
    pub workspace: u64,
}

impl Demand {
    /// All three at once.
    pub fn total(&self) -> u64 {
        self.state + self.keys_and_values + self.workspace
    }
}

/// What a sequence of `tokens` takes, all of it read at once.
pub fn demand(config: &ModelConfig, tokens: usize) -> Demand {
    const F32: u64 = 4;
    let (n, d_model) = (tokens as u64, config.d_model() as u64);
    let mut demand = Demand { state: config.state_bytes(), keys_and_values: 0, workspace: 0 };
    let mut widths = vec![4 * d_model; config.n_layer()];
    for linear in linears(config) {
        widths[linear.layer] += linear.rows as u64;
    }
    for (layer, width) in config.layers.iter().zip(&mut widths) {
        match &layer.mixer {
            Mixer::Mamba(m) => *width += 3 * m.d_inner as u64,
            // Chunks leave a state each on the GPU.
            Mixer::Mamba2(m) => {
                *width += (3 * m.d_inner + m.conv_dim() + m.d_state * m.d_inner / 64) as u64
            }
            Mixer::Attention(a) => {
                demand.keys_and_values += 2 * F32 * n * (a.n_kv_head * a.headdim) as u64;
                *width += 3 * (a.n_head * a.headdim) as u64;
            }
        }
    }
    demand.workspace = F32 * n * widths.into_iter().max().unwrap_or(0);
    demand
}

/// Whether a sequence of `tokens` can be computed here.
///
/// Errors: it is longer than the model can be asked, or takes more memory than there may be.
pub fn check_sequence(config: &ModelConfig, tokens: usize) -> Result<()> {
    config.check_length(tokens)?;
    let bytes = demand(config, tokens).total();
    if bytes <= MAX_SEQUENCE_BYTES {
        return Ok(());
    }
    let found = format!("{tokens} tokens, which take {} MB beside the weights", bytes >> 20);
    Err(Error::input("text", found, format!("at most {} MB here", MAX_SEQUENCE_BYTES >> 20)))
}
