//! Magnitude: remove the smallest weights of every output row. The control that needs no data.

use super::{Inputs, PATTERN, Pattern, Pruning, SPARSITY, Statistic};
use crate::config::FAMILIES;
use crate::method::{About, Setting};

pub struct Magnitude;

static ABOUT: About = About {
    id: "magnitude",
    label: "Magnitude",
    summary: "Removes the smallest weights of every output row. Looks at no data: the control for every other method.",
    source: "Han et al. 2015 (arXiv 1506.02626). Per output row, so that all methods share one pattern; the usual baseline takes one threshold for a whole matrix.",
    knobs: &[SPARSITY, PATTERN, super::MATRICES, super::SEQUENCES],
    families: &FAMILIES,
};

impl Pruning for Magnitude {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn statistic(&self) -> Statistic {
        Statistic::Nothing
    }

    fn prune(&self, weights: &mut [f32], inputs: &Inputs, setting: &Setting) {
        let pattern = Pattern::of(setting);
        for row in weights.chunks_mut(inputs.cols) {
            let scores: Vec<f32> = row.iter().map(|w| w.abs()).collect();
            pattern.mask(row, &scores);
        }
    }
}
