//! Which weights of a row may be zero together: any share of a row, or N of every M neighbours.

use crate::method::{Knob, KnobKind};
use crate::order;

/// How many weights are removed, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pattern {
    /// This share of every output row, 0..=1.
    Row(f64),
    /// `zeros` of every `group` neighbouring inputs.
    NofM { zeros: usize, group: usize },
}

/// The knobs that every method with a mask begins with.
pub const SPARSITY: Knob = Knob {
    id: "sparsity",
    label: "Sparsity",
    help: "Share of the weights of every output row that become zero (unstructured pattern)",
    kind: KnobKind::Number { min: 0.0, max: 0.95, step: 0.05, default: 0.5 },
};
pub const PATTERN: Knob = Knob {
    id: "pattern",
    label: "Pattern",
    help: "Unstructured, or N weights kept of every M neighbouring inputs (then the sparsity is 1 - N/M, whatever is set above)",
    kind: KnobKind::Choice {
        options: &[
            ("unstructured", "unstructured"),
            ("2:4", "2:4"),
            ("4:8", "4:8"),
            ("1:4", "1:4"),
        ],
        default: "unstructured",
    },
};

impl Pattern {
    /// From the values of the two knobs.
    pub fn of(setting: &crate::method::Setting) -> Pattern {
        match setting.choice("pattern") {
            "2:4" => Pattern::NofM { zeros: 2, group: 4 },
            "4:8" => Pattern::NofM { zeros: 4, group: 8 },
            "1:4" => Pattern::NofM { zeros: 3, group: 4 },
            _ => Pattern::Row(setting.number("sparsity")),
        }
    }

    /// Share of zeros asked for.
    pub fn share(&self) -> f64 {
        match self {
            Pattern::Row(share) => *share,
            Pattern::NofM { zeros, group } => *zeros as f64 / *group as f64,
        }
    }

    /// Weights of columns `from..to` of a row that are removed. Summed over blocks this is what a whole row loses:
    /// round(n * share), or N of every group of M and floor(m * N / M) of a last group of m < M.
    pub fn quota(&self, from: usize, to: usize) -> usize {
        let upto = |column: usize| match *self {
            Pattern::Row(share) => (column as f64 * share).round() as usize,
            Pattern::NofM { zeros, group } => {
                column / group * zeros + column % group * zeros / group
            }
        };
        upto(to) - upto(from)
    }

    /// Marks the weights of columns `from..from + scores.len()` of a row that have the lowest scores; ties fall to
    /// the lower index. With groups, `from` begins one.
    pub fn mark(&self, from: usize, scores: &[f64], mask: &mut [bool]) {
        assert_eq!(scores.len(), mask.len(), "a mask and its scores");
        match *self {
            Pattern::Row(_) => mark_lowest(scores, self.quota(from, from + scores.len()), mask),
            Pattern::NofM { zeros, group } => {
                for (s, m) in scores.chunks(group).zip(mask.chunks_mut(group)) {
                    mark_lowest(s, s.len() * zeros / group, m);
                }
            }
        }
    }
}

pub fn mark_lowest(scores: &[f64], remove: usize, mask: &mut [bool]) {
    mask.fill(false);
    if remove == 0 {
        return;
    }
    let mut keys: Vec<u64> = scores.iter().map(|s| order::key(*s)).collect();
    order::sort(&mut keys);
    let last = keys[remove - 1];
    // Of the weights that share the last score, those of the lowest index go.
    let below = keys.partition_point(|key| *key < last);
    let mut ties = remove - below;
    for (marked, score) in mask.iter_mut().zip(scores) {
        let key = order::key(*score);
        let tied = key == last && ties > 0;
        ties -= usize::from(tied);
        *marked = key < last || tied;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    fn marked(pattern: Pattern, scores: &[f64]) -> Vec<bool> {
        let mut mask = vec![false; scores.len()];
        pattern.mark(0, scores, &mut mask);
        mask
    }

    #[test]
    fn every_row_loses_exactly_its_share() {
        let mut rng = Rng::new(1);
        for (n, share, zeros) in [(7, 0.5, 4), (30, 0.3, 9), (128, 0.95, 122), (5, 0.0, 0)] {
            let scores: Vec<f64> = rng.normals(n, 1.0).iter().map(|w| f64::from(w.abs())).collect();
            let mask = marked(Pattern::Row(share), &scores);
            assert_eq!(mask.iter().filter(|m| **m).count(), zeros);
            let of = |removed| scores.iter().zip(&mask).filter(move |(_, m)| **m == removed);
            let largest_removed = of(true).map(|(s, _)| *s).fold(0.0, f64::max);
            let smallest_kept = of(false).map(|(s, _)| *s).fold(f64::INFINITY, f64::min);
            assert!(largest_removed <= smallest_kept);
        }
    }

    #[test]
    fn every_group_has_its_zeros_and_ties_fall_to_the_lower_index() {
        let scores = [1.0, 3.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, 1.0, 2.0, 3.0];
        let mask = marked(Pattern::NofM { zeros: 2, group: 4 }, &scores);
        let (o, x) = (false, true);
        assert_eq!(mask, [x, o, x, o, x, x, o, o, x, o, o]);
    }

    #[test]
    fn blocks_lose_together_what_the_row_loses() {
        let patterns = [
            Pattern::Row(0.7),
            Pattern::Row(0.33),
            Pattern::NofM { zeros: 2, group: 4 },
            Pattern::NofM { zeros: 3, group: 4 },
        ];
        for pattern in patterns {
            for n in [4, 31, 64, 130, 1535] {
                let blocks = (0..n).step_by(32).map(|a| pattern.quota(a, (a + 32).min(n)));
                let scores = vec![0.0; n];
                let whole = marked(pattern, &scores).iter().filter(|m| **m).count();
                assert_eq!(blocks.sum::<usize>(), whole, "{pattern:?} of {n}");
            }
        }
    }
}
