//! The four architectures behind one enum. A model runs a chunk of tokens from a saved [`State`]; prefill is a
//! long chunk, a step is a chunk of one, and both give the same numbers to float tolerance.
//!
//! Models name no compression method: they offer [`Hooks`].

mod attend;
mod finite;
mod gptneox;
mod hooks;
mod llama;
mod load;
mod mamba;
mod mamba2;

pub use hooks::{AttentionInputs, Hooks, LayerOutput, MixerInputs, NoHooks, Reduced, SsmInputs};
pub use load::{Edit, Edits, Execution, Weights, split_layer};

use crate::Result;
use crate::backend::{Device, Ids, Matrix, Tensor, View};
use crate::config::ModelConfig;
use crate::kernels::{add::add, lm_head_nll::lm_head_nll, matmul::matmul};
use attend::Rows;

/// What a model remembers of the tokens it has seen. Cloning it is a fork: cheap, and neither side sees the other.
#[derive(Clone)]
pub struct State {
    layers: Vec<LayerState>,
    /// Position of the next token in the original sequence; reduced tokens count.
    pub next_position: usize,
}

impl State {
    /// Positions of the next `n` tokens.
    fn positions(&self, device: &Device, n: usize) -> Ids {
        let list: Vec<u32> =
            (self.next_position..self.next_position + n).map(|p| p as u32).collect();
        device.ids(&list)
    }
}

#[derive(Clone)]
enum LayerState {
    /// conv: the last d_conv - 1 inputs `[d_conv - 1, channels]`; ssm: `[d_inner, d_state]`.
    Ssm { conv: Tensor, ssm: Tensor },
    /// Nothing before the first token.
    Kv(Option<Memory>),
}

/// What an attention layer has seen.
#[derive(Clone)]
struct Memory {
    /// After rotation `[tokens, n_kv_head * headdim]`.
    keys: Tensor,
    /// `[tokens, n_kv_head * headdim]`
    values: Tensor,
    /// What is added to the logits of a key `[tokens, 1]`; see [`Reduced::log_sizes`].
    log_sizes: Option<Tensor>,
}

/// The rows that a reduction has left.
struct Kept {
    rows: Ids,
    log_sizes: Option<Tensor>,
}

/// A linear layer that may be pruned.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Checkpoint name, e.g. "backbone.layers.0.mixer.in_proj.weight".
    pub name: String,
    pub layer: usize,
    /// Outputs and inputs.
    pub rows: usize,
    pub cols: usize,
    /// Whether a method prunes it unless told otherwise (small projections of Mamba-1 are left alone).
    pub by_default: bool,
}

/// A loaded model on a device.
pub enum Model {
    Mamba(mamba::Mamba),
    Mamba2(mamba2::Mamba2),
    Llama(llama::Llama),
    GptNeoX(gptneox::GptNeoX),
}

impl Model {
    /// Loads the weights onto the device.
    ///
    /// Errors: a tensor that is missing or has another shape than config.json says.
    pub fn load(device: &Device, config: &ModelConfig, weights: &Weights) -> Result<Model> {
        Ok(match config {
            ModelConfig::Mamba(c) => Model::Mamba(mamba::Mamba::load(device, c, weights)?),
            ModelConfig::Mamba2(c) => Model::Mamba2(mamba2::Mamba2::load(device, c, weights)?),
            ModelConfig::Llama(c) => Model::Llama(llama::Llama::load(device, c, weights)?),
            ModelConfig::GptNeoX(c) => Model::GptNeoX(gptneox::GptNeoX::load(device, c, weights)?),
        })
    }

    /// The state before the first token.
    pub fn start(&self, device: &Device) -> State {
        match self {
            Model::Mamba(m) => m.start(device),
            Model::Mamba2(m) => m.start(device),
            Model::Llama(m) => m.start(),
            Model::GptNeoX(m) => m.start(),
        }
    }

    /// Runs `ids` (at least one) from `state` and moves the state on.
    ///
    /// Gives the normed hidden rows `[kept tokens, d_model]`; without a reducing hook every token is kept.
    pub fn forward(
        &self,
        device: &Device,
        ids: &[u32],
        state: &mut State,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        self.forward_ids(device, &device.ids(ids), state, hooks)
    }

    /// The same with ids that are on the device already, all below vocab_size.
    pub fn forward_ids(
        &self,
        device: &Device,
        ids: &Ids,
        state: &mut State,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        assert!(!ids.is_empty(), "forward of no tokens");
        let out = match self {
            Model::Mamba(m) => m.forward(device, ids, state, hooks),
            Model::Mamba2(m) => m.forward(device, ids, state, hooks),
            Model::Llama(m) => m.forward(device, ids, state, hooks),
            Model::GptNeoX(m) => m.forward(device, ids, state, hooks),
        };
        state.next_position += ids.len();
        out
    }

    /// The rows that enter the first layer `[seq_len, d_model]`.
    pub fn embed(&self, device: &Device, ids: &[u32]) -> Tensor {
        let list = device.ids(ids);
        match self {
            Model::Mamba(m) => m.embed(device, &list),
            Model::Mamba2(m) => m.embed(device, &list),
            Model::Llama(m) => m.embed(device, &list),
            Model::GptNeoX(m) => m.embed(device, &list),
        }
    }

