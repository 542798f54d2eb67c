//! What can be proved of a refit (docs/pruning.md), and what any mask must keep. Per row, same mask, damped objective; nothing is said
//! about different masks, where no order is a theorem.

use super::*;
use crate::prune::joint::Joint;

/// Least squares by Householder reflections: the v that minimises |A v - b|, A `[rows, k]` row-major.
fn least_squares(mut a: Vec<f64>, mut b: Vec<f64>, k: usize) -> Vec<f64> {
    let rows = b.len();
    for c in 0..k {
        let norm = (c..rows).map(|i| a[i * k + c].powi(2)).sum::<f64>().sqrt();
        let sign = if a[c * k + c] > 0.0 { -1.0 } else { 1.0 };
        let mut v: Vec<f64> = (c..rows).map(|i| a[i * k + c]).collect();
        v[0] -= sign * norm;
        let size: f64 = v.iter().map(|x| x * x).sum();
        for j in c..k {
            let d = (c..rows).map(|i| v[i - c] * a[i * k + j]).sum::<f64>() * 2.0 / size;
            (c..rows).for_each(|i| a[i * k + j] -= d * v[i - c]);
        }
        let d = (c..rows).map(|i| v[i - c] * b[i]).sum::<f64>() * 2.0 / size;
        (c..rows).for_each(|i| b[i] -= d * v[i - c]);
    }
    let mut x = vec![0.0; k];
    for c in (0..k).rev() {
        let rest: f64 = (c + 1..k).map(|j| a[c * k + j] * x[j]).sum();
        x[c] = (b[c] - rest) / a[c * k + c];
    }
    x
}

/// The row refitted on its kept inputs, straight from the activations: rows √λ I stand for the damping.
fn oracle(layer: &Layer, row: &[f64], mask: &[bool], damping: f64) -> Vec<f64> {
    let n = layer.n;
    let mean = (0..n).map(|j| layer.gram[j * n + j]).sum::<f64>() / n as f64;
    let mut x = layer.x.clone();
    for j in 0..n {
        x.extend((0..n).map(|c| if c == j { (damping * mean).sqrt() } else { 0.0 }));
    }
    let kept: Vec<usize> = (0..n).filter(|&j| !mask[j]).collect();
    let target = x.chunks(n).map(|x| x.iter().zip(row).map(|(x, w)| x * w).sum()).collect();
    let a = x.chunks(n).flat_map(|x| kept.iter().map(|&j| x[j]).collect::<Vec<_>>()).collect();
    let values = least_squares(a, target, kept.len());
    let mut out = vec![0.0; n];
    kept.iter().zip(values).for_each(|(&j, v)| out[j] = v);
    out
}

