//! x86-64 with AVX2 and FMA: codes widened to 16 bits, `vpmaddwd` with the inputs, eight sums in f32.

use super::{Inputs, Row};
use crate::backend::{Bits, CHUNK};
use std::arch::x86_64::*;

/// A row of W times a row of x. The machine has AVX2 and FMA.
pub fn product(row: &Row<'_>, x: &Inputs) -> f32 {
    assert_eq!(x.numbers.len(), x.scales.len() * CHUNK, "inputs");
    assert_eq!(row.codes.len(), x.scales.len() * row.chunk_bytes(), "codes");
    // SAFETY: features as said; there are a chunk of codes and one of numbers for every scale of x.
    unsafe {
        match row.bits {
            Bits::Eight => eight(row, x),
            Bits::Four => four(row, x),
        }
    }
}

/// The loop of both; `$widen` gives the 32 codes at a place as two vectors of 16 bits.
macro_rules! sums {
    ($name:ident, $widen:expr) => {
        /// # Safety
        /// The machine has AVX2 and FMA; every scale of x has a chunk of codes and one of numbers.
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name(row: &Row<'_>, x: &Inputs) -> f32 {
            let mut sum = _mm256_setzero_ps();
            for (scale, zero, codes, numbers, scales) in row.groups(x) {
                let zero = _mm256_set1_epi16(zero);
                let mut part = _mm256_setzero_ps();
                let bytes = row.chunk_bytes();
                for (c, of_x) in scales.iter().enumerate() {
                    // SAFETY: c is below the number of chunks of the group.
                    unsafe {
                        let [low, high] = $widen(codes.as_ptr().add(c * bytes));
                        let n = numbers.as_ptr().add(c * CHUNK).cast::<__m256i>();
                        let low = _mm256_sub_epi16(low, zero);
                        let high = _mm256_sub_epi16(high, zero);
                        let low = _mm256_madd_epi16(low, _mm256_loadu_si256(n));
                        let high = _mm256_madd_epi16(high, _mm256_loadu_si256(n.add(1)));
                        let dots = _mm256_cvtepi32_ps(_mm256_add_epi32(low, high));
                        part = _mm256_fmadd_ps(dots, _mm256_set1_ps(*of_x), part);
                    }
                }
                sum = _mm256_fmadd_ps(part, _mm256_set1_ps(scale), sum);
            }
            let mut lanes = [0.0f32; 8];
            // SAFETY: `lanes` has eight values.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
            lanes.iter().sum()
        }
    };
}

sums!(eight, |from: *const u8| {
    let from = from.cast::<__m128i>();
    [
        _mm256_cvtepi8_epi16(_mm_loadu_si128(from)),
        _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(1))),
    ]
});

sums!(four, |from: *const u8| {
    // 16 bytes as words of 16 bits, whose bits 0..4 and 4..8 are the codes.
    let pairs = _mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast()));
    [_mm256_and_si256(pairs, _mm256_set1_epi16(15)), _mm256_srli_epi16::<4>(pairs)]
});
