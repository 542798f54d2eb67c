//! Control: every second token from the start is dropped, as many as have to go.

use super::schedule::knobs;
use super::{Job, Plan, TokenReduction, drop_rows, even_places};
use crate::backend::Device;
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use crate::models::LayerOutput;

pub struct Prefix;

static ABOUT: About = About {
    id: "prefix",
    label: "Prefix decimation (control)",
    summary: "Drops every second token from the start and leaves the end alone. It looks at nothing.",
    source: "Control: the tokens that the released code of arXiv 2410.14725 removes, without folding them.",
    knobs: knobs![],
    families: &FAMILIES,
};

impl TokenReduction for Prefix {
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
        let rows: Vec<usize> = even_places(job).into_iter().map(|row| row as usize).collect();
        drop_rows(device, output.mixer.rows(), &rows)
    }
}
