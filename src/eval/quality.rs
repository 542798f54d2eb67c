//! One figure of two models on the same items, and what it says about the difference.

use super::Estimate;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One quality metric of a baseline and a compressed model on the same items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Quality {
    /// "accuracy", "perplexity", "bits_per_byte", "bits_per_target", "context_benefit", "context_benefit_nats"
    pub metric: Cow<'static, str>,
    /// For people.
    pub label: Cow<'static, str>,
    /// How it is defined, on which data; one sentence.
    pub definition: String,
    /// "share" (0..=1), "" for plain numbers, "bits"
    pub unit: Cow<'static, str>,
    /// Whether a rise is good.
    pub higher_is_better: bool,
    /// Of the first arm; with the items its 95 % interval.
    pub baseline: Estimate,
    /// Of the second arm.
    pub compressed: Estimate,
    /// compressed - baseline, paired over items.
    pub change: Estimate,
    /// Items scored so far.
    pub items: usize,
    /// Items in all.
    pub items_total: usize,
    /// What `change` says about quality.
    pub verdict: Verdict,
}

/// What a paired change says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The 95 % interval of the change lies on the good side of 0.
    Better,
    /// It lies on the bad side.
    Worse,
    /// The interval holds 0.
    NotSignificant,
    /// Fewer than [`Verdict::LEAST`] items.
    TooFew,
    /// There is no figure, or items are still coming.
    None,
}

impl Verdict {
    /// Items below which nothing is said.
    pub const LEAST: usize = super::stats::LEAST;

    /// Of a change over `items` of `items_total` items.
    pub fn of(change: &Estimate, higher_is_better: bool, items_total: usize) -> Verdict {
        if !change.value.is_finite() || change.n < items_total {
            return Verdict::None;
        }
        if change.n < Verdict::LEAST {
            return Verdict::TooFew;
        }
        match (change.low > 0.0, change.high < 0.0) {
            (true, _) if higher_is_better => Verdict::Better,
            (true, _) => Verdict::Worse,
            (_, true) if higher_is_better => Verdict::Worse,
            (_, true) => Verdict::Better,
            _ => Verdict::NotSignificant,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_items_and_an_interval_on_one_side_of_zero() {
        let change = |low: f64, high: f64| Estimate { value: (low + high) / 2.0, low, high, n: 9 };
        for (higher_is_better, low, high, verdict) in [
            (true, 0.1, 0.2, Verdict::Better),
            (false, 0.1, 0.2, Verdict::Worse),
            (false, -0.2, -0.1, Verdict::Better),
            (true, -0.2, -0.1, Verdict::Worse),
            (true, -0.1, 0.2, Verdict::NotSignificant),
            (true, 0.0, 0.2, Verdict::NotSignificant),
            (true, -0.2, 0.0, Verdict::NotSignificant),
            (true, f64::NAN, f64::NAN, Verdict::None),
        ] {
            assert_eq!(Verdict::of(&change(low, high), higher_is_better, 9), verdict);
        }
        assert_eq!(Verdict::of(&change(0.1, 0.2), true, 10), Verdict::None, "one is still coming");
        let few = Estimate { n: 7, ..change(0.1, 0.2) };
        assert_eq!(Verdict::of(&few, true, 7), Verdict::TooFew);
        let enough = Estimate { n: 8, ..few };
        assert_eq!(Verdict::of(&enough, true, 8), Verdict::Better);
    }
}
