//! Wanda: remove the weights with the smallest |W_ij| * ||x_j||_2 in every output row.

use super::{Inputs, PATTERN, Pattern, Pruning, SPARSITY, Statistic};
use crate::config::FAMILIES;
use crate::method::{About, Setting};

pub struct Wanda;

static ABOUT: About = About {
    id: "wanda",
    label: "Wanda",
    summary: "Removes the weights whose size times the norm of their input is smallest, row by row; the others stay as they are.",
    source: "Sun et al. 2023 (arXiv 2306.11695), equation 1. Inputs are those of the dense model, as in the tables of the bundled models' cards; the authors' code takes them from the already pruned blocks. A row loses exactly round(n * sparsity) weights, ties to the lower index.",
    knobs: &[SPARSITY, PATTERN, super::MATRICES, super::SEQUENCES],
    families: &FAMILIES,
};

impl Pruning for Wanda {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn statistic(&self) -> Statistic {
        Statistic::SquareSums
    }

    fn prune(&self, weights: &mut [f32], inputs: &Inputs, setting: &Setting) {
        let pattern = Pattern::of(setting);
        let norms: Vec<f32> = inputs.square_sums.iter().map(|s| s.sqrt()).collect();
        for row in weights.chunks_mut(norms.len()) {
            let scores: Vec<f32> = row.iter().zip(&norms).map(|(w, n)| w.abs() * n).collect();
            pattern.mask(row, &scores);
        }
    }
}
