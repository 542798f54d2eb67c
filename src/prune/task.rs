//! The one door to every pruning: what a method is given, and the trait behind which it stands.

use super::by_matrix::ByMatrix;
use super::calibrate::Calibration;
use super::device::Solvers;
use super::report::Pruned;
use crate::Result;
use crate::backend::Device;
use crate::config::ModelConfig;
use crate::method::{About, Setting};
use crate::models::{Model, Weights};
use crate::pace::Pace;
use std::pin::Pin;

/// Hears (matrices done, matrices in all).
pub type Progress<'a> = dyn FnMut(usize, usize) + 'a;

/// What is to be pruned.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Where it runs while it is calibrated.
    pub device: &'a Device,
    /// Of the dense model.
    pub config: &'a ModelConfig,
    /// Without edits.
    pub weights: &'a Weights,
    /// Made from `weights`.
    pub dense: &'a Model,
}

/// One pruning of a model.
pub struct Task<'a> {
    /// The model.
    pub subject: Subject<'a>,
    /// Tokens; the last of two or more is held out.
    pub sequences: &'a [Vec<u32>],
    /// Of the method that is given the task.
    pub setting: &'a Setting,
    /// An empty place at first and whatever the last task left there the next time; empty it when the model or the
    /// device changes.
    pub cache: &'a mut Option<Calibration>,
    /// Where the systems of the methods with a Hessian are solved.
    pub solvers: Solvers,
    /// Breathed between matrices.
    pub pace: &'a Pace,
    /// Told after every matrix.
    pub progress: &'a mut Progress<'a>,
}

/// A pruning of a model on its way.
pub type Whole<'a> = Pin<Box<dyn Future<Output = Result<Pruned>> + 'a>>;

/// A one-shot pruning method: a SPEC gives edits and, where the model becomes smaller, its configuration.
pub trait Pruning: Sync {
    /// Its id, its knobs and the families it runs on, for SPECs, the page and `whittle methods`.
    fn about(&self) -> &'static About;

    /// Whether the knobs of a setting fit together: always, unless a method says so. Errors: they do not, and what would.
    fn check(&self, _: &Setting) -> Result<()> {
        Ok(())
    }

    /// Errors: cancelled, a setting that makes no sense on this model, inputs that are not finite, or the GPU failed.
    fn prune<'a>(&'a self, task: Task<'a>) -> Whole<'a>;

    /// What it does to a single matrix; nothing of a method that takes units through several tensors.
    fn by_matrix(&self) -> Option<&dyn ByMatrix> {
        None
    }
}
