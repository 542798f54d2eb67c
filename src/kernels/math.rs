//! exp, 2^x, softplus and SiLU as straight-line polynomials, so that loops over slices become SIMD code.
//!
//! exp(x) = 2^k p(r), k = round(x / ln 2), r = x - k ln 2 in [-ln 2 / 2, ln 2 / 2]; p is the minimax polynomial of
//! degree 6 (Remez, relative error 2e-9), so what remains is rounding: 2e-7 at most, checked by the tests below.
//! softplus(x) = max(x, 0) + log(1 + e), e = exp(-|x|), and log(1 + e) = 2 atanh(s), s = e / (2 + e) in [0, 1/3]:
//! a small result keeps its relative precision. No fused multiply-add: wasm has none, and so every machine
//! gives the same numbers. NaN stays NaN. exp2 is held at the ends of its range, exp at the upper one.

mod lanes;

pub use lanes::Lanes;

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

/// [`exp2`] of four values, none above 127: the same operations in the same order, so the same bits.
#[inline(always)]
pub fn exp2_lanes(x: Lanes) -> Lanes {
    let x = x.at_least(-126.0);
    let round = Lanes::splat(ROUND);
    let shifted = x.plus(round);
    let r = x.minus(shifted.minus(round));
    let r2 = r.times(r);
    let term = |a: f32, b: f32| Lanes::splat(a).plus(r.times(Lanes::splat(b)));
    let low = term(1.0, std::f32::consts::LN_2);
    let middle = term(0.240_226_46, 0.055_503_286);
    let high = term(0.009_618_489, 0.001_339_993_2).plus(r2.times(Lanes::splat(0.000_153_458_12)));
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

/// Runs `body` compiled for the widest vectors of this machine (AVX2 natively where it is there). `body` must be
/// made of `#[inline(always)]` functions, else it is compiled for the baseline all the same.
#[inline(always)]
pub fn widest<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2")]
        unsafe fn with_avx2<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        // SAFETY: the processor has AVX2, as was just asked.
        return unsafe { with_avx2(body) };
    }
    body()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn four_at_once_give_the_bits_of_one() {
        let mut rng = crate::Rng::new(1);
        for _ in 0..10_000 {
            let x: [f32; 4] = std::array::from_fn(|_| -200.0 * rng.uniform());
            let mut found = [0.0; 4];
            exp2_lanes(Lanes::load(&x)).store(&mut found);
            assert_eq!(found, x.map(exp2));
        }
        let mut found = [0.0; 4];
        exp2_lanes(Lanes::splat(f32::NAN)).store(&mut found);
        assert!(found.iter().all(|v| v.is_nan()));
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
