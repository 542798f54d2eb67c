//! How a figure that was published stands to the same figure measured again.
//!
//! The items are the same, so what is left between two sound measurements is rounding: another processor adds in another
//! order, a near tie falls the other way, an item or two come out differently. That is noise as long as neither figure
//! leaves the 95 % interval of the other: whatever the published interval allows one to say can still be said.

use super::{Estimate, Quality};

/// Relative difference that rounding alone can make: the bound that a single log-likelihood on the GPU is held to against
/// transformers.
const ROUNDING: f64 = 1e-3;
/// Relative difference of a number that was only written down and read again.
const WRITTEN: f64 = 1e-12;

/// The better comes first, so that the worst of several is their largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// Every number is equal.
    Same,
    /// Rounding, or within each other's interval.
    WithinNoise,
    /// Neither, or not of the same number of items.
    Different,
}

impl Agreement {
    /// Of one estimate; equal items are a condition.
    pub fn of(published: &Estimate, here: &Estimate) -> Agreement {
        let all = |e: &Estimate| [e.value, e.low, e.high];
        let pairs = || all(published).into_iter().zip(all(here));
        let is_near = |bound: f64| pairs().all(|(a, b)| near(a, b, bound));
        if published.n != here.n {
            return Agreement::Different;
        }
        if is_near(WRITTEN) {
            return Agreement::Same;
        }
        let holds = |e: &Estimate, value: f64| (e.low..=e.high).contains(&value);
        match is_near(ROUNDING) || holds(published, here.value) && holds(here, published.value) {
            true => Agreement::WithinNoise,
            false => Agreement::Different,
        }
    }

    /// Of both sides and the change; the number of items belongs to it.
    pub fn of_figures(published: &Quality, here: &Quality) -> Agreement {
        let is_whole = |q: &Quality| q.items == q.items_total;
        if !is_whole(published) || !is_whole(here) || published.items != here.items {
            return Agreement::Different;
        }
        // Without an interval a change of next to nothing has no scale of its own; the sides speak for it.
        let parts = |q: &Quality| match published.change.low.is_finite() {
            true => vec![q.baseline, q.compressed, q.change],
            false => vec![q.baseline, q.compressed],
        };
        let pairs = parts(published).into_iter().zip(parts(here));
        pairs.map(|(a, b)| Agreement::of(&a, &b)).max().unwrap_or(Agreement::Different)
    }

    /// Of counted numbers: there is no noise.
    pub fn of_counted(published: f64, here: f64) -> Agreement {
        if near(published, here, WRITTEN) { Agreement::Same } else { Agreement::Different }
    }

    /// For people, as the end of "these figures are ..".
    pub fn words(self) -> &'static str {
        match self {
            Agreement::Same => "the same",
            Agreement::WithinNoise => "within noise",
            Agreement::Different => "different",
        }
    }
}

/// Both absent, or no further apart than this share of the larger one.
fn near(a: f64, b: f64, bound: f64) -> bool {
    if !a.is_finite() || !b.is_finite() {
        return a.is_finite() == b.is_finite();
    }
    (a - b).abs() <= bound * a.abs().max(b.abs())
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    const NONE: f64 = f64::NAN;

    fn of(value: f64, low: f64, high: f64) -> Estimate {
        Estimate { value, low, high, n: 40 }
    }

    #[test]
    fn noise_ends_where_a_figure_leaves_the_interval_of_the_other() {
        let published = of(0.5, 0.4, 0.6);
        for (here, expected) in [
            (published, Agreement::Same),
            (of(0.5 + 1e-14, 0.4, 0.6), Agreement::Same),
            (of(0.55, 0.45, 0.65), Agreement::WithinNoise),
            (of(0.60, 0.50, 0.70), Agreement::WithinNoise),
            (of(0.61, 0.49, 0.71), Agreement::Different),
            // The old figure is not in the new interval.
            (of(0.55, 0.53, 0.57), Agreement::Different),
            (of(0.5, 0.4, 0.7), Agreement::WithinNoise),
            (Estimate { n: 41, ..published }, Agreement::Different),
            (of(0.5, NONE, NONE), Agreement::Different),
            (of(NONE, NONE, NONE), Agreement::Different),
        ] {
            assert_eq!(Agreement::of(&published, &here), expected, "{here:?}");
        }
    }

    #[test]
    fn without_an_interval_only_rounding_is_noise() {
        let published = of(2.0, NONE, NONE);
        for (value, expected) in [
            (2.0, Agreement::Same),
            (2.0019, Agreement::WithinNoise),
            (1.9981, Agreement::WithinNoise),
            (2.0021, Agreement::Different),
            (-2.0, Agreement::Different),
            (NONE, Agreement::Different),
        ] {
            assert_eq!(Agreement::of(&published, &of(value, NONE, NONE)), expected, "{value}");
        }
        let absent = of(NONE, NONE, NONE);
        assert_eq!(Agreement::of(&absent, &absent), Agreement::Same);
    }

    #[test]
    fn the_worst_part_of_a_figure_counts_and_so_do_its_items() {
        let figure = |baseline: f64, compressed: f64, change: Estimate| Quality {
            metric: "accuracy".into(),
            label: "Accuracy".into(),
            definition: String::new(),
            unit: "share".into(),
            higher_is_better: true,
            baseline: of(baseline, 0.4, 0.8),
            compressed: of(compressed, 0.4, 0.8),
            change,
            items: 40,
            items_total: 40,
            verdict: Verdict::None,
        };
        let change = of(0.1, 0.05, 0.15);
        let published = figure(0.5, 0.6, change);
        let agree = |here: &Quality| Agreement::of_figures(&published, here);
        assert_eq!(agree(&published), Agreement::Same);
        assert_eq!(agree(&figure(0.51, 0.6, change)), Agreement::WithinNoise);
        assert_eq!(agree(&figure(0.5, 0.61, change)), Agreement::WithinNoise);
        assert_eq!(agree(&figure(0.9, 0.6, change)), Agreement::Different);
        assert_eq!(agree(&figure(0.5, 0.6, of(0.2, 0.15, 0.25))), Agreement::Different);
        for part in [
            Quality { items: 39, ..published.clone() },
            Quality { items: 39, items_total: 39, ..published.clone() },
        ] {
            assert_eq!(agree(&part), Agreement::Different);
            assert_eq!(Agreement::of_figures(&part, &published), Agreement::Different);
        }
        // A figure that was still growing there is none, though it looks equal.
        let growing = Quality { items: 39, ..published.clone() };
        assert_eq!(Agreement::of_figures(&growing, &growing), Agreement::Different);
        // Few items: a change that is 0 here and 1e-9 there is no difference.
        let few = |change: f64| figure(0.5, 0.6, of(change, NONE, NONE));
        assert_eq!(Agreement::of_figures(&few(0.0), &few(1e-9)), Agreement::Same);
    }

    #[test]
    fn counted_numbers_have_no_noise_and_the_worst_of_several_is_the_largest() {
        assert_eq!(Agreement::of_counted(0.1 + 0.2, 0.3), Agreement::Same);
        assert_eq!(Agreement::of_counted(0.3, 0.300_001), Agreement::Different);
        assert_eq!(Agreement::of_counted(0.0, 0.0), Agreement::Same);
        assert_eq!(Agreement::of_counted(f64::INFINITY, 1.0), Agreement::Different);
        let all = [Agreement::WithinNoise, Agreement::Different, Agreement::Same];
        assert_eq!(all.iter().max(), Some(&Agreement::Different));
        assert_eq!(all.map(Agreement::words), ["within noise", "different", "the same"]);
    }
}
