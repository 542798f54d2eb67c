//! Intervals: Wilson's for shares, a paired bootstrap for differences.

use crate::Rng;
use crate::order::sort_f64;
use serde::Serialize;

/// A number with its 95 % interval and the items it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    pub n: usize,
}

/// Normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// Share of `hits` among `n` with Wilson's score interval (Wilson 1927).
pub fn wilson(hits: usize, n: usize) -> Estimate {
    if n == 0 {
        return Estimate { value: f64::NAN, low: 0.0, high: 1.0, n };
    }
    let (p, m) = (hits as f64 / n as f64, n as f64);
    let centre = p + Z * Z / (2.0 * m);
    let spread = Z * (p * (1.0 - p) / m + Z * Z / (4.0 * m * m)).sqrt();
    let scale = 1.0 + Z * Z / m;
    Estimate { value: p, low: (centre - spread) / scale, high: (centre + spread) / scale, n }
}

/// A statistic of weighted items with its percentile bootstrap interval (Efron 1979), 1000 resamples.
///
/// Every item is a row of numbers; `statistic` sees the column sums of a resample. Resampling whole items keeps
/// baseline and compressed paired. The seed is fixed: equal items give equal intervals.
pub fn paired_bootstrap<const K: usize>(
    items: &[[f64; K]],
    statistic: impl Fn(&[f64; K]) -> f64,
) -> Estimate {
    let n = items.len();
    if n == 0 {
        return Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN, n };
    }
    let sum = |mut pick: Box<dyn FnMut(usize) -> usize>| {
        let mut total = [0.0; K];
        for i in 0..n {
            for (t, x) in total.iter_mut().zip(&items[pick(i)]) {
                *t += x;
            }
        }
        total
    };
    let value = statistic(&sum(Box::new(|i| i)));
    let mut draws: Vec<f64> = (0..1000)
        .map(|draw| {
            let mut rng = Rng::new(draw);
            statistic(&sum(Box::new(move |_| rng.below(n))))
        })
        .collect();
    sort_f64(&mut draws);
    Estimate { value, low: draws[25], high: draws[974], n }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_agrees_with_published_values() {
        // Newcombe 1998, table I, method 3: 81 of 263 and 15 of 148; 0 of 20.
        for (hits, n, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]
        {
            let e = wilson(hits, n);
            assert!((e.low - low).abs() < 5e-5 && (e.high - high).abs() < 5e-5, "{e:?}");
        }
    }

    #[test]
    fn a_bootstrap_interval_of_a_mean_is_near_the_normal_one() {
        let mut rng = Rng::new(3);
        let items: Vec<[f64; 2]> = (0..400).map(|_| [f64::from(rng.normal()), 1.0]).collect();
        let e = paired_bootstrap(&items, |s| s[0] / s[1]);
        let width = 2.0 * Z / 20.0;
        assert!(((e.high - e.low) / width - 1.0).abs() < 0.15, "{e:?}");
        assert!(e.low < e.value && e.value < e.high);
    }
}
