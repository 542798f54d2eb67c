//! EViT as the released code runs it: inverted, the tokens of highest score are dropped.
//!
//! The code sorts and takes the wrong end in the path that shortens the sequence (its masking path is right). It also
//! keeps one token more than asked for; here it keeps as many as every other method, so that costs compare.

use super::schedule::knobs;
use super::{Job, Plan, TokenReduction, drop_ids, score};
use crate::backend::Device;
use crate::config::{FAMILIES, ModelConfig};
use crate::kernels::rows::gather_ids;
use crate::kernels::token_rank::token_rank;
use crate::method::{About, Setting};
use crate::models::LayerOutput;

pub struct EvitReleased;

static ABOUT: About = About {
    id: "evit-released",
    label: "EViT as released (inverted)",
    summary: "Drops the tokens of highest score: the baseline as the released code of UTRC computes it.",
    source: "Read off the code of arXiv 2410.14725 (github wuyushuwys/ToR_SSM). Whether the paper's EViT rows come \
             from this path is not known.",
    knobs: knobs![score::knob("clip"), score::of_knob("output")],
    families: &FAMILIES,
};

impl TokenReduction for EvitReleased {
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
        let n = job.removable.len() as u32;
        let highest: Vec<u32> = (n - job.remove as u32..n).collect();
        let gone = gather_ids(device, &order, &device.ids(&highest));
        drop_ids(device, output.mixer.rows(), &gone, Some(scores))
    }

    fn flops(&self, config: &ModelConfig, job: &Job, setting: &Setting) -> f64 {
        score::flops(config, job, setting)
    }
}
