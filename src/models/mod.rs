//! Every architecture as a stack of layers, each of its own kind. A model runs a chunk of tokens from a saved [`State`]; prefill is a
//! long chunk, a step is a chunk of one, and both give the same numbers to float tolerance.
//!
//! Models name no compression method: they offer [`Hooks`].

mod attention;
mod block;
mod cost;
mod families;
mod finite;
mod gpt2;
mod gptneox;
mod granite;
mod hooks;
mod linear;
mod llama;
mod load;
mod mamba;
mod mamba2;
mod mlp;
mod names;
mod normed;
mod opt;
mod projection;
mod rehearsal;
mod tensors;

pub use cost::{Demand, Flops, LayerFlops, check_sequence, demand, flops};
pub use hooks::{AttentionInputs, Hooks, LayerOutput, MixerInputs, NoHooks, Reduced, SsmInputs};
pub use linear::{Linear, linears};
pub use load::{Edit, Edits, Execution, Weights, split_layer, stored_name};
pub use names::{MlpNames, Names, Qkv};
pub use tensors::{Role, TensorShape, tensors};

use crate::Result;
use crate::backend::{Device, Ids, Matrix, Tensor, View};
use crate::config::{Kind, Mixer, ModelConfig};
use crate::kernels::{
    add::add, embedding::embedding, lm_head_nll::lm_head_nll, matmul::matmul, scale::scale,
};
use crate::pace::Pace;
use attention::AttendedRows;
use block::{Block, Loader, Place};
use projection::NormLayer;

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
    Ssm(SsmState),
    /// Nothing before the first token.
    Kv(Option<Memory>),
}

/// What a layer with a state space has seen.
#[derive(Clone)]
struct SsmState {
    /// The last d_conv - 1 inputs of the convolution `[d_conv - 1, channels]`.
    conv: Tensor,
    ssm: Tensor, // [d_inner, d_state]
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

/// What a mixer gives.
struct Mixed {
    /// What the last projection multiplies `[seq_len, width]`.
    gated: Tensor,
    /// See [`LayerOutput::mixer`].
    y: Tensor,
    inputs: MixerOwned,
    /// Rows that a hook has kept before the scan, if it took any out; what else is here has these alone.
    kept: Option<Ids>,
}

/// What a mixer was made of; [`MixerInputs`] are views of it.
enum MixerOwned {
    Mamba(mamba::Inputs),
    Mamba2(mamba2::Inputs),
    Attention(attention::Inputs),
}

/// Rows of the head between two breaths, a tile of its kernel: with 50,000 tokens and 576 columns 0.4 s at 10 GFLOP/s.
const HEAD_ROWS: usize = 64;

/// Tokens of a long text that had best go through all layers together. The state carries on, so that no result depends on it
/// but for the order of sums.
///
/// What lies between two operations of a layer stays in a cache of the CPU with 512 rows and leaves it with more, and memory no
/// longer grows with the text. A GPU wants more rows at a time to be busy, and less than what a driver takes for a hang.
pub fn piece_tokens(device: &Device) -> usize {
    match device {
        Device::Cpu => 512,
        Device::Gpu(_) => 2048,
    }
}

/// Which hidden rows somebody wants of a forward pass.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// That of every token that is left.
    EveryRow,
    /// That of the last token. The last layer then computes for this one alone what it adds to the stream: of a context
    /// that is read, nothing else is looked at.
    LastRow,
}

/// What goes from one layer of a forward pass to the next.
struct Pass {
    x: Tensor, // [rows that are left, d_model]
    wanted: Wanted,
    /// In a model with attention.
    rows: Option<AttendedRows>,
}

/// A loaded model on a device.
pub struct Model {
    config: ModelConfig,
    embedding: Matrix, // [vocab_size, d_model]
    /// Learned positions, those before position 0 left out `[positions, d_model]`.
    positions: Option<Matrix>,
    layers: Vec<Block>,
    norm: NormLayer,
    head: Matrix, // [vocab_size, d_model]
}

