//! EViT without its fused token: the K tokens of highest score stay, the others are dropped.
//!
//! With `score=delta` this is the selection of DeciMamba, with `score=row` one step of LazyLLM.

use super::schedule::knobs;
use super::{Job, Plan, TokenReduction, drop_ids, first, score};
use crate::backend::Device;
use crate::config::{FAMILIES, ModelConfig};
use crate::kernels::token_rank::token_rank;
use crate::method::{About, Setting};
use crate::models::LayerOutput;

pub struct Evit;

static ABOUT: About = About {
    id: "evit",
    label: "EViT (keep the best)",
    summary: "Drops the tokens of lowest score and keeps the rest as they are.",
    source: "EViT (Liang et al. 2022, arXiv 2202.07800) as a baseline of arXiv 2410.14725: score from the mixer's \
             output, no fused token. The released code keeps the lowest instead, see evit-released.",
    knobs: knobs![score::knob("clip")],
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
        drop_lowest(device, output, job, setting)
    }

    fn flops(&self, config: &ModelConfig, job: &Job, setting: &Setting) -> f64 {
        score::flops(config, job.removable.len(), setting)
    }
}

/// The plan without the tokens of lowest score.
pub(super) fn drop_lowest(
    device: &Device,
    output: &LayerOutput<'_>,
    job: &Job,
    setting: &Setting,
) -> Plan {
    let scores = score::scores(device, output, job, setting);
    let order = token_rank(device, &scores, job.removable.clone());
    let gone = first(device, &order, job.remove);
    drop_ids(device, output.mixer.rows(), &gone, Some(scores))
}
