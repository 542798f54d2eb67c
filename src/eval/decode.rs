//! What one decoded token reads and multiplies, dense and as it is run: counted, not measured.
//!
//! Counted: the linear layers and the head, each weight once. Not counted: norms, states, keys and values.

use super::speed::Speed;
use crate::backend::{Bits, Format, Matrix};
use crate::config::ModelConfig;
use crate::models::{Execution, Model, Weights, flops, linears};
use serde::Serialize;

/// What one decoded token reads and multiplies: linear layers and head. Counted, not measured.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Decode {
    /// Bytes of weights with every matrix dense, in the precision of the device.
    pub bytes_dense: f64,
    /// Bytes of weights as they are run.
    pub bytes: f64,
    /// FLOPs of the dense model, 2 per multiply-add.
    pub flops_dense: f64,
    /// FLOPs of the compressed model; of a matrix that is packed, without its zeros.
    pub flops: f64,
    /// Matrices that are multiplied without their zeros.
    pub packed: usize,
    /// What is packed, and what cannot be faster.
    pub text: String,
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
            "{quantised} of {pruned} matrices are stored and read as {} with their scales. {WIDENED}",
            if bits == Bits::Four { "int4" } else { "int8" }
        ),
        _ => format!(
            "{two_of_four} of {pruned} pruned matrices are packed as 2:4, {bitmask} under bitmasks, for decoding. {PREFILL}"
        ),
    };
    sum
}

/// The linear layers of a model as they were loaded.
pub(super) fn loaded((config, weights): (&ModelConfig, &Weights)) -> Vec<Matrix> {
    linears(config).iter().filter_map(|l| weights.loaded(&l.name)).collect()
}

fn per_token(config: &ModelConfig) -> f64 {
    let flops = flops(config);
    flops.per_token() + flops.head_per_token
}

const SMALLER: &str = "What is left is smaller and dense: less is read and multiplied, in reading a context as in decoding.";
const DENSE: &str = "Run dense, as asked for: a zero is read and multiplied like any other number, so nothing is faster.";
const NOT_WORTH_IT: &str = "Nothing is packed: these zeros do not fit 2:4, and on this device a bitmask of them takes longer to unpack than a dense matrix to read. So nothing is faster.";
const WIDENED: &str = "A decoded token reads them as they are. Reading a context multiplies many tokens with each weight; there they are widened to f32 first.";
const PREFILL: &str = "Reading a context multiplies many tokens with each weight; there such zeros cannot be faster, and the dense copy is used and stays in memory.";

impl Decode {
    /// Says so where packing gained nothing.
    pub fn judge(&mut self, speed: &Speed) {
        if self.packed > 0 && speed.decode_ratio.low <= 1.0 {
            self.text += " Measured in this run: no gain in decoding. In a small model other work takes longer than reading weights.";
        }
    }
}
