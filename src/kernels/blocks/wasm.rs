//! wasm simd128: codes widened to 16 bits, `i32x4.dot_i16x8_s` with the inputs, four sums in f32.

use super::{Inputs, Row};
use crate::backend::{Bits, CHUNK};
use core::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_extract_lane, f32x4_mul, f32x4_splat,
    i16x8_extend_high_i8x16, i16x8_extend_high_u8x16, i16x8_extend_low_i8x16,
    i16x8_extend_low_u8x16, i16x8_splat, i16x8_sub, i32x4_add, i32x4_dot_i16x8, u8x16_shr,
    u8x16_splat, v128, v128_and, v128_load,
};

/// A row of W times a row of x.
pub fn product(row: &Row<'_>, x: &Inputs) -> f32 {
    assert_eq!(x.numbers.len(), x.scales.len() * CHUNK, "inputs");
    assert_eq!(row.codes.len(), x.scales.len() * row.chunk_bytes(), "codes");
    match row.bits {
        Bits::Eight => sums(row, x, eight),
        Bits::Four => sums(row, x, four),
    }
}

/// `widen` gives the 32 codes of a chunk as four vectors of 16 bits.
#[inline(always)]
fn sums(row: &Row<'_>, x: &Inputs, widen: impl Fn(&[u8]) -> [v128; 4]) -> f32 {
    let mut sum = f32x4_splat(0.0);
    for (scale, zero, codes, numbers, scales) in row.groups(x) {
        let zero = i16x8_splat(zero);
        let mut part = f32x4_splat(0.0);
        let chunks = codes.chunks_exact(row.chunk_bytes()).zip(numbers.chunks_exact(CHUNK));
        for ((codes, numbers), of_x) in chunks.zip(scales) {
            let [a, b, c, d] = widen(codes);
            let dot = |i: usize, code: v128| {
                // SAFETY: a chunk of 32 numbers has four vectors of eight.
                let n = unsafe { v128_load(numbers.as_ptr().add(8 * i).cast()) };
                i32x4_dot_i16x8(i16x8_sub(code, zero), n)
            };
            let (low, high) = (i32x4_add(dot(0, a), dot(1, b)), i32x4_add(dot(2, c), dot(3, d)));
            let dots = f32x4_convert_i32x4(i32x4_add(low, high));
            part = f32x4_add(part, f32x4_mul(dots, f32x4_splat(*of_x)));
        }
        sum = f32x4_add(sum, f32x4_mul(part, f32x4_splat(scale)));
    }
    f32x4_extract_lane::<0>(sum)
        + f32x4_extract_lane::<1>(sum)
        + f32x4_extract_lane::<2>(sum)
        + f32x4_extract_lane::<3>(sum)
}

#[inline(always)]
fn eight(codes: &[u8]) -> [v128; 4] {
    assert!(codes.len() >= 32, "a chunk of int8");
    // SAFETY: 32 bytes, as asserted.
    let [a, b] = unsafe { [0, 16].map(|i| v128_load(codes.as_ptr().add(i).cast())) };
    [
        i16x8_extend_low_i8x16(a),
        i16x8_extend_high_i8x16(a),
        i16x8_extend_low_i8x16(b),
        i16x8_extend_high_i8x16(b),
    ]
}

#[inline(always)]
fn four(codes: &[u8]) -> [v128; 4] {
    assert!(codes.len() >= 16, "a chunk of int4");
    // SAFETY: 16 bytes, as asserted.
    let pairs = unsafe { v128_load(codes.as_ptr().cast()) };
    let (a, b) = (v128_and(pairs, u8x16_splat(15)), u8x16_shr(pairs, 4));
    [
        i16x8_extend_low_u8x16(a),
        i16x8_extend_high_u8x16(a),
        i16x8_extend_low_u8x16(b),
        i16x8_extend_high_u8x16(b),
    ]
}
