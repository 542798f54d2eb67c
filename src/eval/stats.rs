//! Intervals: Wilson's for shares, a paired bootstrap for differences.

use crate::Rng;
use crate::order::sort_f64;
use serde::{Deserialize, Serialize};

/// A number with its 95 % interval and the items it rests on. What is not finite is null in JSON: absent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Estimate {
    #[serde(with = "number_or_null")]
    #[cfg_attr(test, ts(type = "number"))]
    pub value: f64,
    #[serde(with = "number_or_null")]
    #[cfg_attr(test, ts(type = "number"))]
    pub low: f64,
    #[serde(with = "number_or_null")]
    #[cfg_attr(test, ts(type = "number"))]
    pub high: f64,
    pub n: usize,
}

/// A number that is not finite has no place in JSON: null stands for it both ways.
mod number_or_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
        x.is_finite().then_some(*x).serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(d)?.unwrap_or(f64::NAN))
    }
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

/// Resamples of whole items (Efron 1979), 1000 of them, so that arms stay paired: one draw serves every figure.
///
/// The seeds are fixed: equal items give equal intervals.
pub struct Resamples<T> {
    n: usize,
    whole: T,
    draws: Vec<T>,
}

impl<T: Default> Resamples<T> {
    /// `add` puts an item into a total.
    pub fn new(items: &[T], add: impl Fn(&mut T, &T)) -> Resamples<T> {
        let n = items.len();
        let mut whole = T::default();
        items.iter().for_each(|item| add(&mut whole, item));
        let draw = |seed: u64| {
            let mut rng = Rng::new(seed);
            let mut total = T::default();
            (0..n).for_each(|_| add(&mut total, &items[rng.below(n)]));
            total
        };
        let draws = if n == 0 { Vec::new() } else { (0..1000).map(draw).collect() };
        Resamples { n, whole, draws }
    }

    /// A statistic of the totals with its percentile interval.
    pub fn interval(&self, statistic: impl Fn(&T) -> f64) -> Estimate {
        let n = self.n;
        if n == 0 {
            return Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN, n };
        }
        let mut draws: Vec<f64> = self.draws.iter().map(&statistic).collect();
        sort_f64(&mut draws);
        Estimate { value: statistic(&self.whole), low: draws[25], high: draws[974], n }
    }
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
        let add = |total: &mut [f64; 2], item: &[f64; 2]| {
            total[0] += item[0];
            total[1] += item[1];
        };
        let e = Resamples::new(&items, add).interval(|s| s[0] / s[1]);
        let width = 2.0 * Z / 20.0;
        assert!(((e.high - e.low) / width - 1.0).abs() < 0.15, "{e:?}");
        assert!(e.low < e.value && e.value < e.high);
    }
}