    /// Runs one layer over a whole sequence from its first token: rows `x` `[seq_len, d_model]` in, as many out.
    ///
    /// `hooks` looks on; it must not reduce.
    pub fn run_layer(
        &self,
        device: &Device,
        index: usize,
        x: Tensor,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        let positions: Vec<u32> = (0..x.rows() as u32).collect();
        let mut kv = LayerState::Kv(None);
        match self {
            Model::Mamba(m) => m.layer(device, index, x, &mut m.memory(device), hooks),
            Model::Mamba2(m) => m.layer(device, index, x, &mut m.memory(device), hooks),
            Model::Llama(m) => {
                m.layer(device, index, &Rows::new(device.ids(&positions)), x, &mut kv, hooks).0
            }
            Model::GptNeoX(m) => {
                m.layer(device, index, &Rows::new(device.ids(&positions)), x, &mut kv, hooks).0
            }
        }
    }

    /// Loads the weights of one layer anew (they may be edited). Errors: as in [`Model::load`].
    pub fn reload_layer(&mut self, device: &Device, weights: &Weights, index: usize) -> Result<()> {
        match self {
            Model::Mamba(m) => m.reload(device, weights, index),
            Model::Mamba2(m) => m.reload(device, weights, index),
            Model::Llama(m) => m.reload(device, weights, index),
            Model::GptNeoX(m) => m.reload(device, weights, index),
        }
    }

    /// The output head `[vocab_size, d_model]`.
    pub fn head(&self) -> &Matrix {
        match self {
            Model::Mamba(m) => &m.head,
            Model::Mamba2(m) => &m.head,
            Model::Llama(m) => &m.head,
            Model::GptNeoX(m) => &m.head,
        }
    }

    /// Logits `[rows, vocab_size]` of hidden rows.
    pub fn logits<'a>(&self, device: &Device, hidden: impl Into<View<'a>>) -> Tensor {
        matmul(device, hidden, self.head(), None, None)
    }

    /// `[rows, 2]`: -log p(target) in nats, and 1.0 where the target is the most likely token.
    pub fn nll<'a>(&self, device: &Device, hidden: impl Into<View<'a>>, targets: &Ids) -> Tensor {
        lm_head_nll(device, hidden, self.head(), targets)
    }
}

/// Every linear layer inside the blocks, in the order of the forward pass.
pub fn linears(config: &ModelConfig) -> Vec<Linear> {
    let per_layer: Vec<(String, usize, usize, bool)> = match config {
        ModelConfig::Mamba(c) => mamba::linears(c),
        ModelConfig::Mamba2(c) => mamba2::linears(c),
        ModelConfig::Llama(c) => llama::linears(c),
        ModelConfig::GptNeoX(c) => gptneox::linears(c),
    };
    let in_layer = |layer: usize| {
        let name = move |pattern: &str| pattern.replace("{}", &layer.to_string());
        per_layer.iter().map(move |(pattern, rows, cols, by_default)| Linear {
            name: name(pattern),
            layer,
            rows: *rows,
            cols: *cols,
            by_default: *by_default,
        })
    };
    (0..config.n_layer()).flat_map(in_layer).collect()
}

/// Arithmetic of one layer and of the head, in multiply-adds times two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flops {
    /// Per token in one layer, without what grows with the length.
    pub layer_per_token: f64,
    /// Per (query, key) pair in one layer; 0 without attention.
    pub layer_per_pair: f64,
    /// Per scored token.
    pub head_per_token: f64,
}

impl Flops {
    /// One layer over `n` tokens that attend causally.
    pub fn layer(&self, n: usize) -> f64 {
        let n = n as f64;
        self.layer_per_token * n + self.layer_per_pair * n * (n + 1.0) / 2.0
    }
}

/// FLOPs of a model (token-reduction.md, section 3; scan terms counted as 9 per state element).
pub fn flops(config: &ModelConfig) -> Flops {
    let linear: usize =
        linears(config).iter().filter(|l| l.layer == 0).map(|l| 2 * l.rows * l.cols).sum();
    let (rest, pair) = match config {
        ModelConfig::Mamba(c) => (c.d_inner * (2 * c.d_conv + 9 * c.d_state), 0),
        ModelConfig::Mamba2(c) => (c.conv_dim() * 2 * c.d_conv + 5 * c.d_inner * c.d_state, 0),
        ModelConfig::Llama(c) => (0, 4 * c.n_head * c.headdim),
        ModelConfig::GptNeoX(c) => (0, 4 * c.n_head * c.headdim),
    };
    Flops {
        layer_per_token: (linear + rest) as f64,
        layer_per_pair: pair as f64,
        head_per_token: (2 * config.vocab_size() * config.d_model()) as f64,
    }
}

/// Offers a layer's output to the hook; gives the stream of the next layer and the kept rows if any left.
fn reduce_or_add(
    device: &Device,
    output: LayerOutput<'_>,
    hooks: &mut dyn Hooks,
) -> (Tensor, Option<Kept>) {
    let (hidden, residual) = (output.hidden, output.residual);
    match hooks.reduce(device, output) {
        Some(r) => {
            let kept = Kept { rows: r.keep, log_sizes: r.log_sizes };
            (add(device, &r.hidden, &r.residual), Some(kept))
        }
        None => (add(device, hidden, residual), None),
    }
}
