//! Rules that give every matrix its own sparsity, from the inputs of the dense model.

use super::model::{Loaded, load, sequences};
use super::seen::look_at_all;
use crate::backend::{Device, Tensor};
use crate::models::{Edit, Edits, Linear, Model, linears};

/// (matrix, weights, sums of the squares of its inputs) of every matrix that is pruned, in order.
fn fed(loaded: &Loaded) -> Vec<(Linear, Vec<f32>, Vec<f64>)> {
    let all = sequences(4, 40, loaded.config.vocab_size());
    let mut rows: Vec<Tensor> =
        all[..3].iter().map(|ids| loaded.model.embed(&Device::Cpu, ids)).collect();
    let mut fed = Vec::new();
    for layer in 0..loaded.config.n_layer() {
        let inputs = look_at_all(&loaded.model, layer, &rows);
        let matrices = linears(&loaded.config).into_iter();
        for linear in matrices.filter(|l| l.layer == layer && l.by_default) {
            let mut squares = vec![0.0; linear.cols];
            for x in inputs[&linear.name].chunks(linear.cols) {
                squares.iter_mut().zip(x).for_each(|(s, x)| *s += x * x);
            }
            let shape = [linear.rows, linear.cols];
            let weights = loaded.weights.values(&linear.name, &shape).unwrap();
            fed.push((linear, weights, squares));
        }
        let next = |rows: &Tensor| super::seen::look(&loaded.model, layer, rows).0;
        rows = rows.iter().map(next).collect();
    }
    fed
}

/// What a rule asks of every matrix.
fn asked(loaded: &Loaded, rule: &str) -> Vec<f64> {
    let pruned = loaded.prune(&format!("wanda:sparsity=0.6,ratios={rule}"), &mut None).unwrap();
    pruned.report.iter().map(|line| line.requested).collect()
}

#[test]
fn owl_spares_a_layer_by_its_share_of_scores_far_above_their_mean() {
    // Weights of a random model are too much alike: some become outliers, in every layer as many more.
    let mut loaded = load("smollm3-f32");
    let mut edits = Edits::new();
    for linear in linears(&loaded.config) {
        let shape = [linear.rows, linear.cols];
        let mut values = loaded.weights.values(&linear.name, &shape).unwrap();
        values.iter_mut().step_by(97 - 20 * (linear.layer * 5 % 4)).for_each(|w| *w *= 30.0);
        edits.insert(linear.name, Edit::new(&shape, values));
    }
    loaded.weights = loaded.weights.with_edits(edits);
    loaded.model = Model::load(&Device::Cpu, &loaded.config, &loaded.weights).unwrap();
    let fed = fed(&loaded);
    let shares: Vec<f64> = (0..4)
        .map(|layer| {
            let of_layer = fed.iter().filter(|(l, ..)| l.layer == layer);
            let scores = of_layer.flat_map(|(l, weights, squares)| {
                let each = weights.iter().enumerate();
                each.map(|(i, w)| f64::from(w.abs()) * squares[i % l.cols].sqrt())
            });
            let scores: Vec<f64> = scores.collect();
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            scores.iter().filter(|s| **s > 5.0 * mean).count() as f64 / scores.len() as f64
        })
        .collect();
    let (least, greatest) =
        (shares.iter().copied().fold(1.0, f64::min), shares.iter().copied().fold(0.0, f64::max));
    let d: Vec<f64> = shares.iter().map(|share| (share - least) / (greatest - least)).collect();
    assert!(d.iter().any(|d| *d > 0.1 && *d < 0.9), "a layer between the others: {shares:?}");
    let mean = d.iter().sum::<f64>() / 4.0;
    let found = asked(&loaded, "owl");
    assert_eq!(found.len(), fed.len());
    for ((linear, ..), found) in fed.iter().zip(&found) {
        let expected = 0.6 - 2.0 * 0.08 * (d[linear.layer] - mean);
        assert!((found - expected).abs() < 1e-9, "{}: {found} {expected}", linear.name);
    }
}

#[test]
fn sparsessm_spares_the_projection_of_strongest_inputs_and_takes_more_of_the_weakest() {
    let loaded = load("mamba-f32");
    let fed = fed(&loaded);
    let found = asked(&loaded, "sparsessm");
    assert_eq!(loaded.config.n_layer(), 2);
    for kind in ["in_proj", "out_proj"] {
        let of_kind = || fed.iter().zip(&found).filter(|((l, ..), _)| l.name.contains(kind));
        let strengths: Vec<f64> =
            of_kind().map(|((_, _, s), _)| s.iter().map(|s| s * s).sum::<f64>()).collect();
        let asked: Vec<f64> = of_kind().map(|(_, ratio)| *ratio).collect();
        let below = |i: usize| strengths.iter().filter(|s| **s < strengths[i]).count();
        for (i, ratio) in asked.iter().enumerate() {
            let expected = [0.64, 0.56][below(i)];
            assert!((ratio - expected).abs() < 1e-9, "{kind} {strengths:?} {asked:?}");
        }
    }
}
