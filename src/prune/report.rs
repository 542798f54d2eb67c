//! What pruning leaves: weights, shapes, and for every matrix what was done to it and how far its output moved.

use super::units::Fields;
use crate::Result;
use crate::backend::{Device, Tensor, WeightValues};
use crate::config::ModelConfig;
use crate::kernels::matmul::matmul;
use crate::models::{Edits, Linear};
use serde::Serialize;

/// What pruning did to one matrix.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MatrixReport {
    /// Checkpoint name.
    pub name: String,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Share of zeros asked for, 0..=1.
    pub requested: f64,
    /// Share of zeros reached, 0..=1; of weights gone where the matrix became smaller.
    pub achieved: f64,
    /// ||X W^T - X W'^T||^2 / ||X W^T||^2 on the first calibration sequence.
    pub error: f64,
    /// The same on a sequence that is in no statistic; absent when there was only one sequence.
    pub held_out_error: Option<f64>,
    /// Time for this matrix without the calibration passes. The first of several matrices with the same inputs
    /// bears their factorisation.
    pub milliseconds: f64,
    /// λ as a share of the mean of diag(XᵀX); absent for methods without a Hessian.
    pub damping: Option<f64>,
    /// How often λ was raised because a factorisation failed.
    pub retries: u32,
    /// Where the weights were computed: on the GPU in f32, else on the CPU in f64.
    pub on_gpu: bool,
    /// The shape that is left where the matrix became smaller; nothing of a removed layer.
    pub left: Option<[usize; 2]>,
}

impl MatrixReport {
    /// With the shape that is left.
    pub(super) fn left_with(self, left: [usize; 2]) -> MatrixReport {
        let elements = (self.rows * self.cols) as f64;
        let achieved = 1.0 - (left[0] * left[1]) as f64 / elements;
        MatrixReport { achieved, left: Some(left), ..self }
    }
}

/// Zeros and weights of the matrices of a report.
pub fn zeros(report: &[MatrixReport]) -> (f64, f64) {
    let count = |m: &MatrixReport| (m.rows * m.cols) as f64;
    let zeros = report.iter().map(|m| count(m) * m.achieved);
    // An empty sum of floats is -0.
    (zeros.sum::<f64>() + 0.0, report.iter().map(count).sum())
}

/// Share of zeros among these matrices, 0..=1.
pub fn sparsity(report: &[MatrixReport]) -> f64 {
    match zeros(report) {
        (zeros, weights) if weights > 0.0 => zeros / weights,
        _ => 0.0,
    }
}

/// Pruned weights and the report.
pub struct Pruned {
    /// The tensors that changed, by their names in the checkpoint.
    pub edits: Edits,
    /// One line a matrix, in the order in which they were pruned.
    pub report: Vec<MatrixReport>,
    /// Where the model has another shape now.
    pub smaller: Option<Smaller>,
    /// What a reader of the figures must know.
    pub warning: Option<String>,
}

impl Pruned {
    /// Before the first matrix. `widest`: inputs of the widest matrix whose H is needed, 0 where none is.
    pub(super) fn start(sequences: &[Vec<u32>], widest: usize) -> Pruned {
        let seen = sequences.len().saturating_sub(1).max(1); // the last of two or more is held out
        let tokens: usize = sequences.iter().take(seen).map(Vec::len).sum();
        let warning = (tokens < widest).then(|| {
            let times = widest.div_ceil(tokens.max(1));
            format!(
                "The calibration text has {tokens} tokens, and a matrix has {widest} inputs. With fewer tokens than inputs \
                 many weights are decided by the damping, not by the text, and the model becomes worse than it has to be. \
                 Take at least {times} times as many sequences."
            )
        });
        Pruned { edits: Edits::new(), report: Vec::new(), smaller: None, warning }
    }
}

/// What is left of a model's shape.
pub struct Smaller {
    /// Of the smaller model.
    pub config: ModelConfig,
    /// Fields of config.json that differ, and their values.
    pub fields: Fields,
    /// The numbers that the layers had before.
    pub layers: Vec<usize>,
}

/// A matrix before and after.
pub(super) struct Change<'a> {
    pub linear: &'a Linear,
    pub before: &'a [f32],
    pub after: &'a [f32],
}

impl Change<'_> {
    /// Relative squared error of the output on some inputs `[tokens, cols]`.
    pub async fn error(&self, device: &Device, inputs: Option<&Tensor>) -> Result<Option<f64>> {
        let Some(inputs) = inputs else { return Ok(None) };
        let Change { linear, before, after } = *self;
        let difference: Vec<f32> = before.iter().zip(after).map(|(b, a)| b - a).collect();
        let mut energy = [0.0f64; 2];
        for (sum, values) in energy.iter_mut().zip([&difference[..], before]) {
            let matrix = device.matrix(linear.rows, linear.cols, WeightValues::F32(values));
            let y = device.read(&matmul(device, inputs, &matrix, None, None)).await?;
            *sum = y.iter().map(|v| f64::from(*v).powi(2)).sum();
        }
        Ok(Some(if energy[1] > 0.0 { energy[0] / energy[1] } else { 0.0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rows: usize, cols: usize, achieved: f64) -> MatrixReport {
        MatrixReport {
            name: String::new(),
            rows,
            cols,
            requested: 0.5,
            achieved,
            error: 0.0,
            held_out_error: None,
            milliseconds: 0.0,
            damping: None,
            retries: 0,
            on_gpu: false,
            left: None,
        }
    }

    #[test]
    fn zeros_are_counted_over_matrices_of_different_sizes() {
        let report = [line(2, 3, 0.5), line(4, 4, 0.25)];
        assert_eq!(zeros(&report), (3.0 + 4.0, 6.0 + 16.0));
        assert_eq!(sparsity(&report), 7.0 / 22.0);
        assert!(zeros(&[]).0.is_sign_positive(), "shown as 0, not as -0");
        assert_eq!((zeros(&[]), sparsity(&[])), ((0.0, 0.0), 0.0));
    }

    #[test]
    fn the_error_is_that_of_the_output_relative_to_the_output() {
        let linear = Linear { name: String::new(), layer: 0, rows: 2, cols: 2, by_default: true };
        let inputs = Device::Cpu.tensor(1, 2, &[1.0, 2.0]);
        let error = |before: &[f32], after: &[f32]| {
            let change = Change { linear: &linear, before, after };
            pollster::block_on(change.error(&Device::Cpu, Some(&inputs))).unwrap()
        };
        // The outputs are 1 + 4 = 5 and 3 - 2 = 1, then 1 and 3: 4^2 + 2^2 over 5^2 + 1^2.
        assert_eq!(error(&[1.0, 2.0, 3.0, -1.0], &[1.0, 0.0, 3.0, 0.0]), Some(20.0 / 26.0));
        assert_eq!(error(&[0.0; 4], &[0.0; 4]), Some(0.0), "an output of 0 stays");
    }
}
