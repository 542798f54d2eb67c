//! Wanda: remove the weights with the smallest |W_ij| * ||x_j||_2 in every output row.

use super::masked::{self, REFIT};
use super::{DAMPING, INPUTS_DENSE, Job, Needs, PATTERN, Pruning, SPARSITY, THRESHOLD, Work};
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
        REFIT,
        DAMPING,
        INPUTS_DENSE,
        super::RATIOS,
        super::MATRICES,
        super::LAYERS,
        super::SEQUENCES,
        super::RUN,
    ],
    families: &FAMILIES,
};

impl Pruning for Wanda {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs(&self, setting: &Setting, cols: usize) -> Needs {
        masked::needs(Needs::SquareSums, setting, cols)
    }

    fn prune<'a>(&'a self, job: Job<'a>) -> Work<'a> {
        Box::pin(async move {
            let norms: Vec<f64> = job.square_sums().await?.iter().map(|s| s.sqrt()).collect();
            masked::prune(job, &move |row, scores| {
                let weights = row.iter().zip(&norms);
                scores.iter_mut().zip(weights).for_each(|(s, (w, n))| *s = w.abs() * n);
            })
            .await
        })
    }
}
