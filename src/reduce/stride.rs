//! Control: tokens removed at even distances, whatever they say.

use super::schedule::knobs;
use super::{Job, Plan, TokenReduction, drop_rows, spread_rows};
use crate::backend::Device;
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use crate::models::LayerOutput;

pub struct Stride;

static ABOUT: About = About {
    id: "stride",
    label: "Even stride (control)",
    summary: "Drops tokens at even distances. It needs no score, so it costs nothing.",
    source: "Control; not from a paper.",
    knobs: knobs![],
    families: &FAMILIES,
};

impl TokenReduction for Stride {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn plan(
        &self,
        device: &Device,
        output: &LayerOutput<'_>,
        job: &Job,
        _setting: &Setting,
    ) -> Plan {
        drop_rows(device, output.hidden.rows(), &spread_rows(job))
    }
}
