//! How the scores of items become figures with intervals.

use super::{Estimate, Quality, paired_bootstrap, wilson};
use std::f64::consts::LN_2;

/// What scoring one item gives. Continuation: right, nats, bytes, 0. Text: nats, tokens, bytes, and the nats without any
/// context (baseline only). Cloze: right, nats, 1, 0. Recall: right, 1, 0, 0.
pub type Score = [f64; 4];

/// A figure made of column sums.
pub(super) struct Metric {
    metric: &'static str,
    label: &'static str,
    unit: &'static str,
    higher_is_better: bool,
    /// From the sums of one arm and those of the baseline.
    of: fn(&[f64], &[f64]) -> f64,
}

const ACCURACY: Metric = Metric {
    metric: "accuracy",
    label: "Accuracy",
    unit: "share",
    higher_is_better: true,
    of: |s, _| s[0],
};
const BITS_OF_ANSWER: Metric = Metric {
    metric: "bits_per_byte",
    label: "Bits per byte of the true continuation",
    unit: "bits",
    higher_is_better: false,
    of: |s, _| s[1] / LN_2 / s[2],
};
const PERPLEXITY: Metric = Metric {
    metric: "perplexity",
    label: "Perplexity",
    unit: "",
    higher_is_better: false,
    of: |s, _| (s[0] / s[1]).exp(),
};
const BITS_PER_BYTE: Metric = Metric {
    metric: "bits_per_byte",
    label: "Bits per byte",
    unit: "bits",
    higher_is_better: false,
    of: |s, _| s[0] / LN_2 / s[2],
};
/// 1 for the baseline, 0 for a model that has read nothing.
const CONTEXT_BENEFIT: Metric = Metric {
    metric: "context_benefit",
    label: "Context benefit retained",
    unit: "share",
    higher_is_better: true,
    of: |s, base| (base[3] - s[0]) / (base[3] - base[0]),
};
/// What the context is worth: the gate of the bundled language models is 0.15.
const CONTEXT_BENEFIT_NATS: Metric = Metric {
    metric: "context_benefit_nats",
    label: "Context benefit, nats a token",
    unit: "",
    higher_is_better: true,
    of: |s, base| (base[3] - s[0]) / s[1],
};
const BITS_PER_TARGET: Metric = Metric {
    metric: "bits_per_target",
    label: "Bits per word",
    unit: "bits",
    higher_is_better: false,
    of: |s, _| s[1] / LN_2 / s[2],
};

pub(super) const CONTINUATION: &[Metric] = &[ACCURACY, BITS_OF_ANSWER];
pub(super) const TEXT: &[Metric] =
    &[PERPLEXITY, BITS_PER_BYTE, CONTEXT_BENEFIT, CONTEXT_BENEFIT_NATS];
pub(super) const CLOZE: &[Metric] = &[BITS_PER_TARGET, ACCURACY];
pub(super) const RECALL: &[Metric] = &[ACCURACY];

impl Metric {
    pub(super) fn figure(
        &self,
        baseline: &[Score],
        compressed: &[Score],
        total: usize,
        definition: &str,
    ) -> Quality {
        let pairs: Vec<[f64; 8]> = baseline.iter().zip(compressed).map(pair).collect();
        let n = pairs.len();
        let is_accuracy = self.metric == "accuracy";
        // Accuracy is a mean: its sums are divided by the number of items first.
        let scale = if is_accuracy { 1.0 / n.max(1) as f64 } else { 1.0 };
        let side = |from: usize| {
            move |s: &[f64; 8]| {
                let s = s.map(|sum| sum * scale);
                (self.of)(&s[from..from + 4], &s[..4])
            }
        };
        let estimate = |from: usize| -> Estimate {
            match is_accuracy {
                true => wilson(pairs.iter().filter(|p| p[from] == 1.0).count(), n),
                false => paired_bootstrap(&pairs, side(from)),
            }
        };
        Quality {
            metric: self.metric,
            label: self.label,
            definition: definition.to_string(),
            unit: self.unit,
            higher_is_better: self.higher_is_better,
            baseline: estimate(0),
            compressed: estimate(4),
            change: paired_bootstrap(&pairs, |s| side(4)(s) - side(0)(s)),
            items: n,
            items_total: total,
        }
    }
}

fn pair((b, c): (&Score, &Score)) -> [f64; 8] {
    [b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_benefit_is_one_for_the_baseline_and_zero_without_a_context() {
        let baseline = [[10.0, 4.0, 16.0, 20.0], [30.0, 4.0, 16.0, 60.0]];
        let arm = |nats: [f64; 2]| nats.map(|n| [n, 4.0, 16.0, 0.0]);
        for (nats, expected) in [([10.0, 30.0], 1.0), ([20.0, 60.0], 0.0), ([15.0, 35.0], 0.75)] {
            let figure = CONTEXT_BENEFIT.figure(&baseline, &arm(nats), 2, "");
            assert_eq!((figure.baseline.value, figure.compressed.value), (1.0, expected));
            assert_eq!(figure.change.value, expected - 1.0);
        }
    }
}
