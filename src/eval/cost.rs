//! What settings save on paper, and what one decoded token reads and multiplies: counted, not measured.
//!
//! Counted of a token: the linear layers and the head, each weight once. Not counted: norms, states, keys and values.

use super::placed::PrunedModel;
use super::speed::Speed;
use crate::backend::{Bits, Format, Matrix};
use crate::config::ModelConfig;
use crate::method::Setting;
use crate::models::{Execution, Model, Weights, flops, linears};
use crate::prune::{self, MatrixReport};
use crate::{Result, reduce};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the settings save on paper. Counted, not measured; the page says so.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Cost {
    /// Share of the layers' FLOPs saved in a prefill of the context, 0..=1.
    pub flops_saved_layers: f64,
    /// The same with the output head of one token and the method's own arithmetic.
    pub flops_saved_total: f64,
    /// Context tokens that enter each layer.
    pub lengths: Vec<usize>,
    /// Weights of the pruned matrices that are zero or gone, 0..=1.
    pub sparsity: f64,
    /// The same among all weights of the model, 0..=1.
    pub sparsity_of_model: f64,
    /// One decoded token; absent without a pruning.
    pub decode: Option<Decode>,
    /// Per matrix: name, shape, share of zeros asked for and reached, output error.
    pub matrices: Vec<MatrixReport>,
}

/// What one decoded token reads and multiplies: linear layers and head. Counted, not measured.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Decode {
    /// Bytes of weights, with every matrix dense and as they are run, in the precision of the device.
    pub bytes_dense: f64,
    pub bytes: f64,
    pub flops_dense: f64,
    pub flops: f64,
    /// Matrices that are multiplied without their zeros.
    pub packed: usize,
    /// What is packed, and what cannot be faster.
    pub text: String,
}

/// What reading `n` tokens saves with a pruned model and a reduction, against the dense model of `parameters` weights.
///
/// Errors: a reduction after layers that the pruning has taken.
pub fn on_paper(
    dense: &ModelConfig,
    parameters: u64,
    pruned: &PrunedModel,
    reduction: Option<&Setting>,
    n: usize,
) -> Result<Cost> {
    let saved = reduction.map(|s| reduce::savings(&pruned.config, s, n)).transpose()?;
    let matrices = pruned.report.clone();
    // Of the pruned model by the reduction, and of the dense one by both.
    let both = |by_reduction: f64, heads: f64| {
        let [left, all] = [&*pruned.config, dense].map(|c| prefill(c, n, heads));
        1.0 - (1.0 - by_reduction) * left / all
    };
    Ok(Cost {
        flops_saved_layers: both(saved.as_ref().map_or(0.0, |s| s.layers), 0.0),
        flops_saved_total: both(saved.as_ref().map_or(0.0, |s| s.total), 1.0),
        lengths: saved.map_or_else(|| vec![n; pruned.config.n_layer()], |s| s.lengths),
        sparsity: prune::sparsity(&matrices),
        sparsity_of_model: prune::zeros(&matrices).0 / parameters.max(1) as f64,
        decode: pruned.decode.clone(),
        matrices,
    })
}

/// FLOPs of reading `n` tokens, with the head of so many.
pub fn prefill(config: &ModelConfig, n: usize, heads: f64) -> f64 {
    let f = flops(config);
    f.layer(n) * config.n_layer() as f64 + heads * f.head_per_token
}

/// FLOPs of reading contexts of these lengths and of the head of one token after each, as a share of the dense model's.
///
/// Errors: a reduction after layers that the pruning has taken.
pub fn flops_share(
    dense: &ModelConfig,
    pruned: &PrunedModel,
    reduction: Option<&Setting>,
    contexts: impl Iterator<Item = usize>,
) -> Result<f64> {
    let mut left = BTreeMap::new();
    let (mut all, mut sum) = (0.0, 0.0);
    for n in contexts {
        let whole = prefill(dense, n, 1.0);
        let share = match left.get(&n) {
            Some(share) => *share,
            None => 1.0 - on_paper(dense, 1, pruned, reduction, n)?.flops_saved_total,
        };
        left.insert(n, share);
        all += whole;
        sum += share * whole;
    }
    Ok(sum / all)
}

