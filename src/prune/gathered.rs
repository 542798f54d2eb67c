//! Conjugate gradients for one row whose own matrix is gathered: A_CC y = b for the unknowns C of the row, in f32.
//!
//! A product of all rows with the whole matrix takes n² multiplications a row, of which a row with half of its inputs
//! unknown needs a quarter. Its own matrix, gathered once, is read in every step instead; the half that symmetry leaves is
//! as large as a near cache. Reading it is what a step waits for, so larger systems go to products of all rows.
//!
//! Layout, with L lanes: C is filled up to whole vectors by rows of the unit matrix. Of every L rows first lie the tiles
//! left of the diagonal, `[L / 4, tiles, 4, L]`: quads of rows, which keep their sums in registers. Then comes the tile on
//! the diagonal, whole `[L, L]`.

#![allow(clippy::needless_range_loop)]

use crate::Result;
use crate::kernels::simd::{self, Kernel, Vector};
use crate::pace::Pace;

/// Most unknowns: 4 MiB of matrix.
const MOST: usize = 1408;
/// Rows of a quad.
const QUAD: usize = 4;

/// Whether all rows of `n` inputs have few enough unknowns: those where `mask` is `unknown`.
pub fn is_for(mask: &[bool], unknown: bool, n: usize) -> bool {
    let of_row = |mask: &[bool]| mask.iter().filter(|m| **m == unknown).count();
    mask.chunks_exact(n).all(|mask| of_row(mask) <= MOST)
}

/// When a row stops.
#[derive(Clone, Copy)]
pub struct Until {
    /// The residual fell by this factor.
    pub fall: f64,
    pub steps: usize,
}

/// Replaces b by y in all rows, for the symmetric A `[n, n]`; says whether all rows have arrived. Errors: cancelled.
pub async fn solve(
    a: &[f32],
    (mask, unknown, mut rows): (&[bool], bool, Vec<f64>),
    until: Until,
    pace: &Pace,
) -> Result<(Vec<f64>, bool)> {
    let n = a.len().isqrt();
    let (mut memory, mut all_arrived) = (Gathered::default(), true);
    for (row, mask) in rows.chunks_exact_mut(n).zip(mask.chunks_exact(n)) {
        all_arrived &= memory.solve(a, (mask, unknown), row, until);
        pace.breathe().await?;
    }
    Ok((rows, all_arrived))
}

/// Memory that one row after the other uses.
#[derive(Default)]
struct Gathered {
    /// C
    unknowns: Vec<u32>,
    matrix: Vec<f32>,
    /// All filled up to whole vectors, with zeros.
    solution: Vec<f32>,
    residual: Vec<f32>,
    direction: Vec<f32>,
    image: Vec<f32>,
}

impl Gathered {
    /// Replaces b by y where `mask` is `unknown`, for the symmetric A `[n, n]`. False where the row does not arrive.
    fn solve(
        &mut self,
        a: &[f32],
        (mask, unknown): (&[bool], bool),
        row: &mut [f64],
        until: Until,
    ) -> bool {
        assert_eq!(a.len(), row.len() * row.len(), "matrix");
        assert!(mask.len() == row.len() && row.len() <= u32::MAX as usize, "mask");
        self.unknowns.clear();
        self.unknowns.extend((0..row.len() as u32).filter(|&j| mask[j as usize] == unknown));
        let b = || self.unknowns.iter().map(|&j| row[j as usize]);
        // Of length 1, so that f32 holds its square.
        let length = b().map(|b| b * b).sum::<f64>().sqrt();
        if length == 0.0 {
            return true;
        }
        self.residual.clear();
        self.residual.extend(b().map(|b| (b / length) as f32));
        let arrived = simd::run(Solve { memory: self, a, n: row.len(), until });
        for (&j, y) in self.unknowns.iter().zip(&self.solution) {
            row[j as usize] = f64::from(*y) * length;
        }
        arrived
    }

