//! What the matrices of a layer are fed by the calibration sequences.
//!
//! The last sequence (of two or more) is held out: it is in no statistic and only measures. Matrices that read the
//! same activations (q, k and v) share one group, its statistics and its factorisation.

use super::by_matrix::Needs;
use crate::backend::{Device, Tensor, View};
use crate::kernels::column_squares::column_squares;
use crate::kernels::gram::gram;
use crate::kernels::rows::copy;
use crate::models::{Hooks, Linear, Model};
use crate::pace::Pace;
use crate::{Error, Result};
use std::collections::HashMap;
use std::rc::Rc;

/// Statistics of more bytes than this are not kept between two prunings.
const MOST_KEPT: usize = 64 << 20;

/// What is summed up over the calibration tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    Nothing,
    SquareSums,
    Gram,
}

impl Statistic {
    pub fn of(needs: Needs) -> Statistic {
        match needs {
            Needs::Nothing => Statistic::Nothing,
            Needs::SquareSums => Statistic::SquareSums,
            Needs::Factor | Needs::Inverse => Statistic::Gram,
        }
    }
}

/// Inputs of the matrices of one layer, still on the device.
#[derive(Default)]
pub struct LayerInputs {
    groups: Vec<Group>,
    group_of: HashMap<String, usize>,
}

/// One set of activations that one or more matrices read.
#[derive(Default)]
pub struct Group {
    /// The matrix for which it is gathered; the others only look it up.
    owner: String,
    /// `[1, cols]` sums of squares, or XᵀX `[cols, cols]`.
    pub sums: Option<Tensor>,
    /// Inputs on the first calibration sequence and on the held-out one `[tokens, cols]`.
    pub calibration: Option<Tensor>,
    pub held_out: Option<Tensor>,
}

impl LayerInputs {
    /// The group of a matrix, and its number.
    pub fn of(&self, linear: &Linear) -> Option<(usize, &Group)> {
        self.group_of.get(&linear.name).map(|&i| (i, &self.groups[i]))
    }
}

/// Statistics of all layers of the dense model, kept for the next pruning with the same text.
pub struct Calibration {
    statistic: Statistic,
    sequences: Vec<Vec<u32>>,
    pub(super) layers: Vec<Rc<LayerInputs>>,
}

impl Calibration {
    pub(super) fn new(statistic: Statistic, sequences: &[Vec<u32>]) -> Self {
        Self { statistic, sequences: sequences.to_vec(), layers: Vec::new() }
    }

    /// Whether it holds what these matrices need.
    pub(super) fn serves(
        &self,
        statistic: Statistic,
        sequences: &[Vec<u32>],
        linears: &[Linear],
    ) -> bool {
        let holds =
            |l: &Linear| self.layers.get(l.layer).is_some_and(|layer| layer.of(l).is_some());
        self.statistic == statistic && self.sequences == sequences && linears.iter().all(holds)
    }

    /// Whether the statistics of these matrices are small enough to be kept.
    pub(super) fn may_keep(
        statistic: Statistic,
        sequences: &[Vec<u32>],
        linears: &[Linear],
    ) -> bool {
        let tokens = sequences.iter().map(Vec::len).max().unwrap_or(0);
        let sums = |l: &Linear| if statistic == Statistic::Gram { l.cols * l.cols } else { l.cols };
        let bytes: usize = linears.iter().map(|l| 4 * (sums(l) + 2 * tokens * l.cols)).sum();
        bytes <= MOST_KEPT
    }
}

/// Which part a sequence plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The first: also kept as it is.
    First,
    Further,
    HeldOut,
}

/// How far a layer is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As far as its matrices need; the walk stays where it is.
    OfInputs,
    /// The walk moves on.
    OfLayer,
}

/// All calibration sequences on their way through the layers.
pub struct Walk {
    statistic: Statistic,
    roles: Vec<Role>,
    /// Rows that enter the next layer, of every sequence `[tokens, d_model]`.
    rows: Vec<Tensor>,
}

