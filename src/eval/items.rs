//! One item of an evaluation: how it is read from a line or a text, and how it is scored.

use super::arm::{Arm, Context};
use super::figures::Score;
use super::published::{self, Published};
use crate::kernels::rows::concat_rows;
use crate::method::Setting;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result, Rng};
use serde::Deserialize;
use std::rc::Rc;

/// Name and bytes of an evaluation file.
pub type File = (String, Rc<Vec<u8>>);

pub(super) struct Choice {
    context: Vec<u32>,
    choices: Vec<Vec<u32>>,
    label: usize,
    bytes: usize,
}

pub(super) struct Window {
    ids: Vec<u32>,
    context: usize,
    bytes_per_token: f64,
}

pub(super) struct Cloze {
    context: Vec<u32>,
    target: Vec<u32>,
}

pub(super) struct Query {
    context: Vec<u32>,
    query: Vec<u32>,
    answer: Vec<u32>,
}

#[derive(Deserialize)]
struct ChoiceLine {
    context: String,
    choices: Vec<String>,
    label: usize,
}

#[derive(Deserialize)]
struct ClozeLine {
    context: String,
    target: String,
}

#[derive(Deserialize)]
struct QueryLine {
    context: String,
    query: String,
    answer: String,
}

/// Longest context of a continuation item.
const MAX_CONTEXT: usize = 400;
/// Share of a context that [`Query::leave_out`] takes away.
const LEFT_OUT: f64 = 0.3;
/// Longest context of a cloze item.
const MAX_CLOZE: usize = 440;

/// What a model says of an item's scored tokens without any context, in nats: one number for each choice or window. It
/// belongs to the model, whatever is done to contexts, so that several arms of one model share it.
pub type Prior = Vec<f64>;

impl Choice {
    pub async fn prior(&self, arm: &Arm<'_>, none: &Context) -> Result<Prior> {
        self.nats(arm, none).await
    }

    pub async fn score(&self, arm: &Arm<'_>, prior: &[f64]) -> Result<Score> {
        let with = self.nats(arm, &arm.read(&self.context)?).await?;
        Ok(self.judged(&with, prior))
    }

    /// -log p of every choice in nats; all come back in one read.
    async fn nats(&self, arm: &Arm<'_>, place: &Context) -> Result<Vec<f64>> {
        let mut rows = arm.nll(place, &self.choices[0])?;
        for choice in &self.choices[1..] {
            rows = concat_rows(arm.device, &rows, &arm.nll(place, choice)?);
        }
        let values = arm.device.read(&rows).await?; // [sum of lengths, 2]
        let mut nats = values.chunks_exact(2).map(|pair| f64::from(pair[0]));
        Ok(self.choices.iter().map(|c| nats.by_ref().take(c.len()).sum()).collect())
    }

    /// The choice that gains most from the context is the answer.
    fn judged(&self, with: &[f64], prior: &[f64]) -> Score {
        let gain = |i: usize| prior[i] - with[i];
        let best = (0..with.len()).fold(0, |b, i| if gain(i) > gain(b) { i } else { b });
        [f64::from(best == self.label), with[self.label], self.bytes as f64, 0.0]
    }
}

impl Choice {
    /// The same with the scorer of the released code: every choice is reduced together with its context.
    pub async fn as_published(&self, arm: &Arm<'_>, prior: &[f64]) -> Result<Published> {
        let mut with = Vec::with_capacity(self.choices.len());
        let mut in_step = 1.0;
        for (i, choice) in self.choices.iter().enumerate() {
            let rows = published::rows(arm, &self.context, choice).await?;
            with.push(rows.nats);
            if i == self.label {
                in_step = rows.in_step(arm).await?;
            }
        }
        Ok(Published { score: self.judged(&with, prior), in_step })
    }
}

impl Window {
    pub async fn prior(&self, arm: &Arm<'_>, none: &Context) -> Result<Prior> {
        Ok(vec![nats(arm, none, &self.ids[self.context..]).await?])
    }

