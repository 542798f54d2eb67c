//! Row-major weights through the `gemm` crate (AVX2 or AVX-512 where the machine has them).

use super::Rows;
use crate::backend::HostMatrix;
use crate::threads;
use std::ops::Range;

pub fn accumulate(x: Rows<'_>, w: &HostMatrix, outputs: Range<usize>, y: &mut [f32]) {
    let weights = &w.stored()[outputs.start * w.cols()..outputs.end * w.cols()];
    let outs = outputs.len();
    product(x, weights, outs, y, outs);
}

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
            threads::parallelism(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn threads_do_not_change_a_bit() {
        let mut rng = Rng::new(17);
        // Above the number of products from which the crate uses threads; sizes that no tile divides.
        for (rows, cols, outs) in [(131, 577, 321), (1030, 67, 515), (5, 1536, 2111)] {
            let values = rng.normals(rows * cols, 1.0);
            let x = Rows { values: &values, rows, cols, stride: cols };
            let w = rng.normals(outs * cols, 1.0);
            let found = [1, 2, 3].map(|count| {
                threads::set(Some(count)).unwrap();
                let mut y = vec![0.5; rows * outs];
                product(x, &w, outs, &mut y, outs);
                y
            });
            threads::set(Some(1)).unwrap();
            assert!(found[0] == found[1] && found[0] == found[2], "{rows}x{cols}x{outs}");
        }
    }
}
