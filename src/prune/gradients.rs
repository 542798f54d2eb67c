//! Conjugate gradients for the best values of the kept weights of many rows, each with its own mask.
//!
//! The two forms of `refit`, each preconditioned by its diagonal (D = diag(H)^-1/2, E = diag(H⁻¹)^-1/2):
//!   primal   D H_KK D y = D H_KP w_P        d = D y, δ_K = d
//!   dual     E (H⁻¹)_PP E y = E w_P         λ = E y, δ = -λ H⁻¹
//! ((H⁻¹)_PP)⁻¹ is what is left of H_PP when the kept inputs have explained what they can: without the few directions that
//! all inputs share, which is what makes H_KK slow. Half of 576 or 1536 inputs of SmolLM2 need 20 to 55 steps (mean 31)
//! where the primal form needs 57 to 145 (mean 89). With few inputs kept it is the other way round, and with an H that is
//! all but singular the dual form may not arrive at all; then the primal form takes its rows.
//!
//! A round begins with a residual in f64 and steps with products in f32. The dual form takes another round only for rows
//! whose residual is too large in f64. Natively a row's own matrix is gathered (`gathered`) where that is small; else all
//! rows that have not arrived share a product, and one that has leaves it.
//!
//! Shapes: rows, mask `[m, n]`, H and its scaled forms `[n, n]`. On a GPU: `kernels/refit.rs`, the primal form. So in wasm,
//! where the dual form would be more to load.

#[cfg(not(target_arch = "wasm32"))]
use super::gathered::{self, Until};
use super::hessian::{Hessian, Scaled};
use super::linalg::{axpy, dot};
#[cfg(not(target_arch = "wasm32"))]
use super::product::product_f32;
use super::product::{Grid, add_product};
use crate::Result;
#[cfg(target_arch = "wasm32")]
use crate::backend::{Device, Matrix, WeightValues};
#[cfg(target_arch = "wasm32")]
use crate::kernels::matmul::matmul;
use crate::kernels::simd::widest;
use crate::pace::Pace;

/// Rows that share products at most.
const TOGETHER: usize = 256;
/// A round ends when the residual (in the norm of the scaled system) fell by this factor ...
const FALL: f64 = 1e-3;
/// ... or after so many steps.
const MOST_STEPS: usize = 100;
/// Rounds; each begins with a residual computed in f64, which undoes what the f32 products lost.
const ROUNDS: usize = 2;
/// The dual form is done where the residual in f64 fell by this factor, that of all rounds.
#[cfg(not(target_arch = "wasm32"))]
const WHOLE_FALL: f64 = 1e-6;
/// What a round aims at below its goal: f32 finds the residual a little smaller than f64.
#[cfg(not(target_arch = "wasm32"))]
const ROOM: f64 = 0.5;
/// Rows of so few inputs take two rounds always, which costs nothing: their weights are then exact beyond f32.
#[cfg(not(target_arch = "wasm32"))]
const SHORT: usize = 64;

/// Gives the kept weights of `rows` their best values and zeroes the others. Errors: cancelled.
pub async fn gradients(
    rows: &mut [f64],
    mask: &[bool],
    hessian: &Hessian,
    pace: &Pace,
) -> Result<()> {
    let size = TOGETHER * hessian.n;
    for (rows, mask) in rows.chunks_mut(size).zip(mask.chunks(size)) {
        #[cfg(not(target_arch = "wasm32"))]
        if 3 * mask.iter().filter(|m| **m).count() <= 2 * mask.len()
            && dual(rows, mask, hessian, pace).await?
        {
            continue;
        }
        primal(rows, mask, hessian, pace).await?;
    }
    Ok(())
}

/// For most weights gone, and for what the dual form cannot do.
async fn primal(rows: &mut [f64], mask: &[bool], hessian: &Hessian, pace: &Pace) -> Result<()> {
    let n = hessian.n;
    let scaled = Scaled::of(&hessian.h, n);
    let system = System::new(&scaled, mask, false);
    // w_P - d: the removed weights, and on the kept ones what they have not yet gained.
    let mut open: Vec<f64> =
        rows.iter().zip(mask).map(|(w, m)| if *m { *w } else { 0.0 }).collect();
    for _ in 0..ROUNDS {
        let mut residual = vec![0.0; rows.len()]; // D (H (w_P - d))_K
        add_product(&mut residual, n, 1.0, rows_of(&open, n), Grid::new(&hessian.h, n, n, n));
        system.scale(&mut residual);
        pace.breathe().await?;
        let (mut gain, _) = system.solve(residual, FALL, pace).await?;
        system.scale(&mut gain);
        open.iter_mut().zip(&gain).for_each(|(open, d)| *open -= d);
    }
    rows.iter_mut().zip(&open).for_each(|(w, open)| *w -= open);
    zero(rows, mask);
    Ok(())
}