impl Model {
    /// Loads the weights onto the device.
    ///
    /// Errors: a tensor that is missing or has another shape than config.json says.
    pub fn load(device: &Device, config: &ModelConfig, weights: &Weights) -> Result<Model> {
        let (names, c) = (Names::of(config.family), &config.common);
        let name = format!("{}.weight", names.embedding);
        let embedding = weights.matrix(device, &name, c.vocab_size, c.d_model)?;
        let head = weights.head(device, c.tie_word_embeddings, names.heads, &embedding)?;
        let mut loader = Loader { device, config, weights, turns: Vec::new() };
        let norm = NormLayer::load(device, weights, names.norm, c)?;
        let norm = norm.scaled(device, c.multipliers.logits);
        let positions = positions(device, config, weights)?;
        let (config, layers) = (config.clone(), Vec::with_capacity(config.n_layer()));
        let mut model = Model { config, embedding, positions, layers, norm, head };
        for index in 0..model.config.n_layer() {
            model.layers.push(loader.block(index)?);
            model.rehearse(device);
        }
        Ok(model)
    }

    /// The state before the first token.
    pub fn start(&self, device: &Device) -> State {
        // Layers alike share their zeros.
        let mut made: Vec<(&Mixer, LayerState)> = Vec::new();
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.config.layers {
            let known = made.iter().find(|(mixer, _)| **mixer == layer.mixer);
            let state = match known {
                Some((_, state)) => state.clone(),
                None => block::start(&layer.mixer, device),
            };
            made.push((&layer.mixer, state.clone()));
            layers.push(state);
        }
        State { layers, next_position: 0 }
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
        self.forward_ids(device, &device.ids(ids), state, hooks, Wanted::EveryRow)
    }

    /// The same with ids that are on the device already, all below vocab_size; gives the rows that are wanted.
    pub fn forward_ids(
        &self,
        device: &Device,
        ids: &Ids,
        state: &mut State,
        hooks: &mut dyn Hooks,
        wanted: Wanted,
    ) -> Tensor {
        let mut pass = self.enter(device, ids, state, wanted);
        for index in 0..self.layers.len() {
            pass = self.pass_layer(device, index, pass, state, hooks);
        }
        self.leave(device, ids, &pass, state)
    }

    /// The same for the last tokens of a sequence: every layer lets go of what it has seen as soon as it is done, so that
    /// less memory is held at a time.
    pub fn forward_last(
        &self,
        device: &Device,
        ids: &[u32],
        mut state: State,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        let ids = device.ids(ids);
        let mut pass = self.enter(device, &ids, &state, Wanted::EveryRow);
        for index in 0..self.layers.len() {
            pass = self.pass_layer(device, index, pass, &mut state, hooks);
            state.layers[index] = LayerState::Kv(None);
        }
        self.leave(device, &ids, &pass, &mut state)
    }

    /// The same as [`Model::forward_ids`], with a breath between two layers: a long text on a slow device can be cancelled
    /// after any of them.
    ///
    /// Errors: [`Error::Cancelled`](crate::Error::Cancelled); some layers of the state have moved on then, and it is of no
    /// more use.
    pub async fn forward_in_steps(
        &self,
        device: &Device,
        ids: &Ids,
        state: &mut State,
        hooks: &mut dyn Hooks,
        (wanted, pace): (Wanted, &Pace),
    ) -> Result<Tensor> {
        let mut pass = self.enter(device, ids, state, wanted);
        for index in 0..self.layers.len() {
            pace.breathe().await?;
            pass = self.pass_layer(device, index, pass, state, hooks);
        }
        Ok(self.leave(device, ids, &pass, state))
    }

    fn enter(&self, device: &Device, ids: &Ids, state: &State, wanted: Wanted) -> Pass {
        assert!(!ids.is_empty(), "forward of no tokens");
        let x = self.embed_at(device, ids, state.next_position);
        let attends = self.config.layers.iter().any(|l| l.mixer.kind() == Kind::Attention);
        let rows = attends.then(|| AttendedRows::new(state.positions(device, ids.len())));
        Pass { x, wanted, rows }
    }

    fn pass_layer(
        &self,
        device: &Device,
        index: usize,
        Pass { x, wanted, rows }: Pass,
        state: &mut State,
        hooks: &mut dyn Hooks,
    ) -> Pass {
        let wants_last = wanted == Wanted::LastRow && index + 1 == self.layers.len();
        let place = Place { index, rows: rows.as_ref(), wants_last };
        let memory = &mut state.layers[index];
        let (x, kept) = self.layers[index].run(device, &place, x, memory, hooks);
        let rows = match kept {
            Some(kept) => rows.map(|rows| rows.after(device, kept)),
            None => rows,
        };
        Pass { x, wanted, rows }
    }

