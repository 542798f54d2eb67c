//! Items as the public harness (PyPI `lm_eval` 0.4.13, Hugging Face backend) scores them.
//!
//! A context and a continuation are encoded together, and the continuation is what lies behind the context's own tokens;
//! spaces at the end of a context belong to the continuation. An empty context is the begin-of-text token. A pair that is
//! longer than the model's positions (2048 where a model names none) loses its beginning. Choices follow a space.
//! Here only the context is reduced, and nothing that is scored.

use super::arm::Arm;
use super::evaluation::{Item, Work};
use super::figures::{ACCURACY, ACCURACY_BY_LENGTH, Metric};
use super::score::Score;
use super::source::{Line, Source};
use crate::config::ModelConfig;
use crate::{Error, Result};

/// Positions of a model that names none.
const POSITIONS: usize = 2048;

/// What most tasks of choices report.
pub const CHOICE_METRICS: &[Metric] = &[ACCURACY, ACCURACY_BY_LENGTH];

/// Tokens of a context and of what follows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub context: Vec<u32>,
    pub continuation: Vec<u32>,
}

impl Pair {
    /// Errors: nothing is left to score, or the continuation alone is longer than the model's positions.
    pub fn new(context: &str, continuation: &str, source: &Source<'_>) -> Result<Pair> {
        let trimmed = context.trim_end();
        let continuation = format!("{}{continuation}", &context[trimmed.len()..]);
        let (mut context, continuation) = match trimmed {
            "" => alone(&continuation, source)?,
            _ => {
                let mut whole = source.tokenizer.encode(&format!("{trimmed}{continuation}"))?;
                let own = source.tokenizer.encode(trimmed)?;
                let continuation = whole.split_off(own.len().min(whole.len()));
                (own, continuation)
            }
        };
        let positions = positions(source.config);
        if continuation.is_empty() || continuation.len() > positions {
            let found = format!("{} tokens", continuation.len());
            return Err(Error::input("what is scored", found, format!("1 to {positions}")));
        }
        let too_long = (context.len() + continuation.len()).saturating_sub(positions + 1);
        context.drain(..too_long.min(context.len().saturating_sub(1)));
        Ok(Pair { context, continuation })
    }
}

/// A continuation without a context.
fn alone(continuation: &str, source: &Source<'_>) -> Result<(Vec<u32>, Vec<u32>)> {
    let config = source.config;
    let first = config.bos_token_id().or(config.eos_token_ids().first().copied());
    let mut ids = source.tokenizer.encode(continuation)?;
    match first {
        // A tokenizer that puts the token there itself.
        Some(first) if ids.first() == Some(&first) => {
            let rest = ids.split_off(1);
            Ok((ids, rest))
        }
        Some(first) => Ok((vec![first], ids)),
        None => {
            Err(Error::input("context", "nothing", "a text: this model has no begin-of-text token"))
        }
    }
}

fn positions(config: &ModelConfig) -> usize {
    config.common.max_seq_len.unwrap_or(POSITIONS)
}

/// Several pairs, of which the most likely one is chosen; of equally likely ones the first.
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
        let pairs = choices.iter().map(|c| Pair::new(context, &format!(" {c}"), source));
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

/// -log p of a pair's continuation in nats, and whether each of its tokens was the most likely one.
async fn cost(arm: &Arm<'_>, pair: &Pair) -> Result<(f64, bool)> {
    let context = arm.read(&pair.context)?;
    let values = arm.device.read(&arm.nll(&context, &pair.continuation)?).await?;
    let nats = values.chunks_exact(2).map(|pair| f64::from(pair[0])).sum();
    Ok((nats, values.chunks_exact(2).all(|pair| pair[1] == 1.0)))
}

impl Item for Choices {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn context(&self) -> &[u32] {
        &self.pairs[self.label].context
    }

    fn score<'a>(&'a self, arm: &'a Arm<'a>, _prior: &'a [f64]) -> Work<'a, Score> {
        Box::pin(async move {
            let mut nats = Vec::with_capacity(self.pairs.len());
            for pair in &self.pairs {
                nats.push(cost(arm, pair).await?.0);
            }
            let chosen = (0..nats.len()).fold(0, |b, i| if nats[i] < nats[b] { i } else { b });
            let (bytes, chars) = (self.bytes.clone(), self.chars.clone());
            Ok(Score::Choice { nats, prior: Vec::new(), bytes, chars, chosen, label: self.label })
        })
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

    fn score<'a>(&'a self, arm: &'a Arm<'a>, _prior: &'a [f64]) -> Work<'a, Score> {
        Box::pin(async move {
            let (nats, right) = cost(arm, &self.pair).await?;
            let tokens = self.pair.continuation.len();
            Ok(Score::Answer { nats, tokens, bytes: self.bytes, right })
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
