//! Items as the public harness (PyPI `lm_eval` 0.4.13, Hugging Face backend) scores them.
//!
//! How texts become tokens: [`super::pair`]. Choices follow a space.
//! Here only the context is reduced, and nothing that is scored.

use super::arm::Arm;
use super::evaluation::{Item, Work};
use super::figures::{ACCURACY, ACCURACY_BY_LENGTH, Metric};
use super::pair::{Encoder, Pair};
use super::published::{self, Published};
use super::score::Score;
use super::source::{Line, Source};
use crate::{Error, Result};

/// What most tasks of choices report.
pub const CHOICE_METRICS: &[Metric] = &[ACCURACY, ACCURACY_BY_LENGTH];

/// Several pairs, of which one is chosen.
pub struct Choices {
    id: String,
    pairs: Vec<Pair>,
    label: usize,
    bytes: Vec<usize>,
    chars: Vec<usize>,
}

impl Choices {
    /// One context, and choices that follow it after a space.
    pub fn after(
        line: &Line<'_>,
        context: &str,
        choices: &[String],
        label: usize,
        source: &Source<'_>,
    ) -> Result<Choices> {
        let encoder = Encoder::of(source);
        let pairs = choices.iter().map(|c| encoder.pair(context, &format!(" {c}")));
        Choices::of(line, pairs.collect::<Result<_>>()?, choices, label)
    }

    /// Pairs whose choices have these texts.
    pub fn of(
        line: &Line<'_>,
        pairs: Vec<Pair>,
        choices: &[String],
        label: usize,
    ) -> Result<Choices> {
        if label >= pairs.len() {
            let expected = format!("one of the {} choices", pairs.len());
            return Err(Error::input("label", label, expected));
        }
        let bytes = choices.iter().map(String::len).collect();
        let chars = choices.iter().map(|c| c.chars().count()).collect();
        Ok(Choices { id: line.id(), pairs, label, bytes, chars })
    }
}

impl Item for Choices {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn context(&self) -> &[u32] {
        &self.pairs[self.label].context
    }

    fn options(&self) -> Vec<&[u32]> {
        self.pairs.iter().map(|pair| pair.continuation.as_slice()).collect()
    }

    fn score<'a>(&'a self, arm: &'a Arm<'a>, _prior: &'a [f64]) -> Work<'a, Score> {
        Box::pin(async move {
            let mut nats = Vec::with_capacity(self.pairs.len());
            for pair in &self.pairs {
                nats.push(pair.cost(arm).await?.0);
            }
            Ok(self.judged(nats))
        })
    }

    /// Every choice is reduced together with its context.
    fn as_published<'a>(
        &'a self,
        arm: &'a Arm<'a>,
        _prior: &'a [f64],
    ) -> Work<'a, Option<Published>> {
        Box::pin(async move {
            let mut nats = Vec::with_capacity(self.pairs.len());
            let mut in_step = 1.0;
            for (i, pair) in self.pairs.iter().enumerate() {
                let rows = published::rows(arm, &pair.context, &pair.continuation).await?;
                nats.push(rows.nats);
                if i == self.label {
                    in_step = rows.in_step(arm).await?;
                }
            }
            Ok(Some(Published { score: self.judged(nats), in_step }))
        })
    }
}

impl Choices {
    /// The most likely choice is the answer; of equally likely ones the first.
    fn judged(&self, nats: Vec<f64>) -> Score {
        let chosen = (0..nats.len()).fold(0, |b, i| if nats[i] < nats[b] { i } else { b });
        let (bytes, chars) = (self.bytes.clone(), self.chars.clone());
        Score::Choice { nats, prior: Vec::new(), bytes, chars, chosen, label: self.label }
    }
}

/// A pair whose continuation has to come.
pub struct Continued {
    pub id: String,
    pub pair: Pair,
    /// Of the continuation as text.
    pub bytes: usize,
}

impl Item for Continued {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn context(&self) -> &[u32] {
        &self.pair.context
    }

    fn options(&self) -> Vec<&[u32]> {
        vec![&self.pair.continuation]
    }

    fn score<'a>(&'a self, arm: &'a Arm<'a>, _prior: &'a [f64]) -> Work<'a, Score> {
        Box::pin(async move {
            let (nats, right) = self.pair.cost(arm).await?;
            let tokens = self.pair.continuation.len();
            Ok(Score::Answer { nats, tokens, bytes: self.bytes, right })
        })
    }

    fn as_published<'a>(
        &'a self,
        arm: &'a Arm<'a>,
        _prior: &'a [f64],
    ) -> Work<'a, Option<Published>> {
        Box::pin(async move {
            let Pair { context, continuation } = &self.pair;
            let rows = published::rows(arm, context, continuation).await?;
            let (nats, right, tokens) = (rows.nats, rows.right, continuation.len());
            let score = Score::Answer { nats, tokens, bytes: self.bytes, right };
            Ok(Some(Published { score, in_step: rows.in_step(arm).await? }))
        })
    }
}

/// Reads the chosen lines of the user's file. A line that is no item is left out and told of in `source.problems`.
///
/// Errors: no line is an item.
pub fn items(
    source: &Source<'_>,
    read: impl Fn(&Line<'_>, &Source<'_>) -> Result<Box<dyn Item>>,
) -> Result<Vec<Box<dyn Item>>> {
    let mut items = Vec::new();
    for line in source.chosen_lines()? {
        if line.text.trim().is_empty() {
            continue;
        }
        match read(&line, source) {
            Ok(item) => items.push(item),
            Err(e) => source.problems.borrow_mut().push(format!("line {}: {e}", line.number)),
        }
    }
    match (items.is_empty(), source.problems.borrow().first()) {
        (true, Some(first)) => {
            Err(Error::file(&source.files[0].0, format!("has no item; {first}")))
        }
        _ => Ok(items),
    }
}
