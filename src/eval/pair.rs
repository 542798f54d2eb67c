//! Texts as the tokens that the public harness (PyPI `lm_eval` 0.4.13, Hugging Face backend) makes of them.
//!
//! A context and a continuation are encoded together, and the continuation is what lies behind the context's own tokens;
//! spaces at the end of a context belong to the continuation. What a tokenizer puts before a text (begin-of-text) stands
//! before a context unless that begins with it. An empty context is the begin-of-text token, or end-of-text where there
//! is none. A pair that is longer than the model's positions (2048 where a model names none) loses its beginning.

use super::arm::{Arm, Context};
use super::source::Source;
use crate::config::ModelConfig;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// Positions of a model that names none.
const POSITIONS: usize = 2048;

/// Tokens of a context and of what follows it; neither is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// What is read, and reduced by an arm that reduces.
    pub context: Vec<u32>,
    /// What is scored.
    pub continuation: Vec<u32>,
}

/// Makes tokens of texts.
#[derive(Clone, Copy)]
pub struct Encoder<'a> {
    /// The model's own.
    pub tokenizer: &'a Tokenizer,
    /// Knows begin-of-text and how many positions there are.
    pub config: &'a ModelConfig,
}

impl<'a> Encoder<'a> {
    /// That of an evaluation's source.
    pub fn of(source: &Source<'a>) -> Encoder<'a> {
        Encoder { tokenizer: source.tokenizer, config: source.config }
    }

    /// Tokens that the model can read at once.
    pub fn positions(&self) -> usize {
        self.config.common.max_seq_len.unwrap_or(POSITIONS)
    }

    /// What stands before a text that has nothing before it.
    fn first(&self) -> Result<u32> {
        let config = self.config;
        let first = config.bos_token_id().or(config.eos_token_ids().first().copied());
        first.ok_or_else(|| {
            Error::input("context", "nothing", "a text: this model has no begin-of-text token")
        })
    }

    /// Tokens of a text and what the tokenizer puts before one, unless the text begins with the begin-of-text token.
    pub fn text(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.tokenizer.encode(text)?;
        let before = self.tokenizer.prefix();
        match !ids.is_empty() && ids.first() == self.first().ok().as_ref() {
            true => Ok(ids),
            false => Ok([before, &ids].concat()),
        }
    }

    /// A continuation after a context.
    ///
    /// Errors: nothing is left to score, or the continuation alone is longer than the model's positions.
    pub fn pair(&self, context: &str, continuation: &str) -> Result<Pair> {
        let trimmed = context.trim_end();
        let continuation = format!("{}{continuation}", &context[trimmed.len()..]);
        let (mut context, continuation) = match trimmed {
            "" => self.alone(&continuation)?,
            _ => {
                let mut whole = self.text(&format!("{trimmed}{continuation}"))?;
                let own = self.text(trimmed)?;
                let continuation = whole.split_off(own.len().min(whole.len()));
                (own, continuation)
            }
        };
        let positions = self.positions();
        if continuation.is_empty() || continuation.len() > positions {
            let found = format!("{} tokens", continuation.len());
            return Err(Error::input("what is scored", found, format!("1 to {positions}")));
        }
        let too_long = (context.len() + continuation.len()).saturating_sub(positions + 1);
        context.drain(..too_long.min(context.len().saturating_sub(1)));
        Ok(Pair { context, continuation })
    }

    /// A continuation without a context.
    fn alone(&self, continuation: &str) -> Result<(Vec<u32>, Vec<u32>)> {
        let first = self.first()?;
        let mut ids = self.tokenizer.encode(continuation)?;
        match ids.first() == Some(&first) {
            true => {
                let rest = ids.split_off(1);
                Ok((ids, rest))
            }
            false => Ok((vec![first], ids)),
        }
    }

    /// A whole text in pairs whose continuations are all of its tokens, each once: the first one after begin-of-text, the
    /// later ones after one token, and the last one after as many as there is room for.
    pub fn rolling(&self, text: &str) -> Result<Vec<Pair>> {
        let ids = self.text(text)?;
        Ok(windows(&ids, self.first()?, self.positions()))
    }
}

fn windows(ids: &[u32], first: u32, positions: usize) -> Vec<Pair> {
    let mut done = positions.min(ids.len());
    let mut pairs = Vec::new();
    if done > 0 {
        pairs.push(Pair { context: vec![first], continuation: ids[..done].to_vec() });
    }
    while done < ids.len() {
        let taken = positions.min(ids.len() - done);
        let end = done + taken;
        // An input of all positions gives the last row the token at `end - 1`.
        let context = ids[end - positions - 1..end - taken].to_vec();
        pairs.push(Pair { context, continuation: ids[done..end].to_vec() });
        done = end;
    }
    pairs
}

impl Pair {
    /// -log p of the continuation in nats, and whether each of its tokens was the most likely one.
    pub async fn cost(&self, arm: &Arm<'_>) -> Result<(f64, bool)> {
        self.cost_after(arm, &arm.read_in_steps(&self.context).await?).await
    }

    /// The same where the context has been read.
    pub async fn cost_after(&self, arm: &Arm<'_>, context: &Context) -> Result<(f64, bool)> {
        let values = arm.device.read(&arm.nll(context, &self.continuation).await?).await?;
        let nats = values.chunks_exact(2).map(|pair| f64::from(pair[0])).sum();
        Ok((nats, values.chunks_exact(2).all(|pair| pair[1] == 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolling_pairs_are_those_of_the_harness() {
        // The example in lm_eval's description of loglikelihood_rolling: ten tokens, four positions.
        let ids: Vec<u32> = (0..10).collect();
        let found = windows(&ids, 99, 4);
        let expected: [(&[u32], &[u32]); 3] =
            [(&[99], &[0, 1, 2, 3]), (&[3], &[4, 5, 6, 7]), (&[5, 6, 7], &[8, 9])];
        let expected = expected.map(|(context, continuation)| Pair {
            context: context.to_vec(),
            continuation: continuation.to_vec(),
        });
        assert_eq!(found, expected);
        assert!(windows(&[], 99, 4).is_empty());
        assert_eq!(windows(&[7], 99, 4), [Pair { context: vec![99], continuation: vec![7] }]);
    }
}
