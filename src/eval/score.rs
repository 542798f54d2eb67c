//! What scoring one item gives, and what figures are summed from.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// The outcome of one item on one arm. Log-likelihoods are natural; a cost is -log p in nats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Score {
    /// One of several continuations was taken.
    Choice {
        /// -log p(choice | context)
        nats: Vec<f64>,
        /// -log p(choice) without the context; empty where the choice does not depend on it.
        prior: Vec<f64>,
        /// Length of every choice as text.
        bytes: Vec<usize>,
        chosen: usize,
        label: usize,
    },
    /// A stretch of text was predicted.
    Span {
        nats: f64,
        /// The same without any context.
        prior: f64,
        tokens: usize,
        bytes: f64,
    },
    /// An answer of some tokens was asked for.
    Answer {
        nats: f64,
        tokens: usize,
        /// Every token was the most likely one.
        right: bool,
    },
}

/// Sums over items.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    pub items: f64,
    /// Items that came out right.
    pub right: f64,
    /// Of what was scored; of the true choice where several were.
    pub nats: f64,
    pub prior: f64,
    pub tokens: f64,
    pub bytes: f64,
}

impl Score {
    /// Whether the item came out right; `None` where nothing can be right or wrong.
    pub fn right(&self) -> Option<bool> {
        match self {
            Score::Choice { chosen, label, .. } => Some(chosen == label),
            Score::Answer { right, .. } => Some(*right),
            Score::Span { .. } => None,
        }
    }

    /// What the item adds to the sums.
    pub fn sums(&self) -> Sums {
        let right = f64::from(self.right() == Some(true));
        let sums = Sums { items: 1.0, right, ..Sums::default() };
        match self {
            Score::Choice { nats, bytes, label, .. } => {
                Sums { nats: nats[*label], bytes: bytes[*label] as f64, ..sums }
            }
            Score::Span { nats, prior, tokens, bytes } => {
                Sums { nats: *nats, prior: *prior, tokens: *tokens as f64, bytes: *bytes, ..sums }
            }
            Score::Answer { nats, tokens, .. } => {
                Sums { nats: *nats, tokens: *tokens as f64, ..sums }
            }
        }
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Sums) {
        self.items += other.items;
        self.right += other.right;
        self.nats += other.nats;
        self.prior += other.prior;
        self.tokens += other.tokens;
        self.bytes += other.bytes;
    }
}
