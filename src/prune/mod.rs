//! One-shot weight pruning: gather input statistics, zero weights, report what it did to every matrix.
//!
//! A method is one file and one line in [`METHODS`]. The rows of a matrix are pruned independently of each other, in
//! f64 in batches, or in f32 on a GPU (`device`); the driver (`drive`) goes through the model layer by layer.

mod batches;
mod calibrate;
mod check;
mod device;
mod drive;
mod hessian;
mod joint;
mod knobs;
mod linalg;
mod magnitude;
mod masked;
mod mrp;
mod pair;
mod pattern;
mod product;
mod ratios;
mod refit;
mod report;
mod ria;
mod shared;
mod sparsegpt;
mod states;
mod structured;
mod system;
#[cfg(test)]
mod tests;
mod units;
mod wanda;

pub use calibrate::Calibration;
pub use check::{check, check_setting};
pub use drive::{Progress, Subject};
pub use knobs::{BLOCK, BLOCK_OR_ROW, DAMPING, INPUTS_DENSE, INPUTS_PRUNED, MASK};
pub use knobs::{LAYERS, MATRICES, RATIOS, RUN, SEQUENCES};
pub use pattern::{PATTERN, Pattern, SPARSITY, THRESHOLD, THRESHOLD_OF_BLOCK};
pub use report::{MatrixReport, Pruned, Smaller, sparsity, zeros};

use crate::method::{About, Setting};
use crate::pace::Pace;
use crate::{Error, Result};
use batches::in_batches;
use hessian::Hessian;
use knobs::block_of;
use std::pin::Pin;

/// Every method that zeroes weights, in the order of the menus. What makes matrices smaller is another kind of work:
/// `structured`.
pub const METHODS: &[&dyn Pruning] =
    &[&wanda::Wanda, &mrp::Mrp, &sparsegpt::SparseGpt, &ria::Ria, &magnitude::Magnitude];

/// What a method must know about the inputs of a matrix; each says more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    Nothing,
    /// sum over calibration tokens of x_j²
    SquareSums,
    /// XᵀX, damped and factored
    Factor,
    /// and its inverse
    Inverse,
}

/// Statistics of the inputs of one matrix.
pub struct Inputs {
    pub cols: usize,
    /// `[cols]`; empty when the method asked for nothing.
    pub square_sums: Vec<f64>,
    /// From [`Needs::Factor`] on, unless a GPU computes.
    pub hessian: Option<Hessian>,
    /// In their place: the GPU's. Then there are no square sums either.
    pub device: Option<device::DeviceInputs>,
}

/// One matrix to be pruned.
pub struct Job<'a> {
    /// `[rows, inputs.cols]`, changed in place.
    pub weights: &'a mut [f32],
    pub inputs: &'a Inputs,
    pub setting: &'a Setting,
    pub pace: &'a Pace,
}

/// How the pruning of a matrix ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A linear system could not be solved: the damping is too small, for f32 or at all. The weights are of no use.
    NotPositive,
}

impl Job<'_> {
    /// Sums of squares of the inputs, from wherever they are.
    async fn square_sums(&self) -> Result<Vec<f64>> {
        match &self.inputs.device {
            Some(device) => device.square_sums().await,
            None => Ok(self.inputs.square_sums.clone()),
        }
    }
}

/// A pruning on its way; breathes, so that it can be cancelled.
pub type Work<'a> = Pin<Box<dyn Future<Output = Result<Outcome>> + 'a>>;

/// A one-shot pruning method.
pub trait Pruning: Sync {
    fn about(&self) -> &'static About;

    /// For a matrix of `cols` inputs.
    fn needs(&self, setting: &Setting, cols: usize) -> Needs;

    fn prune<'a>(&'a self, job: Job<'a>) -> Work<'a>;
}

impl Needs {
    /// Of a whole-row compensation.
    fn of_refit(inverse: bool) -> Needs {
        if inverse { Needs::Inverse } else { Needs::Factor }
    }
}

impl Inputs {
    /// The Hessian of a method that asked for one.
    fn hessian(&self) -> &Hessian {
        self.hessian.as_ref().expect("the method asked for a Hessian")
    }
}

/// The descriptions of all methods.
pub fn abouts() -> Vec<&'static About> {
    METHODS.iter().map(|m| m.about()).chain([&structured::ABOUT]).collect()
}

/// Prunes a model.
///
/// `sequences` are tokens; the last of two or more is held out. `cache` is an empty place at first and whatever
/// this function left there the next time; empty it when the model or the device changes.
/// Errors: cancelled, a setting that makes no sense, inputs that are not finite, or the GPU failed.
pub async fn prune(
    subject: &Subject<'_>,
    sequences: &[Vec<u32>],
    setting: &Setting,
    cache: &mut Option<Calibration>,
    pace: &Pace,
    progress: &mut Progress<'_>,
) -> Result<Pruned> {
    match setting.about.id == structured::ABOUT.id {
        true => structured::prune(subject, sequences, setting, pace, progress).await,
        false => drive::prune(subject, sequences, setting, cache, pace, progress).await,
    }
}

/// The method of a setting.
pub fn method_of(setting: &Setting) -> Result<&'static dyn Pruning> {
    let found = METHODS.iter().find(|m| m.about().id == setting.about.id).copied();
    found.ok_or_else(|| Error::input("pruning method", setting.about.id, "a pruning method"))
}
