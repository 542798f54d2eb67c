//! Whole-row compensation: the best values of the kept weights of every row for a given mask.
//!
//! For one row w with removed set P and kept set K, the minimum of δᵀHδ subject to (w + δ)_P = 0 is
//!   dual     δ = -(H⁻¹)_{:,P} ((H⁻¹)_PP)⁻¹ w_P
//!   primal   δ_K = (H_KK)⁻¹ H_KP w_P
//! which are the same; the cheaper of the two is taken: a system of |P| or of |K| unknowns a row. Above
//! [`DIRECT`] unknowns all rows of a batch are solved together by conjugate gradients (`gradients`).
//!
//! Source: Zhao et al. 2024 (arXiv 2410.15567), "multiple removal problem"; the primal form, the choice and the
//! gradients are ours.

use super::gradients::{gradients, zero};
use super::hessian::Hessian;
use super::linalg::axpy;
use super::outcome::Outcome;
use super::pattern::Pattern;
use super::system::System;
use crate::Result;
use crate::pace::Pace;

/// Unknowns of the largest system that is factored row by row. Beyond it n³/3 a row loses to the products of a whole batch
/// that conjugate gradients take.
const DIRECT: usize = 192;

/// How the systems are solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefitWay {
    Dual,
    Primal,
    Gradients,
}

impl RefitWay {
    /// The cheapest way for rows of `n` inputs.
    pub fn of(pattern: Pattern, n: usize) -> RefitWay {
        let removed = pattern.quota(0, n);
        let (side, way) = match removed < n - removed {
            true => (removed, RefitWay::Dual),
            false => (n - removed, RefitWay::Primal),
        };
        if side > DIRECT { RefitWay::Gradients } else { way }
    }
}

/// Replaces the kept weights of `rows` `[m, n]` by their best values and zeroes the others.
///
/// `mask` `[m, n]` is true where a weight goes. The dual way needs [`Hessian::inverse`].
/// Errors: cancelled.
pub async fn refit(
    rows: &mut [f64],
    mask: &[bool],
    hessian: &Hessian,
    way: RefitWay,
    pace: &Pace,
) -> Result<Outcome> {
    let n = hessian.n;
    assert_eq!(rows.len(), mask.len(), "weights and mask");
    if way == RefitWay::Gradients {
        gradients(rows, mask, hessian, pace).await?;
        return Ok(Outcome::Done);
    }
    let mut space = Space::default();
    for (row, mask) in rows.chunks_exact_mut(n).zip(mask.chunks_exact(n)) {
        let solved = match way {
            RefitWay::Dual => space.dual(row, mask, &hessian.inverse),
            _ => space.primal(row, mask, &hessian.h),
        };
        if !solved {
            return Ok(Outcome::NotPositive);
        }
        pace.breathe().await?;
    }
    Ok(Outcome::Done)
}

/// Memory that one row after the other uses.
#[derive(Default)]
pub struct Space {
    system: System,
    pub unknowns: Vec<f64>,
    pub chosen: Vec<usize>,
}

impl Space {
    /// Solves A_CC x = b for the chosen indices C of the symmetric `a` `[n, n]`; b lies in `unknowns`, as will x.
    pub fn solve(&mut self, a: &[f64], n: usize) -> bool {
        self.system.choose(a, n, &self.chosen);
        self.system.solve(&mut self.unknowns)
    }

    /// Chooses the indices where `mask` is `wanted`.
    pub fn choose(&mut self, mask: &[bool], wanted: bool) {
        self.chosen.clear();
        self.chosen.extend((0..mask.len()).filter(|&j| mask[j] == wanted));
    }

    fn dual(&mut self, row: &mut [f64], mask: &[bool], inverse: &[f64]) -> bool {
        let n = row.len();
        self.choose(mask, true);
        self.unknowns.clear();
        self.unknowns.extend(self.chosen.iter().map(|&j| row[j]));
        if !self.solve(inverse, n) {
            return false;
        }
        for (&j, &lambda) in self.chosen.iter().zip(&self.unknowns) {
            axpy(-lambda, &inverse[j * n..(j + 1) * n], row);
        }
        self.chosen.iter().for_each(|&j| row[j] = 0.0);
        true
    }

    fn primal(&mut self, row: &mut [f64], mask: &[bool], h: &[f64]) -> bool {
        let n = row.len();
        let pull = pull_of_removed(row, mask, h);
        self.choose(mask, false);
        self.unknowns.clear();
        self.unknowns.extend(self.chosen.iter().map(|&j| pull[j]));
        if !self.solve(h, n) {
            return false;
        }
        for (&j, &d) in self.chosen.iter().zip(&self.unknowns) {
            row[j] += d;
        }
        zero(row, mask);
        true
    }
}

/// H_{:,P} w_P
fn pull_of_removed(row: &[f64], mask: &[bool], h: &[f64]) -> Vec<f64> {
    let n = row.len();
    let mut pull = vec![0.0; n];
    for j in (0..n).filter(|&j| mask[j] && row[j] != 0.0) {
        axpy(row[j], &h[j * n..(j + 1) * n], &mut pull);
    }
    pull
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_system_is_solved_and_a_large_one_by_gradients() {
        let of = |share: f64, n: usize| RefitWay::of(Pattern::Row(share), n);
        assert_eq!(of(0.3, 100), RefitWay::Dual, "30 that go");
        assert_eq!(of(0.7, 100), RefitWay::Primal, "30 that stay");
        assert_eq!(of(0.5, 100), RefitWay::Primal, "as many of either");
        assert_eq!(of(0.5, 384), RefitWay::Primal, "192");
        assert_eq!(of(0.5, 386), RefitWay::Gradients, "193");
        assert_eq!(of(0.25, 1000), RefitWay::Gradients, "250 that go");
        assert_eq!(of(0.9, 1000), RefitWay::Primal, "100 that stay");
        assert_eq!(of(0.1, 1000), RefitWay::Dual, "100 that go");
    }
}
