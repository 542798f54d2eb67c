//! 95 % intervals: Wilson's score for a share, Tango's score for a difference of paired shares, a paired bootstrap for any
//! other statistic, and Student's t over the jackknife where items are few.
//!
//! A percentile bootstrap is too narrow for few items (of differences that are none it calls 13.5 % significant at 8
//! items, 8.6 % at 16); the tests below measure how often each interval holds the truth.

use crate::Rng;
use crate::order::sort_f64;
use serde::{Deserialize, Serialize};

/// A number with its 95 % interval and the items it rests on. What is not finite is null in JSON: there is no interval below eight
/// items, and no value where a figure is undefined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Estimate {
    /// The figure; NaN where there is none.
    #[serde(with = "number_or_null")]
    #[cfg_attr(test, ts(type = "number | null"))]
    pub value: f64,
    /// Lower end of the interval; of a speed the lower quartile of the rounds. NaN where it is not known.
    #[serde(with = "number_or_null")]
    #[cfg_attr(test, ts(type = "number | null"))]
    pub low: f64,
    /// Upper end of the interval; of a speed the upper quartile.
    #[serde(with = "number_or_null")]
    #[cfg_attr(test, ts(type = "number | null"))]
    pub high: f64,
    /// Items, or rounds of timing.
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

/// Items below which there is no interval.
pub const LEAST: usize = 8;
/// Items from which on the percentile bootstrap is used.
const MANY: usize = 30;
/// 97.5 % quantiles of Student's t with 7 to 28 degrees of freedom: 8 to 29 items.
const T: [f64; 22] = [
    2.364_624, 2.306_004, 2.262_157, 2.228_139, 2.200_985, 2.178_813, 2.160_369, 2.144_787,
    2.131_450, 2.119_905, 2.109_816, 2.100_922, 2.093_024, 2.085_963, 2.079_614, 2.073_873,
    2.068_658, 2.063_899, 2.059_539, 2.055_529, 2.051_831, 2.048_407,
];

impl Estimate {
    /// A value whose interval rests on too few items to be one.
    fn bare(value: f64, n: usize) -> Estimate {
        Estimate { value, low: f64::NAN, high: f64::NAN, n }
    }
}

/// Share of `hits` among `n` with Wilson's score interval (Wilson 1927); without one below `LEAST`.
pub fn wilson(hits: usize, n: usize) -> Estimate {
    if n < LEAST {
        return Estimate::bare(hits as f64 / n as f64, n);
    }
    let (p, m) = (hits as f64 / n as f64, n as f64);
    let centre = p + Z * Z / (2.0 * m);
    let spread = Z * (p * (1.0 - p) / m + Z * Z / (4.0 * m * m)).sqrt();
    let scale = 1.0 + Z * Z / m;
    Estimate { value: p, low: (centre - spread) / scale, high: (centre + spread) / scale, n }
}

/// The difference of two shares of the same `n` items, of which `gained` are right on the second side only and `lost` on
/// the first only, with the score interval of Tango (1998); without one below `LEAST`.
///
/// All differences d with |g(d)| <= Z, where g(d) = (gained - lost - n d) / sqrt(n (2 q + d (1 - d))) and q, the share of
/// `lost` that is most likely under d, solves 2 n q² + B q + C = 0 with B = (2 n - gained + lost) d - gained - lost and
/// C = -lost d (1 - d).
pub fn paired_shares(gained: usize, lost: usize, n: usize) -> Estimate {
    let value = (gained as f64 - lost as f64) / n as f64;
    if n < LEAST {
        return Estimate::bare(value, n);
    }
    let (low, high) = (edge(gained, lost, n, -1.0, value), edge(gained, lost, n, 1.0, value));
    Estimate { value, low, high, n }
}

