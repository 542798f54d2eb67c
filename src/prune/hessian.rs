//! The damped Hessian of a layer's inputs and what the methods read from it, in f64.
//!
//! H = XᵀX + λI with λ = damping * mean of the diagonal. U is upper triangular with H⁻¹ = UᵀU. With J the reversal
//! of the indices and D = diag(H)^-1/2: J D H D J = L Lᵀ, U = J L⁻¹ J D; one factorisation and one triangular
//! inverse instead of two factorisations and an inverse. For every a, U[a.., a..] is the same factor of
//! (H[a.., a..])⁻¹: what remains when the columns before a are frozen.
//!
//! Source: Frantar & Alistarh 2023 (arXiv 2301.00774), section 3; the reversal and the scaling are ours. Factors
//! such as the 2 of 2XXᵀ or 1/T change nothing but the scale of λ, which is relative. Where we differ: an input
//! that is always 0 gets the mean of the other diagonal elements (the authors' code: 1), so that the result does
//! not depend on the scale of the inputs.

use super::linalg::{axpy, cholesky, dot, invert_lower};
use super::product::{Grid, add_product};
use crate::pace::Pace;
use crate::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use std::sync::OnceLock;

/// Damping that is tried when a factorisation without damping fails.
const LEAST_DAMPING: f64 = 1e-8;
/// Rows of an inverse that are computed together.
const TOGETHER: usize = 64;
/// Damping beyond which the inputs no longer matter.
pub const MOST_DAMPING: f64 = 1e6;
/// A factor of ten each: far beyond the point where H is all but the identity.
const MOST_RETRIES: u32 = 16;

/// H, its factor and, where a method needs it, its inverse. All `[n, n]` row-major.
pub struct Hessian {
    pub n: usize,
    /// Damped.
    pub h: Vec<f64>,
    /// Upper triangle, H⁻¹ = UᵀU.
    pub u: Vec<f64>,
    /// H⁻¹ after [`Hessian::invert`], else empty.
    pub inverse: Vec<f64>,
    /// Inputs that were 0 on all calibration tokens: their weights can go without loss.
    pub dead: Vec<bool>,
    /// λ as a share of the mean diagonal element.
    pub damping: f64,
    /// How often the damping was raised until the factorisation went well.
    pub retries: u32,
    /// After [`Hessian::scaled_inverse`].
    #[cfg(not(target_arch = "wasm32"))]
    scaled_inverse: OnceLock<Scaled>,
}

/// D A D in f32 for a symmetric positive A `[n, n]`, with D = diag(A)^-1/2: its diagonal is 1.
pub struct Scaled {
    /// D
    pub scale: Vec<f64>,
    /// `[n, n]`
    pub values: Vec<f32>,
}

impl Scaled {
    /// Of A `[n, n]`.
    pub fn of(a: &[f64], n: usize) -> Scaled {
        let scale: Vec<f64> = (0..n).map(|j| 1.0 / a[j * n + j].sqrt()).collect();
        let mut values = vec![0.0f32; n * n];
        for (i, (to, a)) in values.chunks_exact_mut(n).zip(a.chunks_exact(n)).enumerate() {
            for ((to, a), d) in to.iter_mut().zip(a).zip(&scale) {
                *to = (a * scale[i] * d) as f32;
            }
        }
        Scaled { scale, values }
    }
}

impl Hessian {
    /// From XᵀX `[n, n]`. Where the factorisation fails the damping is raised tenfold until it does not.
    ///
    /// Errors: cancelled, or inputs that are not finite.
    pub async fn new(gram: &[f64], n: usize, damping: f64, pace: &Pace) -> Result<Hessian> {
        assert_eq!(gram.len(), n * n, "gram [{n}, {n}]");
        if gram.iter().any(|x| !x.is_finite()) {
            let expected = "finite activations; the model or the calibration text is broken";
            return Err(Error::input(
                "calibration",
                "infinite or NaN inputs of a matrix",
                expected,
            ));
        }
        let mut damping = damping;
        for retries in 0..=MOST_RETRIES {
            let (mut h, dead, mean) = revived(gram, n);
            (0..n).for_each(|j| h[j * n + j] += damping * mean);
            if let Some(u) = factor(&h, n, pace).await? {
                return Ok(Hessian {
                    n,
                    h,
                    u,
                    inverse: Vec::new(),
                    dead,
                    damping,
                    retries,
                    #[cfg(not(target_arch = "wasm32"))]
                    scaled_inverse: OnceLock::new(),
                });
            }
            damping = (damping * 10.0).max(LEAST_DAMPING);
        }
        let expected = "inputs whose products f64 can hold; the model is broken";
        Err(Error::input("calibration", "no positive definite Hessian at any damping", expected))
    }

