//! RIA: a weight counts by its share of its input's and of its output's weights, times its input's norm.
//!
//! score_ij = (|W_ij| / sum_i |W_ij| + |W_ij| / sum_j |W_ij|) * ||x_j||_2^a
//!
//! Source: Zhang et al. 2024 ("Plug-and-Play: An Efficient Post-training Pruning Method for Large Language Models",
//! ICLR 2024), relative importance and activations, a = 0.5. Without its channel permutation.

use super::by_matrix::{ByMatrix, DeviceForm, HostInputs, MatrixJob, Needs, Work};
use super::device::DeviceInputs;
use super::knobs::{DAMPING, INPUTS_DENSE, LAYERS, MATRICES, ONLY, RATIOS, RUN, SEQUENCES};
use super::masked::{self, REFIT};
use super::pattern::{PATTERN, SPARSITY, THRESHOLD};
use super::swaps::SWAPS;
use crate::config::FAMILIES;
use crate::method::{About, Knob, KnobKind, Setting};

pub struct Ria;

const POWER: Knob = Knob {
    id: "power",
    label: "Activation power",
    help: "How strongly the norm of an input counts; 0 looks at no data",
    kind: KnobKind::Number { min: 0.0, max: 1.0, step: 0.1, default: 0.5 },
};

static ABOUT: About = About {
    id: "ria",
    label: "RIA",
    summary: "Removes the weights that are smallest relative to the other weights of their input and of their output, times a power of the input's norm.",
    source: "Zhang et al., ICLR 2024 (Plug-and-Play), relative importance and activations. Per output row; without the channel permutation. By default inputs are those of the dense model, as with Wanda.",
    knobs: &[
        SPARSITY,
        PATTERN,
        THRESHOLD,
        POWER,
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

impl ByMatrix for Ria {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs(&self, setting: &Setting, cols: usize) -> Needs {
        masked::needs(Needs::SquareSums, setting, cols)
    }

    fn on_host<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a HostInputs) -> Work<'a> {
        Box::pin(async {
            let score = score(&job, &inputs.square_sums);
            masked::on_host(job, inputs, &score).await
        })
    }

    fn device_form(&self, setting: &Setting) -> Option<&dyn DeviceForm> {
        masked::has_device_form(setting).then_some(self)
    }
}

impl DeviceForm for Ria {
    fn on_device<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a DeviceInputs) -> Work<'a> {
        Box::pin(async {
            let score = score(&job, &inputs.square_sums().await?);
            masked::on_device(job, inputs, &score).await
        })
    }
}

/// Of the weights of a row, for inputs with these sums of squares.
fn score(job: &MatrixJob<'_>, square_sums: &[f64]) -> impl Fn(&[f64], &mut [f64]) + Sync + use<> {
    let power = job.setting.number("power") / 2.0; // of the sum of squares
    let norms: Vec<f64> = square_sums.iter().map(|s| s.powf(power)).collect();
    let mut columns = vec![0.0f64; norms.len()];
    for row in job.weights.chunks_exact(columns.len()) {
        columns.iter_mut().zip(row).for_each(|(sum, w)| *sum += f64::from(w.abs()));
    }
    // An input without weights has shares of 0, not of 0 / 0.
    columns.iter_mut().for_each(|sum| *sum = sum.max(f64::MIN_POSITIVE));
    move |row, scores| {
        let sum = row.iter().map(|w| w.abs()).sum::<f64>().max(f64::MIN_POSITIVE);
        for (j, (s, w)) in scores.iter_mut().zip(row).enumerate() {
            *s = (w.abs() / columns[j] + w.abs() / sum) * norms[j];
        }
    }
}
