//! OWL: layers with many outlying scores lose less, the others more, with the same mean.
//!
//! D_l: share of the Wanda scores |W_ij| ||x_j|| of layer l, all its matrices together, above M times their mean; then
//!   ratio_l = s - 2 λ (d_l - mean of d), d_l = (D_l - least D) / (greatest D - least D)
//! with M = 5 and λ = 0.08, the paper's choice. Inputs are those of the dense model.
//!
//! Source: Yin et al. 2023 (arXiv 2310.05175), section 4, and its released code. Where we differ: matrices that are not
//! pruned are not scored; a ratio stays within 0 and 0.95; layers that are all alike keep s.

use super::calibrate::input_squares;
use super::pattern::TOP;
use super::task::Subject;
use crate::Result;
use crate::models::Linear;
use crate::pace::Pace;

/// Scores above this many times the mean are outliers.
const OUTLYING: f64 = 5.0;
/// Half the width of the ratios.
const LAMBDA: f64 = 0.08;

/// The sparsity of every matrix. Errors: cancelled, or the GPU failed.
pub async fn ratios(
    subject: &Subject<'_>,
    sequences: &[Vec<u32>],
    sparsity: f64,
    linears: &[Linear],
    pace: &Pace,
) -> Result<Vec<f64>> {
    let mut shares: Vec<(usize, f64)> = Vec::new(); // (layer, D)
    let mut scores = Vec::new(); // of the layer that is on
    let mut left = linears.iter().map(|l| l.layer).skip(1);
    let mut each = |linear: &Linear, squares: &[f32]| {
        let values = subject.weights.values(&linear.name, &[linear.rows, linear.cols])?;
        let score = |(w, s): (&f32, &f32)| f64::from(w.abs()) * f64::from(*s).sqrt();
        scores.extend(values.iter().zip(squares.iter().cycle()).map(score));
        if left.next() != Some(linear.layer) {
            shares.push((linear.layer, outliers(&scores)));
            scores.clear();
        }
        Ok(())
    };
    input_squares((subject.device, subject.dense), sequences, linears, pace, &mut each).await?;
    let all: Vec<f64> = shares.iter().map(|(_, share)| *share).collect();
    let of_layers = of_shares(sparsity, &all);
    let ratio = |l: &Linear| {
        let at = shares.iter().position(|(layer, _)| *layer == l.layer);
        at.map_or(sparsity, |at| of_layers[at])
    };
    Ok(linears.iter().map(ratio).collect())
}

/// Share of the scores that lie above [`OUTLYING`] times their mean.
fn outliers(scores: &[f64]) -> f64 {
    let limit = OUTLYING * scores.iter().sum::<f64>() / scores.len() as f64;
    scores.iter().filter(|s| **s > limit).count() as f64 / scores.len() as f64
}

/// The ratio of every layer from its share of outliers.
fn of_shares(sparsity: f64, shares: &[f64]) -> Vec<f64> {
    let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if greatest <= least {
        return vec![sparsity; shares.len()];
    }
    let widths: Vec<f64> = shares.iter().map(|d| (d - least) / (greatest - least)).collect();
    let mean = widths.iter().sum::<f64>() / widths.len() as f64;
    let ratio = |d: &f64| (sparsity - 2.0 * LAMBDA * (d - mean)).clamp(0.0, TOP);
    widths.iter().map(ratio).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_the_released_code() {
        // all_layer_ratio of lib/prune_all.py for these outlier shares, Lamda 0.08, sparsity 0.7: 1 - kept share.
        let found = of_shares(0.7, &[1.2, 3.0, 0.4, 2.2]);
        let expected = [0.730_769_23, 0.62, 0.78, 0.669_230_77];
        let mean: f64 = found.iter().sum::<f64>() / 4.0;
        assert!((mean - 0.7).abs() < 1e-12, "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        }
        assert_eq!(of_shares(0.5, &[0.1, 0.1]), [0.5, 0.5]);
    }

    #[test]
    fn an_outlier_is_far_above_the_mean() {
        assert_eq!(outliers(&[1.0; 10]), 0.0);
        let mut scores = vec![1.0; 98];
        scores.extend([100.0, 10.0]); // the mean is 2.08
        assert_eq!(outliers(&scores), 0.01);
        assert_eq!(outliers(&[10.0, 0.0, 0.0, 0.0, 0.0]), 0.0, "at the limit is not above it");
    }
}