    /// The same inputs with ten times the damping, for a solve that failed after the factorisation went well.
    pub async fn raised(&self, gram: &[f64], pace: &Pace) -> Result<Hessian> {
        let damping = (self.damping * 10.0).max(LEAST_DAMPING);
        let mut next = Hessian::new(gram, self.n, damping, pace).await?;
        next.retries += self.retries + 1;
        Ok(next)
    }

    /// Fills [`Hessian::inverse`]. Errors: cancelled.
    pub async fn invert(&mut self, pace: &Pace) -> Result<()> {
        if self.inverse.is_empty() {
            self.inverse = self.trailing_inverse(0, self.n, pace).await?;
        }
        Ok(())
    }

    /// H⁻¹ in f32, scaled; made once. Errors: cancelled.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn scaled_inverse(&self, pace: &Pace) -> Result<&Scaled> {
        if let Some(scaled) = self.scaled_inverse.get() {
            return Ok(scaled);
        }
        let scaled = match self.inverse.is_empty() {
            true => Scaled::of(&self.trailing_inverse(0, self.n, pace).await?, self.n),
            false => Scaled::of(&self.inverse, self.n),
        };
        Ok(self.scaled_inverse.get_or_init(|| scaled))
    }

    /// Adds δ = -λ H⁻¹ to rows `[m, n]` for λ `[m, n]`, as -λ UᵀU block by block of the triangle. Errors: cancelled.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn follow(&self, rows: &mut [f64], lambda: &[f64], pace: &Pace) -> Result<()> {
        const BLOCK: usize = 256;
        let (n, m) = (self.n, rows.len() / self.n);
        for a in (0..n).step_by(BLOCK) {
            let size = BLOCK.min(n - a);
            let u = Grid::new(&self.u[a * n + a..], size, n - a, n);
            let mut half = vec![0.0; m * size]; // λ Uᵀ
            add_product(&mut half, size, 1.0, Grid::new(&lambda[a..], m, n - a, n), u.transposed());
            add_product(&mut rows[a..], n, -1.0, Grid::new(&half, m, size, size), u);
            pace.breathe().await?;
        }
        Ok(())
    }

    /// The leading block of (H[a.., a..])⁻¹: U[a..b, a..b]ᵀ U[a..b, a..b], `[b - a, b - a]`.
    pub async fn trailing_inverse(&self, a: usize, b: usize, pace: &Pace) -> Result<Vec<f64>> {
        let (size, n) = (b - a, self.n);
        let mut g = vec![0.0; size * size];
        for top in (0..size).step_by(TOGETHER) {
            let bottom = (top + TOGETHER).min(size);
            let u = |from: usize, width: usize| {
                Grid::new(&self.u[a * n + a + from..], bottom, width, n)
            };
            let (left, right) = (u(top, bottom - top).transposed(), u(top, size - top));
            add_product(&mut g[top * size + top..], size, 1.0, left, right);
            pace.breathe().await?;
        }
        for i in 0..size {
            for j in 0..i {
                g[i * size + j] = g[j * size + i];
            }
        }
        Ok(g)
    }

    /// U_jj: 1 / U_jj² weighs the removal of weight j when all columns before it are frozen.
    pub fn factor_diagonal(&self) -> Vec<f64> {
        (0..self.n).map(|j| self.u[j * self.n + j]).collect()
    }

    /// H⁻¹[a..b, a..b] of the whole matrix.
    pub fn inverse_block(&self, a: usize, b: usize) -> Vec<f64> {
        let (n, size) = (self.n, b - a);
        let mut g = vec![0.0; size * size];
        for k in 0..b {
            let u = &self.u[k * n + a..k * n + b];
            for i in 0..size {
                axpy(u[i], u, &mut g[i * size..(i + 1) * size]);
            }
        }
        g
    }

    /// diag(H⁻¹), by columns of U.
    pub fn inverse_diagonal(&self) -> Vec<f64> {
        let mut diagonal = vec![0.0; self.n];
        for row in self.u.chunks_exact(self.n) {
            diagonal.iter_mut().zip(row).for_each(|(d, u)| *d += u * u);
        }
        diagonal
    }

    /// δᵀHδ, the damped loss of a change of one row (twice the ½ of the derivations).
    pub fn loss(&self, change: &[f64]) -> f64 {
        let rows = change.iter().zip(self.h.chunks_exact(self.n));
        rows.filter(|(d, _)| **d != 0.0).map(|(d, h)| d * dot(h, change)).sum()
    }
}