    /// For so many lanes.
    #[inline(always)]
    fn gather(&mut self, a: &[f32], n: usize, lanes: usize) {
        let c = &self.unknowns;
        let size = c.len().next_multiple_of(lanes);
        if self.matrix.len() < start(size / lanes, lanes) {
            self.matrix.resize(start(size / lanes, lanes), 0.0);
        }
        for i in 0..size {
            let (group, r) = (i / lanes, i % lanes);
            let here = &mut self.matrix[start(group, lanes)..start(group + 1, lanes)];
            let (left, diagonal) = here.split_at_mut(lanes * lanes * group);
            let diagonal = &mut diagonal[r * lanes..(r + 1) * lanes];
            let of_group = &c[group * lanes..c.len().min((group + 1) * lanes)];
            let quad = &mut left[r / QUAD * QUAD * lanes * group..][..QUAD * lanes * group];
            let tiles = quad.chunks_exact_mut(QUAD * lanes);
            let at = r % QUAD * lanes;
            let Some(&row) = c.get(i) else {
                tiles.for_each(|tile| tile[at..at + lanes].fill(0.0));
                diagonal.fill(0.0);
                diagonal[r] = 1.0;
                continue;
            };
            let row = &a[row as usize * n..][..n];
            // Plain loops: closures are compiled for the baseline, and called.
            for (tile, columns) in tiles.zip(c.chunks_exact(lanes)) {
                let to = &mut tile[at..at + lanes];
                for k in 0..lanes {
                    // SAFETY: C holds numbers of a row of n values.
                    to[k] = unsafe { *row.get_unchecked(columns[k] as usize) };
                }
            }
            diagonal.fill(0.0);
            for k in 0..of_group.len() {
                diagonal[k] = row[of_group[k] as usize];
            }
        }
        for vector in [&mut self.solution, &mut self.direction, &mut self.image] {
            vector.clear();
            vector.resize(size, 0.0);
        }
        self.residual.resize(size, 0.0);
        self.direction.copy_from_slice(&self.residual);
    }

    /// `image` = A_CC `direction`
    #[inline(always)]
    fn multiply<V: Vector>(&mut self) {
        let groups = self.direction.len() / V::LANES;
        assert!(self.image.len() == self.direction.len(), "vectors");
        assert!(self.matrix.len() >= start(groups, V::LANES), "matrix");
        let (p, image) = (self.direction.as_ptr(), self.image.as_mut_ptr());
        let mut a = self.matrix.as_ptr();
        // SAFETY: the vectors have `groups` vectors, and what is read of the matrix is laid out so (both asserted).
        unsafe {
            for group in 0..groups {
                let at = group * V::LANES;
                let diagonal = a.add(V::LANES * V::LANES * group);
                let mut own = V::splat(0.0);
                for r in 0..V::LANES {
                    own = own.fused(V::load(diagonal.add(r * V::LANES)), V::splat(*p.add(at + r)));
                }
                own.store(image.add(at));
                for quad in (at..at + V::LANES).step_by(QUAD) {
                    let mut x = [V::splat(0.0); QUAD];
                    for r in 0..QUAD {
                        x[r] = V::splat(*p.add(quad + r));
                    }
                    let mut sums = [V::splat(0.0); QUAD];
                    for tile in 0..group {
                        let left = V::load(p.add(tile * V::LANES));
                        let mut above = V::load(image.add(tile * V::LANES));
                        for r in 0..QUAD {
                            let a = V::load(a.add(r * V::LANES));
                            above = above.fused(a, x[r]);
                            sums[r] = sums[r].fused(a, left);
                        }
                        above.store(image.add(tile * V::LANES));
                        a = a.add(QUAD * V::LANES);
                    }
                    for r in 0..QUAD {
                        *image.add(quad + r) += sums[r].sum();
                    }
                }
                a = diagonal.add(V::LANES * V::LANES);
            }
        }
    }
}

/// Values of the matrix before group `group`.
const fn start(group: usize, lanes: usize) -> usize {
    lanes * lanes * group * (group + 1) / 2
}

struct Solve<'a> {
    memory: &'a mut Gathered,
    a: &'a [f32],
    n: usize,
    until: Until,
}

impl Kernel for Solve<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vector>(self) -> bool {
        let Solve { memory, a, n, until } = self;
        memory.gather(a, n, V::LANES);
        let mut norm = dot::<V>(&memory.residual, &memory.residual);
        let goal = norm * (until.fall * until.fall) as f32;
        for _ in 0..until.steps {
            if norm <= goal {
                break;
            }
            memory.multiply::<V>();
            let curvature = dot::<V>(&memory.direction, &memory.image);
            if curvature <= 0.0 {
                // Rounding has eaten what was left to gain in this row.
                return false;
            }
            let length = norm / curvature;
            add::<V>(&mut memory.solution, length, &memory.direction);
            add::<V>(&mut memory.residual, -length, &memory.image);
            let next = dot::<V>(&memory.residual, &memory.residual);
            turn::<V>(&mut memory.direction, next / norm, &memory.residual);
            norm = next;
        }
        // What is not a number has not arrived.
        norm <= goal
    }
}

