//! Products of many rows in bf16 with sums in f32 (AVX-512 BF16), for row-major weights; see [`crate::arithmetic`].
//!
//! The activations are rounded once. The weights of [`OUTS`] outputs at a time are rounded into a panel: pair by pair of
//! neighbouring inputs, side by side for all its outputs, which stays in the second level cache. Eight rows by three vectors
//! of sums then stay in registers over all inputs of a block: 24 products a pair for three loads of weights and eight of
//! activations. An output's sum is made in the order of the inputs, wherever its row lies: any number of threads gives the
//! same bits. Numbers too small for a normal bf16 (below 1.2e-38) count as 0.

use super::Rows;
use crate::arithmetic::{self, Arithmetic};
use half::f16;
use std::arch::x86_64::*;
use std::ops::Range;

/// Fewest rows. Fewer read the weights longer than they multiply, and stay f32.
const FEWEST_ROWS: usize = 5;
/// Outputs of a panel: three vectors.
pub const OUTS: usize = 3 * LANES;
/// f32 sums in a vector, pairs of bf16 in one too.
const LANES: usize = 16;
/// Inputs that one step of packing takes.
const STEP: usize = 2 * LANES;
/// Rows of a register tile.
const TILE: usize = 8;
/// Pairs of inputs of a block: 1024 * 48 * 4 bytes = 192 KiB of a panel.
const DEPTH: usize = 1024;

/// Whether products of so many rows are made here.
pub fn is_for(rows: usize) -> bool {
    rows >= FEWEST_ROWS && arithmetic::current() == Arithmetic::Bf16
}

/// Numbers that round to bf16.
pub trait Weight: Copy {
    /// The first `n` of [`STEP`] numbers and zeros behind them, rounded to nearest, halves to even.
    ///
    /// # Safety
    /// The processor must have AVX-512 BF16, and `from` be valid for reading `n` numbers.
    unsafe fn narrow(from: *const Self, n: usize) -> __m512i;
}

/// The lanes of the first and of the second vector that hold the first `n` of [`STEP`] numbers.
#[inline(always)]
fn masks(n: usize) -> (__mmask16, __mmask16) {
    let mask = ((1u64 << n.min(STEP)) - 1) as u32;
    (mask as u16, (mask >> LANES) as u16)
}

impl Weight for f32 {
    #[inline(always)]
    unsafe fn narrow(from: *const f32, n: usize) -> __m512i {
        let (low, high) = masks(n);
        // SAFETY: the caller promises the instructions; lanes that are masked out are not read.
        unsafe {
            let low = _mm512_maskz_loadu_ps(low, from);
            let high = _mm512_maskz_loadu_ps(high, from.wrapping_add(LANES));
            std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
        }
    }
}

impl Weight for f16 {
    #[inline(always)]
    unsafe fn narrow(from: *const f16, n: usize) -> __m512i {
        // SAFETY: the caller promises the instructions; lanes that are masked out are not read.
        unsafe {
            let mask = ((1u64 << n.min(STEP)) - 1) as u32;
            let halves = _mm512_maskz_loadu_epi16(mask, from.cast());
            let low = _mm512_cvtph_ps(_mm512_castsi512_si256(halves));
            let high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(halves));
            std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
        }
    }
}

/// Rows of x in bf16, pairs of neighbours in a word.
pub struct Activations {
    rows: usize,
    cols: usize,
    /// Words from one row to the next: whole steps with zeros, and a cache line, so that rows do not fall on each other in the cache.
    stride: usize,
    pairs: Vec<u32>,
}

impl Activations {
    /// Rounds x. The processor must have the instructions ([`arithmetic::has_bf16`]).
    pub fn new(x: Rows<'_>) -> Activations {
        assert!(arithmetic::has_bf16(), "a processor with AVX-512 BF16");
        x.check();
        let stride = x.cols.next_multiple_of(STEP) / 2 + LANES;
        let mut pairs = vec![0; x.rows * stride];
        for (t, to) in pairs.chunks_exact_mut(stride).enumerate() {
            let row = &x.values[t * x.stride..][..x.cols];
            // SAFETY: the processor has the instructions.
            unsafe { narrow_row(row, to) };
        }
        Activations { rows: x.rows, cols: x.cols, stride, pairs }
    }