/// For at most two thirds of the weights gone. False, and nothing is changed, where a row does not arrive.
#[cfg(not(target_arch = "wasm32"))]
async fn dual(rows: &mut [f64], mask: &[bool], hessian: &Hessian, pace: &Pace) -> Result<bool> {
    let n = hessian.n;
    let mut left = rows.to_vec();
    let system = System::new(hessian.scaled_inverse(pace).await?, mask, true);
    let mut residual = rows.to_vec();
    system.scale(&mut residual);
    let goal = |square| square * WHOLE_FALL * WHOLE_FALL;
    let goals: Vec<f64> = squares(&residual, n).map(goal).collect();
    let mut fall = WHOLE_FALL;
    // What a round leaves of w_P is the next one's right side.
    for round in 0..=ROUNDS {
        let (mut y, all_arrived) = system.solve(residual, ROOM * fall, pace).await?;
        if !all_arrived {
            return Ok(false);
        }
        system.scale(&mut y);
        hessian.follow(&mut left, &y, pace).await?; // w + δ
        residual = left.clone();
        system.scale(&mut residual);
        if round == 0 && n <= SHORT {
            fall = FALL;
            continue;
        }
        let squares: Vec<f64> = squares(&residual, n).collect();
        let open = squares.iter().zip(&goals).filter(|(square, goal)| square > goal);
        fall = open.map(|(square, goal)| (goal / square).sqrt()).fold(1.0, f64::min);
        if fall == 1.0 {
            break;
        }
        let rows = residual.chunks_exact_mut(n).zip(squares.iter().zip(&goals));
        let done = rows.filter(|(_, (square, goal))| square <= goal);
        done.for_each(|(residual, _)| residual.fill(0.0));
    }
    rows.copy_from_slice(&left);
    zero(rows, mask);
    Ok(true)
}

/// |row|² of every row.
#[cfg(not(target_arch = "wasm32"))]
fn squares(rows: &[f64], n: usize) -> impl Iterator<Item = f64> {
    rows.chunks_exact(n).map(|row| widest(|| dot(row, row)))
}

/// Zeroes what goes.
pub fn zero(row: &mut [f64], mask: &[bool]) {
    row.iter_mut().zip(mask).filter(|(_, m)| **m).for_each(|(w, _)| *w = 0.0);
}

fn rows_of(values: &[f64], n: usize) -> Grid<'_> {
    Grid::new(values, values.len() / n, n, n)
}

/// One scaled matrix for all rows, of which each takes the unknowns that its mask says.
struct System<'a> {
    n: usize,
    scaled: &'a Scaled,
    mask: &'a [bool],
    /// What the mask says of an unknown.
    unknown: bool,
    #[cfg(target_arch = "wasm32")]
    matrix: Matrix,
}

impl<'a> System<'a> {
    fn new(scaled: &'a Scaled, mask: &'a [bool], unknown: bool) -> System<'a> {
        let n = scaled.scale.len();
        System {
            n,
            scaled,
            mask,
            unknown,
            #[cfg(target_arch = "wasm32")]
            matrix: Device::Cpu.matrix(n, n, WeightValues::F32(&scaled.values)),
        }
    }

    /// Scales the unknowns of all rows; the others become 0.
    fn scale(&self, rows: &mut [f64]) {
        for (row, mask) in rows.chunks_exact_mut(self.n).zip(self.mask.chunks_exact(self.n)) {
            for ((x, m), scale) in row.iter_mut().zip(mask).zip(&self.scaled.scale) {
                *x = if *m == self.unknown { *x * scale } else { 0.0 };
            }
        }
    }

    /// Solves for `residual`, whose unknowns are scaled and whose other values are 0, in every row, until that fell by
    /// `fall`; says whether all rows have arrived.
    async fn solve(&self, residual: Vec<f64>, fall: f64, pace: &Pace) -> Result<(Vec<f64>, bool)> {
        #[cfg(not(target_arch = "wasm32"))]
        if gathered::is_for(self.mask, self.unknown, self.n) {
            let rows = (self.mask, self.unknown, residual);
            let until = Until { fall, steps: MOST_STEPS };
            return gathered::solve(&self.scaled.values, rows, until, pace).await;
        }
        Round::run(residual, self, fall, pace).await
    }

    /// Products of rows with the matrix. It is its own transpose and goes in as it lies: the `gemm` crate then packs it in
    /// whole vectors, where the rows of a linear layer's weights have to be turned.
    #[cfg(not(target_arch = "wasm32"))]
    fn images(&self, x: &[f32]) -> Vec<f32> {
        let n = self.n;
        product_f32(Grid::new(x, x.len() / n, n, n), Grid::new(&self.scaled.values, n, n, n))
    }

    #[cfg(target_arch = "wasm32")]
    fn images(&self, x: &[f32]) -> Vec<f32> {
        let x = Device::Cpu.tensor(x.len() / self.n, self.n, x);
        matmul(&Device::Cpu, &x, &self.matrix, None, None).cpu().to_vec()
    }
}

