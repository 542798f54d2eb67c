//! One layer: a mixer over the sequence and, where the family has one, an MLP, each on a normed input.
//!
//! Alone:      x + mixer(norm(x))
//! Sequential: x += mixer(norm1(x)), then x += mlp(norm2(x))
//! Parallel:   x + mixer(norm1(x)) + mlp(norm2(x))
//!
//! A family may multiply what is added.

use super::attention::{AttendedRows, Attention};
use super::mamba::Mamba;
use super::mamba2::Mamba2;
use super::mlp::Mlp;
use super::names::Names;
use super::normed::Normed;
use super::projection::{NormLayer, Projection};
use super::{
    Hooks, Kept, LayerOutput, LayerState, Mixed, MixerInputs, MixerOwned, Reduced, Weights,
};
use crate::Result;
use crate::backend::{Device, Tensor};
use crate::config::{self, Layer, ModelConfig, Rope};
use crate::kernels::add::add;
use crate::kernels::rows::{copy, gather_rows};
use crate::kernels::scale::scale;

pub(super) struct Block {
    norm: NormLayer,
    mixer: Mixer,
    mlp: Option<(NormLayer, Mlp)>,
    is_parallel: bool,
    /// Of what the mixer and the MLP add to the stream.
    multiplier: f32,
}

enum Mixer {
    Mamba(Box<Mamba>),
    Mamba2(Box<Mamba2>),
    Attention(Box<Attention>),
}

/// Where a layer stands, and what is known of the rows that enter it; nothing in a model without attention.
pub(super) struct Place<'a> {
    pub index: usize,
    pub rows: Option<&'a AttendedRows>,
    /// Whether what the layer gives is wanted for the last row alone.
    pub wants_last: bool,
}

/// What a layer remembers before the first token.
pub(super) fn start(mixer: &config::Mixer, device: &Device) -> LayerState {
    match mixer {
        config::Mixer::Mamba(m) => LayerState::Ssm(Mamba::start(m, device)),
        config::Mixer::Mamba2(m) => LayerState::Ssm(Mamba2::start(m, device)),
        config::Mixer::Attention(_) => LayerState::Kv(None),
    }
}

/// What is needed to load the layers of a model.
pub(super) struct Loader<'a> {
    pub device: &'a Device,
    pub config: &'a ModelConfig,
    pub weights: &'a Weights,
    /// Rotations on the device, each once.
    pub turns: Vec<(Rope, Tensor)>, // [1, rotated dims / 2]
}

impl Loader<'_> {
    fn turns(&mut self, rope: &Rope) -> Tensor {
        if let Some((_, tensor)) = self.turns.iter().find(|(known, _)| known == rope) {
            return tensor.clone();
        }
        let inv_freq = rope.inv_freq();
        let tensor = self.device.tensor(1, inv_freq.len(), &inv_freq);
        self.turns.push((rope.clone(), tensor.clone()));
        tensor
    }

    fn mixer(&mut self, layer: &Layer, names: (&str, &Names)) -> Result<Mixer> {
        let (device, weights, d_model) = (self.device, self.weights, self.config.d_model());
        let ssm = format!("{}{}", names.0, names.1.ssm);
        Ok(match &layer.mixer {
            config::Mixer::Mamba(m) => {
                Mixer::Mamba(Box::new(Mamba::load(device, m, d_model, weights, &ssm)?))
            }
            config::Mixer::Mamba2(m) => {
                let sizes = (d_model, self.config.common.eps);
                Mixer::Mamba2(Box::new(Mamba2::load(device, m, sizes, weights, &ssm)?))
            }
            config::Mixer::Attention(a) => {
                let turns = a.rope.as_ref().map(|rope| self.turns(rope));
                let sizes = (d_model, self.config.common.eps);
                let attention = Attention::load(device, a, sizes, weights, names, turns)?;
                Mixer::Attention(Box::new(attention))
            }
        })
    }

    /// Errors: a tensor that is missing or has another shape than config.json says.
    pub fn block(&mut self, index: usize) -> Result<Block> {
        let (names, layer) = (Names::of(self.config.family), &self.config.layers[index]);
        let (device, weights, common) = (self.device, self.weights, &self.config.common);
        let at = names.layer(index);
        let norm = |part: &str| NormLayer::load(device, weights, &format!("{at}{part}"), common);
        let mlp = match &layer.mlp {
            None => None,
            Some(m) => {
                let mlp = Mlp::load(device, m, common.d_model, weights, (&at, &names.mlp))?;
                Some((norm(names.mlp_norm)?, mlp))
            }
        };
        let (norm, is_parallel) = (norm(names.mixer_norm)?, common.is_parallel);
        let mixer = self.mixer(layer, (&at, names))?;
        let multiplier = common.multipliers.residual;
        Ok(Block { norm, mixer, mlp, is_parallel, multiplier })
    }
}

impl Mixer {
    fn out(&self) -> &Projection {
        match self {
            Self::Mamba(m) => m.out(),
            Self::Mamba2(m) => m.out(),
            Self::Attention(a) => a.out(),
        }
    }

