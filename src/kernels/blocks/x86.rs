//! x86-64 with AVX2, FMA and F16C. What is taken off a code is taken off a group's sum instead.
//!
//! int8: codes widened to 16 bits, `vpmaddwd` with the inputs. int4: an input n of 16 bits is 256 h + l with h and l of
//! 8, and `vpmaddubsw` multiplies codes that nobody widened; 15 times 128, four times, is far below what its 16 bits hold.
//! Two chunks at a time, the first in the lower half of a vector.

use super::{BlockRow, Inputs, WeightRows};
use crate::backend::{Bits, CHUNK};
use std::arch::x86_64::*;

/// The inputs once more, as int4 wants them.
#[derive(Default)]
pub struct Halves {
    /// Of every two chunks: h of the inputs 0..16 of both, then h of 16..32, then l of both likewise `[pairs, 128]`.
    bytes: Vec<i8>,
    /// The scale of each chunk four times `[pairs, 8]`; 0 where there is no second chunk.
    scales: Vec<f32>,
}

impl Halves {
    /// `numbers` `[chunks, CHUNK]`, at most [`super::MOST`]; `scales` `[chunks]`.
    #[inline(always)]
    pub fn of(numbers: &[i16], scales: &[f32]) -> Halves {
        let pairs = scales.len().div_ceil(2);
        let (mut bytes, mut of_pairs) = (vec![0; pairs * 128], vec![0.0; pairs * 8]);
        for (c, numbers) in numbers.chunks_exact(CHUNK).enumerate() {
            for (half, numbers) in numbers.chunks_exact(16).enumerate() {
                let at = c / 2 * 128 + half * 32 + c % 2 * 16;
                let high = |n: &i16| (n + 128) >> 8;
                let to = bytes[at..at + 16].iter_mut().zip(numbers);
                to.for_each(|(to, n)| *to = high(n) as i8);
                let to = bytes[at + 64..at + 80].iter_mut().zip(numbers);
                to.for_each(|(to, n)| *to = (n - 256 * high(n)) as i8);
            }
        }
        for (c, scale) in scales.iter().enumerate() {
            of_pairs[c * 4..][..4].fill(*scale);
        }
        Halves { bytes, scales: of_pairs }
    }
}

/// Adds x Wᵀ to y. The machine has AVX2, FMA and F16C.
pub fn accumulate(w: &WeightRows<'_>, x: &[Inputs], y: &mut [f32]) {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn with_features(w: &WeightRows<'_>, x: &[Inputs], y: &mut [f32]) {
        w.each(x, y, |row, x| product(row, x));
    }
    // SAFETY: the features are there, as said.
    unsafe { with_features(w, x, y) }
}

/// A row of x, with its halves where the weights are int4. The machine has AVX2, FMA and F16C.
pub fn inputs(x: &[f32], group: usize, bits: Bits) -> Inputs {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn with_features(x: &[f32], group: usize, bits: Bits) -> Inputs {
        let mut inputs = Inputs::of(x, group);
        if bits == Bits::Four {
            inputs.halves = Halves::of(&inputs.numbers, &inputs.scales);
        }
        inputs
    }
    // SAFETY: the features are there, as said.
    unsafe { with_features(x, group, bits) }
}

/// A row of W times a row of x.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn product(row: &BlockRow<'_>, x: &Inputs) -> f32 {
    let chunks = x.scales.len();
    assert_eq!(x.numbers.len(), chunks * CHUNK, "inputs");
    assert_eq!(row.codes.len(), chunks * row.chunk_bytes(), "codes");
    let groups = row.scales.len();
    assert!(groups > 0 && (groups - 1) * row.chunks < chunks, "scales");
    assert!(chunks <= groups * row.chunks, "scales");
    assert_eq!(row.scales.len(), x.totals.len(), "sums of inputs");
    assert!(groups < 2 || row.chunks == 1 || row.chunks.is_multiple_of(2), "groups in pairs");
    // SAFETY: there are a chunk of codes and one of numbers for every scale of x, a scale of W and a sum of inputs for every
    // group of chunks, and `Halves` are made of the same numbers.
    unsafe {
        match row.bits {
            Bits::Eight => eight(row, x),
            Bits::Four => four(row, x),
        }
    }
}

/// # Safety
/// As in [`product`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn eight(row: &BlockRow<'_>, x: &Inputs) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 2];
    for (g, &scale) in row.scales.iter().enumerate() {
        let (from, to) = (g * row.chunks, ((g + 1) * row.chunks).min(x.scales.len()));
        let scale = broadcast(scale);
        let mut parts = [_mm256_setzero_ps(); 2];
        let term = |c: usize, part: __m256| {
            // SAFETY: c is below the number of chunks.
            unsafe {
                let codes = row.codes.as_ptr().add(c * CHUNK).cast::<__m128i>();
                let numbers = x.numbers.as_ptr().add(c * CHUNK).cast::<__m256i>();
                let low = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes));
                let high = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes.add(1)));
                let low = _mm256_madd_epi16(low, _mm256_loadu_si256(numbers));
                let high = _mm256_madd_epi16(high, _mm256_loadu_si256(numbers.add(1)));
                let dots = _mm256_cvtepi32_ps(_mm256_add_epi32(low, high));
                _mm256_fmadd_ps(dots, _mm256_broadcast_ss(x.scales.get_unchecked(c)), part)
            }
        };
        let mut c = from;
        while c + 2 <= to {
            parts = [term(c, parts[0]), term(c + 1, parts[1])];
            c += 2;
        }
        if c < to {
            parts[0] = term(c, parts[0]);
        }
        sums = [0, 1].map(|i| _mm256_fmadd_ps(parts[i], scale, sums[i]));
    }
    total(_mm256_add_ps(sums[0], sums[1])) - offset(row, x)
}

