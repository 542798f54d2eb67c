//! What the public harness asks of a model, answered by one arm: log-likelihoods, and text up to a stop.
//!
//! Only what is context is reduced, as everywhere here.

use super::arm::{Arm, Context};
use super::generate::{Sampling, choose};
use super::pair::{Encoder, Pair};
use crate::pace::Pace;
use crate::{Error, Result, Rng};

/// An arm that answers, and the context that it has read last: several continuations often follow one.
pub struct Requests<'a> {
    arm: &'a Arm<'a>,
    encoder: Encoder<'a>,
    last: Option<(Vec<u32>, Context)>,
}

/// When a generated text ends, beside an end-of-text token.
pub struct Stop<'a> {
    /// The text ends before the first of these.
    pub until: &'a [String],
    /// The text has at most so many tokens.
    pub most: usize,
}

impl<'a> Requests<'a> {
    /// Has read nothing yet. `encoder` is of the arm's own model.
    pub fn new(arm: &'a Arm<'a>, encoder: Encoder<'a>) -> Requests<'a> {
        Requests { arm, encoder, last: None }
    }

    async fn read(&mut self, ids: &[u32]) -> Result<Context> {
        if let Some((read, context)) = &self.last
            && read == ids
        {
            return Ok(context.clone());
        }
        let context = self.arm.read_in_steps(ids).await?;
        self.last = Some((ids.to_vec(), context.clone()));
        Ok(context)
    }

    async fn cost(&mut self, pair: &Pair) -> Result<(f64, bool)> {
        let context = self.read(&pair.context).await?;
        let (nats, is_greedy) = pair.cost_after(self.arm, &context).await?;
        match nats.is_finite() {
            true => Ok((nats, is_greedy)),
            false => {
                let (arm, ids) = (self.arm, &pair.context);
                Err(arm.model.not_finite(arm.device, arm.config, ids).await?)
            }
        }
    }

    /// log p of a continuation in nats, and whether each of its tokens was the most likely one.
    ///
    /// Errors: nothing to score, more than the model's positions, a value that is not finite.
    pub async fn log_likelihood(
        &mut self,
        context: &str,
        continuation: &str,
    ) -> Result<(f64, bool)> {
        let pair = self.encoder.pair(context, continuation)?;
        let (nats, is_greedy) = self.cost(&pair).await?;
        Ok((-nats, is_greedy))
    }

    /// log p of a whole text in nats; 0 of an empty one.
    pub async fn rolling(&mut self, text: &str, pace: &Pace) -> Result<f64> {
        let mut nats = 0.0;
        for pair in self.encoder.rolling(text)? {
            nats += self.cost(&pair).await?.0;
            pace.breathe().await?;
        }
        Ok(-nats)
    }

    /// Continues a context, whose beginning is left out where it and the text need more positions than there are.
    ///
    /// Errors: more tokens than positions, nothing to continue, values that are not finite.
    pub async fn generate(
        &mut self,
        context: &str,
        stop: &Stop<'_>,
        sampling: Sampling,
        pace: &Pace,
    ) -> Result<String> {
        let room = self.encoder.positions().saturating_sub(stop.most);
        if room == 0 {
            let expected =
                format!("fewer than the model's positions, {}", self.encoder.positions());
            return Err(Error::input("tokens to generate", stop.most, expected));
        }
        let mut prompt = self.encoder.text(context)?;
        prompt.drain(..prompt.len().saturating_sub(room));
        if prompt.is_empty() {
            return Err(Error::input("context", "nothing", "a text to continue"));
        }
        let mut context = self.read(&prompt).await?;
        let mut rng = Rng::new(sampling.seed);
        let (arm, mut ids, mut text) = (self.arm, Vec::new(), String::new());
        while ids.len() < stop.most {
            let logits = arm.device.read(&arm.next_logits(&context)).await?;
            if !logits.iter().all(|x| x.is_finite()) {
                return Err(arm.model.not_finite(arm.device, arm.config, &prompt).await?);
            }
            let id = choose(&logits, sampling.temperature, &mut rng);
            if arm.config.eos_token_ids().contains(&id) {
                break;
            }
            ids.push(id);
            text = self.encoder.tokenizer.decode(&ids);
            if stop.until.iter().any(|until| !until.is_empty() && text.contains(until)) {
                break;
            }
            pace.breathe().await?;
            if ids.len() < stop.most {
                arm.extend(&mut context, &[id])?;
            }
        }
        Ok(cut(&text, stop.until).to_string())
    }
}

/// What stands before the first of the stops.
fn cut<'a>(text: &'a str, until: &[String]) -> &'a str {
    let stops = until.iter().filter(|until| !until.is_empty());
    let end = stops.filter_map(|until| text.find(until.as_str())).min();
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_before_its_first_stop() {
        let until = ["\n".to_string(), String::new(), "end".to_string()];
        assert_eq!(cut("one end two\nthree", &until), "one ");
        assert_eq!(cut("one two", &until), "one two");
    }
}
