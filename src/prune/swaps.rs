//! Better masks by swaps: a kept weight goes and a removed one comes back, as long as the row's output error falls.
//!
//! With r the removed weights of a row (0 elsewhere) and H the damped Hessian, the loss without compensation is rᵀHr.
//! With c = H r, removing the kept u and bringing back the removed p changes it by
//!   2 w_u c_u - 2 w_p c_p + w_u² H_uu + w_p² H_pp - 2 w_u w_p H_up
//! The best swap is taken until none lowers the loss, or as many as asked for are done; c follows each. With a pattern
//! such as 2:4 both weights are of one group.
//!
//! Source: SparseSwaps (arXiv 2512.10922), the change of loss and the greedy search; c is kept and not computed anew.

use super::hessian::Hessian;
use super::linalg::axpy;
use super::pattern::Pattern;
use crate::Result;
use crate::method::{Knob, KnobKind, Setting};
use crate::pace::Pace;

/// How long the search may be.
pub const SWAPS: Knob = Knob {
    id: "swaps",
    label: "Swaps",
    help: "Swaps of a removed weight for a kept one of the same row (SparseSwaps), as long as they lower its output error; before the refit",
    kind: KnobKind::Choice {
        options: &[("0", "none"), ("10", "up to 10 a row"), ("100", "up to 100 a row")],
        default: "0",
    },
};

/// Swaps that a setting asks for.
pub fn wanted(setting: &Setting) -> usize {
    setting.choice("swaps").parse().unwrap_or(0)
}

/// Improves the masks of `rows` `[m, n]` (true: goes), which keep their pattern. Errors: cancelled.
pub async fn improve(
    rows: &[f64],
    masks: &mut [bool],
    hessian: &Hessian,
    (pattern, most): (Pattern, usize),
    pace: &Pace,
) -> Result<()> {
    let n = hessian.n;
    let group = if let Pattern::NofM { group, .. } = pattern { group } else { n };
    for (row, mask) in rows.chunks_exact(n).zip(masks.chunks_exact_mut(n)) {
        let mut search = Search::new(row, mask, hessian);
        for _ in 0..most {
            let Some((u, p)) = search.best(group) else { break };
            search.swap(u, p);
        }
        pace.breathe().await?;
    }
    Ok(())
}

/// One row.
struct Search<'a> {
    row: &'a [f64],
    mask: &'a mut [bool],
    hessian: &'a Hessian,
    /// H r
    c: Vec<f64>,
}

