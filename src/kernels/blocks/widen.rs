//! Products of many rows: blocks of outputs are widened to f32, rounded to the type in which the checkpoint stores them, and
//! multiplied like any other weights, in bf16 where that is on. So a context is read with exactly the weights that an export holds.

use super::{BlockRow, WeightRows};
use crate::backend::CHUNK;
#[cfg(not(target_arch = "wasm32"))]
use crate::backend::Layout;
use crate::kernels::cpu_gemm::{self, Rows};
#[cfg(target_arch = "x86_64")]
use crate::kernels::cpu_gemm::{bf16, fma};
use crate::kernels::simd::{widened, widest};
#[cfg(not(target_arch = "wasm32"))]
use crate::threads;
use crate::weights::Dtype;
use half::f16;

/// Outputs of a block: 64 * 3072 * 4 bytes stay in the second level cache.
const OUTS: usize = 64;

/// Low bits of an f32 that a type has no place for.
pub(in super::super) fn dropped_bits(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F64 | Dtype::F32 => 0,
        Dtype::F16 => 13,
        Dtype::BF16 => 16,
    }
}

/// Adds x Wᵀ to y `[x.rows, w.rows]`.
pub(super) fn accumulate(x: Rows<'_>, w: &WeightRows<'_>, dtype: Dtype, y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if bf16::is_for(x.rows) {
        return threads::by_rows(y, cpu_gemm::shape(x, Layout::Rows, w.rows), |rows, y| {
            in_bf16(x.slice(rows), w, dtype, y);
        });
    }
    #[cfg(not(target_arch = "wasm32"))]
    threads::by_rows(y, cpu_gemm::shape(x, Layout::Rows, w.rows), |rows, y| {
        on_one_thread(x.slice(rows), w, dtype, y);
    });
    #[cfg(target_arch = "wasm32")]
    on_one_thread(x, w, dtype, y);
}

fn on_one_thread(x: Rows<'_>, w: &WeightRows<'_>, dtype: Dtype, y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if fma::is_for(x.rows) {
        let packed = fma::Activations::new(x);
        return by_blocks::<{ fma::OUTS }>((w, x.cols), dtype, |wide, n, from| {
            packed.accumulate(wide, n, &mut y[from..], w.rows);
        });
    }
    by_blocks::<OUTS>((w, x.cols), dtype, |wide, n, from| {
        cpu_gemm::product(x, wide, n, &mut y[from..], w.rows);
    });
}

#[cfg(target_arch = "x86_64")]
fn in_bf16(x: Rows<'_>, w: &WeightRows<'_>, dtype: Dtype, y: &mut [f32]) {
    let packed = bf16::Activations::new(x);
    by_blocks::<{ bf16::OUTS }>((w, x.cols), dtype, |wide, n, from| {
        packed.accumulate(wide, n, &mut y[from..], w.rows);
    });
}

