//! UTRC as the released code runs it: prefix decimation.
//!
//! The code clips and normalises the tokens, sorts every channel on its own, and matches the lower half of the sorted
//! rows with the upper half. No row of the lower half is above the one before it in any channel, so the first sorted
//! row is everybody's best match and similarity falls with the rank. The code then uses ranks as positions: the
//! tokens at the even places 0, 2, 4 .. of what may go are removed whatever they say, and all are folded into place 1.
//! The residual branch takes the mean of all, the hidden branch per channel the mean of the larger half.
//!
//! This holds while no more tokens go than the lower half has rows that clipping left above zero. Rows of zeros all
//! have similarity 0, and the code's sort is not stable, so which of them go next is not defined there. We take the
//! stable order, which goes on with the even places; a run of the released code agreed in 66 to 80 of 93 such tokens.
//! Places count from the first token that is not guarded; the released code guards none (`guard=off`).

use super::schedule::knobs;
use super::{Edges, Job, Plan, TokenReduction, Top, even_places};
use crate::backend::Device;
use crate::config::FAMILIES;
use crate::kernels::token_keep::token_keep;
use crate::method::{About, Setting};
use crate::models::LayerOutput;

pub struct UtrcReleased;

static ABOUT: About = About {
    id: "utrc-released",
    label: "UTRC as released (prefix decimation)",
    summary: "Removes every second token from the start of the text, whatever it says, and folds them all into one.",
    source: "Read off the code of arXiv 2410.14725 (github wuyushuwys/ToR_SSM) with its default score. Exact while \
             no more tokens go than its sorted rows have above zero; at a kept ratio of about 0.77 and below the \
             rest depends on its sort, and even places are taken. Not what the paper describes.",
    knobs: knobs![],
    families: &FAMILIES,
};

impl TokenReduction for UtrcReleased {
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
        let source = device.ids(&even_places(job));
        let into = job.removable.start + 1;
        Plan {
            keep: token_keep(device, &source, output.mixer.rows()),
            edges: Some(Edges {
                source,
                target: device.ids(&vec![into as u32; job.remove]),
                merged_hidden: job.remove,
                merged_residual: job.remove,
                top: Some(Top { count: job.remove / 2, row: into, slot: job.removable.start }),
            }),
            scores: None,
        }
    }
}
