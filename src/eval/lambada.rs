//! LAMBADA (arXiv 1606.06031) in OpenAI's form: rows with a text, whose last word is scored.

use super::evaluation::{Evaluation, Item};
use super::figures::{ACCURACY, Metric, PERPLEXITY_OF_ANSWER};
use super::harness::{Continued, items};
use super::pair::Encoder;
use super::source::{CONTROLS, DATA, Line, N_OWN, PUBLISHED, Source};
use crate::Result;
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use serde::Deserialize;

static LAMBADA: About = About {
    id: "lambada",
    label: "LAMBADA",
    summary: "The last word of a passage that only the whole passage tells.",
    source: "arXiv 1606.06031 in the form of OpenAI, rows of EleutherAI/lambada_openai as JSON lines (text). As PyPI lm_eval 0.4.13 scores it: -log p of a space and the last word; right if each of its tokens was the most likely one.",
    knobs: &[N_OWN, CONTROLS, PUBLISHED],
    families: &FAMILIES,
};

pub struct Lambada;

impl Evaluation for Lambada {
    fn about(&self) -> &'static About {
        &LAMBADA
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec![DATA.into()]
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&["text"])
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        items(source, item)
    }

    fn metrics(&self) -> &'static [Metric] {
        &[PERPLEXITY_OF_ANSWER, ACCURACY]
    }
}

#[derive(Deserialize)]
struct LambadaRow {
    text: String,
}

fn item(line: &Line<'_>, source: &Source<'_>) -> Result<Box<dyn Item>> {
    let row: LambadaRow = line.parse()?;
    let (context, word) = row.text.rsplit_once(' ').unwrap_or(("", &row.text));
    let target = format!(" {word}");
    let pair = Encoder::of(source).pair(context, &target)?;
    Ok(Box::new(Continued { id: line.id(), pair, bytes: target.len() }))
}
