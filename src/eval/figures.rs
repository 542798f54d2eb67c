//! How the scores of items become figures with intervals.

use super::score::{Score, Sums};
use super::stats::{Resamples, paired_shares, wilson};
use super::{Estimate, Quality, Verdict};
use std::f64::consts::LN_2;

/// A figure made of sums over items. An evaluation names those that it has.
pub struct Metric {
    /// As in [`Quality::metric`].
    pub id: &'static str,
    /// For people.
    pub label: &'static str,
    /// As in [`Quality::unit`].
    pub unit: &'static str,
    /// Whether a rise is good.
    pub higher_is_better: bool,
    /// How it is computed.
    pub kind: Kind,
}

/// How a figure follows from the sums.
pub enum Kind {
    /// The share of items that came out right, in one of the senses that the sums know.
    Share(fn(&Sums) -> f64),
    /// A statistic of one arm's sums.
    Own(fn(&Sums) -> f64),
    /// A statistic of one arm's sums and of what the first arm's model costs without any context.
    WithPrior(fn(&Sums, f64) -> f64),
    /// A statistic of one arm's sums and those of the baseline; means nothing where neither is one.
    OfBaseline(fn(&Sums, &Sums) -> f64),
}

pub const ACCURACY: Metric = Metric {
    id: "accuracy",
    label: "Accuracy",
    unit: "share",
    higher_is_better: true,
    kind: Kind::Share(|s| s.right),
};
/// The harness's acc_norm.
pub const ACCURACY_BY_LENGTH: Metric = Metric {
    id: "accuracy_by_length",
    label: "Accuracy by character (acc_norm)",
    unit: "share",
    higher_is_better: true,
    kind: Kind::Share(|s| s.right_by_length),
};
/// exp of the mean cost of an answer.
pub const PERPLEXITY_OF_ANSWER: Metric = Metric {
    id: "perplexity",
    label: "Perplexity of the answer",
    unit: "",
    higher_is_better: false,
    kind: Kind::Own(|s| (s.nats / s.items).exp()),
};
pub const BITS_OF_ANSWER: Metric = Metric {
    id: "bits_per_byte",
    label: "Bits per byte of the true continuation",
    unit: "bits",
    higher_is_better: false,
    kind: Kind::Own(|s| s.nats / LN_2 / s.bytes),
};
pub const PERPLEXITY: Metric = Metric {
    id: "perplexity",
    label: "Perplexity",
    unit: "",
    higher_is_better: false,
    kind: Kind::Own(|s| (s.nats / s.tokens).exp()),
};
pub const BITS_PER_BYTE: Metric = Metric {
    id: "bits_per_byte",
    label: "Bits per byte",
    unit: "bits",
    higher_is_better: false,
    kind: Kind::Own(|s| s.nats / LN_2 / s.bytes),
};
pub const WORD_PERPLEXITY: Metric = Metric {
    id: "word_perplexity",
    label: "Perplexity by word",
    unit: "",
    higher_is_better: false,
    kind: Kind::Own(|s| (s.nats / s.words).exp()),
};
pub const BYTE_PERPLEXITY: Metric = Metric {
    id: "byte_perplexity",
    label: "Perplexity by byte",
    unit: "",
    higher_is_better: false,
    kind: Kind::Own(|s| (s.nats / s.bytes).exp()),
};
/// 1 for the baseline, 0 for a model that has read nothing.
pub const CONTEXT_BENEFIT: Metric = Metric {
    id: "context_benefit",
    label: "Context benefit retained",
    unit: "share",
    higher_is_better: true,
    kind: Kind::OfBaseline(|s, base| (base.prior - s.nats) / (base.prior - base.nats)),
};
/// What the context is worth: the gate of the bundled language models is 0.15.
pub const CONTEXT_BENEFIT_NATS: Metric = Metric {
    id: "context_benefit_nats",
    label: "Context benefit, nats a token",
    unit: "",
    higher_is_better: true,
    kind: Kind::WithPrior(|s, prior| (prior - s.nats) / s.tokens),
};
pub const BITS_PER_TARGET: Metric = Metric {
    id: "bits_per_target",
    label: "Bits per word",
    unit: "bits",
    higher_is_better: false,
    kind: Kind::Own(|s| s.nats / LN_2 / s.items),
};

