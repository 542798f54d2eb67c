//! Magnitude: remove the smallest weights of every output row. The control that needs no data.

use super::by_matrix::{ByMatrix, DeviceForm, HostInputs, MatrixJob, Needs, Work};
use super::device::DeviceInputs;
use super::knobs::{DAMPING, INPUTS_DENSE, LAYERS, MATRICES, ONLY, RATIOS, RUN, SEQUENCES};
use super::masked::{self, REFIT};
use super::pattern::{PATTERN, SPARSITY, THRESHOLD};
use super::swaps::SWAPS;
use crate::config::FAMILIES;
use crate::method::{About, Setting};

pub struct Magnitude;

static ABOUT: About = About {
    id: "magnitude",
    label: "Magnitude",
    summary: "Removes the smallest weights of every output row. Looks at no data: the control for every other method.",
    source: "Han et al. 2015 (arXiv 1506.02626). Per output row, so that all methods share one pattern; the usual baseline takes one threshold for a whole matrix (threshold=layer).",
    knobs: &[
        SPARSITY,
        PATTERN,
        THRESHOLD,
        SWAPS,
        REFIT,
        DAMPING,
        INPUTS_DENSE,
        RATIOS,
        MATRICES,
        ONLY,
        LAYERS,
        SEQUENCES,
        RUN,
    ],
    families: &FAMILIES,
};

impl ByMatrix for Magnitude {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs(&self, setting: &Setting, cols: usize) -> Needs {
        masked::needs(Needs::Nothing, setting, cols)
    }

    fn on_host<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a HostInputs) -> Work<'a> {
        Box::pin(masked::on_host(job, inputs, &sizes))
    }

    fn device_form(&self, setting: &Setting) -> Option<&dyn DeviceForm> {
        masked::has_device_form(setting).then_some(self)
    }
}

impl DeviceForm for Magnitude {
    fn on_device<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a DeviceInputs) -> Work<'a> {
        Box::pin(masked::on_device(job, inputs, &sizes))
    }
}

fn sizes(row: &[f64], scores: &mut [f64]) {
    scores.iter_mut().zip(row).for_each(|(s, w)| *s = w.abs());
}
