//! Rows laid side by side, input by input, eight by eight in registers.

// Compilers leave the closures of iterators as calls here, compiled for the baseline.
#![allow(clippy::needless_range_loop)]

use super::{SIDE, Weight, places};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Packs these inputs of the weights `[n, cols]` into panels `[n / width, inputs, width]`. Outputs that the last panel has
/// and the weights have not are zeros, or what was there; their sums are not used.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn pack<T: Weight>(
    weights: &[T],
    cols: usize,
    inputs: Range<usize>,
    width: usize,
    packed: &mut [f32],
) {
    let (outs, depth) = (weights.len() / cols, inputs.len());
    for first in (0..outs).step_by(SIDE) {
        let from = &weights[first * cols + inputs.start..];
        let to = &mut packed[first / width * width * depth + first % width..];
        transpose(from, cols, (SIDE.min(outs - first), depth), places(to), width);
    }
}

/// Column i of `height` rows, which are `stride` apart, to `to[i * step..]`; zeros behind up to [`SIDE`], which the next
/// column may overwrite.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn transpose<T: Weight>(
    from: &[T],
    stride: usize,
    (height, depth): (usize, usize),
    to: &mut [MaybeUninit<f32>],
    step: usize,
) {
    assert!((1..=SIDE).contains(&height) && depth > 0, "rows to transpose");
    assert!(from.len() >= (height - 1) * stride + depth, "rows to transpose");
    assert!(to.len() >= (depth - 1) * step + SIDE, "transposed rows");
    let whole = depth / SIDE * SIDE;
    for i in (0..whole).step_by(SIDE) {
        // SAFETY: the instructions are there; eight inputs from i on are there in `height` rows, and places for eight.
        unsafe {
            let (from, to) = (from.as_ptr().add(i), to.as_mut_ptr().add(i * step).cast::<f32>());
            let rows = match height {
                1 => few_rows::<T, 1>(from, stride),
                2 => few_rows::<T, 2>(from, stride),
                3 => few_rows::<T, 3>(from, stride),
                4 => few_rows::<T, 4>(from, stride),
                5 => few_rows::<T, 5>(from, stride),
                6 => few_rows::<T, 6>(from, stride),
                7 => few_rows::<T, 7>(from, stride),
                _ => few_rows::<T, SIDE>(from, stride),
            };
            let columns = transposed(rows);
            for (j, column) in columns.into_iter().enumerate() {
                _mm256_storeu_ps(to.add(j * step), column);
            }
        }
    }
    for i in whole..depth {
        for r in 0..SIDE {
            let value = if r < height { from[r * stride + i].one() } else { 0.0 };
            to[i * step + r] = MaybeUninit::new(value);
        }
    }
}

/// Eight numbers of `R` rows, and zeros. Those of as many rows behind are fetched: from one row to the next the processor
/// does not foresee, and packing would wait for memory four fifths of its time.
///
/// # Safety
/// The rows must be valid for reading eight numbers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn few_rows<T: Weight, const R: usize>(from: *const T, stride: usize) -> [__m256; SIDE] {
    let mut rows = [_mm256_setzero_ps(); SIDE];
    for r in 0..R {
        _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add((R + r) * stride).cast());
        // SAFETY: the caller's promise.
        rows[r] = unsafe { T::eight(from.add(r * stride)) };
    }
    rows
}

/// Vector j of the result has number j of every vector.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(rows: [__m256; SIDE]) -> [__m256; SIDE] {
    // Of four rows, in both halves of a vector: numbers j and j + 4, for j = 0 to 3.
    let four = |a, b, c, d| {
        let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
        let (ab2, cd2) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0x44>(ab, cd),
            _mm256_shuffle_ps::<0xee>(ab, cd),
            _mm256_shuffle_ps::<0x44>(ab2, cd2),
            _mm256_shuffle_ps::<0xee>(ab2, cd2),
        ]
    };
    let [a, b, c, d, e, f, g, h] = rows;
    let (first, last) = (four(a, b, c, d), four(e, f, g, h));
    let mut all = rows;
    for j in 0..4 {
        all[j] = _mm256_permute2f128_ps::<0x20>(first[j], last[j]);
        all[4 + j] = _mm256_permute2f128_ps::<0x31>(first[j], last[j]);
    }
    all
}
