//! A mark that comes a second time: which token followed it at first?

use super::answer::{boxed, queries};
use super::evaluation::{Evaluation, Item};
use super::figures::{ACCURACY, Metric};
use super::source::{CONTROLS, N, Source};
use crate::Result;
use crate::config::FAMILIES;
use crate::method::{About, Knob, KnobKind, Setting};

static ABOUT: About = About {
    id: "induction",
    label: "Induction",
    summary: "A mark stands once among random tokens; when it comes again, which token followed it? A guess is right 3 % of the time.",
    source: "Mamba (arXiv 2312.00752), section 4.1. The second mark is never reduced. Items: models/eval/SOURCES.md.",
    knobs: &[
        Knob {
            id: "level",
            label: "Level",
            help: "Context length",
            kind: KnobKind::Choice {
                options: &[("easy", "32 tokens"), ("medium", "64 tokens"), ("hard", "128 tokens")],
                default: "medium",
            },
        },
        N,
        CONTROLS,
    ],
    families: &FAMILIES,
};

pub struct Induction;

impl Evaluation for Induction {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn files(&self, setting: &Setting) -> Vec<String> {
        vec![format!("induction_{}.jsonl", setting.choice("level"))]
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        Ok(boxed(queries(source)?))
    }

    fn metrics(&self) -> &'static [Metric] {
        &[ACCURACY]
    }
}