impl Walk {
    /// At the entrance of the first layer.
    pub fn start(device: &Device, model: &Model, statistic: Statistic, all: &[Vec<u32>]) -> Walk {
        let mut walk = Walk { statistic, roles: Vec::new(), rows: Vec::new() };
        for (i, sequence) in all.iter().enumerate() {
            let role = match i {
                0 => Role::First,
                i if i + 1 == all.len() => Role::HeldOut,
                // Without a statistic the others would be run for nothing.
                _ if statistic == Statistic::Nothing => continue,
                _ => Role::Further,
            };
            walk.roles.push(role);
            walk.rows.push(model.embed(device, sequence));
        }
        walk
    }

    /// Runs one layer to its `end` and gathers what its matrices `linears` are fed. Errors: cancelled, or the GPU failed.
    pub async fn gather(
        &mut self,
        device: &Device,
        model: &Model,
        layer: usize,
        (linears, end): (&[Linear], End),
        pace: &Pace,
    ) -> Result<LayerInputs> {
        let mut out = LayerInputs::default();
        for (rows, role) in self.rows.iter_mut().zip(&self.roles) {
            let mut hook = Gather {
                linears,
                statistic: self.statistic,
                role: *role,
                out: &mut out,
                last: None,
                missing: linears.len(),
                end,
            };
            let next = model.run_layer(device, layer, rows.clone(), &mut hook);
            if end == End::OfLayer {
                *rows = next;
            }
            // Every sequence is submitted and waited for: memory stays bounded and a cancel is heard.
            device.finish().await?;
            pace.breathe().await?;
        }
        Ok(out)
    }

    /// What the matrices `linears` of a layer are fed, up to which it is run; the walk stays where it is. What enters the
    /// first layer no setting changes: it is taken from what was kept of the same sequences, or kept where no more than
    /// a first layer of them is. Errors: cancelled, or the GPU failed.
    pub async fn inputs(
        &mut self,
        device: &Device,
        model: &Model,
        (layer, linears): (usize, &[Linear]),
        (sequences, kept): (&[Vec<u32>], &mut Option<Calibration>),
        pace: &Pace,
    ) -> Result<Rc<LayerInputs>> {
        let (statistic, is_first) = (self.statistic, layer == 0);
        if is_first {
            if let Some(kept) = kept.as_ref().filter(|k| k.serves(statistic, sequences, linears)) {
                return Ok(kept.layers[0].clone());
            }
            // What serves no longer goes before the new one is gathered: both together might be too large.
            kept.take_if(|k| k.sequences != sequences || k.layers.len() == 1);
        }
        let of_inputs = (linears, End::OfInputs);
        let inputs = Rc::new(self.gather(device, model, layer, of_inputs, pace).await?);
        if is_first && kept.is_none() && Calibration::may_keep(statistic, sequences, linears) {
            let layers = vec![inputs.clone()];
            *kept = Some(Calibration { layers, ..Calibration::new(statistic, sequences) });
        }
        Ok(inputs)
    }

    /// Runs one layer of `model` and moves on. Errors: cancelled, or the GPU failed.
    pub async fn run(
        &mut self,
        device: &Device,
        model: &Model,
        layer: usize,
        pace: &Pace,
    ) -> Result<()> {
        self.gather(device, model, layer, (&[], End::OfLayer), pace).await?;
        Ok(())
    }

    /// Rows that enter the next layer, of every sequence that is not held out.
    pub fn rows(&self) -> impl Iterator<Item = &Tensor> {
        let seen = self.rows.iter().zip(&self.roles);
        seen.filter(|(_, role)| **role != Role::HeldOut).map(|(rows, _)| rows)
    }
}

/// Tells of every matrix, in the order of the layers, the sums over the tokens of the squares of its inputs in the dense
/// model. Errors: no text, those of `each`, cancelled, or the GPU failed.
pub async fn input_squares(
    (device, dense): (&Device, &Model),
    sequences: &[Vec<u32>],
    linears: &[Linear],
    pace: &Pace,
    each: &mut dyn FnMut(&Linear, &[f32]) -> Result<()>,
) -> Result<()> {
    let mut walk = Walk::start(device, dense, Statistic::SquareSums, sequences);
    let last = linears.last().map_or(0, |l| l.layer);
    for layer in 0..=last {
        let of_layer: Vec<Linear> = linears.iter().filter(|l| l.layer == layer).cloned().collect();
        let inputs = walk.gather(device, dense, layer, (&of_layer, End::OfLayer), pace).await?;
        for linear in &of_layer {
            let sums = inputs.of(linear).and_then(|(_, group)| group.sums.as_ref());
            let none = || Error::input("calibration", "no text", "at least one sequence");
            each(linear, &device.read(sums.ok_or_else(none)?).await?)?;
            pace.breathe().await?;
        }
    }
    Ok(())
}

