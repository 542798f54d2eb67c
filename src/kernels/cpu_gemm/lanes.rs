//! Four f32 in one register: wasm simd128, or an array that native compilers vectorise.

#[cfg(target_arch = "wasm32")]
mod imp {
    use core::arch::wasm32::{
        f32x4_add, f32x4_mul, f32x4_splat, v128, v128_load, v128_load32_splat, v128_store,
    };

    pub type F32x4 = v128;

    #[inline(always)]
    pub fn zero() -> F32x4 {
        f32x4_splat(0.0)
    }

    /// # Safety
    /// `from` must be valid for reading four values.
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> F32x4 {
        unsafe { v128_load(from.cast()) }
    }

    /// # Safety
    /// `from` must be valid for reading one value.
    #[inline(always)]
    pub unsafe fn splat(from: *const f32) -> F32x4 {
        unsafe { v128_load32_splat(from.cast()) }
    }

    /// # Safety
    /// `to` must be valid for writing four values.
    #[inline(always)]
    pub unsafe fn store(to: *mut f32, value: F32x4) {
        unsafe { v128_store(to.cast(), value) }
    }

    #[inline(always)]
    pub fn add(a: F32x4, b: F32x4) -> F32x4 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    pub fn mul(a: F32x4, b: F32x4) -> F32x4 {
        f32x4_mul(a, b)
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    #[derive(Clone, Copy)]
    pub struct F32x4([f32; 4]);

    #[inline(always)]
    pub fn zero() -> F32x4 {
        F32x4([0.0; 4])
    }

    /// # Safety
    /// `from` must be valid for reading four values.
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> F32x4 {
        F32x4(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    /// # Safety
    /// `from` must be valid for reading one value.
    #[inline(always)]
    pub unsafe fn splat(from: *const f32) -> F32x4 {
        F32x4([unsafe { *from }; 4])
    }

    /// # Safety
    /// `to` must be valid for writing four values.
    #[inline(always)]
    pub unsafe fn store(to: *mut f32, value: F32x4) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(value.0) }
    }

    #[inline(always)]
    pub fn add(a: F32x4, b: F32x4) -> F32x4 {
        F32x4(std::array::from_fn(|i| a.0[i] + b.0[i]))
    }

    #[inline(always)]
    pub fn mul(a: F32x4, b: F32x4) -> F32x4 {
        F32x4(std::array::from_fn(|i| a.0[i] * b.0[i]))
    }
}

pub use imp::{F32x4, add, load, mul, splat, store, zero};
