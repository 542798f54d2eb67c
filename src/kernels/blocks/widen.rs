//! Products of many rows: blocks of outputs are widened to f32, rounded to the type in which the checkpoint stores them, and
//! multiplied like any other weights. So a context is read with exactly the weights that an export holds.

use super::{BlockRow, WeightRows};
use crate::backend::{Bits, CHUNK};
use crate::kernels::cpu_gemm::{self, Rows};
use crate::kernels::simd::{widened, widest};
#[cfg(not(target_arch = "wasm32"))]
use crate::threads;
use crate::weights::Dtype;
use half::f16;

/// Outputs of a block: 64 * 3072 * 4 bytes stay in the second level cache.
const OUTS: usize = 64;

/// Low bits of an f32 that a type has no place for.
pub(in super::super) fn dropped_bits(dtype: Dtype) -> u8 {
    match dtype {
        Dtype::F64 | Dtype::F32 => 0,
        Dtype::F16 => OF_F16,
        Dtype::BF16 => OF_BF16,
    }
}

const OF_F16: u8 = 13;
const OF_BF16: u8 = 16;

/// Adds x Wᵀ to y `[x.rows, w.rows]`.
pub(super) fn accumulate(x: Rows<'_>, w: &WeightRows<'_>, dtype: Dtype, y: &mut [f32]) {
    #[cfg(not(target_arch = "wasm32"))]
    threads::by_rows(y, x.rows, w.rows, x.rows * x.cols * w.rows, |rows, y| {
        on_one_thread(x.slice(rows), w, dtype, y);
    });
    #[cfg(target_arch = "wasm32")]
    on_one_thread(x, w, dtype, y);
}

fn on_one_thread(x: Rows<'_>, w: &WeightRows<'_>, dtype: Dtype, y: &mut [f32]) {
    let mut wide = vec![0.0; OUTS.min(w.rows) * x.cols];
    for from in (0..w.rows).step_by(OUTS) {
        let n = OUTS.min(w.rows - from);
        let wide = &mut wide[..n * x.cols];
        match dropped_bits(dtype) {
            OF_F16 => rows::<OF_F16>(w, from, wide, x.cols),
            OF_BF16 => rows::<OF_BF16>(w, from, wide, x.cols),
            _ => rows::<0>(w, from, wide, x.cols),
        }
        cpu_gemm::product(x, wide, n, &mut y[from..], w.rows);
    }
}

/// As many rows of W, from `from` on, as `to` has room for.
fn rows<const DROPPED: u8>(w: &WeightRows<'_>, from: usize, to: &mut [f32], cols: usize) {
    widest(
        #[inline(always)]
        || {
            for (i, to) in to.chunks_exact_mut(cols).enumerate() {
                match w.bits {
                    Bits::Eight => row::<DROPPED, CHUNK>(&w.row(from + i), to, eight),
                    Bits::Four => row::<DROPPED, { CHUNK / 2 }>(&w.row(from + i), to, four),
                }
            }
        },
    );
}

/// `codes_of` reads a chunk, which takes so many bytes.
#[inline(always)]
fn row<const DROPPED: u8, const BYTES: usize>(
    row: &BlockRow<'_>,
    to: &mut [f32],
    codes_of: impl Fn(&[u8; BYTES]) -> [f32; CHUNK],
) {
    let chunks = row.codes.as_chunks::<BYTES>().0;
    let mut places = to.chunks_mut(CHUNK);
    for (g, (chunks, scale)) in chunks.chunks(row.chunks).zip(row.scales).enumerate() {
        let (scale, zero) = (widened(f16::from_bits(*scale)), f32::from(row.zero(g)));
        for (codes, to) in chunks.iter().zip(&mut places) {
            let mut weights = codes_of(codes);
            for w in &mut weights {
                *w = rounded::<DROPPED>(scale * (*w - zero));
            }
            // Of known length a copy is no call.
            match <&mut [f32; CHUNK]>::try_from(&mut *to) {
                Ok(whole) => *whole = weights,
                Err(_) => to.copy_from_slice(&weights[..to.len()]),
            }
        }
    }
}

#[inline(always)]
fn eight(codes: &[u8; CHUNK]) -> [f32; CHUNK] {
    let mut wide = [0.0; CHUNK];
    for (wide, code) in wide.iter_mut().zip(codes) {
        *wide = f32::from(*code as i8);
    }
    wide
}

/// Two loops: one over both halves is not made of vectors.
#[inline(always)]
fn four(codes: &[u8; CHUNK / 2]) -> [f32; CHUNK] {
    let mut wide = [0.0; CHUNK];
    let (low, high) = wide.split_at_mut(CHUNK / 2);
    for (low, code) in low.iter_mut().zip(codes) {
        *low = f32::from(code & 15);
    }
    for (high, code) in high.iter_mut().zip(codes) {
        *high = f32::from(code >> 4);
    }
    wide
}

/// To the nearest value without these low bits, halves to the even one, as [`Dtype::round`] does, for values that the type
/// can hold.
#[inline(always)]
fn rounded<const DROPPED: u8>(x: f32) -> f32 {
    if DROPPED == 0 {
        return x;
    }
    let bits = x.to_bits();
    let up = (1 << (DROPPED - 1)) - 1 + (bits >> DROPPED & 1);
    let whole = f32::from_bits(bits.wrapping_add(up) & !((1 << DROPPED) - 1));
    // Below 2^-14 f16 holds multiples of 2^-24, which is the last place of numbers around 0.75.
    let small = (x + 0.75) - 0.75;
    if DROPPED == OF_F16 && x.abs() < 1.0 / 16384.0 { small } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn rounding_is_that_of_the_stored_types() {
        let mut rng = Rng::new(15);
        // Every exponent that f16 has, subnormal ones too, with few bits (ties) and with many.
        for exponent in -26..15 {
            for i in 0..4000 {
                let bits = if i % 2 == 0 { 1 << 12 } else { 1 << 23 };
                let fraction = rng.below(bits) as f32 / bits as f32;
                let x = (1.0 + fraction) * 2f32.powi(exponent) * [1.0, -1.0][i % 4 / 2];
                assert_eq!(rounded::<OF_F16>(x), Dtype::F16.round(x), "{x:e}");
                assert_eq!(rounded::<OF_BF16>(x), Dtype::BF16.round(x), "{x:e}");
                assert_eq!(rounded::<0>(x), x);
            }
        }
    }
}
