//! Mask W: the lowest |w_j| ||x_j|| of the columns that are left, as they are now; those in the block at hand go.
//!
//! Before the block from column a, a row has yet to lose round(n s) less what it has lost; of so many lowest scores of its
//! columns a.. those within the block are removed, the others are chosen again later. With a shared threshold the same
//! is done for all rows together. N of M: the lowest of every group. One block is Wanda's mask.
//!
//! Source: Thanos (arXiv 2504.05346), the mask of its unstructured and N:M algorithms, which compensate as `mrp` in
//! blocks does. Where we differ: a threshold for every row by default; no rows are spared as outliers.

use super::by_matrix::{HostInputs, MatrixJob};
use super::pattern::Pattern;
use crate::order::mark_lowest;

/// What the mask reads.
pub struct Remaining {
    pattern: Pattern,
    /// ||x_j|| `[n]`
    norms: Vec<f64>,
}

impl Remaining {
    /// Where a setting asks for mask W.
    pub fn of(job: &MatrixJob<'_>, inputs: &HostInputs) -> Option<Remaining> {
        let norms = inputs.square_sums.iter().map(|s| s.sqrt());
        let pattern = Pattern::of(job.setting);
        (job.setting.choice("mask") == "W").then(|| Remaining { pattern, norms: norms.collect() })
    }

    /// What goes of columns a..b of `rows` `[m, n]`: `[m, b - a]`. `gone` counts what every row has lost.
    pub fn mark(&self, rows: &[f64], a: usize, b: usize, gone: &mut [usize]) -> Vec<bool> {
        let n = self.norms.len();
        let to = if matches!(self.pattern, Pattern::NofM { .. }) { b } else { n };
        let score = |row: &[f64]| {
            let columns = row[a..to].iter().zip(&self.norms[a..to]);
            columns.map(|(w, norm)| w.abs() * norm).collect::<Vec<f64>>()
        };
        let scores: Vec<f64> = rows.chunks_exact(n).flat_map(score).collect();
        let mut left = vec![false; scores.len()];
        let owed = |rows: usize, share: f64, gone: usize| {
            ((rows * n) as f64 * share).round() as usize - gone
        };
        match self.pattern {
            Pattern::NofM { .. } => self.pattern.mark(a, b - a, &scores, &mut left),
            Pattern::Shared(share) => {
                let owed = owed(gone.len(), share, gone.iter().sum());
                mark_lowest(&scores, owed, &mut left);
            }
            Pattern::Row(share) => {
                let rows = scores.chunks(to - a).zip(left.chunks_mut(to - a)).zip(&*gone);
                rows.for_each(|((s, m), gone)| mark_lowest(s, owed(1, share, *gone), m));
            }
        }
        let mut mask = Vec::with_capacity(gone.len() * (b - a));
        for (left, gone) in left.chunks(to - a).zip(gone) {
            mask.extend_from_slice(&left[..b - a]);
            *gone += left[..b - a].iter().filter(|m| **m).count();
        }
        mask
    }
}
