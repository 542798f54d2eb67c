use super::*;
use crate::Rng;

/// Whether the processor can run these; says so where it cannot.
fn can_run() -> bool {
    if most_rows() == 0 {
        println!("skipped: this processor has no AVX2 with FMA and F16C");
    }
    most_rows() > 0
}

/// y + x Wᵀ as it is defined here: a sum a block, in the order of the inputs, one rounding a product.
fn plain<T: Weight>(x: Rows<'_>, w: &[T], outs: usize, y: &[f32], stride: usize) -> Vec<f32> {
    let mut result = y.to_vec();
    for t in 0..x.rows {
        let row = &x.values[t * x.stride..][..x.cols];
        for (o, w) in w.chunks_exact(x.cols).enumerate().take(outs) {
            for inputs in blocks(x.cols) {
                let mut sum = 0.0;
                for i in inputs {
                    sum = w[i].one().mul_add(row[i], sum);
                }
                result[t * stride + o] += sum;
            }
        }
    }
    result
}

#[test]
fn products_are_the_defined_sums_to_the_bit() {
    if !can_run() {
        return;
    }
    let mut rng = Rng::new(31);
    // Every height of a tile, panels with and without all their outputs, blocks around their most inputs and several.
    let shapes =
        [(1, 1), (3, 7), (8, 8), (37, 16), (64, 33), (320, 5), (321, 48), (1003, 50), (90, 209)];
    for rows in (1..=18).chain([40]) {
        for (cols, outs) in shapes {
            let (x_stride, stride) = (cols + 3, outs + 2);
            let values = rng.normals(rows * x_stride, 1.0);
            let x = Rows { values: &values, rows, cols, stride: x_stride };
            let w = rng.normals(outs * cols, 1.0);
            let halves: Vec<f16> = w.iter().map(|&w| f16::from_f32(w)).collect();
            let y = rng.normals(rows * stride, 1.0);
            let packed = Activations::new(x);
            let mut found = y.clone();
            packed.accumulate(&w, outs, &mut found, stride);
            // The columns beyond `outs` stay as they were: the reference copies them.
            assert!(found == plain(x, &w, outs, &y, stride), "f32 {rows}x{cols}x{outs}");
            let mut found = y.clone();
            packed.accumulate(&halves, outs, &mut found, stride);
            assert!(found == plain(x, &halves, outs, &y, stride), "f16 {rows}x{cols}x{outs}");
            // Whatever lay there before.
            let mut unset = vec![MaybeUninit::new(f32::NAN); rows * outs];
            packed.set(&halves, outs, &mut unset);
            let nothing = vec![0.0; rows * outs];
            let mut set = unset.iter().zip(plain(x, &halves, outs, &nothing, outs));
            // SAFETY: they were numbers before.
            let same = set.all(|(y, expected)| unsafe { y.assume_init() } == expected);
            assert!(same, "set {rows}x{cols}x{outs}");
        }
    }
}

#[test]
fn every_half_is_widened_exactly() {
    if !can_run() {
        return;
    }
    let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    // Eight inputs go through registers, and one does not.
    for cols in [8, 1] {
        let mut first = vec![0.0; cols];
        first[0] = 1.0;
        let x = Activations::new(Rows { values: &first, rows: 1, cols, stride: cols });
        let mut weights = vec![f16::ZERO; halves.len() * cols];
        for (to, half) in weights.iter_mut().step_by(cols).zip(&halves) {
            *to = *half;
        }
        let mut y = vec![0.0; halves.len()];
        x.accumulate(&weights, halves.len(), &mut y, halves.len());
        for (half, found) in halves.iter().zip(y) {
            let expected = half.to_f32();
            let same = found == expected || found.is_nan() && expected.is_nan();
            assert!(same, "{half:e}: {found:e} and not {expected:e}");
        }
    }
}

#[test]
fn what_is_not_finite_stays_in_its_row_and_its_output() {
    if !can_run() {
        return;
    }
    let (rows, cols, outs) = (7, 19, 37);
    for bad in [f32::NAN, f32::INFINITY] {
        let (mut values, mut w) = (vec![1.0; rows * cols], vec![1.0; outs * cols]);
        values[2 * cols + 17] = bad;
        w[35 * cols + 3] = bad;
        let x = Activations::new(Rows { values: &values, rows, cols, stride: cols });
        let mut y = vec![0.0; rows * outs];
        x.accumulate(&w, outs, &mut y, outs);
        for (i, found) in y.iter().enumerate() {
            let finite = i / outs != 2 && i % outs != 35;
            assert_eq!(*found == cols as f32, finite, "{i}: {found}");
            assert_eq!(found.is_finite(), finite, "{i}: {found}");
        }
    }
}

#[test]
fn nothing_to_multiply_changes_nothing() {
    if !can_run() {
        return;
    }
    for (rows, cols, outs) in [(5, 0, 3), (5, 3, 0), (0, 3, 3)] {
        let x = Activations::new(Rows { values: &[1.0; 15], rows, cols, stride: cols });
        let mut y = [0.5; 15];
        x.accumulate(&vec![1.0f32; outs * cols], outs, &mut y, outs);
        assert_eq!(y, [0.5; 15], "{rows}x{cols}x{outs}");
    }
}
