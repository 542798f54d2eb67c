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
