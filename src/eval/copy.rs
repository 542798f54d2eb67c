//! A few data tokens among filler, asked for in their order.

use super::answer::{WITHOUT, boxed, queries_without};
use super::evaluation::{Evaluation, Item};
use super::figures::{ACCURACY, Metric};
use super::source::{CONTROLS, N, Source};
use crate::Result;
use crate::config::FAMILIES;
use crate::method::{About, Knob, KnobKind, Setting};

static ABOUT: About = About {
    id: "copy",
    label: "Selective copying",
    summary: "A few data tokens stand among filler; the model is asked for them in order, without the filler. Right only if every one is.",
    source: "Mamba (arXiv 2312.00752), section 4.1, with data tokens that differ. Each answer token is asked with the right ones before it; the question mark is never reduced. Items: models/eval/SOURCES.md.",
    knobs: &[
        Knob {
            id: "level",
            label: "Level",
            help: "Data tokens and context length",
            kind: KnobKind::Choice {
                options: &[
                    ("easy", "4 tokens in 32"),
                    ("medium", "6 tokens in 64"),
                    ("hard", "8 tokens in 96"),
                ],
                default: "medium",
            },
        },
        N,
        WITHOUT,
        CONTROLS,
    ],
    families: &FAMILIES,
};

pub struct Copy;

impl Evaluation for Copy {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn files(&self, setting: &Setting) -> Vec<String> {
        vec![format!("copy_{}.jsonl", setting.choice("level"))]
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        Ok(boxed(queries_without(source)?))
    }

    fn metrics(&self) -> &'static [Metric] {
        &[ACCURACY]
    }
}
