//! SparseSSM's ratios: of the in_proj of all Mamba layers those with the strongest inputs lose less and those with the
//! weakest more, with the same mean; the same among the out_proj; every other matrix keeps the sparsity asked for.
//!
//! Sensitivity of a matrix: sum_j (sum_t x_tj²)² / inputs, the squared diagonal of H. By its rank among m matrices, n the
//! lesser of 24 and m / 2, for i = 0 .. n - 1:
//!   the i-th of the n lowest: ratio = s + α (1 - i / (n - 1)); the i-th of the n highest: ratio = s - α i / (n - 1)
//! all between keep s; with n = 1 the two are s + α / 2 and s - α / 2. Inputs are those of the dense model.
//!
//! Source: SparseSSM (arXiv 2506.09613), `allocate_sparsity` of the released code. Where we differ: α is 0.08, so that the
//! ratios are as far apart as OWL's (released: an argument, 0 by default), and less where a ratio would leave 0 to 0.95;
//! the narrow convolution is not pruned here, so it has no ratio.

use super::calibrate::input_squares;
use super::pattern::TOP;
use super::task::Subject;
use crate::models::{Linear, Names};
use crate::order::sort_f64;
use crate::pace::Pace;
use crate::{Error, Result};

/// The largest shift.
const ALPHA: f64 = 0.08;
/// Most matrices of each end that are shifted.
const MOST: usize = 24;

/// The sparsity of every matrix. Errors: no Mamba layer is pruned, cancelled, or the GPU failed.
pub async fn ratios(
    subject: &Subject<'_>,
    sequences: &[Vec<u32>],
    sparsity: f64,
    linears: &[Linear],
    pace: &Pace,
) -> Result<Vec<f64>> {
    let names = Names::of(subject.config.family);
    let of_kind = |kind: &str| -> Vec<usize> {
        let is =
            |l: &Linear| l.name == format!("{}{}{kind}.weight", names.layer(l.layer), names.ssm);
        (0..linears.len()).filter(|&i| is(&linears[i])).collect()
    };
    let kinds = ["in_proj", "out_proj"].map(of_kind);
    if kinds.iter().all(Vec::is_empty) {
        let expected =
            "uniform, sensitivity or owl: no in_proj or out_proj of a Mamba layer is pruned";
        return Err(Error::input("ratios", "sparsessm", expected));
    }
    let mut sensitivities = Vec::with_capacity(linears.len());
    let mut each = |_: &Linear, squares: &[f32]| {
        let sum: f64 = squares.iter().map(|s| f64::from(*s).powi(2)).sum();
        sensitivities.push(sum / squares.len() as f64);
        Ok(())
    };
    input_squares((subject.device, subject.dense), sequences, linears, pace, &mut each).await?;
    let mut ratios = vec![sparsity; linears.len()];
    for kind in kinds {
        let of: Vec<f64> = kind.iter().map(|&i| sensitivities[i]).collect();
        for (i, ratio) in kind.into_iter().zip(of_ranks(sparsity, &of)) {
            ratios[i] = ratio;
        }
    }
    Ok(ratios)
}

/// The ratios of matrices of one kind; of equal ones the earlier is the less sensitive.
fn of_ranks(sparsity: f64, sensitivities: &[f64]) -> Vec<f64> {
    let m = sensitivities.len();
    let n = MOST.min(m / 2);
    let alpha = ALPHA.min(sparsity).min(TOP - sparsity).max(0.0);
    let mut sorted = sensitivities.to_vec();
    sort_f64(&mut sorted);
    let rank = |i: usize| {
        let equal = sensitivities[..i].iter().filter(|s| **s == sensitivities[i]).count();
        sorted.partition_point(|s| *s < sensitivities[i]) + equal
    };
    let shift = |rank: usize| match rank {
        _ if n == 1 && rank == 0 => 0.5,
        _ if n == 1 && rank + 1 == m => -0.5,
        _ if n < 2 => 0.0,
        low if low < n => 1.0 - low as f64 / (n - 1) as f64,
        high if high + n >= m => -((high + n - m) as f64) / (n - 1) as f64,
        _ => 0.0,
    };
    (0..m).map(|i| sparsity + alpha * shift(rank(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_the_released_code() {
        // allocate_sparsity of utils/model_utils.py, run apart with alpha 0.08 on these sensitivities as those of in_proj.
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-8, "{found} {expected}");
            }
        };
        let six = of_ranks(0.5, &[3.0, 1.0, 2.0, 5.0, 4.0, 0.5]);
        close(six, &[0.5, 0.54, 0.5, 0.42, 0.46, 0.58]);
        close(of_ranks(0.6, &[9.0, 2.0, 7.0, 4.0, 1.0]), &[0.52, 0.6, 0.6, 0.6, 0.68]);
        close(of_ranks(0.5, &[2.0, 1.0, 3.0]), &[0.5, 0.54, 0.46]);
        close(of_ranks(0.7, &[1.0]), &[0.7]);
        // More than twice 24 of them: those of the middle keep the sparsity.
        let many: Vec<f64> = (0..60).map(|i| f64::from(i * 37 % 60)).collect();
        let expected = [0.58, 0.496_521_739, 0.531_304_348, 0.447_826_087, 0.5, 0.562_608_696];
        close(of_ranks(0.5, &many)[..6].to_vec(), &expected);
    }

    #[test]
    fn the_mean_stays_and_no_ratio_leaves_its_range() {
        for (sparsity, m) in [(0.5, 7), (0.93, 8), (0.03, 12), (0.0, 5), (0.95, 2)] {
            let found = of_ranks(sparsity, &vec![1.0; m]);
            let mean = found.iter().sum::<f64>() / m as f64;
            assert!((mean - sparsity).abs() < 1e-12, "{found:?}");
            assert!(found.iter().all(|r| (0.0..=TOP).contains(r)), "{found:?}");
            // Of equal ones the earlier lose more.
            assert!(found.windows(2).all(|w| w[0] >= w[1]), "{found:?}");
        }
    }
}
