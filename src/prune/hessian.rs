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
        let (base, dead, mean) = revived(gram, n);
        let mut damping = damping;
        for retries in 0..=MOST_RETRIES {
            let mut h = base.clone();
            (0..n).for_each(|j| h[j * n + j] += damping * mean);
            if let Some(u) = factor(&h, n, pace).await? {
                return Ok(Hessian { n, h, u, inverse: Vec::new(), dead, damping, retries });
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