impl Metric {
    /// Whether it means nothing unless the first arm is the baseline.
    pub fn needs_baseline(&self) -> bool {
        matches!(self.kind, Kind::OfBaseline(_))
    }

    /// Whether every arm is set against what one model, that of the first arm, says without a context.
    pub fn shares_priors(&self) -> bool {
        matches!(self.kind, Kind::WithPrior(_))
    }
}

/// The figures of two arms on the same items, resampled once for all of them.
pub struct Paired {
    sums: Vec<[Sums; 2]>,
    resamples: Resamples<[Sums; 2]>,
}

impl Paired {
    /// `baseline` and `compressed` are scores of the same items, in the same order.
    pub fn new(baseline: &[Score], compressed: &[Score]) -> Paired {
        let pairs = baseline.iter().zip(compressed);
        let sums: Vec<[Sums; 2]> = pairs.map(|(b, c)| [b.sums(), c.sums()]).collect();
        let add = |total: &mut [Sums; 2], item: &[Sums; 2]| {
            total[0] += item[0];
            total[1] += item[1];
        };
        Paired { resamples: Resamples::new(&sums, add), sums }
    }

    /// `total` items are there in all, of which these were scored.
    pub fn figure(&self, metric: &Metric, total: usize, definition: &str) -> Quality {
        let [baseline, compressed, change] = match metric.kind {
            Kind::Share(of) => self.shares(of),
            Kind::Own(of) => self.resampled(&|s, side| of(&s[side])),
            Kind::WithPrior(of) => self.resampled(&|s, side| of(&s[side], s[0].prior)),
            Kind::OfBaseline(of) => self.resampled(&|s, side| of(&s[side], &s[0])),
        };
        Quality {
            metric: metric.id.into(),
            label: metric.label.into(),
            definition: definition.to_string(),
            unit: metric.unit.into(),
            higher_is_better: metric.higher_is_better,
            baseline,
            compressed,
            change,
            items: self.sums.len(),
            items_total: total,
            verdict: Verdict::of(&change, metric.higher_is_better, total),
        }
    }

    /// The share of the items that count as 1, of both sides, and its change.
    fn shares(&self, of: fn(&Sums) -> f64) -> [Estimate; 3] {
        let n = self.sums.len();
        let share =
            |side: usize| wilson(self.sums.iter().filter(|s| of(&s[side]) == 1.0).count(), n);
        let steps = self.sums.iter().map(|s| of(&s[1]) - of(&s[0]));
        let gained = steps.clone().filter(|step| *step > 0.0).count();
        let lost = steps.filter(|step| *step < 0.0).count();
        [share(0), share(1), paired_shares(gained, lost, n)]
    }