    /// Adds x Wᵀ for row-major weights `[outs, cols]` to `outs` columns of y `[rows, ..]`, whose rows are `stride` apart.
    pub fn accumulate<T: Weight>(&self, weights: &[T], outs: usize, y: &mut [f32], stride: usize) {
        assert_eq!(weights.len(), outs * self.cols, "weights");
        if self.rows == 0 || outs == 0 || self.cols == 0 {
            return;
        }
        assert!(stride >= outs && y.len() >= (self.rows - 1) * stride + outs, "results");
        let pairs = self.cols.next_multiple_of(STEP) / 2;
        let mut panel = vec![0; DEPTH.min(pairs) * OUTS];
        for out in (0..outs).step_by(OUTS) {
            let n = OUTS.min(outs - out);
            let weights = &weights[out * self.cols..(out + n) * self.cols];
            for from in (0..pairs).step_by(DEPTH) {
                let depth = DEPTH.min(pairs - from);
                // SAFETY: `new` has found the instructions. The panel has room for `depth` pairs of all its outputs, the
                // weights are [n, cols], and columns out..out + n of every row of y lie inside of it (asserted).
                unsafe {
                    pack(weights, n, self.cols, from..from + depth, &mut panel);
                    self.multiply(&panel, n, from..from + depth, &mut y[out..], stride);
                }
            }
        }
    }

    /// Adds the products of these pairs with a panel of `n` outputs.
    ///
    /// # Safety
    /// As for [`tile`].
    unsafe fn multiply(
        &self,
        panel: &[u32],
        n: usize,
        pairs: Range<usize>,
        y: &mut [f32],
        stride: usize,
    ) {
        let vectors = n.div_ceil(LANES);
        let mask = u16::MAX >> (vectors * LANES - n);
        for row in (0..self.rows).step_by(TILE) {
            let x = &self.pairs[row * self.stride + pairs.start..];
            let of = Tile {
                x: x.as_ptr(),
                x_stride: self.stride,
                panel: panel.as_ptr(),
                pairs: pairs.len(),
                mask,
            };
            let y = y[row * stride..].as_mut_ptr();
            let run = TILES[vectors - 1][TILE.min(self.rows - row) - 1];
            // SAFETY: the caller's promise; so many rows of x and y are left.
            unsafe { run(of, y, stride) };
        }
    }
}

/// Rounds a row to words, zeros behind it.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn narrow_row(row: &[f32], to: &mut [u32]) {
    for (from, to) in row.chunks(STEP).zip(to.chunks_exact_mut(LANES)) {
        // SAFETY: the instructions are there; as many numbers are read as there are, and 16 words written.
        unsafe {
            _mm512_storeu_si512(to.as_mut_ptr().cast(), f32::narrow(from.as_ptr(), from.len()))
        };
    }
}

/// Rounds these pairs of inputs of the weights `[n, cols]` to a panel `[pairs, vectors, LANES]`; outputs that the last
/// vector has and the weights have not are zeros.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pack<T: Weight>(weights: &[T], n: usize, cols: usize, pairs: Range<usize>, panel: &mut [u32]) {
    let vectors = n.div_ceil(LANES);
    for first in (0..n).step_by(LANES) {
        for pair in pairs.clone().step_by(LANES) {
            let input = 2 * pair;
            let mut rows = [_mm512_setzero_si512(); LANES];
            for (r, row) in rows.iter_mut().enumerate().take(n - first) {
                let from = &weights[(first + r) * cols + input..(first + r + 1) * cols];
                // SAFETY: the instructions are there, and `from` has so many numbers.
                *row = unsafe { T::narrow(from.as_ptr(), from.len()) };
            }
            let at = (pair - pairs.start) * vectors * LANES + first;
            for (words, to) in
                transposed(rows).into_iter().zip(panel[at..].chunks_mut(vectors * LANES))
            {
                // SAFETY: the slice has 16 words, which is what is written.
                unsafe { _mm512_storeu_si512(to[..LANES].as_mut_ptr().cast(), words) };
            }
        }
    }
}

