//! Other sparsities for other matrices, with the same mean: less for those that a trial pruning harms more.
//!
//! Trial: Wanda with the wanted sparsity s on inputs of the dense model; e is the relative squared output error of a
//! matrix on the first calibration sequence, z = ln e less its mean (weighted by parameters).
//!   ratio = s - z * min(0.05 / ln 2, b / max |z|), b = min(0.1, s, 0.95 - s)
//! so every doubling of the error costs 5 points, unless that would move a matrix by more than b; then all shifts
//! shrink together. Their mean, weighted by parameters, is s; whole weights round it.
//!
//! Source: ours; no paper gives this rule.

use super::pattern::TOP;
use crate::models::Linear;

/// Points for every doubling of the error.
const STEP: f64 = 0.05;
/// Largest shift.
const MOST: f64 = 0.1;
/// A matrix that lost nothing counts as this error.
const LEAST: f64 = 1e-12;

/// The sparsity of every matrix. `errors` are those of the trial.
pub fn ratios(sparsity: f64, linears: &[Linear], errors: &[f64]) -> Vec<f64> {
    assert_eq!(linears.len(), errors.len(), "one error a matrix");
    let size = |l: &Linear| (l.rows * l.cols) as f64;
    let all: f64 = linears.iter().map(size).sum();
    let logs: Vec<f64> = errors.iter().map(|e| e.max(LEAST).ln()).collect();
    let mean = linears.iter().zip(&logs).map(|(l, log)| size(l) * log).sum::<f64>() / all;
    let furthest = logs.iter().map(|log| (log - mean).abs()).fold(f64::MIN_POSITIVE, f64::max);
    let most = MOST.min(sparsity).min(TOP - sparsity).max(0.0);
    let slope = (STEP / std::f64::consts::LN_2).min(most / furthest);
    logs.iter().map(|log| (sparsity - slope * (log - mean)).clamp(0.0, TOP)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linears(sizes: &[usize]) -> Vec<Linear> {
        let linear = |(layer, rows): (usize, &usize)| Linear {
            name: format!("{layer}"),
            layer,
            rows: *rows,
            cols: 8,
            by_default: true,
        };
        sizes.iter().enumerate().map(linear).collect()
    }

    #[test]
    fn a_doubled_error_costs_five_points_and_the_mean_stays() {
        let found = ratios(0.5, &linears(&[10, 10]), &[0.01, 0.02]);
        assert!((found[0] - found[1] - 0.05).abs() < 1e-12, "{found:?}");
        for (sparsity, errors) in
            [(0.5, [0.001, 0.1, 0.05]), (0.92, [0.2, 0.3, 0.0]), (0.0, [0.0; 3])]
        {
            let sizes = [10, 200, 33];
            let found = ratios(sparsity, &linears(&sizes), &errors);
            let sum: f64 = found.iter().zip(sizes).map(|(r, n)| r * n as f64).sum();
            assert!((sum / 243.0 - sparsity).abs() < 1e-12, "{found:?}");
            assert!(found.iter().all(|r| (r - sparsity).abs() <= MOST + 1e-12), "{found:?}");
            assert!(found.iter().all(|r| (0.0..=TOP).contains(r)), "{found:?}");
        }
    }

    #[test]
    fn a_matrix_that_is_harmed_more_loses_less() {
        let found = ratios(0.5, &linears(&[10, 10, 10]), &[0.3, 0.02, 0.1]);
        assert!(found[0] < found[2] && found[2] < found[1], "{found:?}");
    }
}
