//! Which of several continuations follows a passage? The one that gains most from it is the answer:
//! argmax of log p(choice | context) - log p(choice | begin-of-text).

use super::arm::{Arm, Context};
use super::evaluation::{Evaluation, Item, Prior, Work};
use super::figures::{ACCURACY, BITS_OF_ANSWER, Metric};
use super::published::{self, Published};
use super::score::Score;
use super::source::{CONTROLS, Line, N, PUBLISHED, Source, context, encode};
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};
use serde::Deserialize;

static ABOUT: About = About {
    id: "continuation",
    label: "Continuation, four-way",
    summary: "A passage from a held-out book is cut inside a sentence; which of four continuations follows? Chance is 25 %.",
    source: "Choice with the largest log p(choice | context) - log p(choice | begin-of-text). Contexts are cut to their last 400 tokens. Items: models/eval/SOURCES.md.",
    knobs: &[N, CONTROLS, PUBLISHED],
    families: &FAMILIES,
};

/// Longest context of an item.
const MAX_CONTEXT: usize = 400;

pub struct Continuation;

impl Evaluation for Continuation {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec!["continuation.jsonl".into()]
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        let lines = source.chosen_lines()?;
        lines.iter().map(|line| Ok(Box::new(choice(line, source.tokenizer)?) as _)).collect()
    }

    fn metrics(&self) -> &'static [Metric] {
        &[ACCURACY, BITS_OF_ANSWER]
    }
}

struct Choice {
    id: String,
    context: Vec<u32>,
    choices: Vec<Vec<u32>>,
    label: usize,
    /// Length of every choice as text.
    bytes: Vec<usize>,
    chars: Vec<usize>,
}

#[derive(Deserialize)]
struct ChoiceLine {
    context: String,
    choices: Vec<String>,
    label: usize,
}

fn choice(line: &Line<'_>, tokenizer: &Tokenizer) -> Result<Choice> {
    let item: ChoiceLine = line.parse()?;
    let ids = encode(line.file, &item.context, tokenizer)?;
    let choices: Vec<Vec<u32>> =
        item.choices.iter().map(|c| tokenizer.encode_continued(c)).collect::<Result<_>>()?;
    if ids.is_empty() || item.label >= choices.len() || choices.iter().any(Vec::is_empty) {
        let problem = "an item has no context, an empty choice or a wrong label";
        return Err(Error::file(line.file, problem));
    }
    Ok(Choice {
        id: line.id(),
        context: context(&ids, MAX_CONTEXT, tokenizer),
        choices,
        label: item.label,
        bytes: item.choices.iter().map(String::len).collect(),
        chars: item.choices.iter().map(|c| c.chars().count()).collect(),
    })
}

impl Choice {
    /// -log p of every choice in nats; all come back in one read.
    async fn nats(&self, arm: &Arm<'_>, place: &Context) -> Result<Vec<f64>> {
        let rows = arm.nll_of_each(place, &self.choices).await?;
        let values = arm.device.read(&rows).await?; // [sum of lengths, 2]
        let mut nats = values.chunks_exact(2).map(|pair| f64::from(pair[0]));
        Ok(self.choices.iter().map(|c| nats.by_ref().take(c.len()).sum()).collect())
    }

    /// The choice that gains most from the context is the answer; of equal ones the first.
    fn judged(&self, nats: Vec<f64>, prior: &[f64]) -> Score {
        let gain = |i: usize| prior[i] - nats[i];
        let chosen = (0..nats.len()).fold(0, |b, i| if gain(i) > gain(b) { i } else { b });
        let (prior, bytes, chars) = (prior.to_vec(), self.bytes.clone(), self.chars.clone());
        Score::Choice { nats, prior, bytes, chars, chosen, label: self.label }
    }
}

impl Item for Choice {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn context(&self) -> &[u32] {
        &self.context
    }

    fn options(&self) -> Vec<&[u32]> {
        self.choices.iter().map(Vec::as_slice).collect()
    }

    fn prior<'a>(&'a self, arm: &'a Arm<'a>, none: &'a Context) -> Work<'a, Prior> {
        Box::pin(self.nats(arm, none))
    }

    fn score<'a>(&'a self, arm: &'a Arm<'a>, prior: &'a [f64]) -> Work<'a, Score> {
        Box::pin(async move {
            let nats = self.nats(arm, &arm.read_in_steps(&self.context).await?).await?;
            Ok(self.judged(nats, prior))
        })
    }

    /// Every choice is reduced together with its context.
    fn as_published<'a>(
        &'a self,
        arm: &'a Arm<'a>,
        prior: &'a [f64],
    ) -> Work<'a, Option<Published>> {
        Box::pin(async move {
            let mut nats = Vec::with_capacity(self.choices.len());
            let mut in_step = 1.0;
            for (i, choice) in self.choices.iter().enumerate() {
                let rows = published::rows(arm, &self.context, choice).await?;
                nats.push(rows.nats);
                if i == self.label {
                    in_step = rows.in_step(arm).await?;
                }
            }
            Ok(Some(Published { score: self.judged(nats, prior), in_step }))
        })
    }
}
