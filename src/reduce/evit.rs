//! EViT: the tokens of highest score stay; the others are dropped, or fused into one token (`fused=on`).
//!
//! The fused token stands at the place of the best of those that it is made of, so that as many tokens stay as without
//! it, and is their mean in both branches. EViT sums them weighed by attention, which no other score here can stand in for.
//! With `score=delta` this is the selection of DeciMamba, with `score=row` one step of LazyLLM.

use super::schedule::knobs;
use super::{Edges, Job, Plan, TokenReduction, drop_ids, first, score};
use crate::backend::{Device, Tensor};
use crate::config::{FAMILIES, ModelConfig};
use crate::kernels::rows::gather_ids;
use crate::kernels::token_keep::token_keep;
use crate::kernels::token_rank::token_rank;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::models::LayerOutput;

pub struct Evit;

static ABOUT: About = About {
    id: "evit",
    label: "EViT (keep the best)",
    summary: "Drops the tokens of lowest score and keeps the rest as they are.",
    source: "EViT (Liang et al. 2022, arXiv 2202.07800) as a baseline of arXiv 2410.14725: score from the mixer's \
             output, no fused token. The released code keeps the lowest instead, see evit-released.",
    knobs: knobs![
        score::knob("clip"),
        score::of_knob("mixer"),
        Knob {
            id: "fused",
            label: "Fused token",
            help: "on: the mean of the tokens that would go stays as one token; as many stay as without it",
            kind: KnobKind::Choice { options: &[("off", "off"), ("on", "on")], default: "off" },
        },
        score::PROPORTIONAL,
    ],
    families: &FAMILIES,
};

impl TokenReduction for Evit {
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
        match setting.choice("fused") {
            "on" => fuse_lowest(device, output, job, setting),
            _ => drop_lowest(device, output, job, setting),
        }
    }

    fn flops(&self, config: &ModelConfig, job: &Job, setting: &Setting) -> f64 {
        score::flops(config, job, setting)
    }
}

/// The plan without the tokens of lowest score.
pub(super) fn drop_lowest(
    device: &Device,
    output: &LayerOutput<'_>,
    job: &Job,
    setting: &Setting,
) -> Plan {
    drop_lowest_of(device, job, score::scores(device, output, job, setting))
}

/// The same by scores that are there `[tokens, 1]`.
pub(super) fn drop_lowest_of(device: &Device, job: &Job, scores: Tensor) -> Plan {
    let order = token_rank(device, &scores, job.removable.clone());
    let gone = first(device, &order, job.remove);
    drop_ids(device, job.tokens, &gone, Some(scores))
}

/// The plan that folds the tokens of lowest score into the next lowest.
fn fuse_lowest(device: &Device, output: &LayerOutput<'_>, job: &Job, setting: &Setting) -> Plan {
    let scores = score::scores(device, output, job, setting);
    let order = token_rank(device, &scores, job.removable.clone());
    let source = first(device, &order, job.remove);
    // At most half of the removable rows go, so there is a next one.
    let next = vec![job.remove as u32; job.remove];
    let target = gather_ids(device, &order, &device.ids(&next));
    Plan {
        keep: token_keep(device, &source, output.mixer.rows()),
        edges: Some(Edges::merged(source, target)),
        scores: Some(scores),
    }
}
