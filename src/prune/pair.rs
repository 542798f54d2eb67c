//! Two f64 side by side: wasm simd128, or an array that native compilers turn into SSE2.

pub use imp::Pair;

#[cfg(target_arch = "wasm32")]
mod imp {
    use core::arch::wasm32::*;

    /// Two f64 in one register.
    #[derive(Clone, Copy)]
    pub struct Pair(v128);

    impl Pair {
        pub const ZERO: Pair = Pair(f64x2(0.0, 0.0));

        #[inline(always)]
        pub fn new(a: f64, b: f64) -> Self {
            Self(f64x2(a, b))
        }

        #[inline(always)]
        pub fn load(from: &[f64; 2]) -> Self {
            // SAFETY: a reference to 16 readable bytes; wasm loads need no alignment.
            Self(unsafe { v128_load(from.as_ptr().cast()) })
        }

        #[inline(always)]
        pub fn both(v: f64) -> Self {
            Self(f64x2_splat(v))
        }

        #[inline(always)]
        pub fn plus(self, other: Self) -> Self {
            Self(f64x2_add(self.0, other.0))
        }

        #[inline(always)]
        pub fn times(self, other: Self) -> Self {
            Self(f64x2_mul(self.0, other.0))
        }

        #[inline(always)]
        pub fn values(self) -> [f64; 2] {
            [f64x2_extract_lane::<0>(self.0), f64x2_extract_lane::<1>(self.0)]
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    /// Two f64.
    #[derive(Clone, Copy)]
    pub struct Pair([f64; 2]);

    impl Pair {
        pub const ZERO: Pair = Pair([0.0; 2]);

        pub fn new(a: f64, b: f64) -> Self {
            Self([a, b])
        }

        pub fn load(from: &[f64; 2]) -> Self {
            Self(*from)
        }

        pub fn both(v: f64) -> Self {
            Self([v; 2])
        }

        pub fn plus(self, other: Self) -> Self {
            Self([self.0[0] + other.0[0], self.0[1] + other.0[1]])
        }

        pub fn times(self, other: Self) -> Self {
            Self([self.0[0] * other.0[0], self.0[1] * other.0[1]])
        }

        pub fn values(self) -> [f64; 2] {
            self.0
        }
    }
}
