//! Four f32 side by side: wasm simd128, SSE2 (which every x86_64 has), or an array elsewhere. For the few loops that
//! compilers do not turn into SIMD code by themselves.

pub use imp::Lanes;

#[cfg(target_arch = "wasm32")]
mod imp {
    use core::arch::wasm32::*;

    #[derive(Clone, Copy)]
    pub struct Lanes(v128);

    impl Lanes {
        #[inline(always)]
        pub fn splat(v: f32) -> Self {
            Self(f32x4_splat(v))
        }

        #[inline(always)]
        pub fn load(from: &[f32; 4]) -> Self {
            // SAFETY: a reference to 16 readable bytes; wasm loads need no alignment.
            Self(unsafe { v128_load(from.as_ptr().cast()) })
        }

        #[inline(always)]
        pub fn store(self, to: &mut [f32; 4]) {
            // SAFETY: a reference to 16 writable bytes; wasm stores need no alignment.
            unsafe { v128_store(to.as_mut_ptr().cast(), self.0) }
        }

        #[inline(always)]
        pub fn plus(self, other: Self) -> Self {
            Self(f32x4_add(self.0, other.0))
        }

        #[inline(always)]
        pub fn minus(self, other: Self) -> Self {
            Self(f32x4_sub(self.0, other.0))
        }

        #[inline(always)]
        pub fn times(self, other: Self) -> Self {
            Self(f32x4_mul(self.0, other.0))
        }

        /// `low` where that is larger; NaN stays NaN.
        #[inline(always)]
        pub fn at_least(self, low: f32) -> Self {
            Self(f32x4_pmax(self.0, f32x4_splat(low)))
        }

        /// Adds the low bits of `shifted` to the exponent.
        #[inline(always)]
        pub fn scaled(self, shifted: Self) -> Self {
            Self(i32x4_add(self.0, i32x4_shl(shifted.0, 23)))
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod imp {
    use core::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub struct Lanes(__m128);

    // SAFETY of every call below: SSE2 is part of x86_64; loads and stores go through references to four values and
    // are the unaligned ones.
    impl Lanes {
        #[inline(always)]
        pub fn splat(v: f32) -> Self {
            Self(unsafe { _mm_set1_ps(v) })
        }

        #[inline(always)]
        pub fn load(from: &[f32; 4]) -> Self {
            Self(unsafe { _mm_loadu_ps(from.as_ptr()) })
        }

        #[inline(always)]
        pub fn store(self, to: &mut [f32; 4]) {
            unsafe { _mm_storeu_ps(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        pub fn plus(self, other: Self) -> Self {
            Self(unsafe { _mm_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        pub fn minus(self, other: Self) -> Self {
            Self(unsafe { _mm_sub_ps(self.0, other.0) })
        }

        #[inline(always)]
        pub fn times(self, other: Self) -> Self {
            Self(unsafe { _mm_mul_ps(self.0, other.0) })
        }

        /// `low` where that is larger; NaN stays NaN (maxps gives its second operand then).
        #[inline(always)]
        pub fn at_least(self, low: f32) -> Self {
            Self(unsafe { _mm_max_ps(_mm_set1_ps(low), self.0) })
        }

        /// Adds the low bits of `shifted` to the exponent.
        #[inline(always)]
        pub fn scaled(self, shifted: Self) -> Self {
            Self(unsafe {
                let k = _mm_slli_epi32::<23>(_mm_castps_si128(shifted.0));
                _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(self.0), k))
            })
        }
    }
}

#[cfg(not(any(target_arch = "wasm32", target_arch = "x86_64")))]
mod imp {
    use std::array::from_fn;

    #[derive(Clone, Copy)]
    pub struct Lanes([f32; 4]);

    impl Lanes {
        #[inline(always)]
        pub fn splat(v: f32) -> Self {
            Self([v; 4])
        }

        #[inline(always)]
        pub fn load(from: &[f32; 4]) -> Self {
            Self(*from)
        }

        #[inline(always)]
        pub fn store(self, to: &mut [f32; 4]) {
            *to = self.0;
        }

        #[inline(always)]
        pub fn plus(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] + other.0[i]))
        }

        #[inline(always)]
        pub fn minus(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] - other.0[i]))
        }

        #[inline(always)]
        pub fn times(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] * other.0[i]))
        }

        /// `low` where that is larger; NaN stays NaN.
        #[inline(always)]
        pub fn at_least(self, low: f32) -> Self {
            Self(self.0.map(|v| if v < low { low } else { v }))
        }

        /// Adds the low bits of `shifted` to the exponent.
        #[inline(always)]
        pub fn scaled(self, shifted: Self) -> Self {
            let bits = |i: usize| self.0[i].to_bits().wrapping_add(shifted.0[i].to_bits() << 23);
            Self(from_fn(|i| f32::from_bits(bits(i))))
        }
    }
}