/// Both of whole vectors.
#[inline(always)]
fn dot<V: Vector>(x: &[f32], y: &[f32]) -> f32 {
    assert_eq!(x.len(), y.len(), "vectors");
    let mut sum = V::splat(0.0);
    for k in (0..x.len()).step_by(V::LANES) {
        // SAFETY: both have whole vectors.
        sum = unsafe { sum.fused(V::load(x.as_ptr().add(k)), V::load(y.as_ptr().add(k))) };
    }
    sum.sum()
}

/// y += c x
#[inline(always)]
fn add<V: Vector>(y: &mut [f32], c: f32, x: &[f32]) {
    assert_eq!(x.len(), y.len(), "vectors");
    let c = V::splat(c);
    for k in (0..x.len()).step_by(V::LANES) {
        // SAFETY: both have whole vectors.
        unsafe {
            let y = y.as_mut_ptr().add(k);
            V::load(y).fused(V::load(x.as_ptr().add(k)), c).store(y);
        }
    }
}

/// p = r + c p
#[inline(always)]
fn turn<V: Vector>(p: &mut [f32], c: f32, r: &[f32]) {
    assert_eq!(p.len(), r.len(), "vectors");
    let c = V::splat(c);
    for k in (0..p.len()).step_by(V::LANES) {
        // SAFETY: both have whole vectors.
        unsafe {
            let p = p.as_mut_ptr().add(k);
            V::load(r.as_ptr().add(k)).fused(V::load(p), c).store(p);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::linalg::tests::positive;
    use crate::prune::system::System;

    #[test]
    fn a_row_finds_what_its_factored_system_gives() {
        let until = Until { fall: 1e-6, steps: 100 };
        let mut memory = Gathered::default();
        // Around whole vectors of every width, up and down, so that what was there before is seen to be gone.
        for count in [1, 3, 4, 5, 40, 7, 8, 9, 33, 15, 16, 17, 31, 2] {
            let n = 2 * count + 3;
            let a = positive(n, 60 + count as u64);
            let scale = |i: usize| 1.0 / a[i * n + i].sqrt();
            let a: Vec<f64> = (0..n * n).map(|k| a[k] * scale(k / n) * scale(k % n)).collect();
            let chosen: Vec<usize> = (0..n).filter(|j| j % 2 == 1).take(count).collect();
            let b = |j: usize| 1e-30 * (j as f64 - 4.5);
            let mut expected: Vec<f64> = chosen.iter().map(|&j| b(j)).collect();
            let mut system = System::default();
            system.choose(&a, n, &chosen);
            assert!(system.solve(&mut expected), "{count}");
            let short: Vec<f32> = a.iter().map(|a| *a as f32).collect();
            for unknown in [true, false] {
                let mask: Vec<bool> = (0..n).map(|j| chosen.contains(&j) == unknown).collect();
                let mut row: Vec<f64> = (0..n).map(b).collect();
                assert!(memory.solve(&short, (&mask, unknown), &mut row, until), "{count}");
                let length = expected.iter().map(|y| y * y).sum::<f64>().sqrt();
                for (&j, y) in chosen.iter().zip(&expected) {
                    assert!((row[j] - y).abs() < 1e-4 * length, "{count}: {} {y}", row[j]);
                }
                assert!((0..n).all(|j| chosen.contains(&j) || row[j] == b(j)), "{count}");
            }
        }
    }

    #[test]
    fn a_row_that_cannot_arrive_says_so_and_one_of_zeros_has_arrived() {
        let until = Until { fall: 1e-6, steps: 100 };
        let solve = |a: [f32; 4], row: &mut [f64]| {
            Gathered::default().solve(&a, (&[true; 2], true), row, until)
        };
        assert!(!solve([1.0, 2.0, 2.0, 1.0], &mut [1.0, -1.0]), "not positive");
        let mut broken = [f64::NAN, 1.0];
        assert!(!solve([1.0, 0.0, 0.0, 1.0], &mut broken) && broken[0].is_nan());
        let mut zeros = [0.0, 0.0];
        assert!(solve([1.0, 0.5, 0.5, 1.0], &mut zeros) && zeros == [0.0, 0.0]);
    }
}
