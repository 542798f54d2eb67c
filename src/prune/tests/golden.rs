//! The 4 x 4 case worked out by hand with exact fractions, without damping.

use super::*;
use crate::prune::refit::Space;
use crate::prune::sparsegpt::move_to;

const GRAM: [f64; 16] =
    [4.0, 2.0, 0.0, 1.0, 2.0, 3.0, 1.0, 0.0, 0.0, 1.0, 2.0, 0.5, 1.0, 0.0, 0.5, 2.0];
const ROW: [f64; 4] = [1.0, -2.0, 0.5, 1.5];

/// Removed pair; MRP loss and row; SparseGPT loss and row; loss without compensation.
type Case = ([usize; 2], f64, [f64; 4], f64, [f64; 4], f64);

#[rustfmt::skip]
const CASES: [Case; 6] = [
    ([0, 1], 2.4, [0.0, 0.0, -0.7, 2.3], 2.4, [0.0, 0.0, -0.7, 2.3], 4.0),
    ([0, 2], 0.8177083, [0.0, -1.1666667, 0.0, 2.125], 0.8191997, [0.0, -1.1351351, 0.0, 2.125], 2.25),
    ([0, 3], 5.08125, [0.0, -1.35, 0.55, 0.0], 5.4275018, [0.0, -1.1351351, -0.0945946, 0.0], 5.75),
    ([1, 2], 2.8035714, [-0.1785714, 0.0, 0.0, 2.2142857], 5.234375, [1.0, 0.0, 0.0, 1.625], 5.25),
    ([1, 3], 7.078125, [0.375, 0.0, -0.125, 0.0], 8.0544444, [1.0, 0.0, -0.5666667, 0.0], 8.25),
    ([2, 3], 2.578125, [1.4375, -2.125, 0.0, 0.0], 2.875, [1.0, -2.0, 0.0, 0.0], 2.875),
];

fn near(found: &[f64], expected: &[f64], what: &str) {
    let worst = found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
    assert!(worst < 6e-8, "{what}: {found:?} instead of {expected:?}");
}

fn half_loss(h: &Hessian, row: &[f64]) -> f64 {
    let change: Vec<f64> = row.iter().zip(&ROW).map(|(a, b)| a - b).collect();
    h.loss(&change) / 2.0
}

#[test]
fn the_inverse_and_its_factor_are_those_of_the_sheet() {
    let h = hessian(&GRAM, 4, 0.0);
    #[rustfmt::skip]
    let inverse: Vec<f64> = [37, -32, 22, -24, -32, 52, -32, 24, 22, -32, 52, -24, -24, 24, -24, 48]
        .iter().map(|x| f64::from(*x) / 60.0).collect();
    near(&h.inverse, &inverse, "inverse");
    near(&h.factor_diagonal(), &[0.7852813, 0.6367145, 0.7302967, 0.5f64.sqrt()], "diag U");
    near(&h.inverse_block(1, 3), &[52.0 / 60.0, -32.0 / 60.0, -32.0 / 60.0, 52.0 / 60.0], "block");
    near(&h.inverse_diagonal(), &[37.0 / 60.0, 52.0 / 60.0, 52.0 / 60.0, 0.8], "diagonal");
}

#[test]
fn every_pair_gives_the_rows_and_losses_of_the_sheet() {
    let h = hessian(&GRAM, 4, 0.0);
    for (pair, loss, row, sequential_loss, sequential_row, plain_loss) in CASES {
        let mask: Vec<bool> = (0..4).map(|j| pair.contains(&j)).collect();
        for way in [RefitWay::Dual, RefitWay::Primal, RefitWay::Gradients] {
            let found = refitted(&h, &ROW, &mask, way);
            near(&found, &row, &format!("{way:?} without {pair:?}"));
            near(&[half_loss(&h, &found)], &[loss], "measured loss");
        }
        // ½ w_Pᵀ ((H⁻¹)_PP)⁻¹ w_P
        let mut space = Space::default();
        space.choose(&mask, true);
        space.unknowns = pair.iter().map(|&j| ROW[j]).collect();
        assert!(space.solve(&h.inverse, 4));
        let predicted = pair.iter().zip(&space.unknowns).map(|(&j, x)| ROW[j] * x).sum::<f64>();
        near(&[predicted / 2.0], &[loss], "predicted loss");

        let mut swept = ROW;
        let errors = pair.map(|j| move_to(0.0, &mut swept, &h.u[j * 4..j * 4 + 4], j));
        near(&swept, &sequential_row, &format!("in turn without {pair:?}"));
        near(&[half_loss(&h, &swept)], &[sequential_loss], "loss in turn");
        near(&[errors.iter().map(|e| e * e / 2.0).sum()], &[sequential_loss], "sum of errors");

        let plain: Vec<f64> =
            ROW.iter().zip(&mask).map(|(w, m)| if *m { 0.0 } else { *w }).collect();
        near(&[half_loss(&h, &plain)], &[plain_loss], "without compensation");
    }
}

#[test]
fn every_mask_takes_the_pair_of_the_sheet() {
    let row = ROW.map(|w| w as f32);
    let case = Layer { n: 4, weights: row.to_vec(), x: Vec::new(), gram: GRAM.to_vec() };
    // Undamped but for magnitude, which is blind.
    for spec in ["wanda", "sparsegpt:damping=0", "mrp:damping=0", "mrp:damping=0,block=32"] {
        let found = pruned(&case, spec);
        assert_eq!(zeros(&found), [true, false, true, false], "{spec}");
    }
    for spec in ["mrp:damping=0,pattern=2:4,mask=M", "sparsegpt:damping=0,pattern=2:4,mask=M"] {
        assert_eq!(zeros(&pruned(&case, spec)), [true, false, true, false], "{spec}");
    }
    // f32 weights of about 1: half a unit in the last place is 6e-8, the written digits add another 5e-8.
    let near = |found: &[f32], expected: &[f64]| {
        let d =
            found.iter().zip(expected).map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, f64::max);
        assert!(d < 2e-7, "{found:?} instead of {expected:?}");
    };
    near(&pruned(&case, "mrp:damping=0"), &CASES[1].2);
    near(&pruned(&case, "sparsegpt:damping=0"), &CASES[1].4);
}