/// Multiplies the weights of so many outputs at a time: widened, how many outputs, from which.
fn by_blocks<const OUTS: usize>(
    (w, cols): (&WeightRows<'_>, usize),
    dtype: Dtype,
    mut multiply: impl FnMut(&[f32], usize, usize),
) {
    let mut wide = vec![0.0; OUTS.min(w.rows) * cols];
    for from in (0..w.rows).step_by(OUTS) {
        let n = OUTS.min(w.rows - from);
        let wide = &mut wide[..n * cols];
        widen(w, from, dropped_bits(dtype), wide, cols);
        multiply(wide, n, from);
    }
}

/// As many rows of W, from `from` on, as `to` has room for.
fn widen(w: &WeightRows<'_>, from: usize, dropped: u32, to: &mut [f32], cols: usize) {
    widest(
        #[inline(always)]
        || {
            for (i, to) in to.chunks_exact_mut(cols).enumerate() {
                row(&w.row(from + i), dropped, to);
            }
        },
    );
}

#[inline(always)]
fn row(row: &BlockRow<'_>, dropped: u32, to: &mut [f32]) {
    let bytes = row.chunk_bytes();
    let groups = row.codes.chunks(row.chunks * bytes).zip(to.chunks_mut(row.chunks * CHUNK));
    for (g, ((codes, to), scale)) in groups.zip(row.scales).enumerate() {
        let (scale, zero) = (widened(f16::from_bits(*scale)), f32::from(row.zero(g)));
        for (codes, to) in codes.chunks_exact(bytes).zip(to.chunks_mut(CHUNK)) {
            let mut weights = chunk(codes);
            for w in &mut weights {
                *w = rounded(scale * (*w - zero), dropped);
            }
            // Of known length a copy is no call.
            match <&mut [f32; CHUNK]>::try_from(&mut *to) {
                Ok(whole) => *whole = weights,
                Err(_) => to.copy_from_slice(&weights[..to.len()]),
            }
        }
    }
}

/// The codes of a chunk: 32 bytes of int8, 16 of int4.
#[inline(always)]
fn chunk(codes: &[u8]) -> [f32; CHUNK] {
    let mut wide = [0.0; CHUNK];
    if let Some(bytes) = codes.first_chunk::<CHUNK>() {
        for (wide, code) in wide.iter_mut().zip(bytes) {
            *wide = f32::from(*code as i8);
        }
    } else if let Some(pairs) = codes.first_chunk::<{ CHUNK / 2 }>() {
        let (low, high) = wide.split_at_mut(CHUNK / 2);
        // Two loops: one over both halves is not made of vectors.
        for (low, code) in low.iter_mut().zip(pairs) {
            *low = f32::from(code & 15);
        }
        for (high, code) in high.iter_mut().zip(pairs) {
            *high = f32::from(code >> 4);
        }
    }
    wide
}

/// To the nearest value without these low bits, halves to the even one, as [`Dtype::round`] does, for values that the type
/// can hold.
#[inline(always)]
fn rounded(x: f32, dropped: u32) -> f32 {
    let bits = x.to_bits();
    // Half of the last place that stays, less one where that is even; 0 where no bit is dropped.
    let up = ((1 << dropped >> 1) + (bits >> dropped & 1)).saturating_sub(1);
    let whole = f32::from_bits(bits.wrapping_add(up) & (u32::MAX << dropped));
    // Below 2^-14 f16 holds multiples of 2^-24, which is the last place of numbers around 0.75.
    let small = (x + 0.75) - 0.75;
    if dropped == dropped_bits(Dtype::F16) && x.abs() < 1.0 / 16384.0 { small } else { whole }
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
                assert_eq!(rounded(x, dropped_bits(Dtype::F16)), Dtype::F16.round(x), "{x:e}");
                assert_eq!(rounded(x, dropped_bits(Dtype::BF16)), Dtype::BF16.round(x), "{x:e}");
                assert_eq!(rounded(x, dropped_bits(Dtype::F32)), x);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn bf16_arithmetic_multiplies_the_dequantised_weights() {
        use crate::arithmetic::{self, Arithmetic};
        use crate::backend::{Bits, Device, HostMatrix, PackedBlocks, WeightValues};
        if arithmetic::set(Arithmetic::Bf16).is_err() {
            return println!("skipped: this processor has no AVX512_BF16");
        }
        let mut rng = Rng::new(16);
        for (outs, cols) in [(3, 31), (50, 96), (113, 200)] {
            let blocks =
                super::super::random_blocks(&mut rng, (outs, cols), Bits::Four, 32.min(cols), true);
            let packed = PackedBlocks::new(&Device::Cpu, &blocks, Dtype::F16);
            let values = rng.normals(9 * cols, 1.0);
            let x = Rows { values: &values, rows: 9, cols, stride: cols };
            let mut found = vec![0.5; 9 * outs];
            super::super::accumulate(x, &packed, &mut found);
            let wide: Vec<f32> = blocks.to_f32().iter().map(|w| Dtype::F16.round(*w)).collect();
            let mut expected = vec![0.5; 9 * outs];
            let dense = HostMatrix::new(outs, cols, WeightValues::F32(&wide));
            cpu_gemm::accumulate(x, &dense, 0..outs, &mut expected);
            assert!(found == expected, "{outs}x{cols}");
        }
        arithmetic::set(Arithmetic::F32).unwrap();
    }
}
