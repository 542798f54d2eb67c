//! wasm simd128; values are f32 here. `i8x16.swizzle` picks the inputs of 2:4.
//!
//! It can spread values under a bitmask too. In node 20 that took twice the time of the dense product at 50 and at 80 %
//! zeros alike, so there is no such kernel, and no matrix becomes a bitmask for this device.

use super::Sums;
use crate::backend::Precision;
use core::arch::wasm32::{
    f32x4_add, f32x4_extract_lane, f32x4_mul, f32x4_splat, i8x16_swizzle, v128, v128_load,
    v128_load64_lane, v128_load64_zero,
};

/// For two indices (four bits): the bytes of the two inputs.
static PICK: [[u8; 8]; 16] = {
    let mut table = [[0; 8]; 16];
    let mut i = 0;
    while i < 128 {
        let index = (i / 8) >> (i % 8 / 4 * 2) & 3;
        table[i / 8][i % 8] = (index * 4 + i % 4) as u8;
        i += 1;
    }
    table
};

/// Two rows of a 2:4 matrix times row `t` of x.
pub fn two_of_four(s: &Sums<'_>, pair: usize, t: usize) -> [f32; 2] {
    assert_eq!(s.precision, Precision::F32, "packed weights on this device");
    let (index, x) = (s.index(pair), s.x(t));
    let first = pair * s.chunks * 16;
    let values = &s.values[first..first + index.len() * 16];
    assert!(x.len() >= values.len(), "chunks of x");
    let mut sums = [f32x4_splat(0.0); 2];
    for (c, &word) in index.iter().enumerate() {
        for g in 0..4 {
            let byte = word >> (8 * g);
            let at = c * 16 + g * 4;
            // SAFETY: `values` and `x` have 16 values for every word (asserted); the tables have 16 entries.
            unsafe {
                let low = v128_load64_zero(PICK[(byte & 15) as usize].as_ptr().cast());
                let high = PICK[(byte >> 4 & 15) as usize].as_ptr();
                let pick = v128_load64_lane::<1>(low, high.cast());
                let x = i8x16_swizzle(load(x.as_ptr().add(at)), pick);
                let v = load(values.as_ptr().add(at).cast());
                sums[g % 2] = f32x4_add(sums[g % 2], f32x4_mul(x, v));
            }
        }
    }
    let [a, b, c, d] = lanes(f32x4_add(sums[0], sums[1]));
    [a + b, c + d]
}

/// # Safety
/// `from` must be valid for reading four values.
#[inline(always)]
unsafe fn load(from: *const f32) -> v128 {
    // SAFETY: the caller promises that so many values may be read there.
    unsafe { v128_load(from.cast()) }
}

fn lanes(v: v128) -> [f32; 4] {
    [
        f32x4_extract_lane::<0>(v),
        f32x4_extract_lane::<1>(v),
        f32x4_extract_lane::<2>(v),
        f32x4_extract_lane::<3>(v),
    ]
}