    fn leave(&self, device: &Device, ids: &Ids, pass: &Pass, state: &mut State) -> Tensor {
        state.next_position += ids.len();
        self.norm.run(device, &pass.x)
    }

    /// The rows that enter the first layer `[seq_len, d_model]`, of a sequence from its first token.
    pub fn embed(&self, device: &Device, ids: &[u32]) -> Tensor {
        self.embed_at(device, &device.ids(ids), 0)
    }

    fn embed_at(&self, device: &Device, ids: &Ids, first: usize) -> Tensor {
        let x = embedding(device, ids, &self.embedding);
        let x = scale(device, x, self.config.common.multipliers.embedding);
        let Some(positions) = &self.positions else { return x };
        // `ModelConfig::check_length` refuses longer sequences before they come here.
        let last = positions.rows() - 1;
        let at: Vec<u32> = (first..first + ids.len()).map(|p| p.min(last) as u32).collect();
        add(device, &x, &embedding(device, &device.ids(&at), positions))
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
        let mixer = &self.config.layers[index].mixer;
        let positions: Vec<u32> = (0..x.rows() as u32).collect();
        let rows =
            (mixer.kind() == Kind::Attention).then(|| AttendedRows::new(device.ids(&positions)));
        let place = Place { index, rows: rows.as_ref(), wants_last: false };
        self.layers[index].run(device, &place, x, &mut block::start(mixer, device), hooks).0
    }

    /// Loads the weights of one layer anew (they may be edited). Errors: as in [`Model::load`].
    pub fn reload_layer(&mut self, device: &Device, weights: &Weights, index: usize) -> Result<()> {
        let mut loader = Loader { device, config: &self.config, weights, turns: Vec::new() };
        self.layers[index] = loader.block(index)?;
        Ok(())
    }

    /// The output head `[vocab_size, d_model]`.
    pub fn head(&self) -> &Matrix {
        &self.head
    }

    /// Logits `[rows, vocab_size]` of hidden rows.
    pub fn logits<'a>(&self, device: &Device, hidden: impl Into<View<'a>>) -> Tensor {
        matmul(device, hidden, self.head(), None, None)
    }

    /// `[rows, 2]`: -log p(target) in nats, and 1.0 where the target is the most likely token.
    pub fn nll<'a>(&self, device: &Device, hidden: impl Into<View<'a>>, targets: &Ids) -> Tensor {
        lm_head_nll(device, hidden, self.head(), targets)
    }

    /// The same of the first rows, as many as there are targets, with a breath between pieces on the CPU: a large vocabulary
    /// takes as long as many layers.
    ///
    /// Errors: [`Error::Cancelled`](crate::Error::Cancelled).
    pub async fn nll_in_steps(
        &self,
        device: &Device,
        hidden: &Tensor,
        targets: &[u32],
        pace: &Pace,
    ) -> Result<Tensor> {
        if matches!(device, Device::Gpu(_)) || targets.len() <= HEAD_ROWS {
            let rows = hidden.row_range(0, targets.len());
            return Ok(self.nll(device, rows, &device.ids(targets)));
        }
        let mut scored = Vec::with_capacity(2 * targets.len());
        for (i, targets) in targets.chunks(HEAD_ROWS).enumerate() {
            pace.breathe().await?;
            let rows = hidden.row_range(i * HEAD_ROWS, targets.len());
            scored.extend_from_slice(self.nll(device, rows, &device.ids(targets)).cpu());
        }
        Ok(device.tensor(targets.len(), 2, &scored))
    }
}

/// The learned positions of a family that has them.
fn positions(device: &Device, config: &ModelConfig, weights: &Weights) -> Result<Option<Matrix>> {
    let (c, names) = (&config.common, Names::of(config.family));
    let (Some(offset), Some((n, _))) = (c.position_offset, c.hard_limit) else { return Ok(None) };
    let name = format!("{}.weight", names.positions);
    if offset == 0 {
        return weights.matrix(device, &name, n, c.d_model).map(Some);
    }
    let values = weights.values(&name, &[n + offset, c.d_model])?;
    let shape = [n, c.d_model];
    Ok(Some(weights.rearranged(device, &name, shape, &values[offset * c.d_model..])))
}
