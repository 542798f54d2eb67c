//! ARC (arXiv 1803.05457): a question, choices with keys (letters or numbers), the right key; rows of the hub or of the original files.

use super::evaluation::{Evaluation, Item};
use super::figures::Metric;
use super::harness::{CHOICE_METRICS, Choices, items};
use super::source::{CONTROLS, DATA, Line, N_OWN, PUBLISHED, Source};
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use crate::{Error, Result};
use serde::Deserialize;

static ARC_EASY: About = About {
    id: "arc-easy",
    label: "ARC, easy",
    summary: "School questions of science with three to five answers.",
    source: "arXiv 1803.05457, rows of allenai/ai2_arc as JSON lines. As PyPI lm_eval 0.4.13 scores it: the most likely answer, and the one most likely by character.",
    knobs: &[N_OWN, CONTROLS, PUBLISHED],
    families: &FAMILIES,
};

pub struct ArcEasy;

impl Evaluation for ArcEasy {
    fn about(&self) -> &'static About {
        &ARC_EASY
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec![DATA.into()]
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&["question", "answerKey"])
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        items(source, item)
    }

    fn metrics(&self) -> &'static [Metric] {
        CHOICE_METRICS
    }
}

static ARC_CHALLENGE: About = About {
    id: "arc-challenge",
    label: "ARC, challenge",
    summary: "School questions of science that simple methods answered wrongly, with three to five answers.",
    source: "arXiv 1803.05457, rows of allenai/ai2_arc as JSON lines. As PyPI lm_eval 0.4.13 scores it: the most likely answer, and the one most likely by character.",
    knobs: &[N_OWN, CONTROLS, PUBLISHED],
    families: &FAMILIES,
};

pub struct ArcChallenge;

impl Evaluation for ArcChallenge {
    fn about(&self) -> &'static About {
        &ARC_CHALLENGE
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec![DATA.into()]
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&["question", "answerKey"])
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        items(source, item)
    }

    fn metrics(&self) -> &'static [Metric] {
        CHOICE_METRICS
    }
}

/// As the hub serves it, or as the original files have it.
#[derive(Deserialize)]
#[serde(untagged)]
enum ArcRow {
    Hub {
        question: String,
        choices: Columns,
        #[serde(rename = "answerKey")]
        answer_key: String,
    },
    Original {
        question: Stem,
        #[serde(rename = "answerKey")]
        answer_key: String,
    },
}

#[derive(Deserialize)]
struct Columns {
    text: Vec<String>,
    label: Vec<String>,
}

#[derive(Deserialize)]
struct Stem {
    stem: String,
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    text: String,
    label: String,
}

fn item(line: &Line<'_>, source: &Source<'_>) -> Result<Box<dyn Item>> {
    let row: ArcRow = line.parse()?;
    let (question, texts, labels, key) = match row {
        ArcRow::Hub { question, choices, answer_key } => {
            (question, choices.text, choices.label, answer_key)
        }
        ArcRow::Original { question, answer_key } => {
            let pairs = question.choices.into_iter().map(|c| (c.text, c.label));
            let (texts, labels) = pairs.unzip();
            (question.stem, texts, labels, answer_key)
        }
    };
    let label = labels.iter().position(|l| *l == key).ok_or_else(|| {
        Error::input("answerKey", &key, format!("one of the labels {}", labels.join(", ")))
    })?;
    let context = format!("Question: {question}\nAnswer:");
    Ok(Box::new(Choices::after(line, &context, &texts, label, source)?))
}
