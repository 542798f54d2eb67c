//! Compensation when all rows of a matrix lose the same inputs P: one factorisation serves every row.
//!
//! With G = (H⁻¹)_PP = L Lᵀ the minimum of δᵀHδ for (w + δ)_P = 0 is
//!   δ = -λ (H⁻¹)_{P,:} with λ = w_P G⁻¹, and costs ½ w_P G⁻¹ w_Pᵀ = ½ |L⁻¹ w_P|²
//! Rows `[m, n]` f64, H `[n, n]`. Source: Zhao et al. 2024 (arXiv 2410.15567), "multiple removal problem", for one
//! row; that the set is shared is ours.

use super::hessian::Hessian;
use super::linalg::{axpy, cholesky, dot, invert_lower};
use crate::Result;
use crate::pace::Pace;

/// L⁻¹ `[p, p]` of the columns P; `None` when the damping is too small.
async fn whitening(hessian: &Hessian, p: &[usize], pace: &Pace) -> Result<Option<Vec<f64>>> {
    let n = hessian.n;
    let at = |&i: &usize| p.iter().map(move |&j| hessian.inverse[i * n + j]);
    let mut g: Vec<f64> = p.iter().flat_map(at).collect();
    if !cholesky(&mut g, p.len(), pace).await? {
        return Ok(None);
    }
    invert_lower(&mut g, p.len(), pace).await?;
    Ok(Some(g))
}

/// L⁻¹ w_P
fn whitened(l: &[f64], row: &[f64], p: &[usize]) -> Vec<f64> {
    let w: Vec<f64> = p.iter().map(|&j| row[j]).collect();
    l.chunks_exact(p.len()).enumerate().map(|(a, l)| dot(&l[..=a], &w[..=a])).collect()
}

/// What the removal of each unit of `width` neighbouring inputs alone costs all rows together.
///
/// `None` when the damping is too small. Errors: cancelled.
pub async fn losses(
    rows: &[f64],
    width: usize,
    hessian: &Hessian,
    pace: &Pace,
) -> Result<Option<Vec<f64>>> {
    let mut losses = Vec::new();
    for start in (0..hessian.n).step_by(width) {
        let p: Vec<usize> = (start..start + width).collect();
        let Some(l) = whitening(hessian, &p, pace).await? else { return Ok(None) };
        let cost = |row: &[f64]| whitened(&l, row, &p).iter().map(|y| y * y).sum::<f64>() / 2.0;
        losses.push(rows.chunks_exact(hessian.n).map(cost).sum());
        pace.breathe().await?;
    }
    Ok(Some(losses))
}

/// Zeroes the inputs where `removed`, and gives all other weights their best values.
///
/// False when the damping is too small. Errors: cancelled.
pub async fn refit(
    rows: &mut [f64],
    removed: &[bool],
    hessian: &Hessian,
    pace: &Pace,
) -> Result<bool> {
    let n = hessian.n;
    let p: Vec<usize> = (0..n).filter(|&j| removed[j]).collect();
    if p.is_empty() {
        return Ok(true);
    }
    let Some(l) = whitening(hessian, &p, pace).await? else { return Ok(false) };
    let mut lambda = vec![0.0; p.len()];
    for row in rows.chunks_exact_mut(n) {
        lambda.fill(0.0);
        for (a, y) in whitened(&l, row, &p).into_iter().enumerate() {
            axpy(y, &l[a * p.len()..=a * p.len() + a], &mut lambda);
        }
        for (&j, &x) in p.iter().zip(&lambda) {
            axpy(-x, &hessian.inverse[j * n..(j + 1) * n], row);
        }
        p.iter().for_each(|&j| row[j] = 0.0);
        pace.breathe().await?;
    }
    Ok(true)
}
