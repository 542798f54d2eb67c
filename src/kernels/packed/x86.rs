//! x86-64 with AVX2, FMA and F16C.
//!
//! 2:4: a vector holds the values of two groups and two rows; `vpermilps` picks for each its input from the group's four,
//! which is exactly what its two control bits can say. Bitmask: a table spreads the next values over the eight inputs
//! of a mask byte. That costs the same whatever is zero, about what dense f16 costs from memory: it saves bytes, and
//! time only beside f32. AVX-512's own spreading (eight or sixteen inputs; or inputs gathered by the positions of the
//! bits) was 10 % faster to 2 times slower than the table on a Zen 4, so it is not here.

use super::Sums;
use crate::backend::Precision;
use std::arch::x86_64::*;
use std::ops::Range;

/// Two rows of a 2:4 matrix times row `t` of x. The machine has AVX2, FMA and F16C.
pub fn two_of_four(s: &Sums<'_>, pair: usize, t: usize) -> [f32; 2] {
    let (index, x) = (s.index(pair), s.x(t));
    assert!(x.len() >= index.len() * 16, "chunks of x");
    let first = pair * s.chunks * 16;
    let lanes = match s.precision {
        Precision::F16 => {
            let values = &s.values[first / 2..(first + index.len() * 16) / 2];
            // SAFETY: features as said; `values` and `x` have 16 values for every index word.
            unsafe { pair_f16(index, values.as_ptr().cast(), x.as_ptr()) }
        }
        Precision::F32 => {
            let values = &s.values[first..first + index.len() * 16];
            // SAFETY: as above.
            unsafe { pair_f32(index, values.as_ptr().cast(), x.as_ptr()) }
        }
    };
    [lanes[0] + lanes[1] + lanes[4] + lanes[5], lanes[2] + lanes[3] + lanes[6] + lanes[7]]
}

/// Bytes that the values are asked for ahead of their use, and the indices, of which there are an eighth (f16). Two streams
/// confuse the machine's own guess: asking 512 bytes ahead made 2:4 in f16 1.1 to 1.2 times as fast on a Zen 4, and 2,048
/// took 0.84 and 0.90 of the time of 512 on a Zen 3 (104 MB of values). The dense product, one stream, became slower by it.
const AHEAD: usize = 2048;
const INDEX_AHEAD: usize = 512;

/// The loop of both precisions; `$load` gives eight values from a place.
macro_rules! pair {
    ($name:ident, $value:ty, $load:expr) => {
        /// # Safety
        /// The machine has AVX2, FMA and F16C; `values` and `x` are valid for 16 values an index word.
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn $name(index: &[u32], values: *const $value, x: *const f32) -> [f32; 8] {
            let low = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
            let high = _mm256_setr_epi32(16, 18, 20, 22, 24, 26, 28, 30);
            let mut s = [_mm256_setzero_ps(); 4];
            let chunk = |c: usize, word: u32, s: &mut [__m256]| {
                let word = _mm256_set1_epi32(word as i32);
                // SAFETY: c is below the number of index words.
                unsafe {
                    let (x, v) = (x.add(16 * c), values.add(16 * c));
                    let a = _mm256_permutevar_ps(_mm256_loadu_ps(x), _mm256_srlv_epi32(word, low));
                    let b = _mm256_loadu_ps(x.add(8));
                    let b = _mm256_permutevar_ps(b, _mm256_srlv_epi32(word, high));
                    s[0] = _mm256_fmadd_ps(a, $load(v), s[0]);
                    s[1] = _mm256_fmadd_ps(b, $load(v.add(8)), s[1]);
                }
            };
            let (twos, rest) = index.as_chunks::<2>();
            for (i, two) in twos.iter().enumerate() {
                let next = values.wrapping_add(32 * i).cast::<i8>().wrapping_add(AHEAD);
                _mm_prefetch::<_MM_HINT_T0>(next);
                if size_of::<$value>() == 4 {
                    _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(64));
                }
                if i % 8 == 0 {
                    _mm_prefetch::<_MM_HINT_T0>(
                        two.as_ptr().cast::<i8>().wrapping_add(INDEX_AHEAD),
                    );
                }
                chunk(2 * i, two[0], &mut s[..2]);
                chunk(2 * i + 1, two[1], &mut s[2..]);
            }
            for &word in rest {
                chunk(index.len() - 1, word, &mut s[..2]);
            }
            let sum = _mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3]));
            let mut lanes = [0.0; 8];
            // SAFETY: `lanes` has eight values.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
            lanes
        }
    };
}

