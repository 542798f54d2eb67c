//! Which weights may be zero together: any share of a row, any share of all rows together, or N of every M neighbours.
//!
//! A threshold is the highest score that goes. It belongs to a row, or to all rows of the columns that are looked at:
//! the whole matrix, or a block of its columns.

use crate::method::{Knob, KnobKind};
use crate::order::mark_lowest;

/// How many weights are removed, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pattern {
    /// This share of every output row, 0..=1.
    Row(f64),
    /// This share of all rows together, which may lose more in one row than in another.
    Shared(f64),
    /// `zeros` of every `group` neighbouring inputs.
    NofM { zeros: usize, group: usize },
}

/// Highest sparsity that can be asked for, and that a rule of ratios gives a matrix.
pub const TOP: f64 = 0.95;

/// The knobs that every method with a mask begins with.
pub const SPARSITY: Knob = Knob {
    id: "sparsity",
    label: "Sparsity",
    help: "Share of the weights that become zero (unstructured pattern)",
    kind: KnobKind::Number { min: 0.0, max: TOP, step: 0.05, default: 0.5 },
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

const ROW: (&str, &str) = ("row", "one for every row");
const THRESHOLD_HELP: &str = "What shares one threshold (unstructured pattern): the weights of an output row, or those of all rows, which then lose more or less than their share";

/// Threshold of a method that looks at a whole matrix at once.
pub const THRESHOLD: Knob = Knob {
    id: "threshold",
    label: "Threshold",
    help: THRESHOLD_HELP,
    kind: KnobKind::Choice { options: &[ROW, ("layer", "one for the matrix")], default: "row" },
};

/// Threshold of a method that works in blocks; a block may be the whole row.
pub const THRESHOLD_OF_BLOCK: Knob = Knob {
    id: "threshold",
    label: "Threshold",
    help: THRESHOLD_HELP,
    kind: KnobKind::Choice {
        options: &[ROW, ("block", "one for all rows of a block")],
        default: "row",
    },
};

impl Pattern {
    /// From the values of the three knobs.
    pub fn of(setting: &crate::method::Setting) -> Pattern {
        match setting.choice("pattern") {
            "unstructured" => {}
            groups => return Pattern::of_groups(groups),
        }
        match setting.choice("threshold") {
            "row" => Pattern::Row(setting.number("sparsity")),
            _ => Pattern::Shared(setting.number("sparsity")),
        }
    }

    /// Of the value of the pattern's knob that keeps N of every M.
    pub fn of_groups(text: &str) -> Pattern {
        match text {
            "4:8" => Pattern::NofM { zeros: 4, group: 8 },
            "1:4" => Pattern::NofM { zeros: 3, group: 4 },
            _ => Pattern::NofM { zeros: 2, group: 4 },
        }
    }

    /// Share of zeros asked for.
    pub fn share(&self) -> f64 {
        match self {
            Pattern::Row(share) | Pattern::Shared(share) => *share,
            Pattern::NofM { zeros, group } => *zeros as f64 / *group as f64,
        }
    }

    /// Weights of columns `from..to` of a row (on average) that are removed. Summed over blocks this is what a whole
    /// row loses: round(n * share), or N of every group of M and floor(m * N / M) of a last group of m < M.
    pub fn quota(&self, from: usize, to: usize) -> usize {
        let upto = |column: usize| match *self {
            Pattern::Row(share) | Pattern::Shared(share) => {
                (column as f64 * share).round() as usize
            }
            Pattern::NofM { zeros, group } => {
                column / group * zeros + column % group * zeros / group
            }
        };
        upto(to) - upto(from)
    }

    /// Whether rows can be marked one after the other.
    pub fn is_by_row(&self) -> bool {
        !matches!(self, Pattern::Shared(_))
    }

    /// Marks the weights of columns `from..from + width` that have the lowest `scores` `[rows, width]`; ties fall to
    /// the lower index. With groups, `from` begins one. A shared threshold needs all rows of the matrix.
    pub fn mark(&self, from: usize, width: usize, scores: &[f64], mask: &mut [bool]) {
        assert_eq!(scores.len(), mask.len(), "a mask and its scores");
        if let Pattern::Shared(share) = *self {
            let rows = scores.len() / width;
            let upto = |column: usize| ((rows * column) as f64 * share).round() as usize;
            return mark_lowest(scores, upto(from + width) - upto(from), mask);
        }
        for (scores, mask) in scores.chunks(width).zip(mask.chunks_mut(width)) {
            match *self {
                Pattern::NofM { zeros, group } => {
                    for (s, m) in scores.chunks(group).zip(mask.chunks_mut(group)) {
                        mark_lowest(s, s.len() * zeros / group, m);
                    }
                }
                _ => mark_lowest(scores, self.quota(from, from + width), mask),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::method::{About, Setting};

    fn marked(pattern: Pattern, scores: &[f64]) -> Vec<bool> {
        let mut mask = vec![false; scores.len()];
        pattern.mark(0, scores.len(), scores, &mut mask);
        mask
    }

    #[test]
    fn the_knobs_give_the_pattern_and_its_share() {
        static METHOD: About = About {
            id: "m",
            label: "M",
            summary: "",
            source: "",
            knobs: &[SPARSITY, PATTERN, THRESHOLD],
            families: &[],
        };
        let groups = |zeros, group| Pattern::NofM { zeros, group };
        for (spec, pattern, share, is_by_row) in [
            ("m:sparsity=0.3", Pattern::Row(0.3), 0.3, true),
            ("m:sparsity=0.3,threshold=layer", Pattern::Shared(0.3), 0.3, false),
            ("m:sparsity=0.3,pattern=2:4", groups(2, 4), 0.5, true),
            ("m:pattern=4:8", groups(4, 8), 0.5, true),
            ("m:pattern=1:4", groups(3, 4), 0.75, true),
        ] {
            let setting = Setting::parse(spec, &[&METHOD]).unwrap().unwrap();
            let found = Pattern::of(&setting);
            assert_eq!((found, found.share(), found.is_by_row()), (pattern, share, is_by_row));
        }
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
    fn a_shared_threshold_counts_over_all_rows_and_blocks_add_up() {
        let (rows, n, share) = (7, 31, 0.33);
        let scores: Vec<f64> = (0..rows * n).map(|i| ((i * 37) % 101) as f64).collect();
        let pattern = Pattern::Shared(share);
        let count = |mask: &[bool]| mask.iter().filter(|m| **m).count();
        let mut mask = vec![false; rows * n];
        pattern.mark(0, n, &scores, &mut mask);
        assert_eq!(count(&mask), (rows as f64 * n as f64 * share).round() as usize);
        let kept = scores.iter().zip(&mask).filter(|(_, m)| !**m).map(|(s, _)| *s);
        let gone = scores.iter().zip(&mask).filter(|(_, m)| **m).map(|(s, _)| *s);
        assert!(gone.fold(0.0, f64::max) <= kept.fold(f64::INFINITY, f64::min));
        let blocks = [(0, 8), (8, 16), (16, 31)].map(|(a, b)| {
            let mut block = vec![false; rows * (b - a)];
            pattern.mark(a, b - a, &scores[..rows * (b - a)], &mut block);
            count(&block)
        });
        assert_eq!(blocks.iter().sum::<usize>(), count(&mask));
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
