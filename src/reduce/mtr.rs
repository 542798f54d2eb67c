//! MTR: three groups by score. The lowest go (sources), each folded into the most similar of the next (targets); the
//! highest are kept as they are and take nothing in.
//!
//! The paper is known to us by its summary only: the sizes of the groups are ours (`protected`).

use super::schedule::knobs;
use super::{Edges, Job, Plan, TokenReduction, first, score};
use crate::backend::Device;
use crate::config::ModelConfig;
use crate::kernels::token_keep::token_keep;
use crate::kernels::token_match::token_match;
use crate::kernels::token_rank::token_rank;
use crate::kernels::token_select::token_select;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::models::LayerOutput;

pub struct Mtr;

static ABOUT: About = About {
    id: "mtr",
    label: "MTR (three groups)",
    summary: "Folds the tokens of lowest score into the most similar ones of middle score; the top is left alone.",
    source: "MTR (arXiv 2507.14042), from its summary: mean Delta as score, groups keep, target and source. The \
             group sizes are ours.",
    knobs: knobs![
        score::knob("delta"),
        score::of_knob("mixer"),
        score::features_knob("mixer"),
        Knob {
            id: "protected",
            label: "Left alone",
            help: "Share of the tokens, those of highest score, that nothing is folded into (ratio)",
            kind: KnobKind::Number { min: 0.0, max: 1.0, step: 0.1, default: 0.3 },
        },
    ],
    families: &score::SSM,
};

/// (sources, targets)
fn sizes(job: &Job, setting: &Setting) -> (usize, usize) {
    let rest = job.removable.len() - job.remove;
    let left_alone = (setting.number("protected") * job.removable.len() as f64) as usize;
    (job.remove, rest.saturating_sub(left_alone).max(1))
}

impl TokenReduction for Mtr {
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
        let scores = score::scores(device, output, job, setting);
        let order = token_rank(device, &scores, job.removable.clone());
        let (sources, targets) = sizes(job, setting);
        let rows = first(device, &order, sources + targets);
        let features = score::features(output, setting);
        let (similarity, matched) = token_match(device, features, &rows, sources);
        let (source, target) = token_select(device, &similarity, &rows, &matched, sources);
        Plan {
            keep: token_keep(device, &source, output.mixer.rows()),
            edges: Some(Edges::merged(source, target)),
            scores: Some(scores),
        }
    }

    fn flops(&self, config: &ModelConfig, job: &Job, setting: &Setting) -> f64 {
        let (sources, targets) = sizes(job, setting);
        let matching = 2.0 * (sources * targets * score::width(config, job, setting)) as f64;
        matching + score::flops(config, job, setting)
    }
}
