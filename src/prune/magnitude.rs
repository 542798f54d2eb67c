//! Magnitude: remove the smallest weights of every output row. The control that needs no data.

use super::masked::{self, REFIT};
use super::{DAMPING, INPUTS_DENSE, Job, Needs, PATTERN, Pruning, SPARSITY, THRESHOLD, Work};
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

impl Pruning for Magnitude {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs(&self, setting: &Setting, cols: usize) -> Needs {
        masked::needs(Needs::Nothing, setting, cols)
    }

    fn prune<'a>(&'a self, job: Job<'a>) -> Work<'a> {
        Box::pin(masked::prune(job, &|row, scores| {
            scores.iter_mut().zip(row).for_each(|(s, w)| *s = w.abs());
        }))
    }
}
