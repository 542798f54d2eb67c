//! Control: tokens removed at random, every removable row with equal chance, anew at each layer and context.

use super::schedule::knobs;
use super::{Job, Plan, TokenReduction, drop_rows};
use crate::Rng;
use crate::backend::Device;
use crate::config::FAMILIES;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::models::LayerOutput;

pub struct Random;

static ABOUT: About = About {
    id: "random",
    label: "Random (control)",
    summary: "Drops tokens at random. A method that does not beat this has chosen nothing.",
    source: "Control; not from a paper.",
    knobs: knobs![Knob {
        id: "seed",
        label: "Seed",
        help: "Whole number; equal seeds drop the same tokens",
        kind: KnobKind::Number { min: 0.0, max: 9999.0, step: 1.0, default: 1.0 },
    }],
    families: &FAMILIES,
};

impl TokenReduction for Random {
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
        let seed = setting.number("seed") as u64;
        let mut rng = Rng::new(job.salt ^ (seed << 32 | output.layer as u64));
        let mut rows: Vec<usize> = job.removable.clone().collect();
        for i in 0..job.remove {
            let j = i + rng.below(rows.len() - i);
            rows.swap(i, j);
        }
        drop_rows(device, output.hidden.rows(), &rows[..job.remove])
    }
}