    /// `reduces`: the output is wanted apart from its gate.
    fn run(
        &self,
        device: &Device,
        normed: &Normed<'_>,
        place: &Place<'_>,
        memory: &mut LayerState,
        reduces: bool,
        hooks: &mut dyn Hooks,
    ) -> Mixed {
        match (self, memory) {
            (Self::Mamba(m), LayerState::Ssm(memory)) => {
                m.run(device, normed, memory, (place.index, reduces), hooks)
            }
            (Self::Mamba2(m), LayerState::Ssm(memory)) => {
                m.run(device, normed, memory, place.index, hooks)
            }
            (Self::Attention(a), LayerState::Kv(memory)) => {
                let rows = place.rows.expect("a model with attention knows its positions");
                a.run(device, normed, rows, memory, hooks)
            }
            _ => unreachable!("the state was made by this model"),
        }
    }
}

impl Block {
    /// Runs the rows `x` `[seq_len, d_model]`; also gives the rows that a hook has kept, if it took any out.
    pub fn run(
        &self,
        device: &Device,
        place: &Place<'_>,
        x: Tensor,
        memory: &mut LayerState,
        hooks: &mut dyn Hooks,
    ) -> (Tensor, Option<Kept>) {
        let reduces = hooks.wants_layer(place.index, x.rows());
        let normed = Normed::new(&self.norm, &x);
        let mut mixed = self.mixer.run(device, &normed, place, memory, reduces, hooks);
        drop(normed);
        let cut = mixed.kept.clone().map(|rows| Kept { rows, log_sizes: None });
        let x = match &cut {
            Some(kept) => gather_rows(device, &x, &kept.rows),
            None => x,
        };
        assert!(!reduces || cut.is_none(), "a layer that was cut is not reduced again");
        let out = self.mixer.out();
        // Of a decoded token there is no other row to leave out.
        let x = match place.wants_last && !reduces && x.rows() > 1 {
            true => {
                mixed.gated = last_row(device, &mixed.gated);
                last_row(device, &x)
            }
            false => x,
        };
        if !reduces && !self.is_parallel && self.multiplier == 1.0 {
            let x = out.run_and_add(device, &mixed.gated, &x, hooks);
            // The MLP takes the most memory of a layer, and needs nothing of this.
            drop(mixed);
            return (self.add_mlp(device, x, hooks), cut);
        }
        // The layer's own contribution is mixer plus MLP; the stream before it is the residual.
        let mut hidden = scale(device, out.run(device, &mixed.gated, hooks), self.multiplier);
        if let Some((norm, mlp)) = &self.mlp {
            let read = if self.is_parallel { x.clone() } else { add(device, &hidden, &x) };
            let inner = mlp.inner(device, &Normed::new(norm, &read), hooks);
            hidden = match self.multiplier {
                1.0 => mlp.down.run_and_add(device, &inner, &hidden, hooks),
                m => add(device, &scale(device, mlp.down.run(device, &inner, hooks), m), &hidden),
            };
        }
        if hooks.is_done() {
            return (x, None);
        }
        if !reduces {
            return (add(device, &hidden, &x), cut);
        }
        let (layer, inputs) = (place.index, mixed.inputs.view());
        let (hidden, residual) = (&hidden, &x);
        reduce(device, LayerOutput { layer, hidden, residual, mixer: &mixed.y, inputs }, hooks)
    }

    /// x + mlp(norm(x))
    fn add_mlp(&self, device: &Device, x: Tensor, hooks: &mut dyn Hooks) -> Tensor {
        match &self.mlp {
            Some((norm, mlp)) if !hooks.is_done() => {
                let inner = mlp.inner(device, &Normed::new(norm, &x), hooks);
                mlp.down.run_and_add(device, &inner, &x, hooks)
            }
            _ => x,
        }
    }
}

/// Row `rows - 1` `[1, cols]`.
fn last_row(device: &Device, x: &Tensor) -> Tensor {
    copy(device, x.row_range(x.rows() - 1, 1))
}

impl MixerOwned {
    fn view(&self) -> MixerInputs<'_> {
        match self {
            Self::Mamba(inputs) => MixerInputs::Ssm(inputs.view()),
            Self::Mamba2(inputs) => MixerInputs::Ssm(inputs.view()),
            Self::Attention(inputs) => MixerInputs::Attention(inputs.view()),
        }
    }
}

/// Offers a layer's output to the hook; gives the stream of the next layer and the kept rows if any left.
fn reduce(
    device: &Device,
    output: LayerOutput<'_>,
    hooks: &mut dyn Hooks,
) -> (Tensor, Option<Kept>) {
    let (hidden, residual) = (output.hidden, output.residual);
    match hooks.reduce(device, output) {
        Some(Reduced { hidden, residual, keep, log_sizes }) => {
            (add(device, &hidden, &residual), Some(Kept { rows: keep, log_sizes }))
        }
        None => (add(device, hidden, residual), None),
    }
}
