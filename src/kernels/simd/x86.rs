//! The vectors of x86-64: SSE2, which every machine has, AVX2 with FMA and F16C, AVX-512.

use super::{Vector, f16, widened};
use core::arch::x86_64::*;

/// The vectors of one instruction set: a type, its register, and the intrinsics that do what the trait says.
macro_rules! x86_vector {
    ($name:ident, $lanes:literal, $narrower:ty, $register:ident, $splat:ident, $load:ident, $halves:expr, $store:ident, $add:ident,
     $sub:ident, $mul:ident, $max:ident, $int:ident, $float:ident, $shift:ident, $int_add:ident, $fused:expr, $sum:expr) => {
        /// One register of f32.
        #[derive(Clone, Copy)]
        pub struct $name($register);

        // Of every call below: a value of this type is made only where `run` has found the instructions.
        impl Vector for $name {
            const LANES: usize = $lanes;
            type Narrower = $narrower;

            #[inline(always)]
            fn splat(v: f32) -> Self {
                // SAFETY: the instructions are there (above).
                Self(unsafe { $splat(v) })
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the instructions are there (above); the caller promises that so many values may be read.
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn load_halves(from: *const f16) -> Self {
                #[allow(clippy::redundant_closure_call)]
                // SAFETY: the instructions are there (above); the caller promises that so many values may be read.
                Self(unsafe { $halves(from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the instructions are there (above); the caller promises that so many values may be written.
                unsafe { $store(to, self.0) }
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                // SAFETY: the instructions are there (above).
                Self(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                // SAFETY: the instructions are there (above).
                Self(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                // SAFETY: the instructions are there (above).
                Self(unsafe { $mul(self.0, other.0) })
            }
            #[inline(always)]
            fn fused(self, a: Self, b: Self) -> Self {
                #[allow(clippy::redundant_closure_call)]
                // SAFETY: the instructions are there (above).
                Self(unsafe { $fused(a.0, b.0, self.0) })
            }
            #[inline(always)]
            fn sum(self) -> f32 {
                #[allow(clippy::redundant_closure_call)]
                // SAFETY: the instructions are there (above).
                unsafe {
                    $sum(self.0)
                }
            }
            /// The maximum gives its second operand where one is NaN.
            #[inline(always)]
            fn at_least(self, low: Self) -> Self {
                // SAFETY: the instructions are there (above).
                Self(unsafe { $max(low.0, self.0) })
            }
            #[inline(always)]
            fn scaled(self, shifted: Self) -> Self {
                // SAFETY: the instructions are there (above).
                Self(unsafe { $float($int_add($int(self.0), $shift::<23>($int(shifted.0)))) })
            }
        }
    };
}

/// Without the instruction, which the narrowest machines lack.
#[inline(always)]
unsafe fn four_halves(from: *const f16) -> __m128 {
    // SAFETY: the caller promises that so many values may be read there.
    let halves = unsafe { from.cast::<[f16; 4]>().read_unaligned() };
    // SAFETY: four values on the stack.
    unsafe { _mm_loadu_ps(halves.map(widened).as_ptr()) }
}

#[rustfmt::skip]
x86_vector!(
    F32x16, 16, F32x8, __m512, _mm512_set1_ps, _mm512_loadu_ps,
    |from: *const f16| _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())), _mm512_storeu_ps, _mm512_add_ps, _mm512_sub_ps,
    _mm512_mul_ps, _mm512_max_ps, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_slli_epi32, _mm512_add_epi32,
    |a, b, c| _mm512_fmadd_ps(a, b, c),
    |v| F32x8(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v))).sum()
);
#[rustfmt::skip]
x86_vector!(
    F32x8, 8, F32x4, __m256, _mm256_set1_ps, _mm256_loadu_ps,
    |from: *const f16| _mm256_cvtph_ps(_mm_loadu_si128(from.cast())), _mm256_storeu_ps, _mm256_add_ps, _mm256_sub_ps,
    _mm256_mul_ps, _mm256_max_ps, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_slli_epi32, _mm256_add_epi32,
    |a, b, c| _mm256_fmadd_ps(a, b, c),
    |v| F32x4(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v))).sum()
);
#[rustfmt::skip]
x86_vector!(
    F32x4, 4, f32, __m128, _mm_set1_ps, _mm_loadu_ps,
    |from: *const f16| four_halves(from), _mm_storeu_ps, _mm_add_ps, _mm_sub_ps,
    _mm_mul_ps, _mm_max_ps, _mm_castps_si128, _mm_castsi128_ps, _mm_slli_epi32, _mm_add_epi32,
    |a, b, c| _mm_add_ps(c, _mm_mul_ps(a, b)),
    |v| {
        let two = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
);