fn largest(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn the_closed_form_is_the_least_squares_refit() {
    for (n, share, seed) in [(12, 0.5, 1), (40, 0.3, 2), (40, 0.8, 3), (33, 0.6, 4)] {
        let case = layer(3, n, 4 * n, seed);
        let h = hessian(&case.gram, n, 0.01);
        for (r, weights) in case.weights.chunks(n).enumerate() {
            let mut mask = vec![false; n];
            let scores: Vec<f64> = weights.iter().map(|w| f64::from(w.abs())).collect();
            Pattern::Row(share).mark(0, n, &scores, &mut mask);
            let row = f64s(weights);
            let expected = oracle(&case, &row, &mask, 0.01);
            for (way, tolerance) in
                [(RefitWay::Dual, 1e-8), (RefitWay::Primal, 1e-8), (RefitWay::Gradients, 1e-4)]
            {
                let d = largest(&refitted(&h, &row, &mask, way), &expected);
                assert!(d < tolerance, "{way:?} {n} row {r}: {d:e}");
            }
        }
        // The same through the f32 weights of a method.
        let spec = format!("magnitude:sparsity={share},refit=row");
        let found = pruned(&case, &spec);
        for (found, weights) in found.chunks(n).zip(case.weights.chunks(n)) {
            let expected = oracle(&case, &f64s(weights), &zeros(found), 0.01);
            assert!(largest(&f64s(found), &expected) < 1e-4, "{spec}");
        }
    }
}

#[test]
fn with_one_mask_nothing_beats_the_whole_row() {
    let n = 96;
    let case = layer(24, n, 300, 5);
    let h = hessian(&case.gram, n, 0.01);
    let patterns = ["sparsity=0.5", "sparsity=0.8", "pattern=2:4", "pattern=4:8"];
    for all in patterns.map(specs).into_iter().chain([shared_specs(0.5), shared_specs(0.8)]) {
        for spec in all {
            let after = pruned(&case, &spec);
            for (row, after) in case.weights.chunks(n).zip(after.chunks(n)) {
                let best = refitted(&h, &f64s(row), &zeros(after), RefitWay::Primal);
                let change: Vec<f64> =
                    best.iter().zip(row).map(|(a, b)| a - f64::from(*b)).collect();
                let (best, found) = (h.loss(&change), loss(&h, row, after));
                assert!(best <= found * (1.0 + 1e-9), "{spec}: {best} > {found}");
            }
        }
    }
}

#[test]
fn rows_too_long_to_be_factored_get_the_same_optimum() {
    let (n, rows) = (400, 67); // more unknowns than are solved directly, more rows than one batch
    let case = layer(rows, n, 500, 16);
    let h = hessian(&case.gram, n, 0.01);
    let pattern = pattern_of("mrp");
    assert_eq!(RefitWay::of(pattern, n), RefitWay::Gradients);
    let after = pruned(&case, "mrp");
    for (row, after) in case.weights.chunks(n).zip(after.chunks(n)) {
        let best = refitted(&h, &f64s(row), &zeros(after), RefitWay::Primal);
        let d = largest(&best, &f64s(after));
        assert!(d < 1e-4, "{d:e}");
        let change: Vec<f64> = best.iter().zip(row).map(|(a, b)| a - f64::from(*b)).collect();
        let excess = loss(&h, row, after) / h.loss(&change) - 1.0;
        assert!(excess.abs() < 1e-7, "{excess:e}");
    }
}

#[test]
fn mask_w_over_whole_rows_is_wanda_with_the_refit() {
    let n = 60;
    let case = layer(8, n, 200, 61);
    for rest in ["sparsity=0.6", "pattern=2:4", "sparsity=0.4,threshold=block"] {
        let wanda = format!("wanda:{},refit=row", rest.replace("block", "layer"));
        assert_eq!(pruned(&case, &format!("mrp:{rest},mask=W")), pruned(&case, &wanda), "{rest}");
    }
}

#[test]
fn swaps_lower_the_error_of_a_mask() {
    let n = 96;
    let case = layer(12, n, 300, 62);
    let h = hessian(&case.gram, n, 0.01);
    for pattern in ["sparsity=0.5", "pattern=2:4"] {
        for method in ["magnitude", "wanda", "ria"] {
            let [before, after] = ["0", "100"]
                .map(|swaps| pruned(&case, &format!("{method}:{pattern},swaps={swaps}")));
            let rows = case.weights.chunks(n).zip(before.chunks(n)).zip(after.chunks(n));
            let mut fell = 0;
            for ((row, before), after) in rows {
                let (before, after) = (loss(&h, row, before), loss(&h, row, after));
                assert!(after <= before * (1.0 + 1e-6), "{method} {pattern}: {after} {before}");
                fell += usize::from(after < before * 0.99);
            }
            assert!(fell > 6, "{method} {pattern}: {fell} of 12 rows");
        }
    }
}

#[test]
fn one_block_is_the_whole_row() {
    let n = 60;
    let case = layer(8, n, 200, 6);
    for rest in ["sparsity=0.6", "pattern=2:4", "pattern=4:8,mask=M"] {
        let row = pruned(&case, &format!("mrp:{rest}"));
        let block = pruned(&case, &format!("mrp:{rest},block=64"));
        assert!(largest(&f64s(&row), &f64s(&block)) < 1e-5, "{rest}");
        assert_eq!(zeros(&row), zeros(&block), "{rest}");
    }
}

#[test]
fn the_gradient_vanishes_on_the_kept_weights() {
    let n = 64;
    let case = layer(4, n, 256, 7);
    let h = hessian(&case.gram, n, 0.01);
    for way in [RefitWay::Dual, RefitWay::Primal, RefitWay::Gradients] {
        for weights in case.weights.chunks(n) {
            let row = f64s(weights);
            let mask: Vec<bool> = (0..n).map(|j| j % 3 != 1).collect();
            let after = refitted(&h, &row, &mask, way);
            let times = |v: &[f64], j: usize| -> f64 {
                v.iter().zip(&h.h[j * n..]).map(|(v, h)| v * h).sum()
            };
            let change: Vec<f64> = after.iter().zip(&row).map(|(a, b)| a - b).collect();
            let size = (0..n).map(|j| times(&row, j).powi(2)).sum::<f64>().sqrt();
            for j in (0..n).filter(|&j| !mask[j]) {
                let gradient = times(&change, j).abs() / size;
                assert!(gradient < 1e-6, "{way:?} [{j}]: {gradient:e}");
            }
        }
    }
}

#[test]
fn limits_are_what_they_must_be() {
    let n = 48;
    let case = layer(5, n, 150, 8);
    let h = hessian(&case.gram, n, 0.01);
    let row = f64s(&case.weights[..n]);
    for way in [RefitWay::Dual, RefitWay::Primal, RefitWay::Gradients] {
        assert_eq!(refitted(&h, &row, &vec![true; n], way), vec![0.0; n], "{way:?}: all removed");
        assert_eq!(refitted(&h, &row, &vec![false; n], way), row, "{way:?}: none removed");
        // One weight: optimal brain surgeon, δ = -w_q / [H⁻¹]_qq * H⁻¹_{:,q}.
        let mask: Vec<bool> = (0..n).map(|j| j == 17).collect();
        let step = row[17] / h.inverse[17 * n + 17];
        let expected: Vec<f64> = (0..n).map(|j| row[j] - step * h.inverse[17 * n + j]).collect();
        assert!(largest(&refitted(&h, &row, &mask, way), &expected) < 1e-6, "{way:?}: one removed");
    }
    for spec in specs("sparsity=0").into_iter().chain(shared_specs(0.0)) {
        assert_eq!(pruned(&case, &spec), case.weights, "{spec}");
    }
}

#[test]
fn inputs_that_are_alike_and_independent_leave_only_magnitude() {
    let n = 64;
    let mut gram = vec![0.0; n * n];
    (0..n).for_each(|j| gram[j * n + j] = 3.0);
    let case = Layer { gram, ..layer(6, n, 1, 9) };
    for pattern in ["sparsity=0.5", "pattern=2:4", "pattern=1:4"] {
        let expected = pruned(&case, &format!("magnitude:{pattern}"));
        // RIA is relative to sums of weights, and blocks of 32 have quotas of their own.
        let others = specs(pattern).into_iter().filter(|s| !s.contains("ria"));
        for spec in others.filter(|s| pattern != "sparsity=0.5" || !s.contains("block=32")) {
            assert_eq!(pruned(&case, &spec), expected, "{spec}");
        }
    }
}

#[test]
fn the_order_of_the_inputs_does_not_matter_to_the_whole_row() {
    let n = 50;
    let case = layer(6, n, 200, 10);
    let order: Vec<usize> = (0..n).map(|j| j * 7 % n).collect();
    let weights = case.weights.chunks(n).flat_map(|r| order.iter().map(|&j| r[j])).collect();
    let x: Vec<f64> = case.x.chunks(n).flat_map(|r| order.iter().map(|&j| r[j])).collect();
    let shuffled = Layer { n, weights, gram: gram_of(&x, n), x };
    let (plain, found) = (pruned(&case, "mrp"), pruned(&shuffled, "mrp"));
    for (plain, found) in plain.chunks(n).zip(found.chunks(n)) {
        let expected: Vec<f64> = order.iter().map(|&j| f64::from(plain[j])).collect();
        assert!(largest(&f64s(found), &expected) < 1e-5);
    }
}

#[test]
fn every_row_and_every_group_loses_exactly_its_share() {
    // Also widths that leave a last group with a smaller quota, or with none.
    for n in [64, 70, 5, 9, 17, 33, 65] {
        let case = layer(5, n, 150, 11);
        for pattern in
            ["sparsity=0.5", "sparsity=0.35", "pattern=2:4", "pattern=4:8", "pattern=1:4"]
        {
            for spec in specs(pattern) {
                let after = pruned(&case, &spec);
                for row in after.chunks(n) {
                    let pattern = pattern_of(&spec);
                    let mask = zeros(row);
                    let count =
                        |from: usize, to: usize| mask[from..to].iter().filter(|m| **m).count();
                    assert_eq!(count(0, n), pattern.quota(0, n), "{spec} of {n}");
                    if let Pattern::NofM { zeros, group } = pattern {
                        let mut whole = (0..n / group).map(|g| count(g * group, (g + 1) * group));
                        assert!(whole.all(|c| c == zeros), "{spec} of {n}");
                        let rest = n % group;
                        assert_eq!(count(n - rest, n), rest * zeros / group, "{spec} of {n}");
                    }
                }
            }
        }
    }
}

#[test]
fn with_a_shared_threshold_the_matrix_loses_exactly_its_share() {
    // 70 rows are more than a batch.
    let (rows, n) = (70, 50);
    let case = layer(rows, n, 150, 17);
    for share in [0.35, 0.5] {
        for spec in shared_specs(share) {
            let mask = zeros(&pruned(&case, &spec));
            let lost = mask.iter().filter(|m| **m).count();
            assert_eq!(lost, (rows as f64 * n as f64 * share).round() as usize, "{spec}");
            let counts = mask.chunks(n).map(|row| row.iter().filter(|m| **m).count());
            assert!(counts.clone().min() < counts.max(), "{spec}: the rows share nothing");
        }
    }
}

#[test]
fn one_threshold_for_the_matrix_takes_its_smallest_weights() {
    let (rows, n) = (70, 40);
    let case = layer(rows, n, 100, 18);
    let after = pruned(&case, "magnitude:sparsity=0.6,threshold=layer");
    let of = |gone: bool| {
        let pairs = case.weights.iter().zip(&after);
        pairs.filter(move |(_, a)| (**a == 0.0) == gone).map(|(w, _)| w.abs())
    };
    assert!(of(true).fold(0.0, f32::max) <= of(false).fold(f32::INFINITY, f32::min));
}

#[test]
fn inputs_that_are_never_used_lose_their_weights_and_disturb_nothing() {
    let (n, dead) = (40, [3, 17, 39]);
    let mut case = layer(4, n, 150, 12);
    for row in case.x.chunks_mut(n) {
        dead.iter().for_each(|&j| row[j] = 0.0);
    }
    case.gram = gram_of(&case.x, n);
    for spec in ["sparsegpt", "sparsegpt:pattern=2:4", "mrp", "mrp:block=32", "wanda:refit=row"] {
        let after = pruned(&case, spec);
        for row in after.chunks(n) {
            assert!(row.iter().all(|w| w.is_finite()), "{spec}");
            assert!(dead.iter().all(|&j| row[j] == 0.0), "{spec}");
            assert_eq!(row.iter().filter(|w| **w == 0.0).count(), n / 2, "{spec}");
        }
    }
    let all_dead = Layer { gram: vec![0.0; n * n], ..layer(2, n, 1, 13) };
    for spec in ["sparsegpt", "mrp", "magnitude:refit=row"] {
        assert!(pruned(&all_dead, spec).iter().all(|w| *w == 0.0), "{spec}");
    }
}

#[test]
fn a_factorisation_that_fails_raises_the_damping_and_says_so() {
    let n = 32;
    let case = layer(3, n, 5, 14); // rank 5
    let h = hessian(&case.gram, n, 0.0);
    assert!(h.retries > 0 && h.damping > 0.0, "{} {}", h.retries, h.damping);
    assert!(pruned(&case, "mrp:damping=0").iter().all(|w| w.is_finite()));
    let raised = block_on(h.raised(&case.gram, &Pace::default())).unwrap();
    assert!(raised.retries > h.retries && raised.damping > h.damping * 9.0);
    let mut broken = case.gram.clone();
    broken[5] = f64::NAN;
    let error = block_on(Hessian::new(&broken, n, 0.01, &Pace::default())).err().unwrap();
    assert!(error.to_string().contains("finite activations"), "{error}");
}

#[test]
fn mask_m_takes_the_best_subset_of_a_group() {
    let n = 8;
    for seed in 0..20 {
        let case = layer(1, n, 30, 100 + seed);
        let h = hessian(&case.gram, n, 0.01);
        let row = f64s(&case.weights);
        for (pattern, group) in
            [(Pattern::NofM { zeros: 4, group: 8 }, 8), (Pattern::NofM { zeros: 2, group: 4 }, 4)]
        {
            let joint = Joint::of_blocks(n, pattern, &|a, b| h.inverse_block(a, b)).unwrap();
            let mut mask = vec![false; n];
            joint.mark(0, &row, &mut mask);
            // The first group alone, all its subsets tried out by refitting the whole row.
            let lost = |mask: &[bool]| {
                let after = refitted(&h, &row, mask, RefitWay::Primal);
                let change: Vec<f64> = after.iter().zip(&row).map(|(a, b)| a - b).collect();
                h.loss(&change)
            };
            let of_bits = |bits: u32| (0..n).map(|j| bits >> j & 1 == 1).collect::<Vec<bool>>();
            let subsets = (0u32..1 << group).filter(|b| b.count_ones() == group / 2);
            let best = subsets.map(|b| lost(&of_bits(b))).fold(f64::INFINITY, f64::min);
            let taken: Vec<bool> = (0..n).map(|j| j < group as usize && mask[j]).collect();
            assert!(lost(&taken) <= best * (1.0 + 1e-9), "seed {seed}");
        }
    }
}

#[test]
fn mask_m_needs_groups() {
    let setting = setting("mrp:mask=M");
    let case = layer(1, 8, 30, 15);
    let h = hessian(&case.gram, 8, 0.01);
    let inputs = HostInputs { cols: 8, square_sums: Vec::new(), hessian: Some(h) };
    let (mut weights, pace) = (case.weights, Pace::default());
    let job =
        MatrixJob { weights: &mut weights, blocks: &mut None, setting: &setting, pace: &pace };
    let error = block_on(by_matrix(&setting).on_host(job, &inputs)).unwrap_err();
    assert!(error.to_string().contains("mask S, or a pattern"), "{error}");
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn threads_do_not_change_a_bit() {
    // Three batches of rows.
    let case = layer(150, 48, 200, 77);
    for spec in ["sparsity=0.6", "pattern=2:4"].iter().flat_map(|pattern| specs(pattern)) {
        let alone = pruned(&case, &spec);
        crate::threads::set(Some(3)).unwrap();
        let shared = pruned(&case, &spec);
        crate::threads::set(Some(1)).unwrap();
        assert!(alone == shared && alone != case.weights, "{spec}");
    }
}
