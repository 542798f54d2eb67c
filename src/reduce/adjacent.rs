//! Neighbours are folded together where they are alike: an even place into the odd one behind it.
//!
//! The later token has seen the earlier one, so the order of the text survives, and only n / 2 cosines are needed.
//! Where the number of places is odd, the last has no neighbour behind it and takes the one before.

use super::schedule::knobs;
use super::{Edges, Job, Plan, TokenReduction, score};
use crate::backend::Device;
use crate::config::{FAMILIES, ModelConfig};
use crate::kernels::token_keep::token_keep;
use crate::kernels::token_pairs::token_pairs;
use crate::kernels::token_select::token_select;
use crate::method::{About, Setting};
use crate::models::LayerOutput;

pub struct Adjacent;

static ABOUT: About = About {
    id: "adjacent",
    label: "Adjacent merge",
    summary: "Folds a token into the next one where the two are most alike. Cheap, and it keeps the order.",
    source: "After sequential token merging (arXiv 2509.22691), from its summary.",
    knobs: knobs![score::features_knob("mixer"), score::PROPORTIONAL],
    families: &FAMILIES,
};

impl TokenReduction for Adjacent {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn plan(
        &self,
        device: &Device,
        output: &LayerOutput<'_>,
        job: &Job,
        setting: &Setting,
    ) -> Plan {
        let range = &job.removable;
        let even: Vec<u32> = range.clone().step_by(2).map(|row| row as u32).collect();
        let behind = |&row: &u32| if row + 1 < range.end as u32 { row + 1 } else { row - 1 };
        let next: Vec<u32> = even.iter().map(behind).collect();
        let (even, next) = (device.ids(&even), device.ids(&next));
        let similarity = token_pairs(device, score::features(output, setting), &even, &next);
        let (source, target) = token_select(device, &similarity, &even, &next, job.remove);
        Plan {
            keep: token_keep(device, &source, output.mixer.rows()),
            edges: Some(Edges::merged(source, target)),
            scores: None,
        }
    }

    fn flops(&self, config: &ModelConfig, job: &Job, setting: &Setting) -> f64 {
        6.0 * (job.removable.len().div_ceil(2) * score::width(config, job, setting)) as f64
    }
}
