//! One-shot weight pruning: gather input statistics, zero weights, report what it did to every matrix.
//!
//! A method is one file and one line in [`METHODS`].

mod calibrate;
mod magnitude;
mod pattern;
mod wanda;

pub use pattern::{PATTERN, Pattern, SPARSITY};

use crate::backend::{Device, WeightValues};
use crate::config::ModelConfig;
use crate::kernels::matmul::matmul;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::models::{Edits, Linear, Model, Weights, linears};
use crate::pace::Pace;
use crate::{Error, Result};
use calibrate::Calibration;
use serde::Serialize;

/// Every method, in the order of the menus.
pub const METHODS: &[&dyn Pruning] = &[&wanda::Wanda, &magnitude::Magnitude];

/// What a method must know about the inputs of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    Nothing,
    /// sum over calibration tokens of x_j^2
    SquareSums,
}

/// Statistics of the inputs of one matrix.
pub struct Inputs {
    pub cols: usize,
    /// `[cols]`; empty when the method asked for nothing.
    pub square_sums: Vec<f32>,
}

/// A one-shot pruning method.
pub trait Pruning: Sync {
    fn about(&self) -> &'static About;

    fn statistic(&self) -> Statistic;

    /// Changes `weights` `[rows, inputs.cols]` in place.
    fn prune(&self, weights: &mut [f32], inputs: &Inputs, setting: &Setting);
}

/// Which matrices are pruned; the last knob of every method.
pub const MATRICES: Knob = Knob {
    id: "matrices",
    label: "Matrices",
    help: "Every linear layer inside the blocks but Mamba-1's tiny dt_proj, or all of them",
    kind: KnobKind::Choice {
        options: &[("default", "all but dt_proj"), ("all", "all linear layers")],
        default: "default",
    },
};

/// How much text the input statistics rest on.
pub const SEQUENCES: Knob = Knob {
    id: "sequences",
    label: "Calibration",
    help: "Calibration sequences (512 tokens of prose, or one line of recall text, each)",
    kind: KnobKind::Number { min: 1.0, max: 128.0, step: 1.0, default: 16.0 },
};

/// What pruning did to one matrix.
#[derive(Debug, Clone, Serialize)]
pub struct MatrixReport {
    /// Checkpoint name.
    pub name: String,
    pub rows: usize,
    pub cols: usize,
    /// Share of zeros asked for and reached, 0..=1.
    pub requested: f64,
    pub achieved: f64,
    /// ||X W^T - X W'^T||^2 / ||X W^T||^2 on the first calibration sequence.
    pub error: f64,
}

/// Pruned weights and the report.
pub struct Pruned {
    pub edits: Edits,
    pub report: Vec<MatrixReport>,
}

/// The descriptions of all methods.
pub fn abouts() -> Vec<&'static About> {
    METHODS.iter().map(|m| m.about()).collect()
}

/// The method of a setting.
pub fn method_of(setting: &Setting) -> Result<&'static dyn Pruning> {
    let found = METHODS.iter().find(|m| m.about().id == setting.about.id).copied();
    found.ok_or_else(|| Error::input("pruning method", setting.about.id, "a pruning method"))
}

/// Prunes a model's matrices.
///
/// `calibration` holds token sequences; `progress` is told (matrices done, matrices in all).
/// Errors: cancelled, or the GPU failed.
#[allow(clippy::too_many_arguments)] // each is another thing; a struct of them would be used once
pub async fn prune(
    device: &Device,
    config: &ModelConfig,
    weights: &Weights,
    model: &Model,
    calibration: &[Vec<u32>],
    setting: &Setting,
    pace: &Pace,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Pruned> {
    let method = method_of(setting)?;
    let all = setting.choice("matrices") == "all";
    let chosen: Vec<Linear> = linears(config).into_iter().filter(|l| all || l.by_default).collect();
    let gathered =
        Calibration::gather(device, model, &chosen, calibration, method.statistic(), pace).await?;
    let mut pruned = Pruned { edits: Edits::new(), report: Vec::new() };
    for (i, linear) in chosen.iter().enumerate() {
        progress(i, chosen.len());
        pace.breathe().await?;
        let inputs = gathered.inputs(device, linear).await?;
        let before = weights.values(&linear.name, &[linear.rows, linear.cols])?;
        let mut after = before.clone();
        method.prune(&mut after, &inputs, setting);
        let error = output_error(device, &gathered, linear, &before, &after).await?;
        let zeros = after.iter().filter(|w| **w == 0.0).count();
        pruned.report.push(MatrixReport {
            name: linear.name.clone(),
            rows: linear.rows,
            cols: linear.cols,
            requested: Pattern::of(setting).share(),
            achieved: zeros as f64 / after.len() as f64,
            error,
        });
        pruned.edits.insert(linear.name.clone(), after);
    }
    progress(chosen.len(), chosen.len());
    Ok(pruned)
}

/// Relative squared error of the layer's output on the sampled inputs.
async fn output_error(
    device: &Device,
    gathered: &Calibration,
    linear: &Linear,
    before: &[f32],
    after: &[f32],
) -> Result<f64> {
    let Some(sample) = gathered.sample(linear) else { return Ok(0.0) };
    let difference: Vec<f32> = before.iter().zip(after).map(|(b, a)| b - a).collect();
    let mut energy = [0.0f64; 2];
    for (sum, values) in energy.iter_mut().zip([&difference[..], before]) {
        let matrix = device.matrix(linear.rows, linear.cols, WeightValues::F32(values));
        let y = device.read(&matmul(device, sample, &matrix, None, None)).await?;
        *sum = y.iter().map(|v| f64::from(*v).powi(2)).sum();
    }
    Ok(if energy[1] > 0.0 { energy[0] / energy[1] } else { 0.0 })
}
