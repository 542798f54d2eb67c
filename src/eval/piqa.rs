//! PIQA (arXiv 1911.11641): rows with goal, sol1, sol2, label.

use super::evaluation::{Evaluation, Item};
use super::figures::Metric;
use super::harness::{CHOICE_METRICS, Choices, items};
use super::source::{CONTROLS, DATA, Line, N, Source};
use crate::Result;
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use serde::Deserialize;

static PIQA: About = About {
    id: "piqa",
    label: "PIQA",
    summary: "Which of two ways reaches a goal? Chance is 50 %.",
    source: "arXiv 1911.11641, rows of baber/piqa as JSON lines (goal, sol1, sol2, label). As PyPI lm_eval 0.4.13 scores it: the most likely answer, and the one most likely by character.",
    knobs: &[N, CONTROLS],
    families: &FAMILIES,
};

pub struct Piqa;

impl Evaluation for Piqa {
    fn about(&self) -> &'static About {
        &PIQA
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec![DATA.into()]
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        items(source, item)
    }

    fn metrics(&self) -> &'static [Metric] {
        CHOICE_METRICS
    }
}

#[derive(Deserialize)]
struct Row {
    goal: String,
    sol1: String,
    sol2: String,
    label: usize,
}

fn item(line: &Line<'_>, source: &Source<'_>) -> Result<Box<dyn Item>> {
    let row: Row = line.parse()?;
    let context = format!("Question: {}\nAnswer:", row.goal);
    let choices = [row.sol1, row.sol2];
    Ok(Box::new(Choices::after(line, &context, &choices, row.label, source)?))
}
