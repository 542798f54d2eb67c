//! Row-major weights through the `gemm` crate: few rows, and any number where the processor has nothing that `super::fma` is
//! made for.

use super::Rows;
/// Adds x Wᵀ for row-major weights `[outs, x.cols]` to `outs` columns of y `[x.rows, ..]`, whose rows are `stride` apart.
pub fn product(x: Rows<'_>, weights: &[f32], outs: usize, y: &mut [f32], stride: usize) {
    assert_eq!(weights.len(), outs * x.cols, "weights");
    assert!(x.rows == 0 || y.len() >= (x.rows - 1) * stride + outs, "results");
    x.check();
    // SAFETY: y has `rows` rows of `outs` values `stride` apart, x has `rows` rows of `cols` values, and `weights` is
    // [outs, cols] (asserted); the three do not overlap.
    unsafe {
        gemm::gemm(
            x.rows,
            outs,
            x.cols,
            y.as_mut_ptr(),
            1,
            stride as isize,
            true,
            x.values.as_ptr(),
            1,
            x.stride as isize,
            weights.as_ptr(),
            x.cols as isize,
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

/// Adds xᵀx to `sum` `[x.cols, x.cols]`.
pub fn gram(x: Rows<'_>, sum: &mut [f32]) {
    let (n, stride) = (x.cols, x.stride);
    assert_eq!(sum.len(), n * n, "gram sum");
    x.check();
    // SAFETY: `sum` has n rows of n values, x has `rows` rows of n values `stride` apart (asserted), read as xᵀ too; they do
    // not overlap.
    unsafe {
        gemm::gemm(
            n,
            n,
            x.rows,
            sum.as_mut_ptr(),
            1,
            n as isize,
            true,
            x.values.as_ptr(),
            stride as isize,
            1,
            x.values.as_ptr(),
            1,
            stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
