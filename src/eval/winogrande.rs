//! WinoGrande (arXiv 1907.10641), partial scoring: each word is put into the gap, and the rest of the sentence is scored.

use super::evaluation::{Evaluation, Item};
use super::figures::{ACCURACY, Metric};
use super::harness::{Choices, items};
use super::pair::Encoder;
use super::source::{CONTROLS, DATA, Line, N_OWN, PUBLISHED, Source};
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use crate::{Error, Result};
use serde::Deserialize;

static WINOGRANDE: About = About {
    id: "winogrande",
    label: "WinoGrande",
    summary: "Which of two words fits into the gap of a sentence? What follows the gap is scored. Chance is 50 %.",
    source: "arXiv 1907.10641, rows of allenai/winogrande (winogrande_xl) as JSON lines. As PyPI lm_eval 0.4.13 scores it: the word after which the rest of the sentence is most likely.",
    knobs: &[N_OWN, CONTROLS, PUBLISHED],
    families: &FAMILIES,
};

pub struct WinoGrande;

impl Evaluation for WinoGrande {
    fn about(&self) -> &'static About {
        &WINOGRANDE
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec![DATA.into()]
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&["sentence", "option1", "option2"])
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        items(source, item)
    }

    fn metrics(&self) -> &'static [Metric] {
        &[ACCURACY]
    }
}

#[derive(Deserialize)]
struct WinoGrandeRow {
    sentence: String,
    option1: String,
    option2: String,
    answer: String,
}

fn item(line: &Line<'_>, source: &Source<'_>) -> Result<Box<dyn Item>> {
    let row: WinoGrandeRow = line.parse()?;
    let (before, after) = row
        .sentence
        .split_once('_')
        .ok_or_else(|| Error::input("sentence", &row.sentence, "a gap, written _"))?;
    let label = match row.answer.as_str() {
        "1" => 0,
        "2" => 1,
        other => return Err(Error::input("answer", other, "1 or 2")),
    };
    let options = [row.option1.as_str(), row.option2.as_str()];
    let choices = options.map(|option| format!("{before}{option}"));
    let rest = format!(" {}", after.trim());
    let encoder = Encoder::of(source);
    let pairs = choices.iter().map(|c| encoder.pair(c, &rest)).collect::<Result<_>>()?;
    Ok(Box::new(Choices::of(line, pairs, &choices, label)?))
}
