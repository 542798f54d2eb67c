//! UTRC as the released code runs it: prefix decimation.
//!
//! The code sorts every channel on its own, matches the sorted rows, and uses ranks as positions. With its default
//! score the tokens at the even places 0, 2, 4 .. of what may go are removed whatever they say, and all are folded
//! into place 1: the residual branch takes the mean of all, the hidden branch per channel the mean of the larger half.
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
    source: "Read off the code of arXiv 2410.14725 (github wuyushuwys/ToR_SSM) with its default score; picks were \
             the same for unrelated inputs. Not what the paper describes.",
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