    /// A figure of both sides, and its change; `of` gets the sums of some items and the side.
    fn resampled(&self, of: &dyn Fn(&[Sums; 2], usize) -> f64) -> [Estimate; 3] {
        let both = &self.resamples;
        [
            both.interval(|s| of(s, 0)),
            both.interval(|s| of(s, 1)),
            both.interval(|s| of(s, 1) - of(s, 0)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_benefit_is_one_for_the_baseline_and_zero_without_a_context() {
        let span = |nats: f64, prior: f64| Score::Span {
            nats,
            prior: Some(prior),
            tokens: 4,
            bytes: 16.0,
        };
        let baseline = [span(10.0, 20.0), span(30.0, 60.0)];
        for (nats, expected) in [([10.0, 30.0], 1.0), ([20.0, 60.0], 0.0), ([15.0, 35.0], 0.75)] {
            let arm = nats.map(|n| span(n, 0.0));
            let figure = Paired::new(&baseline, &arm).figure(&CONTEXT_BENEFIT, 2, "");
            assert_eq!((figure.baseline.value, figure.compressed.value), (1.0, expected));
            assert_eq!(figure.change.value, expected - 1.0);
        }
    }

    /// Two answers: 2 nats for 4 tokens and 8 bytes, right; 6 nats for 4 tokens and 24 bytes, wrong.
    fn answers(right: [bool; 2]) -> [Score; 2] {
        let answer = |nats, bytes, right| Score::Answer { nats, tokens: 4, bytes, right };
        [answer(2.0, 8, right[0]), answer(6.0, 24, right[1])]
    }

    #[test]
    fn every_figure_is_what_its_definition_says() {
        let choice = |chosen| Score::Choice {
            nats: vec![3.0, 2.0],
            prior: vec![],
            bytes: vec![12, 4],
            chars: vec![12, 4],
            chosen,
            label: 0,
        };
        let span = |nats| Score::Span { nats, prior: Some(10.0), tokens: 4, bytes: 16.0 };
        let document = |nats| Score::Document { nats, words: 4, bytes: 16 };
        let answers = answers([true, false]);
        let near = |metric: &Metric, scores: &[Score], expected: f64| {
            let figure = Paired::new(scores, scores).figure(metric, 2, "");
            assert!((figure.compressed.value - expected).abs() < 1e-12, "{}", metric.id);
        };
        near(&ACCURACY, &answers, 0.5);
        near(&ACCURACY, &[choice(0), choice(1)], 0.5);
        // The first costs 1/4 a character, the second 1/2, whichever the arm took.
        near(&ACCURACY_BY_LENGTH, &[choice(0), choice(1)], 1.0);
        near(&PERPLEXITY_OF_ANSWER, &answers, 4_f64.exp());
        near(&BITS_OF_ANSWER, &answers, 8.0 / LN_2 / 32.0);
        near(&BITS_PER_TARGET, &answers, 8.0 / LN_2 / 2.0);
        near(&PERPLEXITY, &[span(4.0), span(8.0)], 1.5_f64.exp());
        near(&BITS_PER_BYTE, &[span(4.0), span(8.0)], 12.0 / LN_2 / 32.0);
        near(&CONTEXT_BENEFIT_NATS, &[span(4.0), span(8.0)], 1.0);
        near(&WORD_PERPLEXITY, &[document(4.0), document(8.0)], 1.5_f64.exp());
        near(&BYTE_PERPLEXITY, &[document(4.0), document(8.0)], (12.0_f64 / 32.0).exp());
    }

    #[test]
    fn a_change_counts_the_items_that_only_one_side_has_right() {
        let (baseline, compressed) = (answers([true, true]), answers([false, true]));
        // Ten such pairs and one the other way round.
        let repeated = |of: &[Score; 2], back: &[Score; 2]| {
            let mut all: Vec<Score> = (0..10).flat_map(|_| of.clone()).collect();
            all.extend(back.clone());
            all
        };
        let figures =
            Paired::new(&repeated(&baseline, &compressed), &repeated(&compressed, &baseline));
        let figure = figures.figure(&ACCURACY, 22, "as said");
        assert_eq!(figure.change, paired_shares(1, 10, 22));
        assert_eq!((figure.baseline, figure.compressed), (wilson(21, 22), wilson(12, 22)));
        assert_eq!(figure.verdict, Verdict::Worse);
        assert_eq!((figure.items, figure.items_total), (22, 22));
        assert_eq!(figure.definition, "as said");
        // While items are still to come there is none.
        assert_eq!(figures.figure(&ACCURACY, 23, "").verdict, Verdict::None);
    }

    #[test]
    fn only_what_is_divided_by_the_baseline_needs_one() {
        assert!(CONTEXT_BENEFIT.needs_baseline());
        assert!(!CONTEXT_BENEFIT_NATS.needs_baseline() && !ACCURACY.needs_baseline());
    }
}