/// Vector j of the result has word j of every vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    // quads[4 g + c], part L: word 4 L + c of the rows 4 g to 4 g + 3.
    let mut quads = rows;
    for g in (0..LANES).step_by(4) {
        let [a, b, c, d] = [rows[g], rows[g + 1], rows[g + 2], rows[g + 3]];
        let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (low2, high2) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        quads[g] = _mm512_unpacklo_epi64(low, low2);
        quads[g + 1] = _mm512_unpackhi_epi64(low, low2);
        quads[g + 2] = _mm512_unpacklo_epi64(high, high2);
        quads[g + 3] = _mm512_unpackhi_epi64(high, high2);
    }
    let mut words = rows;
    for c in 0..4 {
        let [a, b, d, e] = [quads[c], quads[4 + c], quads[8 + c], quads[12 + c]];
        let (even, odd) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
        let (even2, odd2) =
            (_mm512_shuffle_i32x4::<0x88>(d, e), _mm512_shuffle_i32x4::<0xdd>(d, e));
        words[c] = _mm512_shuffle_i32x4::<0x88>(even, even2);
        words[4 + c] = _mm512_shuffle_i32x4::<0x88>(odd, odd2);
        words[8 + c] = _mm512_shuffle_i32x4::<0xdd>(even, even2);
        words[12 + c] = _mm512_shuffle_i32x4::<0xdd>(odd, odd2);
    }
    words
}

/// What a register tile multiplies.
struct Tile {
    /// Words of its first row; the others are `x_stride` apart.
    x: *const u32,
    x_stride: usize,
    panel: *const u32,
    pairs: usize,
    /// Outputs of the last vector.
    mask: __mmask16,
}

type RunTile = unsafe fn(Tile, *mut f32, usize);

/// By vectors of outputs and by rows.
const TILES: [[RunTile; TILE]; 3] = [by_rows::<1>(), by_rows::<2>(), by_rows::<3>()];

const fn by_rows<const V: usize>() -> [RunTile; TILE] {
    [
        tile::<V, 1>,
        tile::<V, 2>,
        tile::<V, 3>,
        tile::<V, 4>,
        tile::<V, 5>,
        tile::<V, 6>,
        tile::<V, 7>,
        tile::<V, 8>,
    ]
}

/// Adds the products of `R` rows with `V` vectors of outputs to y, whose rows are `stride` apart.
///
/// # Safety
/// The processor must have AVX-512 BF16. `R` rows of x have `pairs` words, the panel `[pairs, V, LANES]`, and every row of
/// y the outputs of the vectors, of the last one those in the mask.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn tile<const V: usize, const R: usize>(of: Tile, y: *mut f32, stride: usize) {
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    // SAFETY: the caller's promise; nothing beyond `pairs` words of a row and of the panel is read.
    unsafe {
        for pair in 0..of.pairs {
            let mut w = [_mm512_setzero_si512(); V];
            for (v, w) in w.iter_mut().enumerate() {
                *w = _mm512_loadu_si512(of.panel.add((pair * V + v) * LANES).cast());
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(*of.x.add(r * of.x_stride + pair) as i32);
                for (sum, w) in sums.iter_mut().zip(w) {
                    let (x, w) = (
                        std::mem::transmute::<__m512i, __m512bh>(x),
                        std::mem::transmute::<__m512i, __m512bh>(w),
                    );
                    *sum = _mm512_dpbf16_ps(*sum, x, w);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let mask = if v + 1 == V { of.mask } else { u16::MAX };
                let to = y.add(r * stride + v * LANES);
                _mm512_mask_storeu_ps(
                    to,
                    mask,
                    _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), *sum),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
