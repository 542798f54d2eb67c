//! wasm simd128; values are f32 here. `i8x16.swizzle` picks inputs for 2:4, and spreads values under a mask: an index
//! of 16 or more gives zero.

use super::Sums;
use core::arch::wasm32::{
    f32x4_add, f32x4_extract_lane, f32x4_mul, f32x4_splat, i8x16_swizzle, v128, v128_load,
    v128_load64_lane, v128_load64_zero,
};
use std::ops::Range;

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

/// For four bits of a mask: the bytes of the value of each input, or 16.
static SPREAD: [[u8; 16]; 16] = {
    let mut table = [[16; 16]; 16];
    let mut i = 0;
    while i < 256 {
        let (mask, lane) = (i / 16, i % 16 / 4);
        if mask >> lane & 1 != 0 {
            let before = (mask & ((1 << lane) - 1)).count_ones() as usize;
            table[mask][i % 16] = (before * 4 + i % 4) as u8;
        }
        i += 1;
    }
    table
};

/// Two rows of a 2:4 matrix times row `t` of x.
pub fn two_of_four(s: &Sums<'_>, pair: usize, t: usize) -> [f32; 2] {
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

/// One row of a bitmask matrix, whose values are `values`, times row `t` of x.
pub fn bitmask(s: &Sums<'_>, row: usize, values: Range<usize>, t: usize) -> f32 {
    let (masks, x) = (s.index(row), s.x(t));
    assert!(x.len() >= masks.len() * 32 && values.end + 4 <= s.values.len(), "values");
    let mut values = s.values[values].as_ptr().cast::<f32>();
    let mut sums = [f32x4_splat(0.0); 2];
    for (c, &mask) in masks.iter().enumerate() {
        for i in 0..8 {
            let bits = mask >> (4 * i) & 15;
            // SAFETY: x has 32 values a mask; behind the values of the row, which `Packed` counts by the bits of its
            // masks, four more can be read (asserted).
            unsafe {
                let spread = v128_load(SPREAD[bits as usize].as_ptr().cast());
                let v = i8x16_swizzle(load(values), spread);
                let x = load(x.as_ptr().add(c * 32 + i * 4));
                sums[i % 2] = f32x4_add(sums[i % 2], f32x4_mul(x, v));
                values = values.add(bits.count_ones() as usize);
            }
        }
    }
    lanes(f32x4_add(sums[0], sums[1])).iter().sum()
}

/// # Safety
/// `from` must be valid for reading four values.
#[inline(always)]
unsafe fn load(from: *const f32) -> v128 {
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