/// The hook that gathers.
struct Gather<'a> {
    linears: &'a [Linear],
    statistic: Statistic,
    role: Role,
    out: &'a mut LayerInputs,
    /// What was read last, by which group.
    last: Option<(Tensor, [usize; 4], usize)>,
    /// Matrices of `linears` that were not yet met.
    missing: usize,
    end: End,
}

impl Hooks for Gather<'_> {
    fn is_done(&self) -> bool {
        self.missing == 0 && self.end == End::OfInputs
    }

    fn linear_input(&mut self, device: &Device, weight: &str, x: View<'_>) {
        if !self.linears.iter().any(|l| l.name == weight) {
            return;
        }
        self.missing -= 1;
        let place = [x.row, x.rows, x.col, x.cols];
        let index = match (self.out.group_of.get(weight), &self.last) {
            (Some(&index), _) => index,
            (None, Some((last, at, index))) if last.is_same(x.tensor) && *at == place => *index,
            _ => {
                self.out.groups.push(Group { owner: weight.to_string(), ..Group::default() });
                self.out.groups.len() - 1
            }
        };
        self.out.group_of.insert(weight.to_string(), index);
        self.last = Some((x.tensor.clone(), place, index));
        let group = &mut self.out.groups[index];
        if group.owner != weight {
            return;
        }
        match self.role {
            Role::First => group.calibration = Some(copy(device, x)),
            Role::HeldOut => group.held_out = Some(copy(device, x)),
            Role::Further => {}
        }
        if self.role != Role::HeldOut {
            group.add(device, self.statistic, x);
        }
    }
}

impl Group {
    fn add(&mut self, device: &Device, statistic: Statistic, x: View<'_>) {
        let sums = self.sums.take();
        self.sums = match statistic {
            Statistic::Nothing => None,
            Statistic::SquareSums => {
                let sums = sums.unwrap_or_else(|| device.zeros(1, x.cols));
                Some(column_squares(device, x, &sums))
            }
            Statistic::Gram => {
                let sums = sums.unwrap_or_else(|| device.zeros(x.cols, x.cols));
                Some(gram(device, x, sums))
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(cols: usize) -> Linear {
        Linear { name: String::new(), layer: 0, rows: 1, cols, by_default: true }
    }

    #[test]
    fn statistics_are_kept_up_to_64_mebibytes() {
        // 4 * 4096² bytes are 64 MiB. The inputs of two sequences are kept too: 2 * 4 * cols bytes a token.
        let keeps = |statistic, tokens: &[usize], cols: &[usize]| {
            let sequences: Vec<Vec<u32>> = tokens.iter().map(|n| vec![0; *n]).collect();
            let linears: Vec<Linear> = cols.iter().map(|cols| linear(*cols)).collect();
            Calibration::may_keep(statistic, &sequences, &linears)
        };
        assert!(keeps(Statistic::Gram, &[], &[4096]));
        assert!(!keeps(Statistic::Gram, &[1], &[4096]));
        // Two matrices: half of it each, of which 4 * 2816² are sums and the rest 81 tokens' inputs.
        assert!(keeps(Statistic::Gram, &[10, 81], &[2816, 2816]));
        assert!(!keeps(Statistic::Gram, &[82, 10], &[2816, 2816]));
        // 2^20 columns: sums of 4 MiB, and 8 MiB a token.
        assert!(keeps(Statistic::SquareSums, &[7], &[1 << 20]));
        assert!(!keeps(Statistic::SquareSums, &[8], &[1 << 20]));
    }

    #[test]
    fn what_was_kept_serves_the_same_statistic_of_the_same_text_only() {
        let text = [vec![1, 2], vec![3]];
        let kept = Calibration::new(Statistic::Gram, &text);
        assert!(kept.serves(Statistic::Gram, &text, &[]));
        assert!(!kept.serves(Statistic::SquareSums, &text, &[]));
        assert!(!kept.serves(Statistic::Gram, &text[..1], &[]));
        assert!(!kept.serves(Statistic::Gram, &text, &[linear(4)]), "a matrix that it has not met");
    }
}