    pub async fn score(&self, arm: &Arm<'_>, prior: &[f64]) -> Result<Score> {
        let (context, target) = self.ids.split_at(self.context);
        let context = arm.read(context)?;
        let tokens = target.len() as f64;
        let nats = nats(arm, &context, target).await?;
        Ok([nats, tokens, tokens * self.bytes_per_token, prior[0]])
    }
}

/// -log p(target | context) in nats.
async fn nats(arm: &Arm<'_>, context: &Context, target: &[u32]) -> Result<f64> {
    let values = arm.device.read(&arm.nll(context, target)?).await?;
    Ok(values.chunks_exact(2).map(|pair| f64::from(pair[0])).sum())
}

impl Cloze {
    pub async fn score(&self, arm: &Arm<'_>) -> Result<Score> {
        let context = arm.read(&self.context)?;
        let values = arm.device.read(&arm.nll(&context, &self.target)?).await?;
        let right = values.chunks_exact(2).all(|pair| pair[1] == 1.0);
        let nats = values.chunks_exact(2).map(|pair| f64::from(pair[0])).sum();
        Ok([f64::from(right), nats, 1.0, 0.0])
    }
}

impl Cloze {
    pub async fn as_published(&self, arm: &Arm<'_>) -> Result<Published> {
        let rows = published::rows(arm, &self.context, &self.target).await?;
        let score = [f64::from(rows.right), rows.nats, 1.0, 0.0];
        Ok(Published { score, in_step: rows.in_step(arm).await? })
    }
}

impl Query {
    /// Takes 30 % of the context away, filler before anything else.
    pub fn leave_out(&mut self, is_filler: &[bool], rng: &mut Rng) {
        let mut order: Vec<usize> = (0..self.context.len()).collect();
        for i in 0..order.len() {
            let j = i + rng.below(order.len() - i);
            order.swap(i, j);
        }
        let filler = |&i: &usize| is_filler.get(self.context[i] as usize) == Some(&true);
        let (first, rest): (Vec<usize>, Vec<usize>) = order.into_iter().partition(filler);
        let n = (self.context.len() as f64 * LEFT_OUT).round() as usize;
        let mut stays = vec![true; self.context.len()];
        first.into_iter().chain(rest).take(n).for_each(|i| stays[i] = false);
        let mut stays = stays.into_iter();
        self.context.retain(|_| stays.next() == Some(true));
    }

    pub async fn score(&self, arm: &Arm<'_>) -> Result<Score> {
        let mut context = arm.read(&self.context)?;
        arm.extend(&mut context, &self.query)?;
        let values = arm.device.read(&arm.nll(&context, &self.answer)?).await?;
        let right = values.chunks_exact(2).all(|pair| pair[1] == 1.0);
        Ok([f64::from(right), 1.0, 0.0, 0.0])
    }
}

fn text(file: &File) -> Result<&str> {
    std::str::from_utf8(&file.1).map_err(|_| Error::file(&file.0, "is not UTF-8 text"))
}

pub(super) fn lines(file: &File) -> Result<Vec<(&str, &str)>> {
    Ok(text(file)?.lines().map(|line| (file.0.as_str(), line)).collect())
}