pair!(pair_f16, u16, |from: *const u16| _mm256_cvtph_ps(_mm_loadu_si128(from.cast())));
pair!(pair_f32, f32, |from: *const f32| _mm256_loadu_ps(from));

/// One row of a bitmask matrix, whose values are `values`, times row `t` of x. The machine has AVX2, FMA and F16C.
pub fn bitmask(s: &Sums<'_>, row: usize, values: Range<usize>, t: usize) -> f32 {
    let (masks, x) = (s.index(row), s.x(t));
    // Eight values are read from the last one on; the slack of `Packed` is longer.
    let end = values.end + 8;
    assert!(x.len() >= masks.len() * 32, "chunks of x");
    match s.precision {
        Precision::F16 => {
            assert!(end <= s.values.len() * 2, "values");
            // SAFETY: features as said; x and the values are as long as asserted, and `Packed` counts the values of a
            // row by the bits of its masks.
            unsafe { row_f16(masks, s.values.as_ptr().cast::<u16>().add(values.start), x.as_ptr()) }
        }
        Precision::F32 => {
            assert!(end <= s.values.len(), "values");
            // SAFETY: as above.
            unsafe { row_f32(masks, s.values.as_ptr().cast::<f32>().add(values.start), x.as_ptr()) }
        }
    }
}

/// For every mask byte and input: the number of the value among those of the byte, and the top bit where there is one.
static SPREAD: [[i32; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut next) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 != 0 {
                table[mask][lane] = next | i32::MIN;
                next += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    table
};

/// The loop of both precisions; `$load` gives eight values from a place.
macro_rules! row {
    ($name:ident, $value:ty, $load:expr) => {
        /// # Safety
        /// The machine has AVX2, FMA and F16C; `x` is valid for 32 values a mask, `values` for as many as the masks have
        /// bits and eight more.
        #[target_feature(enable = "avx2,fma,f16c,popcnt")]
        unsafe fn $name(masks: &[u32], mut values: *const $value, x: *const f32) -> f32 {
            let zero = _mm256_setzero_ps();
            let mut s = [zero; 4];
            for (c, &mask) in masks.iter().enumerate() {
                for (i, byte) in mask.to_le_bytes().into_iter().enumerate() {
                    // SAFETY: as the caller promised.
                    unsafe {
                        let spread = _mm256_loadu_si256(SPREAD[usize::from(byte)].as_ptr().cast());
                        let v = _mm256_permutevar8x32_ps($load(values), spread);
                        // Inputs without a value take a zero: a neighbour's infinity must not reach them.
                        let v = _mm256_blendv_ps(zero, v, _mm256_castsi256_ps(spread));
                        s[i] = _mm256_fmadd_ps(v, _mm256_loadu_ps(x.add(32 * c + 8 * i)), s[i]);
                        values = values.add(byte.count_ones() as usize);
                    }
                }
            }
            let sum = _mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3]));
            let mut lanes = [0.0f32; 8];
            // SAFETY: `lanes` has eight values.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
            lanes.iter().sum()
        }
    };
}

row!(row_f16, u16, |from: *const u16| _mm256_cvtph_ps(_mm_loadu_si128(from.cast())));
row!(row_f32, f32, |from: *const f32| _mm256_loadu_ps(from));