impl<'a> Search<'a> {
    fn new(row: &'a [f64], mask: &'a mut [bool], hessian: &'a Hessian) -> Search<'a> {
        let n = row.len();
        let mut c = vec![0.0; n];
        for j in (0..n).filter(|&j| mask[j] && row[j] != 0.0) {
            axpy(row[j], &hessian.h[j * n..(j + 1) * n], &mut c);
        }
        Search { row, mask, hessian, c }
    }

    fn diagonal(&self, j: usize) -> f64 {
        self.hessian.h[j * self.row.len() + j]
    }

    /// What removing the kept u and bringing back the removed p alone change, without their product.
    fn leave(&self, u: usize) -> f64 {
        self.row[u] * (2.0 * self.c[u] + self.row[u] * self.diagonal(u))
    }

    fn come(&self, p: usize) -> f64 {
        self.row[p] * (self.row[p] * self.diagonal(p) - 2.0 * self.c[p])
    }

    /// Change of the loss by a swap.
    #[cfg(test)]
    fn change(&self, u: usize, p: usize) -> f64 {
        let product = self.row[u] * self.row[p] * self.hessian.h[u * self.row.len() + p];
        self.leave(u) + self.come(p) - 2.0 * product
    }

    /// The swap within groups that lowers the loss most; none where nothing lowers it beyond rounding.
    fn best(&self, group: usize) -> Option<(usize, usize)> {
        let n = self.row.len();
        let loss: f64 = (0..n).filter(|&j| self.mask[j]).map(|j| self.row[j] * self.c[j]).sum();
        let mut best = (-1e-9 * loss.abs(), None);
        for start in (0..n).step_by(group) {
            let end = (start + group).min(n);
            let of = |gone: bool| (start..end).filter(move |&j| self.mask[j] == gone);
            let kept: Vec<(usize, f64)> = of(false).map(|u| (u, self.leave(u))).collect();
            for p in of(true) {
                let (come, h) = (self.come(p), &self.hessian.h[p * n..(p + 1) * n]);
                let twice = 2.0 * self.row[p];
                for &(u, leave) in &kept {
                    let change = leave + come - twice * self.row[u] * h[u];
                    if change < best.0 {
                        best = (change, Some((u, p)));
                    }
                }
            }
        }
        best.1
    }

    fn swap(&mut self, u: usize, p: usize) {
        let n = self.row.len();
        axpy(self.row[u], &self.hessian.h[u * n..(u + 1) * n], &mut self.c);
        axpy(-self.row[p], &self.hessian.h[p * n..(p + 1) * n], &mut self.c);
        (self.mask[u], self.mask[p]) = (true, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::tests::{f64s, hessian, layer, pruned, zeros};
    use pollster::block_on;

    fn removed_loss(h: &Hessian, row: &[f64], mask: &[bool]) -> f64 {
        let removed = row.iter().zip(mask).map(|(w, m)| if *m { *w } else { 0.0 });
        h.loss(&removed.collect::<Vec<f64>>())
    }

    #[test]
    fn the_change_of_a_swap_is_the_difference_of_the_losses() {
        let n = 40;
        let case = layer(3, n, 120, 51);
        let h = hessian(&case.gram, n, 0.01);
        for weights in case.weights.chunks(n) {
            let row = f64s(weights);
            let mut mask: Vec<bool> = (0..n).map(|j| j * 7 % 3 == 0).collect();
            let before = removed_loss(&h, &row, &mask);
            for (u, p) in [(1, 0), (38, 3), (5, 39), (2, 9)] {
                let mut swapped = mask.clone();
                (swapped[u], swapped[p]) = (true, false);
                let search = Search::new(&row, &mut mask, &h);
                let expected = removed_loss(&h, &row, &swapped) - before;
                let found = search.change(u, p);
                assert!((found - expected).abs() < 1e-10 * before, "{u} {p}: {found} {expected}");
            }
        }
    }

    #[test]
    fn after_swaps_the_sums_are_those_computed_anew_and_no_swap_is_left() {
        let n = 32;
        let case = layer(6, n, 90, 52);
        let h = hessian(&case.gram, n, 0.01);
        for (pattern, group) in [(Pattern::Row(0.5), n), (Pattern::NofM { zeros: 2, group: 4 }, 4)]
        {
            for weights in case.weights.chunks(n) {
                let row = f64s(weights);
                let mut mask: Vec<bool> = (0..n).map(|j| j % 4 < 2).collect();
                let before = removed_loss(&h, &row, &mask);
                let pace = Pace::default();
                let work = improve(&row, &mut mask, &h, (pattern, 1000), &pace);
                block_on(work).unwrap();
                let after = removed_loss(&h, &row, &mask);
                assert!(after < before, "{pattern:?}: {after} {before}");
                for group in mask.chunks(group) {
                    assert_eq!(group.iter().filter(|m| **m).count(), group.len() / 2);
                }
                // Every swap that is left, tried out.
                for u in (0..n).filter(|&u| !mask[u]) {
                    for p in (0..n).filter(|&p| mask[p] && p / group == u / group) {
                        let mut other = mask.clone();
                        (other[u], other[p]) = (true, false);
                        let loss = removed_loss(&h, &row, &other);
                        assert!(loss >= after * (1.0 - 2e-9), "{pattern:?} {u} {p}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_swap_is_taken_where_it_gains_more_than_a_billionth_of_the_loss() {
        // Independent inputs of one size: a swap changes the loss from h w_p² to h w_u².
        let swaps = |h: f64, w: f64, gain: f64| {
            let hessian = hessian(&[h, 0.0, 0.0, h], 2, 0.0);
            let row = [w * (1.0 - gain).sqrt(), w];
            let mut mask = [false, true];
            let pace = Pace::default();
            block_on(improve(&row, &mut mask, &hessian, (Pattern::Row(0.5), 1), &pace)).unwrap();
            mask == [true, false]
        };
        for (h, w) in [(1e4, 0.1), (1e4, 1.0), (1e-4, 1.0), (1.0, 100.0)] {
            assert!(swaps(h, w, 5e-9), "{h} {w}");
            for gain in [2e-10, 0.0, -2e-10, -5e-9] {
                assert!(!swaps(h, w, gain), "{h} {w}: {gain} is rounding or a loss");
            }
        }
        assert!(!swaps(1.0, 0.0, 0.5), "nothing to gain");
    }

    #[test]
    fn every_method_with_swaps_makes_them_before_its_refit() {
        let n = 32;
        let case = layer(6, n, 90, 53);
        let h = hessian(&case.gram, n, 0.01);
        for spec in ["wanda", "wanda:refit=row", "magnitude:refit=row", "mrp", "mrp:pattern=2:4"] {
            let mark = if spec.contains(':') { ',' } else { ':' };
            let [before, after] =
                ["0", "100"].map(|swaps| pruned(&case, &format!("{spec}{mark}swaps={swaps}")));
            let mut lowered = 0;
            for (r, row) in case.weights.chunks(n).enumerate() {
                let lost = |of: &[f32]| removed_loss(&h, &f64s(row), &zeros(&of[r * n..][..n]));
                let (before, after) = (lost(&before), lost(&after));
                assert!(after <= before, "{spec} {r}: {after} {before}");
                lowered += usize::from(after < before * 0.99);
            }
            assert!(lowered > 0, "{spec}");
        }
    }
}
