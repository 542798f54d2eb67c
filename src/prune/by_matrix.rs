//! Methods that work on one matrix after the other and keep its shape: the trait, and what they are given.

use super::check;
use super::device::DeviceInputs;
use super::hessian::Hessian;
use super::outcome::Outcome;
use super::pattern::Pattern;
use crate::Result;
use crate::backend::Blocks;
use crate::method::{About, Setting};
use crate::pace::Pace;
use std::pin::Pin;

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

impl Needs {
    /// Of a whole-row compensation.
    pub fn of_refit(inverse: bool) -> Needs {
        if inverse { Needs::Inverse } else { Needs::Factor }
    }
}

/// Statistics of the inputs of one matrix, where its weights are computed.
pub enum Inputs {
    Host(HostInputs),
    Device(Box<DeviceInputs>),
}

/// For the CPU, in f64.
pub struct HostInputs {
    pub cols: usize,
    /// `[cols]`; empty when the method asked for nothing.
    pub square_sums: Vec<f64>,
    /// From [`Needs::Factor`] on.
    pub hessian: Option<Hessian>,
}

impl HostInputs {
    /// The Hessian of a method that asked for one.
    pub fn hessian(&self) -> &Hessian {
        self.hessian.as_ref().expect("the method asked for a Hessian")
    }
}

/// One matrix to be worked on.
pub struct MatrixJob<'a> {
    /// `[rows, cols]`, changed in place.
    pub weights: &'a mut [f32],
    /// Where the method leaves whole numbers with scales: those whose values are `weights`.
    pub blocks: &'a mut Option<Blocks>,
    pub setting: &'a Setting,
    pub pace: &'a Pace,
}

/// A matrix on its way; breathes, so that it can be cancelled.
pub type Work<'a> = Pin<Box<dyn Future<Output = Result<Outcome>> + 'a>>;

/// A method that works on one matrix after the other.
pub trait ByMatrix: Sync {
    fn about(&self) -> &'static About;

    /// As [`super::Pruning::check`].
    fn check(&self, setting: &Setting) -> Result<()> {
        check::weights(setting)
    }

    /// Share of zeros that a setting asks for.
    fn requested(&self, setting: &Setting) -> f64 {
        Pattern::of(setting).share()
    }

    /// For a matrix of `cols` inputs.
    fn needs(&self, setting: &Setting, cols: usize) -> Needs;

    fn on_host<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a HostInputs) -> Work<'a>;

    /// The form for a GPU, of a method that has one for this setting. One that has none is given host inputs always.
    fn device_form(&self, _: &Setting) -> Option<&dyn DeviceForm> {
        None
    }
}

/// The same method on a GPU, in f32.
pub trait DeviceForm {
    fn on_device<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a DeviceInputs) -> Work<'a>;
}
