//! The little dense linear algebra that pruning needs, in f64, row-major.
//!
//! Cholesky A = L Lᵀ and the inverse of L; small systems row by row are in `system`. Written out, not
//! taken from faer: a few loops over contiguous rows are enough here, and faer's Cholesky alone would add about
//! 30 kB (gzip) to an engine that must stay small. Work is done in blocks, most of it in matrix products (`product`).

use super::product::{Grid, add_product};
use crate::Result;
use crate::pace::Pace;

/// Rows or columns that are worked on together.
const BLOCK: usize = 32;

/// sum_i a_i b_i, in eight partial sums so that it vectorises.
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut sums = [0.0f64; 8];
    let (heads_a, heads_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = heads_a.remainder().iter().zip(heads_b.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in heads_a.zip(heads_b) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f64>() + tail
}

/// y += c x
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
pub fn axpy(c: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += c * x;
    }
}

/// Factors the symmetric `a` `[n, n]` (its lower half is read) in place: L below and on the diagonal.
///
/// False when a pivot is not above n ε times the largest diagonal element; `a` is then of no use.
/// Errors: cancelled.
pub async fn cholesky(a: &mut [f64], n: usize, pace: &Pace) -> Result<bool> {
    assert_eq!(a.len(), n * n, "cholesky of [{n}, {n}]");
    let largest = (0..n).map(|i| a[i * n + i]).fold(0.0, f64::max);
    let floor = n as f64 * f64::EPSILON * largest;
    let mut panel = Vec::new();
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        if !factor_columns(a, n, start, end, floor) {
            return Ok(false);
        }
        // The rest, lower half in blocks: less the products of the columns that are done.
        panel.clear();
        (end..n).for_each(|i| panel.extend_from_slice(&a[i * n + start..i * n + end]));
        let width = end - start;
        for top in (end..n).step_by(BLOCK) {
            let bottom = (top + BLOCK).min(n);
            let left = Grid::new(&panel[(top - end) * width..], bottom - top, width, width);
            let right = Grid::new(&panel, bottom - end, width, width).transposed();
            add_product(&mut a[top * n + end..], n, -1.0, left, right);
        }
        pace.breathe().await?;
    }
    Ok(true)
}

/// Columns `start..end` of L, when everything left of them has been taken off. False as in [`cholesky`].
fn factor_columns(a: &mut [f64], n: usize, start: usize, end: usize, floor: f64) -> bool {
    for i in start..n {
        let (before, row) = a.split_at_mut(i * n);
        let row = &mut row[start..end];
        for (j, other) in (start..end.min(i)).zip(before[start * n..].chunks_exact(n)) {
            let (j, other) = (j - start, &other[start..=j]);
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        if i < end {
            let i = i - start;
            let pivot = row[i] - dot(&row[..i], &row[..i]);
            if pivot.is_nan() || pivot <= floor {
                return false;
            }
            row[i] = pivot.sqrt();
        }
    }
    true
}

/// Replaces the lower triangle L `[n, n]` by its inverse, in place. Errors: cancelled.
pub async fn invert_lower(l: &mut [f64], n: usize, pace: &Pace) -> Result<()> {
    assert_eq!(l.len(), n * n, "inverse of [{n}, {n}]");
    let mut factors = vec![0.0; BLOCK * n];
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        let (above, block) = l.split_at_mut(start * n);
        let block = &mut block[..(end - start) * n];
        factors[..block.len()].copy_from_slice(block);
        block.fill(0.0);
        // row i of the inverse = (e_i - sum_{k < i} L_ik * row k of the inverse) / L_ii
        for left in (0..start).step_by(BLOCK) {
            let right = (left + BLOCK).min(start);
            let f = Grid::new(&factors[left..], end - start, start - left, n);
            let done = Grid::new(&above[left * n + left..], start - left, right - left, n);
            add_product(&mut block[left..], n, -1.0, f, done);
        }
        for i in 0..end - start {
            let (before, row) = block.split_at_mut(i * n);
            let (row, f) = (&mut row[..n], &factors[i * n..(i + 1) * n]);
            for (k, done) in before.chunks_exact(n).enumerate() {
                let k = start + k;
                axpy(-f[k], &done[..=k], &mut row[..=k]);
            }
            let scale = 1.0 / f[start + i];
            row[..start + i].iter_mut().for_each(|x| *x *= scale);
            row[start + i] = scale;
        }
        pace.breathe().await?;
    }
    Ok(())
}

/// 1 - cos of the angle between two rows.
pub fn turn(x: &[f32], y: &[f32]) -> f64 {
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (f64::from(*x), f64::from(*y));
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    if xx * yy > 0.0 { 1.0 - xy / (xx * yy).sqrt() } else { 1.0 }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::Rng;
    use pollster::block_on;

    /// B Bᵀ + I, `[n, n]`.
    pub fn positive(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = Rng::new(seed);
        let b: Vec<f64> = rng.normals(n * n, 1.0).iter().map(|x| f64::from(*x)).collect();
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                a[i * n + j] = (0..n).map(|k| b[i * n + k] * b[j * n + k]).sum::<f64>();
            }
            a[i * n + i] += 1.0;
        }
        a
    }

    #[test]
    fn the_inverse_of_the_factor_undoes_the_matrix() {
        for n in [1, 2, 31, 32, 33, 70, 101] {
            let a = positive(n, n as u64);
            let mut l = a.clone();
            assert!(block_on(cholesky(&mut l, n, &Pace::default())).unwrap());
            block_on(invert_lower(&mut l, n, &Pace::default())).unwrap();
            // L⁻¹ A L⁻ᵀ = I
            let at = |i: usize, j: usize| if j <= i { l[i * n + j] } else { 0.0 };
            for i in 0..n {
                let row: Vec<f64> =
                    (0..n).map(|j| (0..n).map(|k| at(i, k) * a[k * n + j]).sum()).collect();
                for j in 0..n {
                    let x: f64 = (0..n).map(|k| row[k] * at(j, k)).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((x - expected).abs() < 1e-9, "{n}: [{i}, {j}] is {x}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        let singular = [1.0, 1.0, 1.0, 1.0];
        let not_a_number = [f64::NAN, 0.0, 0.0, 1.0];
        // Below 2 ε of the largest, on either side of it.
        let small = [[1e-8, 0.0, 0.0, 1e8], [1e8, 0.0, 0.0, 1e-8]];
        for a in [singular, not_a_number, small[0], small[1]] {
            let mut full = a.to_vec();
            assert!(!block_on(cholesky(&mut full, 2, &Pace::default())).unwrap());
        }
    }

    #[test]
    fn a_turn_is_one_less_the_cosine_of_rows_of_any_length() {
        for (x, y, expected) in [
            ([3.0, 4.0], [4.0, 3.0], 0.04),
            ([3.0, 4.0], [40.0, 30.0], 0.04),
            ([1.0, 2.0], [2.0, 4.0], 0.0),
            ([1.0, 2.0], [-2.0, 1.0], 1.0),
            ([1.0, 2.0], [-3.0, -6.0], 2.0),
            ([0.0, 0.0], [1.0, 2.0], 1.0),
            ([1.0, 2.0], [0.0, 0.0], 1.0),
        ] {
            assert!((turn(&x, &y) - expected).abs() < 1e-15, "{x:?}, {y:?}: {}", turn(&x, &y));
        }
    }
}
