//! Row-major f16 weights on x86-64. Few rows of x: every weight is read once, as f16, and multiplied in f32. Many rows:
//! blocks of outputs are widened to f32 and go to the `gemm` crate, which costs little beside the product.

use super::{Rows, rows};
use crate::backend::{HostMatrix, widen};
use half::f16;
use std::ops::Range;

/// Most rows of x for which reading is dearer than multiplying.
const FEW_ROWS: usize = 4;
/// Outputs of a block that is widened: 64 * 3072 * 4 bytes stay in the second level cache.
const OUTS: usize = 64;

pub fn accumulate(x: Rows<'_>, w: &HostMatrix, outputs: Range<usize>, y: &mut [f32]) {
    let (first, outs, cols) = (outputs.start, outputs.len(), w.cols());
    if x.rows <= FEW_ROWS {
        for (j, row) in w.halves()[first * cols..outputs.end * cols].chunks_exact(cols).enumerate()
        {
            for t in 0..x.rows {
                y[t * outs + j] += dot(row, &x.values[t * x.stride..t * x.stride + cols]);
            }
        }
        return;
    }
    let mut wide = vec![0.0; OUTS.min(outs) * cols];
    for from in (0..outs).step_by(OUTS) {
        let n = OUTS.min(outs - from);
        let block = &w.halves()[(first + from) * cols..(first + from + n) * cols];
        widen(block, &mut wide[..n * cols]);
        rows::product(x, &wide[..n * cols], n, &mut y[from..], outs);
    }
}

/// sum_i w[i] x[i]
fn dot(w: &[f16], x: &[f32]) -> f32 {
    assert_eq!(w.len(), x.len(), "a row of weights and one of activations");
    #[cfg(target_arch = "x86_64")]
    if crate::backend::reads_halves() {
        // SAFETY: the machine has the features; both have the same length.
        return unsafe { dot_f16c(w, x) };
    }
    w.iter().zip(x).map(|(w, x)| w.to_f32() * x).sum()
}

/// # Safety
/// The machine has AVX2, FMA and F16C; `w` and `x` are equally long.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dot_f16c(w: &[f16], x: &[f32]) -> f32 {
    use std::arch::x86_64::{
        __m256, _mm_loadu_si128, _mm256_add_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
        _mm256_setzero_ps, _mm256_storeu_ps,
    };
    // Four sums hide the latency of the multiply-add.
    let mut s = [_mm256_setzero_ps(); 4];
    let eight = |i: usize, sum: __m256| {
        // SAFETY: the caller gives i + 8 <= length.
        let (wide, x) = unsafe {
            (_mm_loadu_si128(w.as_ptr().add(i).cast()), _mm256_loadu_ps(x.as_ptr().add(i)))
        };
        _mm256_fmadd_ps(_mm256_cvtph_ps(wide), x, sum)
    };
    let n = w.len();
    for i in (0..n / 32 * 32).step_by(32) {
        for (j, sum) in s.iter_mut().enumerate() {
            *sum = eight(i + 8 * j, *sum);
        }
    }
    for i in (n / 32 * 32..n / 8 * 8).step_by(8) {
        s[0] = eight(i, s[0]);
    }
    let sum = _mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3]));
    let mut lanes = [0.0; 8];
    // SAFETY: `lanes` has eight values.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
    let rest: f32 = (n / 8 * 8..n).map(|i| w[i].to_f32() * x[i]).sum();
    lanes.iter().sum::<f32>() + rest
}
