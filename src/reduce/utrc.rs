//! UTRC, the unified token reduction of "Rethinking Token Reduction for State Space Models" (Zhan et al., EMNLP
//! 2024, arXiv 2410.14725), in the form the paper describes.
//!
//! 1 score every token (equation 5); 2 the less important half is A, the rest B; 3 match every a to its most similar
//! b; 4 take the most similar edges, as many as tokens have to go; 5 fold a into b or drop it; 6 keep the order.
//! Hybrid: of the edges, most similar first, the last round(q * edges) are dropped and the others folded, in each
//! branch with its own q. The paper does not say which edges a hybrid drops; we drop the least similar.

use super::schedule::knobs;
use super::{Edges, Job, Plan, TokenReduction, score};
use crate::backend::{Device, Tensor};
use crate::config::{FAMILIES, ModelConfig};
use crate::kernels::token_keep::token_keep;
use crate::kernels::token_match::token_match;
use crate::kernels::token_rank::token_rank;
use crate::kernels::token_select::token_select;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::models::LayerOutput;

pub struct Utrc;

pub(super) const Q_HIDDEN: Knob = Knob {
    id: "q_hidden",
    label: "Pruned, hidden branch",
    help: "Share of the edges that are dropped rather than folded in the layer's output (ratio)",
    kind: KnobKind::Number { min: 0.0, max: 1.0, step: 0.1, default: 0.5 },
};
pub(super) const Q_RESIDUAL: Knob = Knob {
    id: "q_residual",
    label: "Pruned, residual branch",
    help: "The same in the stream before the layer (ratio)",
    kind: KnobKind::Number { min: 0.0, max: 1.0, step: 0.1, default: 0.0 },
};

static ABOUT: About = About {
    id: "utrc",
    label: "UTRC (as in the paper)",
    summary: "Drops or folds the less important tokens that resemble a more important one. \
              Importance is the clipped mean of the mixer's output.",
    source: "arXiv 2410.14725, section 4: equations 5 to 7, hybrid design of tables 1 and 5. The released code \
             computes something else, see utrc-released.",
    knobs: knobs![
        score::knob("clip"),
        score::of_knob("mixer"),
        score::features_knob("mixer"),
        Q_HIDDEN,
        Q_RESIDUAL,
        score::PROPORTIONAL,
    ],
    families: &FAMILIES,
};

impl TokenReduction for Utrc {
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
        let scores = score::scores(device, output, job, setting); // [tokens, 1]
        fold(device, output, job, setting, scores)
    }

    fn flops(&self, config: &ModelConfig, job: &Job, setting: &Setting) -> f64 {
        matching(config, job, setting) + score::flops(config, job, setting)
    }
}

/// Steps 2 to 6, from the importance of every token `[tokens, 1]`.
pub(super) fn fold(
    device: &Device,
    output: &LayerOutput<'_>,
    job: &Job,
    setting: &Setting,
    scores: Tensor,
) -> Plan {
    let order = token_rank(device, &scores, job.removable.clone()); // [removable]
    let n_a = job.removable.len().div_ceil(2);
    let features = score::features(output, setting);
    let (similarity, matched) = token_match(device, features, &order, n_a);
    let (source, target) = token_select(device, &similarity, &order, &matched, job.remove);
    let merged = |id| {
        let pruned = (setting.number(id) * job.remove as f64 + 0.5).floor() as usize;
        job.remove - pruned
    };
    let (merged_hidden, merged_residual) = (merged("q_hidden"), merged("q_residual"));
    Plan {
        keep: token_keep(device, &source, output.mixer.rows()),
        edges: Some(Edges { source, target, merged_hidden, merged_residual, top: None }),
        scores: Some(scores),
    }
}

/// The products of every a with every b; scores and unit rows are linear in the length and left out.
pub(super) fn matching(config: &ModelConfig, job: &Job, setting: &Setting) -> f64 {
    let (n_a, n_b) = (job.removable.len().div_ceil(2), job.removable.len() / 2);
    2.0 * (n_a * n_b * score::width(config, job, setting)) as f64
}