/// Where the score leaves the interval on the way from `inside` to `outside`, which is -1 or 1.
fn edge(gained: usize, lost: usize, n: usize, outside: f64, inside: f64) -> f64 {
    let (b, c, m) = (gained as f64, lost as f64, n as f64);
    let is_inside = |d: f64| {
        let half = ((2.0 * m - b + c) * d - b - c) / 2.0;
        let q = ((half * half + 2.0 * m * c * d * (1.0 - d)).max(0.0).sqrt() - half) / (2.0 * m);
        let variance = m * (2.0 * q + d * (1.0 - d));
        (b - c - m * d).powi(2) <= Z * Z * variance
    };
    let (mut inside, mut outside) = (inside, outside);
    // Fifty halvings end below 1e-15.
    for _ in 0..50 {
        let middle = (inside + outside) / 2.0;
        if is_inside(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    inside
}

/// Totals over items: of all, of resamples of whole items (Efron 1979; 1000 of them, the same for every figure, so that
/// arms stay paired), and where items are few also of all but one.
///
/// The seeds are fixed: equal items give equal intervals.
pub struct Resamples<T> {
    n: usize,
    whole: T,
    draws: Vec<T>,
    all_but_one: Vec<T>,
}

impl<T: Default> Resamples<T> {
    /// `add` puts an item into a total.
    pub fn new(items: &[T], add: impl Fn(&mut T, &T)) -> Resamples<T> {
        let n = items.len();
        let total = |places: &mut dyn Iterator<Item = usize>| {
            let mut total = T::default();
            places.for_each(|i| add(&mut total, &items[i]));
            total
        };
        let draw = |seed: u64| {
            let mut rng = Rng::new(seed);
            total(&mut (0..n).map(|_| rng.below(n)))
        };
        let without = |left_out: usize| total(&mut (0..n).filter(|i| *i != left_out));
        Resamples {
            n,
            whole: total(&mut (0..n)),
            draws: if n < MANY { Vec::new() } else { (0..1000).map(draw).collect() },
            all_but_one: if n < MANY { (0..n).map(without).collect() } else { Vec::new() },
        }
    }

    /// A statistic of the totals with its interval: from [`MANY`] items on the percentiles of the resamples, below that
    /// Student's t over the jackknife (Tukey 1958), below [`LEAST`] none.
    pub fn interval(&self, statistic: impl Fn(&T) -> f64) -> Estimate {
        let n = self.n;
        if n == 0 {
            return Estimate::bare(f64::NAN, n);
        }
        let value = statistic(&self.whole);
        if n < LEAST {
            return Estimate::bare(value, n);
        }
        if n < MANY {
            let spread = T[n - LEAST] * jackknife_error(self.all_but_one.iter().map(&statistic), n);
            return Estimate { value, low: value - spread, high: value + spread, n };
        }
        let mut draws: Vec<f64> = self.draws.iter().map(&statistic).collect();
        sort_f64(&mut draws);
        Estimate { value, low: draws[25], high: draws[974], n }
    }
}

/// Standard error of a statistic from its values with one of `n` items left out.
fn jackknife_error(values: impl Iterator<Item = f64>, n: usize) -> f64 {
    let values: Vec<f64> = values.collect();
    let n = n as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    ((n - 1.0) / n * squares).sqrt()
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

    #[test]
    fn shares_that_agree_on_every_item_have_the_score_intervals_width() {
        // With no discordant pair the score equation is n d² = Z² (1 - |d|) d, so |d| = Z² / (n + Z²).
        for n in [8, 16, 100, 1000] {
            let e = paired_shares(0, 0, n);
            let expected = Z * Z / (n as f64 + Z * Z);
            assert!((e.high - expected).abs() < 1e-9 && (e.low + expected).abs() < 1e-9, "{e:?}");
        }
        // Every item gained: only d near 1 is left.
        let e = paired_shares(20, 0, 20);
        assert!(e.high > 1.0 - 1e-12 && e.low > 0.6, "{e:?}");
        // Sides exchanged, signs exchanged.
        let (a, b) = (paired_shares(7, 2, 40), paired_shares(2, 7, 40));
        assert!((a.low + b.high).abs() < 1e-12 && (a.high + b.low).abs() < 1e-12, "{a:?} {b:?}");
        assert!(a.low < a.value && a.value < a.high);
    }

    #[test]
    fn score_intervals_of_paired_shares_are_those_of_their_definition() {
        // The likelihood maximised by a golden-section search and the score equation bisected, in Python.
        for (gained, lost, n, low, high) in [
            (12, 2, 50, 0.06111, 0.34471),
            (7, 2, 40, -0.02583, 0.28269),
            (1, 0, 44, -0.05939, 0.11808),
            (3, 3, 20, -0.25790, 0.25790),
            (9, 1, 10, 0.19170, 0.96425),
            (0, 5, 30, -0.33564, -0.03423),
            (8, 0, 8, 0.35118, 1.0),
        ] {
            let e = paired_shares(gained, lost, n);
            assert!((e.low - low).abs() < 1e-5 && (e.high - high).abs() < 1e-5, "{e:?}");
        }
    }

    #[test]
    fn from_eight_to_twenty_nine_items_an_interval_of_a_mean_is_students() {
        // Of the mean of 0 .. n - 1: t times the standard error, which is sqrt(n (n + 1) / 12 / n).
        for (n, t) in [(8, 2.364_624), (16, 2.131_450), (29, 2.048_407)] {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            let (e, m) = (mean_of(&values), f64::from(n));
            let (mean, spread) = ((m - 1.0) / 2.0, t * ((m + 1.0) / 12.0).sqrt());
            assert!((e.value - mean).abs() < 1e-12 && e.n == n as usize, "{e:?}");
            assert!((e.low - (mean - spread)).abs() < 1e-9, "{e:?}");
            assert!((e.high - (mean + spread)).abs() < 1e-9, "{e:?}");
        }
        // From thirty on it comes from resamples, whose edges are two of their values.
        let values: Vec<f64> = (0..30).map(f64::from).collect();
        let e = mean_of(&values);
        let is_draw = |x: f64| (x * 30.0 - (x * 30.0).round()).abs() < 1e-9;
        assert!(is_draw(e.low) && is_draw(e.high) && e.low < 14.5 && e.high > 14.5, "{e:?}");
    }

    #[test]
    fn below_eight_items_there_is_no_interval() {
        let few: Vec<f64> = (0..7).map(f64::from).collect();
        let e = Resamples::new(&few, |t: &mut f64, x| *t += x).interval(|t| t / 7.0);
        assert_eq!(e.value, 3.0);
        assert!(e.low.is_nan() && e.high.is_nan());
        assert!(wilson(3, 7).low.is_nan() && paired_shares(0, 0, 7).high.is_nan());
        assert!(wilson(3, 8).low.is_finite() && paired_shares(0, 0, 8).high.is_finite());
        // The value is there all the same, and with no item not even that.
        for (e, value, n) in [
            (wilson(3, 4), 0.75, 4),
            (wilson(6, 8), 0.75, 8),
            (paired_shares(3, 1, 4), 0.5, 4),
            (paired_shares(1, 5, 8), -0.5, 8),
        ] {
            assert_eq!((e.value, e.n), (value, n));
        }
        let none = Resamples::new(&[], |t: &mut f64, x: &f64| *t += x).interval(|t| *t);
        assert!(none.value.is_nan() && none.n == 0);
    }

    /// How often an interval holds the truth, in `runs` made data sets.
    fn coverage(runs: u64, truth: f64, interval: impl Fn(&mut Rng) -> Estimate) -> f64 {
        let mut rng = Rng::new(11);
        let holds = |_: &u64| {
            let e = interval(&mut rng);
            e.low <= truth && truth <= e.high
        };
        (0..runs).filter(holds).count() as f64 / runs as f64
    }

    /// The count is summed too: with an item left out there is one less.
    fn mean_of(values: &[f64]) -> Estimate {
        let items: Vec<[f64; 2]> = values.iter().map(|x| [*x, 1.0]).collect();
        let add = |total: &mut [f64; 2], item: &[f64; 2]| {
            total[0] += item[0];
            total[1] += item[1];
        };
        Resamples::new(&items, add).interval(|t| t[0] / t[1])
    }

    #[test]
    fn intervals_hold_the_truth_nineteen_times_in_twenty() {
        let normal = |n: usize| {
            move |rng: &mut Rng| {
                mean_of(&(0..n).map(|_| f64::from(rng.normal())).collect::<Vec<_>>())
            }
        };
        // Two standard errors of 95 % among 2000 runs are 1 %; 300 runs of the bootstrap, which costs more, 2.5 %.
        for (n, runs, least, most) in [
            (8, 2000, 0.94, 0.96),
            (16, 2000, 0.94, 0.96),
            (29, 2000, 0.94, 0.96),
            (60, 300, 0.91, 0.97),
        ] {
            let share = coverage(runs, 0.0, normal(n));
            assert!((least..=most).contains(&share), "{share} of means of {n} normal numbers");
        }
        // Skewed differences are the hard case of every such interval: losses per token are.
        let skewed = |rng: &mut Rng| {
            let draw = |rng: &mut Rng| -f64::from(1.0 - rng.uniform()).ln() - 1.0;
            mean_of(&(0..16).map(|_| draw(rng)).collect::<Vec<_>>())
        };
        let share = coverage(2000, 0.0, skewed);
        assert!(share > 0.88, "{share} of means of 16 exponential numbers");
        // Pairs of shares: 80 % agree, 12 % gained, 8 % lost.
        for n in [8, 16, 40] {
            let pairs = |rng: &mut Rng| {
                let (mut gained, mut lost) = (0, 0);
                for _ in 0..n {
                    match rng.uniform() {
                        x if x < 0.12 => gained += 1,
                        x if x < 0.20 => lost += 1,
                        _ => {}
                    }
                }
                paired_shares(gained, lost, n)
            };
            let share = coverage(2000, 0.04, pairs);
            assert!(share >= 0.935, "{share} of paired shares of {n} items");
        }
    }
}
