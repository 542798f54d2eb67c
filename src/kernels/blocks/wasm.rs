//! wasm simd128: codes widened to 16 bits, `i32x4.dot_i16x8_s` with the inputs, four sums in f32. What is taken off a code
//! is taken off a group's sum instead.

use super::super::simd::widened;
use super::{BlockRow, Inputs, WeightRows};
use crate::backend::{Bits, CHUNK};
use core::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_extract_lane, f32x4_mul, f32x4_splat,
    i16x8_extend_high_i8x16, i16x8_extend_high_u8x16, i16x8_extend_low_i8x16,
    i16x8_extend_low_u8x16, i32x4_add, i32x4_dot_i16x8, u8x16_shr, u8x16_splat, v128, v128_and,
    v128_load,
};
use half::f16;

/// Adds x Wᵀ to y.
pub fn accumulate(w: &WeightRows<'_>, x: &[Inputs], y: &mut [f32]) {
    w.each(x, y, product);
}

/// A row of x.
pub fn inputs(x: &[f32], group: usize, _: Bits) -> Inputs {
    Inputs::of(x, group)
}

/// A row of W times a row of x.
fn product(row: &BlockRow<'_>, x: &Inputs) -> f32 {
    let (chunks, groups) = (x.scales.len(), row.scales.len());
    assert_eq!(x.numbers.len(), chunks * CHUNK, "inputs");
    assert_eq!(row.codes.len(), chunks * row.chunk_bytes(), "codes");
    assert_eq!(groups, x.totals.len(), "sums of inputs");
    // SAFETY: there are a chunk of codes and one of numbers for every scale of x.
    unsafe {
        match row.bits {
            Bits::Eight => sums::<32>(row, x, eight),
            Bits::Four => sums::<16>(row, x, four),
        }
    }
}

/// `widen` gives the 32 codes of a chunk of so many bytes as four vectors of 16 bits.
///
/// # Safety
/// Every scale of x has a chunk of codes and one of numbers.
#[inline(always)]
unsafe fn sums<const BYTES: usize>(
    row: &BlockRow<'_>,
    x: &Inputs,
    widen: impl Fn(*const u8) -> [v128; 4],
) -> f32 {
    let (mut sum, mut off) = (f32x4_splat(0.0), 0.0);
    let (codes, numbers) = (row.codes.as_ptr(), x.numbers.as_ptr().cast::<v128>());
    let mut c = 0;
    for (g, (&scale, total)) in row.scales.iter().zip(&x.totals).enumerate() {
        let mut part = f32x4_splat(0.0);
        let end = (c + row.chunks).min(x.scales.len());
        while c < end {
            // SAFETY: c is below the number of chunks, which have four vectors of eight numbers each.
            let (codes, of_x) = unsafe { (widen(codes.add(c * BYTES)), x.scales.get_unchecked(c)) };
            let dot = |i: usize| {
                // SAFETY: likewise.
                let n = unsafe { v128_load(numbers.add(4 * c + i)) };
                i32x4_dot_i16x8(codes[i], n)
            };
            let dots = i32x4_add(i32x4_add(dot(0), dot(1)), i32x4_add(dot(2), dot(3)));
            part = f32x4_add(part, f32x4_mul(f32x4_convert_i32x4(dots), f32x4_splat(*of_x)));
            c += 1;
        }
        let scale = widened(f16::from_bits(scale));
        sum = f32x4_add(sum, f32x4_mul(part, f32x4_splat(scale)));
        off += scale * f32::from(row.zero(g)) * total;
    }
    f32x4_extract_lane::<0>(sum)
        + f32x4_extract_lane::<1>(sum)
        + f32x4_extract_lane::<2>(sum)
        + f32x4_extract_lane::<3>(sum)
        - off
}

#[inline(always)]
fn eight(codes: *const u8) -> [v128; 4] {
    // SAFETY: the caller has 32 bytes there.
    let [a, b] = unsafe { [0, 16].map(|i| v128_load(codes.add(i).cast())) };
    [
        i16x8_extend_low_i8x16(a),
        i16x8_extend_high_i8x16(a),
        i16x8_extend_low_i8x16(b),
        i16x8_extend_high_i8x16(b),
    ]
}

#[inline(always)]
fn four(codes: *const u8) -> [v128; 4] {
    // SAFETY: the caller has 16 bytes there.
    let pairs = unsafe { v128_load(codes.cast()) };
    let (a, b) = (v128_and(pairs, u8x16_splat(15)), u8x16_shr(pairs, 4));
    [
        i16x8_extend_low_u8x16(a),
        i16x8_extend_high_u8x16(a),
        i16x8_extend_low_u8x16(b),
        i16x8_extend_high_u8x16(b),
    ]
}
