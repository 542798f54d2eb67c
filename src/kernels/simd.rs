//! Vectors of f32 for the loops that compilers do not turn into SIMD code by themselves: one trait, one type a width.
//!
//! A [`Kernel`] is written once over [`Vector`]; [`run`] compiles it for every width and calls the widest that this machine
//! has: AVX-512, AVX2 with FMA, else four lanes (SSE2, wasm simd128, or an array). What `run` calls must be
//! `#[inline(always)]`, else it is compiled for the baseline all the same.
//! [`Vector::fused`] rounds once where the machine has a fused multiply-add and twice elsewhere (SSE2, wasm simd128; in the
//! build for relaxed SIMD the browser chooses): sums that use it may differ between machines in their last bits, and never
//! between two runs on one machine.

use half::f16;

/// [`Vector::LANES`] f32 side by side.
pub trait Vector: Copy {
    /// f32 values in one vector.
    const LANES: usize;
    /// The next narrower width, for what is left over; a single value is its own.
    type Narrower: Vector;

    /// The same value in every lane.
    fn splat(v: f32) -> Self;
    /// # Safety
    /// `from` must be valid for reading `LANES` values, at any alignment.
    unsafe fn load(from: *const f32) -> Self;
    /// f16 widened to f32, which is exact.
    ///
    /// # Safety
    /// `from` must be valid for reading `LANES` values, at any alignment.
    unsafe fn load_halves(from: *const f16) -> Self;
    /// # Safety
    /// `to` must be valid for writing `LANES` values, at any alignment.
    unsafe fn store(self, to: *mut f32);
    /// Lane by lane.
    fn plus(self, other: Self) -> Self;
    /// Lane by lane.
    fn minus(self, other: Self) -> Self;
    /// Lane by lane, rounded once.
    fn times(self, other: Self) -> Self;
    /// self + a b
    fn fused(self, a: Self, b: Self) -> Self;
    /// Lane by lane, `low` where that is larger; NaN stays NaN.
    fn at_least(self, low: Self) -> Self;
    /// Adds the low bits of `shifted` to the exponent.
    fn scaled(self, shifted: Self) -> Self;

    /// The sum of all lanes, halves first.
    fn sum(self) -> f32;
}

/// Work that is compiled for every width.
pub trait Kernel {
    /// What the work gives.
    type Output;
    /// The work with this vector; to be `#[inline(always)]`.
    fn run<V: Vector>(self) -> Self::Output;
}

/// Runs `kernel` with the widest vectors of this machine.
#[inline(always)]
pub fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        unsafe fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
            kernel.run::<x86::F32x16>()
        }
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
            kernel.run::<x86::F32x8>()
        }
        let avx2 = has!("avx2") && has!("fma") && has!("f16c");
        let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
        if avx2 && avx512 {
            // SAFETY: the processor has the instructions, as was just asked.
            return unsafe { with_avx512(kernel) };
        }
        if avx2 {
            // SAFETY: as above.
            return unsafe { with_avx2(kernel) };
        }
    }
    kernel.run::<F32x4>()
}

/// Runs `body`, plain loops over slices, compiled for the widest vectors of this machine. No product and sum are fused,
/// so that every machine gives the same bits. `body` must be made of `#[inline(always)]` functions.
#[inline(always)]
pub fn widest<R>(body: impl FnOnce() -> R) -> R {
    struct Body<F>(F);
    impl<R, F: FnOnce() -> R> Kernel for Body<F> {
        type Output = R;
        #[inline(always)]
        fn run<V: Vector>(self) -> R {
            (self.0)()
        }
    }
    run(Body(body))
}

/// f16 to f32 without a call and without branches: the exponent is moved by a product, which is exact for subnormals too.
#[inline(always)]
pub(super) fn widened(half: f16) -> f32 {
    let bits = u32::from(half.to_bits());
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * TWO_POW_112;
    // Infinity and NaN have the largest exponent in both.
    let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | special | (bits & 0x8000) << 16)
}

/// 2^(127 - 15): what the exponents of f32 and f16 differ by.
const TWO_POW_112: f32 = f32::from_bits((112 + 127) << 23);

/// A single value: what is left over of a row.
impl Vector for f32 {
    const LANES: usize = 1;
    type Narrower = f32;

    #[inline(always)]
    fn splat(v: f32) -> Self {
        v
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises that so many values may be read there.
        unsafe { *from }
    }
    #[inline(always)]
    unsafe fn load_halves(from: *const f16) -> Self {
        // SAFETY: the caller promises that so many values may be read there.
        unsafe { widened(*from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises that so many values may be written there.
        unsafe { *to = self }
    }
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self - other
    }
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self * other
    }
    #[inline(always)]
    fn fused(self, a: Self, b: Self) -> Self {
        self + a * b
    }
    #[inline(always)]
    fn at_least(self, low: Self) -> Self {
        if self < low { low } else { self }
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        self
    }
    #[inline(always)]
    fn scaled(self, shifted: Self) -> Self {
        f32::from_bits(self.to_bits().wrapping_add(shifted.to_bits() << 23))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(not(target_arch = "x86_64"))]
pub use four::F32x4;
#[cfg(target_arch = "x86_64")]
pub use x86::F32x4;

#[cfg(target_arch = "wasm32")]
mod four {
    use super::{TWO_POW_112, Vector, f16};
    use core::arch::wasm32::*;

    /// Four lanes of simd128; with relaxed SIMD, [`Vector::fused`] is one instruction where the processor has one.
    #[derive(Clone, Copy)]
    pub struct F32x4(v128);

