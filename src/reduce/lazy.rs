//! LazyLLM: in a transformer, the tokens that the last one attends to least are dropped, more of them in later layers.
//!
//! A dropped token is gone for the later layers; LazyLLM's second cache, from which a token can come back while text
//! is generated, is not there.

use super::evit::drop_lowest;
use super::schedule::{CUT, GUARD, KEEP, LAYERS, schedule_knob};
use super::{Job, Plan, TokenReduction, score};
use crate::backend::Device;
use crate::config::ModelConfig;
use crate::method::{About, Setting};
use crate::models::LayerOutput;

pub struct Lazy;

static ABOUT: About = About {
    id: "lazy",
    label: "LazyLLM (last token's attention)",
    summary: "Drops the tokens that the last token of the context attends to least, few early and more late.",
    source: "LazyLLM (Fu et al. 2024, arXiv 2407.14057): attention of the last token, mean over heads, progressive. \
             Tokens do not come back.",
    knobs: &[CUT, KEEP, LAYERS, schedule_knob("progressive"), GUARD, score::knob("row")],
    families: &score::ATTENTION,
};

impl TokenReduction for Lazy {
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
        score::flops(config, job, setting)
    }
}
