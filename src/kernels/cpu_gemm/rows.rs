//! Row-major weights through the `gemm` crate (AVX2 or AVX-512 where the machine has them).

use super::Rows;
use crate::backend::HostMatrix;
use std::ops::Range;

pub fn accumulate(x: Rows<'_>, w: &HostMatrix, outputs: Range<usize>, y: &mut [f32]) {
    let weights = &w.stored()[outputs.start * w.cols()..outputs.end * w.cols()];
    let (stride, outs) = (x.stride as isize, outputs.len() as isize);
    // SAFETY: the caller checked that y is [rows, outs], x has `rows` rows of `cols` values `stride` apart, and
    // `weights` is [outs, cols]; the three do not overlap.
    unsafe {
        gemm::gemm(
            x.rows,
            outputs.len(),
            x.cols,
            y.as_mut_ptr(),
            1,
            outs,
            true,
            x.values.as_ptr(),
            1,
            stride,
            weights.as_ptr(),
            w.cols() as isize,
            1,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