/// # Safety
/// As in [`product`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn four(row: &BlockRow<'_>, x: &Inputs) -> f32 {
    let all = x.scales.len();
    let (pairs, last) = (all.div_ceil(2), row.scales.len().saturating_sub(1));
    // SAFETY: p is below the number of pairs, and there are eight scales a pair.
    let term = |p: usize| unsafe {
        let of_x = _mm256_loadu_ps(x.halves.scales.as_ptr().add(8 * p));
        (pair(row, x, p, all), of_x)
    };
    let scale_of = |g: usize| broadcast(row.scales[g]);
    let mut sums = [_mm256_setzero_ps(); 2];
    let mut add = |p: usize, scale: __m256| {
        let (dots, of_x) = term(p);
        sums[0] = _mm256_fmadd_ps(_mm256_mul_ps(dots, of_x), scale, sums[0]);
        sums.swap(0, 1);
    };
    match row.chunks {
        // Two groups in a pair, or one.
        1 => (0..pairs).for_each(|p| {
            let (a, b) = (scale_of(2 * p), scale_of((2 * p + 1).min(last)));
            add(p, _mm256_blend_ps::<0xf0>(a, b));
        }),
        2 => (0..pairs).for_each(|p| add(p, scale_of(p))),
        chunks => {
            for (g, &scale) in row.scales.iter().enumerate() {
                // A group of an odd number of chunks is the whole row.
                let (mut p, to) = (g * chunks / 2, ((g + 1) * chunks).min(all).div_ceil(2));
                let mut parts = [_mm256_setzero_ps(); 2];
                while p + 2 <= to {
                    let (first, second) = (term(p), term(p + 1));
                    parts[0] = _mm256_fmadd_ps(first.0, first.1, parts[0]);
                    parts[1] = _mm256_fmadd_ps(second.0, second.1, parts[1]);
                    p += 2;
                }
                if p < to {
                    let (dots, of_x) = term(p);
                    parts[0] = _mm256_fmadd_ps(dots, of_x, parts[0]);
                }
                let part = _mm256_add_ps(parts[0], parts[1]);
                sums[0] = _mm256_fmadd_ps(part, broadcast(scale), sums[0]);
            }
        }
    }
    total(_mm256_add_ps(sums[0], sums[1])) - offset(row, x)
}

/// What all groups' zeros take off: the sum of scale times zero times the group's inputs.
#[target_feature(enable = "avx2,fma,f16c")]
fn offset(row: &BlockRow<'_>, x: &Inputs) -> f32 {
    if row.bits == Bits::Eight && row.zeros.is_empty() {
        return 0.0;
    }
    let (scales, rest) = row.scales.as_chunks::<4>();
    let stored = _mm_set1_epi32(if row.bits == Bits::Four { 8 } else { 0 });
    let mut zeros = _mm_cvtepi32_ps(stored);
    let mut sum = _mm_setzero_ps();
    for (i, (scales, totals)) in scales.iter().zip(x.totals.as_chunks::<4>().0).enumerate() {
        if let Some(&four) = row.zeros.as_chunks::<4>().0.get(i) {
            let four = _mm_cvtsi32_si128(i32::from_le_bytes(bytemuck::cast(four)));
            zeros = _mm_cvtepi32_ps(_mm_add_epi32(_mm_cvtepi8_epi32(four), stored));
        }
        // SAFETY: four values each.
        let [scales, totals] = unsafe {
            [_mm_cvtph_ps(_mm_loadl_epi64(scales.as_ptr().cast())), _mm_loadu_ps(totals.as_ptr())]
        };
        sum = _mm_fmadd_ps(_mm_mul_ps(scales, zeros), totals, sum);
    }
    let done = row.scales.len() - rest.len();
    let mut sum = total(_mm256_zextps128_ps256(sum));
    for (i, scale) in rest.iter().enumerate() {
        let scale = _mm256_cvtss_f32(broadcast(*scale));
        sum += scale * f32::from(row.zero(done + i)) * x.totals[done + i];
    }
    sum
}

/// The products of two chunks of int4 with their inputs, four sums of each.
///
/// # Safety
/// Pair `p` is one of the `all` chunks.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pair(row: &BlockRow<'_>, x: &Inputs, p: usize, all: usize) -> __m256 {
    // SAFETY: as the caller promised; the last pair may have one chunk.
    unsafe {
        let codes = row.codes.as_ptr().add(p * CHUNK);
        let codes = match 2 * p + 1 < all {
            true => _mm256_loadu_si256(codes.cast()),
            false => _mm256_zextsi128_si256(_mm_loadu_si128(codes.cast())),
        };
        let low = _mm256_and_si256(codes, _mm256_set1_epi8(15));
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), _mm256_set1_epi8(15));
        let bytes = x.halves.bytes.as_ptr().add(p * 128).cast::<__m256i>();
        let sums = |at: usize| {
            let of_low = _mm256_maddubs_epi16(low, _mm256_loadu_si256(bytes.add(at)));
            let of_high = _mm256_maddubs_epi16(high, _mm256_loadu_si256(bytes.add(at + 1)));
            _mm256_add_epi16(of_low, of_high)
        };
        let upper = _mm256_madd_epi16(sums(0), _mm256_set1_epi16(256));
        let lower = _mm256_madd_epi16(sums(2), _mm256_set1_epi16(1));
        _mm256_cvtepi32_ps(_mm256_add_epi32(upper, lower))
    }
}

/// An f16 in every lane.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn broadcast(bits: u16) -> __m256 {
    _mm256_cvtph_ps(_mm_set1_epi16(bits as i16))
}

/// The sum of the lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn total(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
