//! How many bits does the last word of a passage cost?

use super::answer::Answer;
use super::evaluation::{Evaluation, Item};
use super::figures::{ACCURACY, BITS_PER_TARGET, Metric};
use super::source::{CONTROLS, Line, N, PUBLISHED, Source, context, encode};
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};
use serde::Deserialize;

static ABOUT: About = About {
    id: "cloze",
    label: "Last word",
    summary: "A passage from a held-out book ends before the last word of a sentence; how many bits does that word cost?",
    source: "-log2 p(word | context), mean over the items; right if every token of the word is the most likely one. Contexts are cut to their last 440 tokens. Items: models/eval/SOURCES.md.",
    knobs: &[N, CONTROLS, PUBLISHED],
    families: &FAMILIES,
};

/// Longest context of an item.
const MAX_CONTEXT: usize = 440;

pub struct Cloze;

impl Evaluation for Cloze {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec!["cloze.jsonl".into()]
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        let lines = source.chosen_lines()?;
        lines.iter().map(|line| Ok(Box::new(item(line, source.tokenizer)?) as _)).collect()
    }

    fn metrics(&self) -> &'static [Metric] {
        &[BITS_PER_TARGET, ACCURACY]
    }
}

#[derive(Deserialize)]
struct ClozeLine {
    context: String,
    target: String,
}

fn item(line: &Line<'_>, tokenizer: &Tokenizer) -> Result<Answer> {
    let item: ClozeLine = line.parse()?;
    let ids = encode(line.file, &item.context, tokenizer)?;
    let answer = tokenizer.encode_continued(&format!(" {}", item.target))?;
    if ids.is_empty() || answer.is_empty() {
        return Err(Error::file(line.file, "an item lacks context or target"));
    }
    let context = context(&ids, MAX_CONTEXT, tokenizer);
    let bytes = item.target.len() + 1;
    Ok(Answer { id: line.id(), context, query: Vec::new(), answer, bytes })
}
