use super::*;
use crate::Rng;
use crate::backend::{HostMatrix, Layout, WeightValues};
use crate::kernels::cpu_gemm;
use half::bf16;

/// Whether the processor can run these; says so where it cannot.
fn can_run() -> bool {
    if !arithmetic::has_bf16() {
        println!("skipped: this processor has no AVX512_BF16");
    }
    arithmetic::has_bf16()
}

fn rounded(x: f32) -> f64 {
    bf16::from_f32(x).to_f64()
}

/// y + x Wᵀ of the rounded factors, in f64.
fn plain(x: Rows<'_>, w: &[f32], outs: usize, y: &[f32], stride: usize) -> Vec<f32> {
    let mut result = y.to_vec();
    for t in 0..x.rows {
        let row = &x.values[t * x.stride..][..x.cols];
        for (o, w) in w.chunks_exact(x.cols).enumerate().take(outs) {
            let products = row.iter().zip(w).map(|(x, w)| rounded(*x) * rounded(*w));
            let sum = f64::from(y[t * stride + o]) + products.sum::<f64>();
            result[t * stride + o] = sum as f32;
        }
    }
    result
}

#[test]
fn products_are_those_of_the_rounded_factors() {
    if !can_run() {
        return;
    }
    let mut rng = Rng::new(21);
    // Every height of a tile, every number of vectors with and without a whole last one, more inputs than a block.
    let shapes = [(1, 1), (3, 7), (37, 16), (64, 33), (2 * DEPTH + 37, 5), (1553, 48), (90, 110)];
    for rows in [1, 2, 3, 4, 5, 6, 7, 8, 9, 21] {
        for (cols, outs) in shapes {
            let (x_stride, stride) = (cols + 3, outs + 2);
            let values = rng.normals(rows * x_stride, 1.0);
            let x = Rows { values: &values, rows, cols, stride: x_stride };
            let w = rng.normals(outs * cols, 1.0);
            let halves: Vec<f16> = w.iter().map(|&w| f16::from_f32(w)).collect();
            let y = rng.normals(rows * stride, 1.0);
            let packed = Activations::new(x);
            let check = |kind: &str, w: &[f32], found: &[f32]| {
                // The columns beyond `outs` stay as they were, to the bit: the reference copies them.
                let expected = plain(x, w, outs, &y, stride);
                let d = crate::kernels::largest_difference(found, &expected);
                // The factors are exact here: what differs is the rounding of sums in f32, as in the f32 product.
                let most = 4e-6 * (cols as f32).sqrt();
                assert!(d < most, "{kind} {rows}x{cols}x{outs}: {d}");
            };
            let mut found = y.clone();
            packed.accumulate(&w, outs, &mut found, stride);
            check("f32", &w, &found);
            let mut found = y.clone();
            packed.accumulate(&halves, outs, &mut found, stride);
            let widened: Vec<f32> = halves.iter().map(|w| w.to_f32()).collect();
            check("f16", &widened, &found);
        }
    }
}

#[test]
fn every_number_is_rounded_to_the_nearest_with_ties_to_even() {
    if !can_run() {
        return;
    }
    let one = [1.0f32];
    let ones = Activations::new(Rows { values: &one, rows: 1, cols: 1, stride: 1 });
    let same = |found: f32, expected: f32| found == expected || found.is_nan() && expected.is_nan();
    let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    let mut y = vec![0.0; halves.len()];
    ones.accumulate(&halves, halves.len(), &mut y, halves.len());
    for (half, found) in halves.iter().zip(y) {
        let expected = bf16::from_f32(half.to_f32()).to_f32();
        assert!(same(found, expected), "{half:e}: {found:e} and not {expected:e}");
    }
    // Ties to either side, one above and below them, numbers that round to infinity, what is not finite.
    let bits =
        [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff, 0x7f7f_ffff, 0x7f80_0000, 0x7fc0_0000];
    let values = bits.map(f32::from_bits);
    let mut y = [0.0; 7];
    ones.accumulate(&values, 7, &mut y, 7);
    for (value, found) in values.iter().zip(y) {
        assert!(same(found, bf16::from_f32(*value).to_f32()), "{value:e}: {found:e}");
    }
    // Those on the other side of the product, which has the one weight 1.
    let rows = Activations::new(Rows { values: &values, rows: 7, cols: 1, stride: 1 });
    let mut y = [0.0; 7];
    rows.accumulate(&one, 1, &mut y, 1);
    for (value, found) in values.iter().zip(y) {
        assert!(same(found, bf16::from_f32(*value).to_f32()), "{value:e}: {found:e}");
    }
}

#[test]
fn threads_do_not_change_a_bit_and_few_rows_stay_f32() {
    if !can_run() {
        return;
    }
    let mut rng = Rng::new(23);
    for (rows, cols, outs) in [(4, 900, 130), (5, 900, 130), (517, 577, 321), (1030, 67, 515)] {
        let values = rng.normals(rows * cols, 1.0);
        let x = Rows { values: &values, rows, cols, stride: cols };
        let w = rng.normals(outs * cols, 1.0);
        let matrix = HostMatrix::with_layout(outs, cols, WeightValues::F32(&w), Layout::Rows);
        let product = |of: Arithmetic, threads: usize| {
            arithmetic::set(of).unwrap();
            crate::threads::set(Some(threads)).unwrap();
            let mut y = vec![0.5; rows * outs];
            cpu_gemm::accumulate(x, &matrix, 0..outs, &mut y);
            arithmetic::set(Arithmetic::F32).unwrap();
            crate::threads::set(Some(1)).unwrap();
            y
        };
        let found = [1, 2, 3].map(|threads| product(Arithmetic::Bf16, threads));
        assert!(found[0] == found[1] && found[0] == found[2], "{rows}x{cols}x{outs}");
        let is_f32 = found[0] == product(Arithmetic::F32, 1);
        assert_eq!(is_f32, rows < FEWEST_ROWS, "{rows}x{cols}x{outs}");
    }
}
