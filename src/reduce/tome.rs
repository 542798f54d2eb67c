//! Bipartite soft matching of ToMe, which is also the PuMer baseline of the paper: even tokens against odd ones.
//!
//! A = the even places of what may go, B = the odd ones; every a is matched with its most similar b; the most similar
//! edges are folded in both branches by their mean. No importance is involved. Means are not weighted by token sizes;
//! attention is where `proportional=on`.

use super::schedule::knobs;
use super::{Edges, Job, Plan, TokenReduction, score};
use crate::backend::Device;
use crate::config::{FAMILIES, ModelConfig};
use crate::kernels::token_keep::token_keep;
use crate::kernels::token_match::token_match;
use crate::kernels::token_select::token_select;
use crate::method::{About, Setting};
use crate::models::LayerOutput;

pub struct Tome;

static ABOUT: About = About {
    id: "tome",
    label: "PuMer / ToMe (fold alike tokens)",
    summary: "Folds every second token that resembles one of the others. Knows similarity, no importance.",
    source: "ToMe (Bolya et al. 2023, arXiv 2210.09461), the matching that PuMer (arXiv 2305.17530) and the \
             baseline of arXiv 2410.14725 use. ToMe compares keys (heads side by side here, averaged there); the \
             baseline compares mixer outputs.",
    knobs: knobs![score::features_knob("keys"), score::PROPORTIONAL],
    families: &FAMILIES,
};

impl TokenReduction for Tome {
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
        let places = |first| (range.start + first..range.end).step_by(2).map(|row| row as u32);
        let rows: Vec<u32> = places(0).chain(places(1)).collect();
        let (rows, n_a) = (device.ids(&rows), range.len().div_ceil(2));
        let features = score::features(output, setting);
        let (similarity, matched) = token_match(device, features, &rows, n_a);
        let (source, target) = token_select(device, &similarity, &rows, &matched, job.remove);
        Plan {
            keep: token_keep(device, &source, output.mixer.rows()),
            edges: Some(Edges::merged(source, target)),
            scores: None,
        }
    }

    fn flops(&self, config: &ModelConfig, job: &Job, setting: &Setting) -> f64 {
        let (n_a, n_b) = (job.removable.len().div_ceil(2), job.removable.len() / 2);
        2.0 * (n_a * n_b * score::width(config, job, setting)) as f64
    }
}
