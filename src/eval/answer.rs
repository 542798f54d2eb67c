//! Items that ask for an answer: a context, which is reduced, a query, which is not, and the tokens that follow.
//!
//! Cloze has no query. The generated tasks share how their lines are read and what may be left out of a context.

use super::arm::{Arm, filler};
use super::evaluation::{Item, Work};
use super::published::{self, Published};
use super::score::Score;
use super::source::{Line, Source, encode};
use crate::method::{Knob, KnobKind};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result, Rng};
use serde::Deserialize;

/// A context and what has to follow it.
pub struct Answer {
    pub id: String,
    pub context: Vec<u32>,
    pub query: Vec<u32>,
    pub answer: Vec<u32>,
    /// Of the answer as text.
    pub bytes: usize,
}

pub const WITHOUT: Knob = Knob {
    id: "without",
    label: "Left out",
    help: "Context tokens that neither model gets to read: what is lost when 30 % go, by chance or with the filler first",
    kind: KnobKind::Choice {
        options: &[
            ("nothing", "nothing"),
            ("random", "30 % at random"),
            ("filler", "30 %, filler first"),
        ],
        default: "nothing",
    },
};

/// Share of a context that [`Answer::leave_out`] takes away.
const LEFT_OUT: f64 = 0.3;

#[derive(Deserialize)]
struct QueryLine {
    context: String,
    query: String,
    answer: String,
}

/// The items of a generated task.
pub fn queries(source: &Source<'_>) -> Result<Vec<Answer>> {
    let lines = source.chosen_lines()?;
    lines.iter().map(|line| query(line, source.tokenizer)).collect()
}

/// The same after what `without` says.
pub fn queries_without(source: &Source<'_>) -> Result<Vec<Answer>> {
    let mut items = queries(source)?;
    let what = source.setting.choice("without");
    if what != "nothing" {
        let marks = filler(source.tokenizer).ok_or_else(|| {
            Error::input("without", what, "nothing: this vocabulary has no filler n00, n01 ..")
        })?;
        // Chance decides alone where nothing counts as filler.
        let marks = if what == "filler" { &marks[..] } else { &[] };
        let mut rng = Rng::new(source.seed);
        items.iter_mut().for_each(|item| item.leave_out(marks, &mut rng));
    }
    Ok(items)
}

/// Items of one shape as items of any.
pub fn boxed(items: Vec<Answer>) -> Vec<Box<dyn Item>> {
    items.into_iter().map(|item| Box::new(item) as _).collect()
}

fn query(line: &Line<'_>, tokenizer: &Tokenizer) -> Result<Answer> {
    let item: QueryLine = line.parse()?;
    let bytes = item.answer.len();
    let [context, query, answer] =
        [item.context, item.query, item.answer].map(|s| encode(line.file, &s, tokenizer));
    let (context, query, answer) = (context?, query?, answer?);
    if context.is_empty() || query.is_empty() || answer.is_empty() {
        return Err(Error::file(line.file, "an item lacks context, query or answer"));
    }
    Ok(Answer { id: line.id(), context, query, answer, bytes })
}

impl Answer {
    /// Takes 30 % of the context away, filler before anything else.
    fn leave_out(&mut self, is_filler: &[bool], rng: &mut Rng) {
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
}

impl Item for Answer {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn context(&self) -> &[u32] {
        &self.context
    }

    fn query(&self) -> &[u32] {
        &self.query
    }

    fn options(&self) -> Vec<&[u32]> {
        vec![&self.answer]
    }

    fn score<'a>(&'a self, arm: &'a Arm<'a>, _prior: &'a [f64]) -> Work<'a, Score> {
        Box::pin(async move {
            let mut context = arm.read_in_steps(&self.context).await?;
            if !self.query.is_empty() {
                arm.extend(&mut context, &self.query)?;
            }
            let values = arm.device.read(&arm.nll(&context, &self.answer).await?).await?;
            let right = values.chunks_exact(2).all(|pair| pair[1] == 1.0);
            let nats = values.chunks_exact(2).map(|pair| f64::from(pair[0])).sum();
            Ok(Score::Answer { nats, tokens: self.answer.len(), bytes: self.bytes, right })
        })
    }

    /// Only items without a query have such a form.
    fn as_published<'a>(
        &'a self,
        arm: &'a Arm<'a>,
        _prior: &'a [f64],
    ) -> Work<'a, Option<Published>> {
        Box::pin(async move {
            if !self.query.is_empty() {
                return Ok(None);
            }
            let rows = published::rows(arm, &self.context, &self.answer).await?;
            let (nats, right, tokens) = (rows.nats, rows.right, self.answer.len());
            let score = Score::Answer { nats, tokens, bytes: self.bytes, right };
            Ok(Some(Published { score, in_step: rows.in_step(arm).await? }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_out_takes_thirty_per_cent_filler_first_and_keeps_the_order() {
        // Ids below 12 are filler: 12 of 20 tokens, and 30 % are 6.
        let item = || Answer {
            id: String::new(),
            context: (0..20).collect(),
            query: vec![20],
            answer: vec![21],
            bytes: 3,
        };
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
