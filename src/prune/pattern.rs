//! Which weights of a row may be zero together: any share of a row, or N of every M neighbours.

use crate::method::{Knob, KnobKind};

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
    help: "Unstructured, or N zeros among every M neighbouring inputs (then half of the weights, whatever the sparsity)",
    kind: KnobKind::Choice {
        options: &[("unstructured", "unstructured"), ("2:4", "2:4"), ("4:8", "4:8")],
        default: "unstructured",
    },
};

impl Pattern {
    /// From the values of the two knobs.
    pub fn of(setting: &crate::method::Setting) -> Pattern {
        match setting.choice("pattern") {
            "2:4" => Pattern::NofM { zeros: 2, group: 4 },
            "4:8" => Pattern::NofM { zeros: 4, group: 8 },
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

    /// Zeroes the weights of one row that have the lowest scores; ties fall to the lower index.
    ///
    /// A row of n inputs loses round(n * share) weights. A last group of m < M inputs loses floor(m * N / M).
    pub fn mask(&self, row: &mut [f32], scores: &[f32]) {
        match *self {
            Pattern::Row(share) => {
                let remove = (row.len() as f64 * share).round() as usize;
                zero_lowest(row, scores, remove);
            }
            Pattern::NofM { zeros, group } => {
                for (w, s) in row.chunks_mut(group).zip(scores.chunks(group)) {
                    let remove = w.len() * zeros / group;
                    zero_lowest(w, s, remove);
                }
            }
        }
    }
}

fn zero_lowest(row: &mut [f32], scores: &[f32], remove: usize) {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    for &i in &order[..remove] {
        row[i] = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn every_row_loses_exactly_its_share() {
        let mut rng = Rng::new(1);
        for (n, share, zeros) in [(7, 0.5, 4), (30, 0.3, 9), (128, 0.95, 122), (5, 0.0, 0)] {
            let mut row = rng.normals(n, 1.0);
            let scores: Vec<f32> = row.iter().map(|w| w.abs()).collect();
            let before = row.clone();
            Pattern::Row(share).mask(&mut row, &scores);
            assert_eq!(row.iter().filter(|w| **w == 0.0).count(), zeros);
            let largest_removed =
                before.iter().zip(&row).filter(|(_, w)| **w == 0.0).map(|(b, _)| b.abs());
            let smallest_kept = row.iter().filter(|w| **w != 0.0).map(|w| w.abs());
            let bound = smallest_kept.fold(f32::INFINITY, f32::min);
            assert!(largest_removed.fold(0.0, f32::max) <= bound);
        }
    }

    #[test]
    fn every_group_has_its_zeros_and_ties_fall_to_the_lower_index() {
        let mut row = vec![1.0, -3.0, 2.0, -4.0, 5.0, 5.0, 5.0, 5.0, 1.0, 2.0, 3.0];
        let scores: Vec<f32> = row.iter().map(|w: &f32| w.abs()).collect();
        Pattern::NofM { zeros: 2, group: 4 }.mask(&mut row, &scores);
        assert_eq!(row, [0.0, -3.0, 0.0, -4.0, 0.0, 0.0, 5.0, 5.0, 0.0, 2.0, 3.0]);
    }
}
