//! Control: the earliest tokens are dropped, the last K stay.

use super::schedule::knobs;
use super::{Job, Plan, TokenReduction, drop_rows};
use crate::backend::Device;
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use crate::models::LayerOutput;

pub struct Last;

static ABOUT: About = About {
    id: "last",
    label: "Keep the last K (control)",
    summary: "Drops the earliest tokens. What was far away is forgotten first.",
    source: "Control; not from a paper.",
    knobs: knobs![],
    families: &FAMILIES,
};

impl TokenReduction for Last {
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
        let rows: Vec<usize> = job.removable.clone().take(job.remove).collect();
        drop_rows(device, output.mixer.rows(), &rows)
    }
}
