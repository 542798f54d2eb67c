//! What scoring one item gives, and what figures are summed from.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// The outcome of one item on one arm. Log-likelihoods are natural; a cost is -log p in nats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Score {
    /// One of several continuations was taken.
    Choice {
        /// -log p(choice | context)
        nats: Vec<f64>,
        /// -log p(choice) without the context; empty where the choice does not depend on it.
        prior: Vec<f64>,
        /// Bytes of every choice as text.
        bytes: Vec<usize>,
        /// Characters of every choice as text.
        chars: Vec<usize>,
        /// Place of the choice that the arm takes, from 0.
        chosen: usize,
        /// Place of the right choice, from 0.
        label: usize,
    },
    /// A stretch of text was predicted.
    Span {
        /// -log p of the scored tokens together.
        nats: f64,
        /// The same without any context; absent where nothing is compared with it.
        prior: Option<f64>,
        /// Tokens that were scored.
        tokens: usize,
        /// Bytes of the scored tokens, scaled to the text as given where decoding it gives another length: rarely whole.
        bytes: f64,
    },
    /// A document was predicted from its beginning.
    Document {
        /// -log p of the whole document.
        nats: f64,
        /// Stretches between white space.
        words: usize,
        /// Of the document as it was given.
        bytes: usize,
    },
    /// An answer of some tokens was asked for.
    Answer {
        /// -log p(answer | context)
        nats: f64,
        /// Tokens of the answer.
        tokens: usize,
        /// Of the answer as text.
        bytes: usize,
        /// Every token was the most likely one.
        right: bool,
    },
}

/// Sums over items.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Items that were scored.
    pub items: f64,
    /// Items that came out right.
    pub right: f64,
    /// Items whose true choice is the most likely one by character.
    pub right_by_length: f64,
    /// -log p of what was scored; of the true choice where there are several.
    pub nats: f64,
    /// The same without any context; 0 where it is not asked for, and of choices.
    pub prior: f64,
    /// Tokens that were scored; 0 of choices.
    pub tokens: f64,
    /// Of documents; 0 where words are not counted.
    pub words: f64,
    /// Bytes of the scored text.
    pub bytes: f64,
}

impl Score {
    /// Whether the item came out right; `None` where nothing can be right or wrong.
    pub fn right(&self) -> Option<bool> {
        match self {
            Score::Choice { chosen, label, .. } => Some(chosen == label),
            Score::Answer { right, .. } => Some(*right),
            Score::Span { .. } | Score::Document { .. } => None,
        }
    }

    /// Whether every number in it is one.
    pub fn is_finite(&self) -> bool {
        match self {
            Score::Choice { nats, prior, .. } => nats.iter().chain(prior).all(|x| x.is_finite()),
            Score::Span { nats, prior, .. } => nats.is_finite() && prior.is_none_or(f64::is_finite),
            Score::Answer { nats, .. } | Score::Document { nats, .. } => nats.is_finite(),
        }
    }

    /// Whether its parts fit each other, which one that was read from a file need not.
    pub fn is_sound(&self) -> bool {
        let fits = match self {
            Score::Choice { nats, prior, bytes, chars, chosen, label } => {
                let n = nats.len();
                let same = bytes.len() == n && chars.len() == n && chars.iter().all(|c| *c > 0);
                same && (prior.is_empty() || prior.len() == n) && *chosen < n && *label < n
            }
            Score::Span { tokens, bytes, .. } => *tokens > 0 && *bytes > 0.0,
            Score::Document { words, bytes, .. } => *words > 0 && *bytes > 0,
            Score::Answer { .. } => true,
        };
        fits && self.is_finite()
    }

    /// What the item adds to the sums.
    pub fn sums(&self) -> Sums {
        let right = f64::from(self.right() == Some(true));
        let sums = Sums { items: 1.0, right, ..Sums::default() };
        match self {
            Score::Choice { nats, bytes, chars, label, .. } => Sums {
                nats: nats[*label],
                bytes: bytes[*label] as f64,
                right_by_length: f64::from(shortest_by(nats, chars) == *label),
                ..sums
            },
            Score::Span { nats, prior, tokens, bytes } => {
                let prior = prior.unwrap_or_default();
                Sums { nats: *nats, prior, tokens: *tokens as f64, bytes: *bytes, ..sums }
            }
            Score::Document { nats, words, bytes } => {
                Sums { nats: *nats, words: *words as f64, bytes: *bytes as f64, ..sums }
            }
            Score::Answer { nats, tokens, bytes, .. } => {
                Sums { nats: *nats, tokens: *tokens as f64, bytes: *bytes as f64, ..sums }
            }
        }
    }
}