/// Bytes of weights that one decoded token reads, with every matrix dense, in the precision of the device.
pub fn bytes_per_token(config: &ModelConfig, weights: &Weights, model: &Model) -> f64 {
    let matrices = loaded((config, weights)).into_iter().map(|m| m.bytes() as f64);
    matrices.fold(model.head().bytes() as f64, |sum, bytes| sum + bytes)
}

/// Counts for the two sides and the second one's model, of which `pruned` matrices are pruned.
pub fn count(
    [dense, side]: [(&ModelConfig, &Weights); 2],
    model: &Model,
    pruned: usize,
    execution: Execution,
    is_smaller: bool,
) -> Decode {
    let head = model.head().bytes() as f64;
    let mut sum = Decode { bytes_dense: head, bytes: head, ..Decode::default() };
    let (mut left_out, mut two_of_four, mut bitmask, mut quantised) = (0, 0, 0, 0);
    let mut bits = Bits::Eight;
    for matrix in loaded(dense) {
        sum.bytes_dense += matrix.bytes() as f64;
    }
    for matrix in loaded(side) {
        sum.bytes += matrix.bytes_per_token() as f64;
        if let Some(blocks) = matrix.blocks() {
            quantised += 1;
            bits = blocks.bits;
        } else if let Some(packed) = matrix.packed() {
            left_out += packed.rows * packed.cols - packed.kept;
            match packed.format {
                Format::TwoOfFour => two_of_four += 1,
                Format::Bitmask => bitmask += 1,
            }
        }
    }
    sum.flops_dense = per_token(dense.0);
    sum.flops = per_token(side.0) - 2.0 * left_out as f64;
    sum.packed = two_of_four + bitmask + quantised;
    sum.text = match (sum.packed, execution) {
        _ if is_smaller => SMALLER.into(),
        (0, Execution::Dense) => DENSE.into(),
        (0, Execution::Packed) => NOT_WORTH_IT.into(),
        _ if quantised > 0 => format!(
            "{quantised} of {pruned} matrices are read as {} with their scales, for decoding. {DEQUANTISED}",
            if bits == Bits::Four { "int4" } else { "int8" }
        ),
        _ => format!(
            "{two_of_four} of {pruned} pruned matrices are packed as 2:4, {bitmask} under bitmasks, for decoding. {PREFILL}"
        ),
    };
    sum
}

fn loaded((config, weights): (&ModelConfig, &Weights)) -> Vec<Matrix> {
    linears(config).iter().filter_map(|l| weights.loaded(&l.name)).collect()
}

fn per_token(config: &ModelConfig) -> f64 {
    let flops = flops(config);
    flops.layer_per_token * config.n_layer() as f64 + flops.head_per_token
}

const SMALLER: &str = "What is left is smaller and dense: less is read and multiplied, in reading a context as in decoding.";
const DENSE: &str = "Run dense, as asked for: a zero is read and multiplied like any other number, so nothing is faster.";
const NOT_WORTH_IT: &str = "Nothing is packed: these zeros do not fit 2:4, and on this device a bitmask of them takes longer to unpack than a dense matrix to read. So nothing is faster.";
const DEQUANTISED: &str = "Reading a context multiplies many tokens with each weight; there the dequantised copy is used, which stays in memory.";
const PREFILL: &str = "Reading a context multiplies many tokens with each weight; there such zeros cannot be faster, and the dense copy is used and stays in memory.";

impl Decode {
    /// Says so where packing gained nothing.
    pub fn judge(&mut self, speed: &Speed) {
        if self.packed > 0 && speed.decode_ratio.low <= 1.0 {
            self.text += " Measured in this run: no gain in decoding. In a small model other work takes longer than reading weights.";
        }
    }
}
