//! Pairs of keys and values among filler; which value belongs to one key?

use super::answer::{WITHOUT, boxed, queries_without};
use super::evaluation::{Evaluation, Item};
use super::figures::{ACCURACY, Metric};
use super::source::{CONTROLS, N, Source};
use crate::Result;
use crate::config::FAMILIES;
use crate::method::{About, Knob, KnobKind, Setting};

static ABOUT: About = About {
    id: "recall",
    label: "Recall in noise",
    summary: "Key-value pairs are scattered among filler tokens; the model is asked for the value of one key. A guess is right 3 % of the time.",
    source: "Context as generated; the query (`? key`) is never reduced. Items: models/eval/SOURCES.md.",
    knobs: &[
        Knob {
            id: "level",
            label: "Level",
            help: "Pairs and context length",
            kind: KnobKind::Choice {
                options: &[
                    ("easy", "4 pairs in 64"),
                    ("medium", "8 pairs in 96"),
                    ("hard", "16 pairs in 160"),
                    ("dense", "16 pairs in 64"),
                    ("easy-256", "4 pairs in 256"),
                    ("medium-256", "8 pairs in 256"),
                    ("hard-256", "16 pairs in 256"),
                    ("easy-512", "4 pairs in 512"),
                    ("medium-512", "8 pairs in 512"),
                    ("hard-512", "16 pairs in 512"),
                    ("easy-1024", "4 pairs in 1024"),
                    ("medium-1024", "8 pairs in 1024"),
                    ("hard-1024", "16 pairs in 1024"),
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

pub struct Recall;

impl Evaluation for Recall {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn files(&self, setting: &Setting) -> Vec<String> {
        vec![format!("recall_{}.jsonl", setting.choice("level"))]
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        Ok(boxed(queries_without(source)?))
    }

    fn metrics(&self) -> &'static [Metric] {
        &[ACCURACY]
    }
}