/// The mean of a nearly symmetric matrix `[n, n]` and its transpose.
pub fn symmetric(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    for i in 0..n {
        for j in 0..i {
            let mean = (a[i * n + j] + a[j * n + i]) / 2.0;
            a[i * n + j] = mean;
            a[j * n + i] = mean;
        }
    }
    a
}

/// XᵀX with its dead inputs made harmless, which those are, and the mean of the diagonal.
fn revived(gram: &[f64], n: usize) -> (Vec<f64>, Vec<bool>, f64) {
    let dead: Vec<bool> = (0..n).map(|j| gram[j * n + j] <= 0.0).collect();
    let alive = dead.iter().filter(|d| !**d).count();
    let sum: f64 = (0..n).filter(|&j| !dead[j]).map(|j| gram[j * n + j]).sum();
    let mean = if alive > 0 { sum / alive as f64 } else { 1.0 };
    let mut h = gram.to_vec();
    for j in (0..n).filter(|&j| dead[j]) {
        h[j * n + j] = mean;
    }
    (h, dead, mean)
}

/// U of a damped H; `None` when H is not positive definite.
async fn factor(h: &[f64], n: usize, pace: &Pace) -> Result<Option<Vec<f64>>> {
    let scale: Vec<f64> = (0..n).map(|j| 1.0 / h[j * n + j].sqrt()).collect();
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        let (from, s) = (&h[(n - 1 - i) * n..(n - i) * n], scale[n - 1 - i]);
        let to = l[i * n..(i + 1) * n].iter_mut();
        for ((to, h), d) in to.zip(from.iter().rev()).zip(scale.iter().rev()) {
            *to = h * s * d;
        }
    }
    if !cholesky(&mut l, n, pace).await? {
        return Ok(None);
    }
    invert_lower(&mut l, n, pace).await?;
    let mut u = vec![0.0; n * n];
    for i in 0..n {
        let from = &l[(n - 1 - i) * n..(n - i) * n];
        for j in i..n {
            u[i * n + j] = from[n - 1 - j] * scale[j];
        }
    }
    Ok(Some(u))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::linalg::tests::positive;
    use pollster::block_on;

    /// By Gauss and Jordan, of H[a.., a..].
    fn inverse_from(h: &[f64], n: usize, a: usize) -> Vec<f64> {
        let m = n - a;
        let mut left: Vec<f64> = (a..n).flat_map(|i| h[i * n + a..(i + 1) * n].to_vec()).collect();
        let mut right: Vec<f64> = (0..m * m).map(|k| f64::from(u8::from(k / m == k % m))).collect();
        for c in 0..m {
            let pivot = left[c * m + c];
            for k in 0..m {
                left[c * m + k] /= pivot;
                right[c * m + k] /= pivot;
            }
            for i in (0..m).filter(|i| *i != c) {
                let f = left[i * m + c];
                for k in 0..m {
                    left[i * m + k] -= f * left[c * m + k];
                    right[i * m + k] -= f * right[c * m + k];
                }
            }
        }
        right
    }

    fn close(found: f64, expected: f64, what: &str) {
        assert!(
            (found - expected).abs() < 1e-9 * expected.abs().max(1.0),
            "{what}: {found}, {expected}"
        );
    }

    #[test]
    fn everything_read_from_the_factor_is_what_the_inverse_says() {
        let (n, pace) = (70, Pace::default());
        let gram = positive(n, 5);
        let mut hessian = block_on(Hessian::new(&gram, n, 0.1, &pace)).unwrap();
        let mean = (0..n).map(|j| gram[j * n + j]).sum::<f64>() / n as f64;
        for (k, sum) in gram.iter().enumerate() {
            let damping = if k / n == k % n { 0.1 * mean } else { 0.0 };
            close(hessian.h[k], sum + damping, "H");
        }
        assert_eq!((hessian.damping, hessian.retries), (0.1, 0));
        assert!(hessian.dead.iter().all(|dead| !dead));
        let inverse = inverse_from(&hessian.h, n, 0);
        block_on(hessian.invert(&pace)).unwrap();
        let diagonal = hessian.inverse_diagonal();
        for k in 0..n * n {
            close(hessian.inverse[k], inverse[k], "inverse");
            if k / n == k % n {
                close(diagonal[k / n], inverse[k], "diagonal");
            }
            assert!(k / n <= k % n || hessian.u[k] == 0.0, "U is an upper triangle");
        }
        let factor = hessian.factor_diagonal();
        for (a, b) in [(0, 3), (2, 69), (5, 70), (66, 70)] {
            let rest = inverse_from(&hessian.h, n, a);
            let (block, trailing) = (
                hessian.inverse_block(a, b),
                block_on(hessian.trailing_inverse(a, b, &pace)).unwrap(),
            );
            let size = b - a;
            for k in 0..size * size {
                close(trailing[k], rest[k / size * (n - a) + k % size], "trailing");
                close(block[k], inverse[(a + k / size) * n + a + k % size], "block");
            }
            close(factor[a] * factor[a], rest[0], "U_jj squared");
        }
        let change: Vec<f64> =
            (0..n).map(|j| if j % 3 == 0 { 0.0 } else { j as f64 - 30.0 }).collect();
        let pairs = (0..n * n).map(|k| change[k / n] * hessian.h[k] * change[k % n]);
        close(hessian.loss(&change), pairs.sum(), "loss");
    }

    #[test]
    fn inputs_of_very_different_sizes_have_a_factor_without_damping() {
        // XᵀX of two inputs with correlation 1/2, one of them 1e-12 as large.
        let gram = [4e-24, 1e-12, 1e-12, 1.0];
        let hessian = block_on(Hessian::new(&gram, 2, 0.0, &Pace::default())).unwrap();
        assert_eq!(hessian.retries, 0);
        let diagonal = hessian.inverse_diagonal();
        close(diagonal[0] * 4e-24, 4.0 / 3.0, "first of the inverse");
        close(diagonal[1], 4.0 / 3.0, "second of the inverse");
    }

    #[test]
    fn dead_inputs_and_a_singular_matrix_are_made_harmless_and_counted() {
        let pace = Pace::default();
        let dead =
            block_on(Hessian::new(&[3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], 3, 0.5, &pace));
        let dead = dead.unwrap();
        assert_eq!(dead.dead, [false, true, false]);
        // The mean of those alive is 2, so the damping 1.
        assert_eq!(dead.h, [4.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 2.0]);
        let all_dead = block_on(Hessian::new(&[0.0], 1, 0.5, &pace)).unwrap();
        assert_eq!((all_dead.h, all_dead.dead), (vec![1.5], vec![true]));
        let ones = [1.0; 4];
        let raised = block_on(Hessian::new(&ones, 2, 0.0, &pace)).unwrap();
        assert_eq!((raised.retries, raised.damping), (1, LEAST_DAMPING));
        let again = block_on(raised.raised(&ones, &pace)).unwrap();
        assert_eq!((again.retries, again.damping), (2, 10.0 * LEAST_DAMPING));
        let message = |gram: &[f64]| match block_on(Hessian::new(gram, 1, 0.1, &pace)) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{gram:?} has a factor"),
        };
        assert!(
            message(&[f64::NAN]).contains("finite") && message(&[f64::INFINITY]).contains("finite")
        );
        assert_eq!(symmetric(vec![1.0, 2.0, 4.0, 5.0], 2), [1.0, 3.0, 3.0, 5.0]);
    }
}
