//! Row-major f16 weights, natively. Few rows of x: every weight is read once, as f16, and multiplied in f32. Many rows, where
//! the processor has nothing that `super::fma` is made for: blocks of outputs are widened to f32 and go to the `gemm` crate.

use super::{Rows, rows};
use crate::backend::widen;
use crate::kernels::simd::{self, Kernel, Vector};
use half::f16;

/// Most rows of x for which reading is dearer than multiplying.
const FEW_ROWS: usize = 4;
/// Outputs of a block that is widened: 64 * 3072 * 4 bytes stay in the second level cache.
const OUTS: usize = 64;

/// Adds x Wᵀ to y `[x.rows, outs]`: weights `[outs, x.cols]`.
pub fn accumulate(x: Rows<'_>, weights: &[f16], outs: usize, y: &mut [f32]) {
    let cols = x.cols;
    if x.rows <= FEW_ROWS {
        for t in 0..x.rows {
            let x = &x.values[t * x.stride..t * x.stride + cols];
            simd::run(MatVec { weights, x, y: &mut y[t * outs..(t + 1) * outs] });
        }
        return;
    }
    let mut wide = vec![0.0; OUTS.min(outs) * cols];
    for from in (0..outs).step_by(OUTS) {
        let n = OUTS.min(outs - from);
        let block = &weights[from * cols..(from + n) * cols];
        widen(block, &mut wide[..n * cols]);
        rows::product(x, &wide[..n * cols], n, &mut y[from..], outs);
    }
}

/// Adds W x to y: weights `[y.len(), x.len()]`.
pub struct MatVec<'a> {
    pub weights: &'a [f16],
    pub x: &'a [f32],
    pub y: &'a mut [f32],
}

impl Kernel for MatVec<'_> {
    type Output = ();

    /// Two rows of weights side by side, one of the first half and one of the second: two streams that the machine
    /// fetches ahead of need, and x is loaded once for both. A trial on an EPYC with AVX-512 took 9.5 to 9.9 ms for
    /// 269 MB with two streams and 11.3 with one.
    #[inline(always)]
    fn run<V: Vector>(self) {
        let cols = self.x.len();
        assert_eq!(self.weights.len(), cols * self.y.len(), "weights of a product with one row");
        let half = self.y.len() / 2;
        let (first, second) = self.y.split_at_mut(half);
        let (upper, lower) = self.weights.split_at(half * cols);
        for i in 0..half {
            let at = i * cols..(i + 1) * cols;
            // SAFETY: both rows have `cols` values, as x has.
            let sums =
                unsafe { dots::<V, 2>([upper[at.clone()].as_ptr(), lower[at].as_ptr()], self.x) };
            first[i] += sums[0];
            second[i] += sums[1];
        }
        if let Some(last) = second.get_mut(half) {
            let row = lower[half * cols..].as_ptr();
            // SAFETY: as above.
            let [sum] = unsafe { dots::<V, 1>([row], self.x) };
            *last += sum;
        }
    }
}

/// The products of `R` rows with x, each in two sums.
///
/// # Safety
/// Every row must be valid for reading `x.len()` values.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn dots<V: Vector, const R: usize>(rows: [*const f16; R], x: &[f32]) -> [f32; R] {
    let cols = x.len();
    let mut sums = [[V::splat(0.0); 2]; R];
    let mut i = 0;
    // SAFETY: what is read lies below `cols`.
    unsafe {
        while i + 2 * V::LANES <= cols {
            for k in 0..2 {
                let at = i + k * V::LANES;
                let x = V::load(x.as_ptr().add(at));
                for r in 0..R {
                    sums[r][k] = sums[r][k].fused(V::load_halves(rows[r].add(at)), x);
                }
            }
            i += 2 * V::LANES;
        }
        let mut totals = [0.0; R];
        for r in 0..R {
            totals[r] = sums[r][0].plus(sums[r][1]).sum();
            for i in i..cols {
                totals[r] += (*rows[r].add(i)).to_f32() * x[i];
            }
        }
        totals
    }
}