/// The choice that costs least by character; of equal ones the first.
fn shortest_by(nats: &[f64], chars: &[usize]) -> usize {
    let cost = |i: usize| nats[i] / chars[i] as f64;
    (0..nats.len()).fold(0, |b, i| if cost(i) < cost(b) { i } else { b })
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Sums) {
        self.items += other.items;
        self.right += other.right;
        self.right_by_length += other.right_by_length;
        self.nats += other.nats;
        self.prior += other.prior;
        self.tokens += other.tokens;
        self.words += other.words;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(nats: &[f64], chars: &[usize], chosen: usize, label: usize) -> Score {
        let (nats, chars) = (nats.to_vec(), chars.to_vec());
        Score::Choice { prior: vec![], bytes: chars.clone(), nats, chars, chosen, label }
    }

    #[test]
    fn what_does_not_fit_together_or_is_no_number_is_not_sound() {
        let sound = choice(&[1.0, 2.0], &[3, 4], 1, 0);
        let span = |nats, prior, tokens, bytes| Score::Span { nats, prior, tokens, bytes };
        let document = |nats, words, bytes| Score::Document { nats, words, bytes };
        let answer = |nats| Score::Answer { nats, tokens: 1, bytes: 1, right: true };
        let with_prior = |n: usize| match sound.clone() {
            Score::Choice { nats, bytes, chars, chosen, label, .. } => {
                Score::Choice { nats, prior: vec![1.0; n], bytes, chars, chosen, label }
            }
            other => other,
        };
        let bytes_of_one = match sound.clone() {
            Score::Choice { nats, prior, chars, chosen, label, .. } => {
                Score::Choice { nats, prior, bytes: vec![3], chars, chosen, label }
            }
            other => other,
        };
        for good in [
            sound.clone(),
            with_prior(2),
            span(1.0, None, 1, 0.5),
            span(1.0, Some(2.0), 1, 0.5),
            document(1.0, 1, 1),
            answer(1.0),
        ] {
            assert!(good.is_sound() && good.is_finite(), "{good:?}");
        }
        for (bad, is_finite) in [
            (choice(&[1.0, 2.0], &[3], 1, 0), true),
            (choice(&[1.0, 2.0], &[3, 0], 1, 0), true),
            (choice(&[1.0, 2.0], &[3, 4], 2, 0), true),
            (choice(&[1.0, 2.0], &[3, 4], 1, 2), true),
            (choice(&[1.0, f64::NAN], &[3, 4], 1, 0), false),
            (bytes_of_one, true),
            (with_prior(1), true),
            (span(1.0, None, 0, 0.5), true),
            (span(1.0, None, 1, 0.0), true),
            (span(f64::INFINITY, None, 1, 0.5), false),
            (span(1.0, Some(f64::NAN), 1, 0.5), false),
            (document(1.0, 0, 1), true),
            (document(1.0, 1, 0), true),
            (document(f64::NAN, 1, 1), false),
            (answer(f64::NAN), false),
        ] {
            assert!(!bad.is_sound(), "{bad:?}");
            assert_eq!(bad.is_finite(), is_finite, "{bad:?}");
        }
    }

    #[test]
    fn of_equal_costs_by_character_the_first_choice_is_the_cheapest() {
        assert_eq!(shortest_by(&[3.0, 2.0], &[12, 4]), 0);
        assert_eq!(shortest_by(&[3.0, 1.0], &[12, 4]), 0);
        assert_eq!(shortest_by(&[3.0, 0.9], &[12, 4]), 1);
        assert_eq!(shortest_by(&[3.0, 0.9, 0.1], &[12, 4, 1]), 2);
    }

    #[test]
    fn sums_add_up_part_by_part() {
        let all = [
            choice(&[3.0, 2.0], &[12, 4], 0, 0),
            choice(&[3.0, 2.0], &[12, 4], 0, 1),
            Score::Span { nats: 4.0, prior: Some(5.0), tokens: 6, bytes: 7.5 },
            Score::Span { nats: 4.0, prior: None, tokens: 6, bytes: 7.5 },
            Score::Document { nats: 1.0, words: 8, bytes: 9 },
            Score::Answer { nats: 0.5, tokens: 2, bytes: 3, right: true },
            Score::Answer { nats: 0.5, tokens: 2, bytes: 3, right: false },
        ];
        assert_eq!(
            all.each_ref().map(Score::right),
            [Some(true), Some(false), None, None, None, Some(true), Some(false)]
        );
        let mut total = Sums::default();
        all.iter().for_each(|score| total += score.sums());
        let expected = Sums {
            items: 7.0,
            right: 2.0,
            right_by_length: 1.0,
            nats: 3.0 + 2.0 + 4.0 + 4.0 + 1.0 + 0.5 + 0.5,
            prior: 5.0,
            tokens: 6.0 + 6.0 + 2.0 + 2.0,
            words: 8.0,
            bytes: 12.0 + 4.0 + 7.5 + 7.5 + 9.0 + 3.0 + 3.0,
        };
        assert_eq!(total, expected);
    }
}