/// One round. Every row has its own step lengths and stops for itself.
struct Round<'a> {
    system: &'a System<'a>,
    solution: Vec<f64>,
    residual: Vec<f64>,
    direction: Vec<f64>,
    all_arrived: bool,
}

/// |residual|² of a row, now and where it stops.
struct Way {
    row: usize,
    norm: f64,
    goal: f64,
}

impl Way {
    /// What is not a number goes on, and makes the weights so: the driver then says that the file is broken.
    fn has_arrived(&self) -> bool {
        self.norm <= self.goal
    }
}

impl<'a> Round<'a> {
    /// As [`System::solve`], with products of all rows.
    async fn run(
        residual: Vec<f64>,
        system: &'a System<'a>,
        fall: f64,
        pace: &Pace,
    ) -> Result<(Vec<f64>, bool)> {
        let n = system.n;
        let norms = residual.chunks_exact(n).map(|r| dot(r, r)).enumerate();
        let mut ways: Vec<Way> =
            norms.map(|(row, norm)| Way { row, norm, goal: norm * fall * fall }).collect();
        let solution = vec![0.0; residual.len()];
        let direction = residual.clone();
        let mut round = Round { system, solution, direction, residual, all_arrived: true };
        for _ in 0..MOST_STEPS {
            ways.retain(|way| !way.has_arrived());
            if ways.is_empty() {
                break;
            }
            let open = ways.iter().flat_map(|way| &round.direction[way.row * n..][..n]);
            let images = system.images(&open.map(|x| *x as f32).collect::<Vec<f32>>());
            for (way, image) in ways.iter_mut().zip(images.chunks_exact(n)) {
                widest(|| round.step(way, image));
            }
            pace.breathe().await?;
        }
        let all_arrived = round.all_arrived && ways.iter().all(Way::has_arrived);
        Ok((round.solution, all_arrived))
    }

