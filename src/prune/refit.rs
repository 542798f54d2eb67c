//! Whole-row compensation: the best values of the kept weights of every row for a given mask.
//!
//! For one row w with removed set P and kept set K, the minimum of δᵀHδ subject to (w + δ)_P = 0 is
//!   dual     δ = -(H⁻¹)_{:,P} ((H⁻¹)_PP)⁻¹ w_P
//!   primal   δ_K = (H_KK)⁻¹ H_KP w_P
//! which are the same; the cheaper of the two is taken: a system of |P| or of |K| unknowns a row. Above
//! [`DIRECT`] unknowns all rows of a batch are solved together by conjugate gradients on the primal form.
//!
//! Source: Zhao et al. 2024 (arXiv 2410.15567), "multiple removal problem"; the primal form, the choice and the
//! gradients are ours.

use super::hessian::Hessian;
use super::linalg::{axpy, dot};
use super::outcome::Outcome;
use super::pattern::Pattern;
use super::system::System;
use crate::Result;
use crate::backend::{Device, Matrix, WeightValues};
use crate::kernels::matmul::matmul;
use crate::pace::Pace;

/// Unknowns of the largest system that is factored row by row. Beyond it n³/3 a row loses to ~60 products with H
/// of a whole batch, which run in the fast f32 matmul.
const DIRECT: usize = 192;
/// Rows that conjugate gradients take together.
const TOGETHER: usize = 64;
/// A round ends when the residual (in the norm of the scaled system) fell by this factor ...
const FALL: f64 = 1e-3;
/// ... or after so many steps.
const MOST_STEPS: usize = 100;
/// Rounds; each begins with a residual computed in f64, which undoes what the f32 products lost.
const ROUNDS: usize = 2;

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
        return gradients(rows, mask, hessian, pace).await;
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

fn zero(row: &mut [f64], mask: &[bool]) {
    row.iter_mut().zip(mask).filter(|(_, m)| **m).for_each(|(w, _)| *w = 0.0);
}

/// Conjugate gradients for D H_KK D y = D H_KP w_P, d = D y, with D = diag(H)^-1/2: the Jacobi preconditioner.
async fn gradients(
    rows: &mut [f64],
    mask: &[bool],
    hessian: &Hessian,
    pace: &Pace,
) -> Result<Outcome> {
    let n = hessian.n;
    let scale: Vec<f64> = (0..n).map(|j| 1.0 / hessian.h[j * n + j].sqrt()).collect();
    let mut scaled = vec![0.0f32; n * n];
    for (i, (to, h)) in scaled.chunks_exact_mut(n).zip(hessian.h.chunks_exact(n)).enumerate() {
        for ((to, h), d) in to.iter_mut().zip(h).zip(&scale) {
            *to = (h * scale[i] * d) as f32;
        }
    }
    let matrix = Device::Cpu.matrix(n, n, WeightValues::F32(&scaled));
    for (rows, mask) in rows.chunks_mut(TOGETHER * n).zip(mask.chunks(TOGETHER * n)) {
        let removed: Vec<f64> =
            rows.iter().zip(mask).map(|(w, m)| if *m { *w } else { 0.0 }).collect();
        let mut change = vec![0.0f64; rows.len()]; // d, on the kept weights
        for _ in 0..ROUNDS {
            let mut residual = Vec::with_capacity(rows.len());
            for ((w, d), m) in
                removed.chunks_exact(n).zip(change.chunks_exact(n)).zip(mask.chunks_exact(n))
            {
                // D (H (w_P - d)) on the kept weights
                let open: Vec<f64> = w.iter().zip(d).map(|(w, d)| w - d).collect();
                let h = hessian.h.chunks_exact(n);
                residual.extend(h.zip(m).zip(&scale).map(
                    |((h, m), s)| {
                        if *m { 0.0 } else { dot(h, &open) * s }
                    },
                ));
            }
            pace.breathe().await?;
            let step = Gradients::run(residual, mask, &matrix, pace).await?;
            for (d, y) in change.chunks_exact_mut(n).zip(step.chunks_exact(n)) {
                d.iter_mut().zip(y).zip(&scale).for_each(|((d, y), s)| *d += y * s);
            }
        }
        rows.iter_mut().zip(&change).for_each(|(w, d)| *w += d);
        zero(rows, mask);
    }
    Ok(Outcome::Done)
}

/// One round. Every row has its own step lengths and stops for itself.
struct Gradients {
    solution: Vec<f64>,
    residual: Vec<f64>,
    direction: Vec<f64>,
    /// |residual|² of every row, now and where it stops.
    norms: Vec<f64>,
    goals: Vec<f64>,
}

impl Gradients {
    /// Approximates A y = `residual` on the kept weights of every row; `a` `[n, n]` has a diagonal of ones.
    async fn run(residual: Vec<f64>, mask: &[bool], a: &Matrix, pace: &Pace) -> Result<Vec<f64>> {
        let n = a.cols();
        let norms: Vec<f64> = residual.chunks_exact(n).map(|r| dot(r, r)).collect();
        let mut state = Gradients {
            solution: vec![0.0; residual.len()],
            direction: residual.clone(),
            goals: norms.iter().map(|x| x * FALL * FALL).collect(),
            residual,
            norms,
        };
        for _ in 0..MOST_STEPS {
            if state.norms.iter().zip(&state.goals).all(|(x, goal)| x <= goal) {
                break;
            }
            let direction: Vec<f32> = state.direction.iter().map(|x| *x as f32).collect();
            let direction = Device::Cpu.tensor(state.norms.len(), n, &direction);
            let image = matmul(&Device::Cpu, &direction, a, None, None); // [rows, n]
            state.step(image.cpu(), mask, n);
            pace.breathe().await?;
        }
        Ok(state.solution)
    }

    fn step(&mut self, image: &[f32], mask: &[bool], n: usize) {
        let rows = self.solution.chunks_exact_mut(n).zip(self.residual.chunks_exact_mut(n));
        let rows = rows.zip(self.direction.chunks_exact_mut(n));
        let rows = rows.zip(image.chunks_exact(n)).zip(mask.chunks_exact(n));
        let state = self.norms.iter_mut().zip(&mut self.goals);
        for (((((y, r), p), image), mask), (norm, goal)) in rows.zip(state) {
            if *norm <= *goal {
                continue;
            }
            let image: Vec<f64> =
                image.iter().zip(mask).map(|(x, m)| if *m { 0.0 } else { f64::from(*x) }).collect();
            let curvature = dot(p, &image);
            if curvature <= 0.0 {
                // Rounding has eaten what was left to gain in this row.
                *goal = f64::INFINITY;
                continue;
            }
            let length = *norm / curvature;
            axpy(length, p, y);
            axpy(-length, &image, r);
            let next = dot(r, r);
            let turn = next / *norm;
            *norm = next;
            p.iter_mut().zip(r.iter()).for_each(|(p, r)| *p = r + turn * *p);
        }
    }
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
