//! x86-64 with AVX2, FMA and F16C.
//!
//! 2:4: a vector holds the values of two groups and two rows; `vpermilps` picks for each its input from the group's four,
//! which is exactly what its two control bits can say. Bitmask: a table spreads the next values over the eight inputs
//! of a mask byte; with AVX-512 the machine spreads sixteen by itself.

use super::Sums;
use crate::backend::Precision;
use std::arch::x86_64::*;

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

/// One row of a bitmask matrix, whose values start at `at`, times row `t` of x. The machine has AVX2, FMA and F16C.
pub fn bitmask(s: &Sums<'_>, row: usize, at: usize, t: usize) -> f32 {
    let (masks, x) = (s.index(row), s.x(t));
    let kept: usize = masks.iter().map(|m| m.count_ones() as usize).sum();
    // A load may read 16 values from the end of the last one on.
    let end = at + kept + 16;
    let wide = is_x86_feature_detected!("avx512f");
    assert!(x.len() >= masks.len() * 32, "chunks of x");
    match s.precision {
        Precision::F16 => {
            assert!(end <= s.values.len() * 2, "values");
            // SAFETY: features as said; masks, x and the slack behind the values are as long as asserted.
            unsafe {
                let values = s.values.as_ptr().cast::<u16>().add(at);
                match wide {
                    true => row16_f16(masks, values, x.as_ptr()),
                    false => row8_f16(masks, values, x.as_ptr()),
                }
            }
        }
        Precision::F32 => {
            assert!(end <= s.values.len(), "values");
            // SAFETY: as above.
            unsafe {
                let values = s.values.as_ptr().cast::<f32>().add(at);
                match wide {
                    true => row16_f32(masks, values, x.as_ptr()),
                    false => row8_f32(masks, values, x.as_ptr()),
                }
            }
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

macro_rules! row8 {
    ($name:ident, $value:ty, $load:expr) => {
        /// # Safety
        /// The machine has AVX2, FMA and F16C; `x` is valid for 32 values a mask, `values` for as many as the masks have
        /// bits and 16 more.
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

row8!(row8_f16, u16, |from: *const u16| _mm256_cvtph_ps(_mm_loadu_si128(from.cast())));
row8!(row8_f32, f32, |from: *const f32| _mm256_loadu_ps(from));

macro_rules! row16 {
    ($name:ident, $value:ty, $load:expr) => {
        /// # Safety
        /// As with eight inputs, and the machine has AVX-512F.
        #[target_feature(enable = "avx512f,popcnt")]
        unsafe fn $name(masks: &[u32], mut values: *const $value, x: *const f32) -> f32 {
            let mut s = [_mm512_setzero_ps(); 4];
            for (c, &mask) in masks.iter().enumerate() {
                for (i, bits) in [mask as u16, (mask >> 16) as u16].into_iter().enumerate() {
                    let s = &mut s[c % 2 * 2 + i];
                    // SAFETY: as the caller promised.
                    unsafe {
                        let v = _mm512_maskz_expand_ps(bits, $load(values));
                        *s = _mm512_fmadd_ps(v, _mm512_loadu_ps(x.add(32 * c + 16 * i)), *s);
                        values = values.add(bits.count_ones() as usize);
                    }
                }
            }
            let sum = _mm512_add_ps(_mm512_add_ps(s[0], s[1]), _mm512_add_ps(s[2], s[3]));
            _mm512_reduce_add_ps(sum)
        }
    };
}

row16!(row16_f16, u16, |from: *const u16| _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())));
row16!(row16_f32, f32, |from: *const f32| _mm512_loadu_ps(from));