    #[inline(always)]
    fn step(&mut self, way: &mut Way, image: &[f32]) {
        let System { n, mask, unknown, .. } = *self.system;
        let at = way.row * n..(way.row + 1) * n;
        let (y, r) = (&mut self.solution[at.clone()], &mut self.residual[at.clone()]);
        let p = &mut self.direction[at.clone()];
        let masked = image.iter().zip(&mask[at]);
        let image: Vec<f64> =
            masked.map(|(x, m)| if *m == unknown { f64::from(*x) } else { 0.0 }).collect();
        let curvature = dot(p, &image);
        if curvature <= 0.0 {
            // Rounding has eaten what was left to gain in this row.
            way.goal = f64::INFINITY;
            self.all_arrived = false;
            return;
        }
        let length = way.norm / curvature;
        axpy(length, p, y);
        axpy(-length, &image, r);
        let next = dot(r, r);
        let turn = next / way.norm;
        way.norm = next;
        p.iter_mut().zip(r.iter()).for_each(|(p, r)| *p = r + turn * *p);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::refit::RefitWay;
    use crate::prune::tests::{f64s, hessian, layer, refitted};
    use pollster::block_on;

    #[test]
    fn both_forms_reach_the_optimum_at_every_share() {
        let n = 300; // more than a block of the triangle
        let case = layer(5, n, 400, 81);
        let h = hessian(&case.gram, n, 0.01);
        let rows = f64s(&case.weights);
        for share in [1, 5, 8] {
            let mask: Vec<bool> = (0..rows.len()).map(|k| k * 7 % 9 < share).collect();
            let best = rows.chunks(n).zip(mask.chunks(n));
            let best = best.flat_map(|(row, mask)| refitted(&h, row, mask, RefitWay::Primal));
            let best: Vec<f64> = best.collect();
            let pace = Pace::default();
            let (mut first, mut second) = (rows.clone(), rows.clone());
            block_on(primal(&mut first, &mask, &h, &pace)).unwrap();
            block_on(gradients(&mut second, &mask, &h, &pace)).unwrap();
            // The driver's choice is the dual form up to two thirds, so that both are tested.
            assert_eq!(first == second, share == 8);
            for found in [first, second] {
                let excess = |(r, found): (usize, &[f64])| {
                    let lost = |of: &[f64]| {
                        let change = of.iter().zip(&rows[r * n..]).map(|(a, b)| a - b);
                        h.loss(&change.collect::<Vec<f64>>())
                    };
                    assert!(found.iter().zip(&mask[r * n..]).all(|(w, m)| !*m || *w == 0.0));
                    (lost(found) / lost(&best[r * n..][..n]) - 1.0).abs()
                };
                let worst = found.chunks(n).enumerate().map(excess).fold(0.0, f64::max);
                assert!(worst < 1e-8, "{share} of 9: {worst:e}");
            }
        }
    }

    #[test]
    #[cfg(not(target_arch = "wasm32"))]
    fn rows_with_shared_products_arrive_where_gathered_ones_do() {
        let n = 150;
        let case = layer(5, n, 400, 84);
        let h = hessian(&case.gram, n, 0.01);
        let mask: Vec<bool> = (0..5 * n).map(|k| k * 7 % 9 < 4).collect();
        let pace = Pace::default();
        let scaled = block_on(h.scaled_inverse(&pace)).unwrap();
        for unknown in [true, false] {
            let system = System::new(scaled, &mask, unknown);
            let mut right = f64s(&case.weights);
            system.scale(&mut right);
            let (first, all) = block_on(system.solve(right.clone(), 1e-6, &pace)).unwrap();
            let (second, both) = block_on(Round::run(right, &system, 1e-6, &pace)).unwrap();
            assert!(all && both);
            let length = squares(&second, n).sum::<f64>().sqrt();
            let apart = first.iter().zip(&second).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart > 0.0 && apart < 1e-5 * length, "{apart:e} of {length:e}");
        }
    }

    #[test]
    #[cfg(not(target_arch = "wasm32"))]
    fn where_the_dual_form_does_not_arrive_the_primal_form_takes_over() {
        // Half as many tokens as inputs and next to no damping: H is all but singular.
        let (n, tokens) = (300, 150);
        let case = layer(2, n, tokens, 83);
        let h = hessian(&case.gram, n, 1e-8);
        let rows = f64s(&case.weights);
        let mask: Vec<bool> = (0..rows.len()).map(|k| k * 7 % 9 < 5).collect();
        let pace = Pace::default();
        let (mut first, mut second) = (rows.clone(), rows.clone());
        assert!(!block_on(dual(&mut second, &mask, &h, &pace)).unwrap());
        assert_eq!(second, rows, "nothing is changed");
        block_on(primal(&mut first, &mask, &h, &pace)).unwrap();
        block_on(gradients(&mut second, &mask, &h, &pace)).unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn a_row_that_is_not_finite_stays_so_and_leaves_the_others_alone() {
        let n = 64;
        let case = layer(3, n, 200, 82);
        let h = hessian(&case.gram, n, 0.01);
        for share in [4, 8] {
            let mask: Vec<bool> = (0..3 * n).map(|k| k * 7 % 9 < share).collect();
            let mut rows = f64s(&case.weights);
            let mut broken = rows.clone();
            let removed = (n..2 * n).find(|&k| mask[k]).unwrap();
            broken[removed] = f64::NAN;
            let pace = Pace::default();
            block_on(gradients(&mut rows, &mask, &h, &pace)).unwrap();
            block_on(gradients(&mut broken, &mask, &h, &pace)).unwrap();
            assert!(broken[n..2 * n].iter().any(|w| !w.is_finite()), "{share} of 9");
            let near = |range: std::ops::Range<usize>| {
                rows[range.clone()].iter().zip(&broken[range]).all(|(a, b)| (a - b).abs() < 1e-4)
            };
            assert!(near(0..n) && near(2 * n..3 * n), "{share} of 9");
        }
    }
}
