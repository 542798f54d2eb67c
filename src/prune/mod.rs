//! One-shot weight pruning: gather input statistics, zero weights, report what it did to every matrix.
//!
//! A method is one file and one line in [`METHODS`]. Most work on one matrix after the other (`by_matrix`): the rows are
//! pruned independently of each other, in f64 in batches, or in f32 on a GPU (`device`), and `drive` goes through the
//! model layer by layer. `structured` takes units through several tensors and leaves a smaller model.

mod batches;
mod by_matrix;
mod calibrate;
mod check;
mod custom;
mod device;
mod drive;
mod gated_norm;
#[cfg(not(target_arch = "wasm32"))]
mod gathered;
mod gptq;
mod gradients;
mod grid;
mod hessian;
mod joint;
mod knobs;
mod linalg;
mod magnitude;
mod masked;
mod mrp;
mod outcome;
mod owl;
mod pair;
mod paper;
mod pattern;
mod product;
mod ratios;
mod refit;
mod remaining;
mod report;
mod ria;
mod rtn;
mod scan;
mod shared;
mod sparsegpt;
mod sparsessm;
mod sparsessm_ratios;
mod states;
mod structured;
mod swaps;
mod system;
mod task;
#[cfg(test)]
mod tests;
mod units;
mod wanda;

pub use calibrate::Calibration;
pub use check::chosen;
pub use device::Solvers;
pub use paper::{Paper, on_paper};
pub use report::{MatrixReport, Pruned, Smaller, sparsity, zeros};
pub use task::{Progress, Pruning, Subject, Task, Whole};

use crate::config::ModelConfig;
use crate::method::{About, Setting};
use crate::pace::Pace;
use crate::{Error, Result};

/// Every method, in the order of the menus.
pub const METHODS: &[&dyn Pruning] = &[
    &wanda::Wanda,
    &mrp::Mrp,
    &sparsegpt::SparseGpt,
    &ria::Ria,
    &magnitude::Magnitude,
    &custom::Custom,
    &gptq::Gptq,
    &rtn::Rtn,
    &structured::Structured,
    &sparsessm::SparseSsm,
];

/// The descriptions of all methods.
pub fn abouts() -> Vec<&'static About> {
    METHODS.iter().map(|m| m.about()).collect()
}

/// The method of a setting. Errors: there is none of this name.
pub fn method_of(setting: &Setting) -> Result<&'static dyn Pruning> {
    let found = METHODS.iter().find(|m| m.about().id == setting.about.id).copied();
    found.ok_or_else(|| Error::input("pruning method", setting.about.id, "a pruning method"))
}

/// Whether the knobs of a setting fit together. Errors: they do not, and what would.
pub fn check_setting(setting: &Setting) -> Result<()> {
    method_of(setting)?.check(setting)
}

/// Whether a setting can run on a model. Errors: those of [`check_setting`], and layers that are not there.
pub fn check(config: &ModelConfig, setting: &Setting) -> Result<()> {
    check_setting(setting)?;
    check::layers(config, setting)
}

/// Prunes a model. Arguments and errors: those of [`Task`] and [`Pruning::prune`].
pub async fn prune(
    subject: &Subject<'_>,
    sequences: &[Vec<u32>],
    setting: &Setting,
    cache: &mut Option<Calibration>,
    pace: &Pace,
    progress: &mut Progress<'_>,
) -> Result<Pruned> {
    check(subject.config, setting)?;
    // The same weights under either arithmetic.
    #[cfg(not(target_arch = "wasm32"))]
    let _reference = crate::arithmetic::reference();
    let solvers = Solvers::RealGpus;
    let progress = &mut |done: usize, all: usize| progress(done, all);
    let task = Task { subject: *subject, sequences, setting, cache, solvers, pace, progress };
    method_of(setting)?.prune(task).await
}
