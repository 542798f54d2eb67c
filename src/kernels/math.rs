//! exp, 2^x, softplus and SiLU as straight-line polynomials, so that loops over slices become SIMD code.
//!
//! exp(x) = 2^k p(r), k = round(x / ln 2), r = x - k ln 2 in [-ln 2 / 2, ln 2 / 2]; p is the minimax polynomial of
//! degree 6 (Remez, relative error 2e-9), so what remains is rounding: 2e-7 at most, checked by the tests below.
//! softplus(x) = max(x, 0) + log(1 + e), e = exp(-|x|), and log(1 + e) = 2 atanh(s), s = e / (2 + e) in [0, 1/3]:
//! a small result keeps its relative precision. No fused multiply-add: wasm has none, and so every machine
//! gives the same numbers. NaN stays NaN. exp2 is held at the ends of its range, exp at the upper one.

use super::simd::Vector;

/// 1.5 * 2^23: adding it rounds to the nearest integer and leaves that integer in the low bits.
const ROUND: f32 = 12_582_912.0;
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// 2^x for x in [-126, 128); relative error below 2e-7. Exactly 1 at 0.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    let x = clamp(x, -126.0, 127.999_99);
    let shifted = x + ROUND;
    let r = x - (shifted - ROUND);
    // Estrin's order: three short chains instead of one long one.
    let r2 = r * r;
    let low = 1.0 + r * std::f32::consts::LN_2;
    let middle = 0.240_226_46 + r * 0.055_503_286;
    let high = 0.009_618_489 + r * 0.001_339_993_2 + r2 * 0.000_153_458_12;
    scale(low + r2 * (middle + r2 * high), shifted)
}

/// [`exp2`] of a vector of values, none above 127: the same operations in the same order, so the same bits.
#[inline(always)]
pub fn exp2_lanes<V: Vector>(x: V) -> V {
    let x = x.at_least(V::splat(-126.0));
    let round = V::splat(ROUND);
    let shifted = x.plus(round);
    let r = x.minus(shifted.minus(round));
    let r2 = r.times(r);
    let low = V::splat(1.0).plus(r.times(V::splat(std::f32::consts::LN_2)));
    let middle = V::splat(0.240_226_46).plus(r.times(V::splat(0.055_503_286)));
    let high = V::splat(0.009_618_489).plus(r.times(V::splat(0.001_339_993_2)));
    let high = high.plus(r2.times(V::splat(0.000_153_458_12)));
    low.plus(r2.times(middle.plus(r2.times(high)))).scaled(shifted)
}

/// e^x for x in [-87.3, 88.7]; relative error below 2e-7. Exactly 1 at 0, and 0 where the result would be subnormal.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let underflow = x < -87.336_54;
    let x = if x > 88.722_83 { 88.722_83 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = x - k * LN_2_HIGH - k * LN_2_LOW;
    let r2 = r * r;
    let low = 1.0 + r;
    let middle = 0.499_999_9 + r * 0.166_664_2;
    let high = 0.041_668_225 + r * 0.008_374_821 + r2 * 0.001_383_683_8;
    let y = scale(low + r2 * (middle + r2 * high), shifted);
    if underflow { 0.0 } else { y }
}

/// log(1 + e^x); relative error below 4e-7.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let e = exp(-x.abs());
    let s = e / (2.0 + e);
    let w = s * s;
    let series = 1.0 + w * (0.333_331_58 + w * (0.200_124_55 + w * (0.139_803 + w * 0.140_891_68)));
    let positive = if x < 0.0 { 0.0 } else { x };
    positive + 2.0 * s * series
}

/// x / (1 + e^-x).
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// Compares instead of `f32::clamp` and `max`, which would lose a NaN or cost two more instructions a lane.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// p * 2^k, with k in the low bits of `shifted`; the sum of bits is exact for a normal result.
#[inline(always)]
fn scale(p: f32, shifted: f32) -> f32 {
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{self, Kernel as _};

    /// Largest relative error of `ours` against f64 over `steps` points of [from, to].
    fn error(ours: fn(f32) -> f32, truth: fn(f64) -> f64, from: f32, to: f32) -> f64 {
        let steps = 400_000;
        (0..=steps)
            .map(|i| from + (to - from) * (i as f32 / steps as f32))
            .map(|x| {
                let t = truth(x as f64);
                (ours(x) as f64 - t).abs() / t.abs().max(f64::MIN_POSITIVE)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_within_2e_7_over_the_range_of_a_scan_and_beyond() {
        assert!(error(exp, f64::exp, -87.0, 0.0) <= 2e-7);
        assert!(error(exp, f64::exp, 0.0, 88.0) <= 2e-7);
        assert!(error(exp2, f64::exp2, -125.9, 127.9) <= 2e-7);
        assert_eq!((exp(0.0), exp2(0.0)), (1.0, 1.0));
    }

    struct Exp2<'a>(&'a [f32; 16]);

    impl simd::Kernel for Exp2<'_> {
        type Output = [f32; 16];
        #[inline(always)]
        fn run<V: Vector>(self) -> [f32; 16] {
            let mut found = [0.0; 16];
            for i in (0..16).step_by(V::LANES) {
                // SAFETY: i + LANES <= 16.
                unsafe {
                    exp2_lanes(V::load(self.0.as_ptr().add(i))).store(found.as_mut_ptr().add(i));
                }
            }
            found
        }
    }

    #[test]
    fn a_vector_at_once_gives_the_bits_of_one_value() {
        let mut rng = crate::Rng::new(1);
        for _ in 0..10_000 {
            let x: [f32; 16] = std::array::from_fn(|_| -200.0 * rng.uniform());
            assert_eq!(simd::run(Exp2(&x)), x.map(exp2));
            assert_eq!(Exp2(&x).run::<simd::F32x4>(), x.map(exp2));
        }
        assert!(simd::run(Exp2(&[f32::NAN; 16])).iter().all(|v| v.is_nan()));
    }

    #[test]
    fn softplus_keeps_relative_precision_from_minus_80_to_80() {
        let truth = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        assert!(error(softplus, truth, -80.0, 80.0) <= 4e-7);
        assert!(error(softplus, truth, -2.0, 2.0) <= 4e-7);
    }

    #[test]
    fn silu_is_within_4e_7() {
        let truth = |x: f64| x / (1.0 + (-x).exp());
        assert!(error(silu, truth, 1e-3, 80.0) <= 4e-7);
        assert!(error(silu, truth, -80.0, -1e-3) <= 4e-7);
        assert_eq!(silu(0.0), 0.0);
    }

    #[test]
    fn extremes_are_finite_and_a_nan_stays_one() {
        for x in [-1e30, -200.0, 200.0, 1e30, f32::NEG_INFINITY] {
            assert!(exp(x).is_finite() && exp2(x).is_finite(), "{x}");
        }
        assert_eq!((softplus(300.0), exp(-88.0), exp(f32::NEG_INFINITY)), (300.0, 0.0, 0.0));
        assert!(softplus(-300.0) < 1e-37 && silu(-300.0).abs() < 1e-34);
        for f in [exp, exp2, softplus, silu] {
            assert!(f(f32::NAN).is_nan());
        }
    }
}