fn parse<'a, T: Deserialize<'a>>((file, line): &(&str, &'a str)) -> Result<T> {
    serde_json::from_slice(line.as_bytes())
        .map_err(|e| Error::file(*file, format!("a line is not an item ({e})")))
}

/// Ids of a text of `file`. Errors: most of it is outside the vocabulary; a figure would tell of the unknown token only.
fn encode(file: &str, text: &str, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let ids = tokenizer.encode(text)?;
    let unknown = ids.iter().filter(|&&id| Some(id) == tokenizer.unknown()).count();
    match 2 * unknown > ids.len() {
        true => {
            let n = ids.len();
            let problem = format!(
                "has {unknown} of {n} words that this model does not know; choose an evaluation in its words"
            );
            Err(Error::file(file, problem))
        }
        false => Ok(ids),
    }
}

pub(super) fn choice(line: &(&str, &str), tokenizer: &Tokenizer) -> Result<Choice> {
    let item: ChoiceLine = parse(line)?;
    let ids = encode(line.0, &item.context, tokenizer)?;
    let choices: Vec<Vec<u32>> =
        item.choices.iter().map(|c| tokenizer.encode(c)).collect::<Result<_>>()?;
    let bytes = item.choices.get(item.label).map(String::len);
    match bytes {
        Some(bytes) if !ids.is_empty() && choices.iter().all(|c| !c.is_empty()) => Ok(Choice {
            context: ids[ids.len().saturating_sub(MAX_CONTEXT)..].to_vec(),
            choices,
            label: item.label,
            bytes,
        }),
        _ => Err(Error::file(line.0, "an item has no context, an empty choice or a wrong label")),
    }
}

pub(super) fn cloze(line: &(&str, &str), tokenizer: &Tokenizer) -> Result<Cloze> {
    let item: ClozeLine = parse(line)?;
    let ids = encode(line.0, &item.context, tokenizer)?;
    let target = tokenizer.encode(&format!(" {}", item.target))?;
    if ids.is_empty() || target.is_empty() {
        return Err(Error::file(line.0, "an item lacks context or target"));
    }
    Ok(Cloze { context: ids[ids.len().saturating_sub(MAX_CLOZE)..].to_vec(), target })
}

pub(super) fn query(line: &(&str, &str), tokenizer: &Tokenizer) -> Result<Query> {
    let item: QueryLine = parse(line)?;
    let [context, query, answer] =
        [item.context, item.query, item.answer].map(|s| encode(line.0, &s, tokenizer));
    let (context, query, answer) = (context?, query?, answer?);
    if context.is_empty() || query.is_empty() || answer.is_empty() {
        return Err(Error::file(line.0, "an item lacks context, query or answer"));
    }
    Ok(Query { context, query, answer })
}

pub(super) fn windows(
    file: &File,
    setting: &Setting,
    tokenizer: &Tokenizer,
) -> Result<Vec<Window>> {
    let text = text(file)?;
    let ids = encode(&file.0, text, tokenizer)?;
    let [windows, context, target] =
        ["windows", "context", "target"].map(|knob| setting.number(knob) as usize);
    let length = context + target;
    if ids.len() < length {
        let problem = format!("has {} tokens; one window needs {length}", ids.len());
        return Err(Error::file(&file.0, problem));
    }
    let n = windows.min((ids.len() - 1) / (length - 1)).max(1);
    let step = (ids.len() - length) / n;
    let bytes_per_token = text.len() as f64 / ids.len() as f64;
    let window = |i: usize| Window {
        ids: ids[i * step..i * step + length].to_vec(),
        context,
        bytes_per_token,
    };
    Ok((0..n).map(window).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_out_takes_thirty_per_cent_filler_first_and_keeps_the_order() {
        // Ids below 12 are filler: 12 of 20 tokens, and 30 % are 6.
        let item = || Query { context: (0..20).collect(), query: vec![20], answer: vec![21] };
        let marks: Vec<bool> = (0..20).map(|id| id < 12).collect();
        let mut rng = Rng::new(3);
        let (mut random, mut filler) = (item(), item());
        random.leave_out(&[], &mut rng);
        filler.leave_out(&marks, &mut rng);
        for context in [&random.context, &filler.context] {
            assert_eq!(context.len(), 14);
            assert!(context.is_sorted(), "{context:?}");
        }
        assert!((12..20).all(|id| filler.context.contains(&id)), "{:?}", filler.context);
        assert!((12..20).any(|id| !random.context.contains(&id)), "{:?}", random.context);
    }
}
