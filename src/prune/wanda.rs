//! Wanda: remove the weights with the smallest |W_ij| * ||x_j||_2 in every output row.

use super::by_matrix::{ByMatrix, DeviceForm, HostInputs, MatrixJob, Needs, Work};
use super::device::DeviceInputs;
use super::knobs::{DAMPING, INPUTS_DENSE, LAYERS, MATRICES, ONLY, RATIOS, RUN, SEQUENCES};
use super::masked::{self, REFIT};
use super::pattern::{PATTERN, SPARSITY, THRESHOLD};
use super::swaps::SWAPS;
use crate::config::FAMILIES;
use crate::method::{About, Setting};

pub struct Wanda;

static ABOUT: About = About {
    id: "wanda",
    label: "Wanda",
    summary: "Removes the weights whose size times the norm of their input is smallest, row by row; the others stay as they are.",
    source: "Sun et al. 2023 (arXiv 2306.11695), equation 1. By default inputs are those of the dense model, as in the tables of the bundled models' cards; the authors' code takes them from the already pruned blocks. A row loses exactly round(n * sparsity) weights, ties to the lower index.",
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

impl ByMatrix for Wanda {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs(&self, setting: &Setting, cols: usize) -> Needs {
        masked::needs(Needs::SquareSums, setting, cols)
    }

    fn on_host<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a HostInputs) -> Work<'a> {
        Box::pin(async { masked::on_host(job, inputs, &score(&inputs.square_sums)).await })
    }

    fn device_form(&self, setting: &Setting) -> Option<&dyn DeviceForm> {
        masked::has_device_form(setting).then_some(self)
    }
}

impl DeviceForm for Wanda {
    fn on_device<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a DeviceInputs) -> Work<'a> {
        Box::pin(async {
            let score = score(&inputs.square_sums().await?);
            masked::on_device(job, inputs, &score).await
        })
    }
}

/// Of the weights of a row, for inputs with these sums of squares.
fn score(square_sums: &[f64]) -> impl Fn(&[f64], &mut [f64]) + Sync + use<> {
    let norms: Vec<f64> = square_sums.iter().map(|s| s.sqrt()).collect();
    move |row, scores| {
        let weights = row.iter().zip(&norms);
        scores.iter_mut().zip(weights).for_each(|(s, (w, n))| *s = w.abs() * n);
    }
}