    impl Vector for F32x4 {
        const LANES: usize = 4;
        type Narrower = f32;

        #[inline(always)]
        fn splat(v: f32) -> Self {
            Self(f32x4_splat(v))
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller promises that so many values may be read there.
            Self(unsafe { v128_load(from.cast()) })
        }
        #[inline(always)]
        unsafe fn load_halves(from: *const f16) -> Self {
            // SAFETY: the caller promises that so many values may be read there.
            let bits = u32x4_extend_low_u16x8(unsafe { v128_load64_zero(from.cast()) });
            let magnitude = i32x4_shl(v128_and(bits, u32x4_splat(0x7fff)), 13);
            let magnitude = f32x4_mul(magnitude, f32x4_splat(TWO_POW_112));
            // Infinity and NaN have the largest exponent in both.
            let exponent = v128_and(bits, u32x4_splat(0x7c00));
            let special = i32x4_eq(exponent, u32x4_splat(0x7c00));
            let special = v128_and(special, u32x4_splat(0x7f80_0000));
            let sign = i32x4_shl(v128_and(bits, u32x4_splat(0x8000)), 16);
            Self(v128_or(v128_or(magnitude, special), sign))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller promises that so many values may be written there.
            unsafe { v128_store(to.cast(), self.0) }
        }
        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            Self(f32x4_add(self.0, other.0))
        }
        #[inline(always)]
        fn minus(self, other: Self) -> Self {
            Self(f32x4_sub(self.0, other.0))
        }
        #[inline(always)]
        fn times(self, other: Self) -> Self {
            Self(f32x4_mul(self.0, other.0))
        }
        #[inline(always)]
        fn fused(self, a: Self, b: Self) -> Self {
            #[cfg(target_feature = "relaxed-simd")]
            return Self(f32x4_relaxed_madd(a.0, b.0, self.0));
            #[cfg(not(target_feature = "relaxed-simd"))]
            Self(f32x4_add(self.0, f32x4_mul(a.0, b.0)))
        }
        #[inline(always)]
        fn sum(self) -> f32 {
            let low = f32x4_extract_lane::<0>(self.0) + f32x4_extract_lane::<2>(self.0);
            let high = f32x4_extract_lane::<1>(self.0) + f32x4_extract_lane::<3>(self.0);
            low + high
        }
        #[inline(always)]
        fn at_least(self, low: Self) -> Self {
            Self(f32x4_pmax(self.0, low.0))
        }
        #[inline(always)]
        fn scaled(self, shifted: Self) -> Self {
            Self(i32x4_add(self.0, i32x4_shl(shifted.0, 23)))
        }
    }
}

#[cfg(not(any(target_arch = "wasm32", target_arch = "x86_64")))]
mod four {
    use super::{Vector, f16, widened};
    use std::array::from_fn;

    /// Four lanes that the compiler vectorises.
    #[derive(Clone, Copy)]
    pub struct F32x4([f32; 4]);

    impl Vector for F32x4 {
        const LANES: usize = 4;
        type Narrower = f32;

        #[inline(always)]
        fn splat(v: f32) -> Self {
            Self([v; 4])
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller promises that so many values may be read there.
            Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
        }
        #[inline(always)]
        unsafe fn load_halves(from: *const f16) -> Self {
            // SAFETY: the caller promises that so many values may be read there.
            Self(unsafe { from.cast::<[f16; 4]>().read_unaligned() }.map(widened))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller promises that so many values may be read there.
            unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
        }
        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] + other.0[i]))
        }
        #[inline(always)]
        fn minus(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] - other.0[i]))
        }
        #[inline(always)]
        fn times(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] * other.0[i]))
        }
        #[inline(always)]
        fn fused(self, a: Self, b: Self) -> Self {
            Self(from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
        }
        #[inline(always)]
        fn sum(self) -> f32 {
            (self.0[0] + self.0[2]) + (self.0[1] + self.0[3])
        }
        #[inline(always)]
        fn at_least(self, low: Self) -> Self {
            Self(from_fn(|i| self.0[i].at_least(low.0[i])))
        }
        #[inline(always)]
        fn scaled(self, shifted: Self) -> Self {
            Self(from_fn(|i| self.0[i].scaled(shifted.0[i])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Widen<'a>(&'a [f16; 16]);

    impl Kernel for Widen<'_> {
        type Output = [f32; 16];
        #[inline(always)]
        fn run<V: Vector>(self) -> [f32; 16] {
            let mut found = [0.0; 16];
            for i in (0..16).step_by(V::LANES) {
                // SAFETY: i + LANES <= 16.
                unsafe { V::load_halves(self.0.as_ptr().add(i)).store(found.as_mut_ptr().add(i)) };
            }
            found
        }
    }

    #[test]
    fn every_f16_is_widened_as_the_half_crate_does() {
        for first in (0..=u16::MAX).step_by(16) {
            let halves: [f16; 16] = std::array::from_fn(|i| f16::from_bits(first + i as u16));
            let expected = halves.map(f16::to_f32);
            let same = |found: [f32; 16]| {
                found
                    .iter()
                    .zip(&expected)
                    .all(|(f, e)| f.to_bits() == e.to_bits() || f.is_nan() && e.is_nan())
            };
            assert!(same(run(Widen(&halves))), "{first:#x} in the widest");
            assert!(same(Widen(&halves).run::<F32x4>()), "{first:#x} in four lanes");
            assert!(same(Widen(&halves).run::<f32>()), "{first:#x} alone");
        }
    }
}
