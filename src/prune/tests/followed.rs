//! Layer by layer: what later layers are calibrated on, what structured pruning takes and what makes up for it, each from
//! the model's own activations.

use super::model::{Loaded, MODELS, load, sequences};
use super::seen::{look, look_at_all, lowest};
use super::*;
use crate::backend::{Device, Tensor};
use crate::config::Mixer;
use crate::models::{Linear, Model, linears};
use crate::prune::Pruned;
use crate::prune::units::Units;

/// What enters layer 0, of the sequences that every pruning here is calibrated on.
fn entering(loaded: &Loaded) -> Vec<Tensor> {
    let all = sequences(4, 40, loaded.config.vocab_size());
    all[..3].iter().map(|ids| loaded.model.embed(&Device::Cpu, ids)).collect()
}

fn after_layer(model: &Model, layer: usize, rows: &[Tensor]) -> Vec<Tensor> {
    rows.iter().map(|rows| look(model, layer, rows).0).collect()
}

/// The model that a pruning gives.
fn result(loaded: &Loaded, pruned: &Pruned) -> Model {
    let weights = loaded.weights.with_edits(pruned.edits.clone());
    let (config, weights) = match &pruned.smaller {
        Some(smaller) => (&smaller.config, weights.with_layers(&smaller.layers)),
        None => (&loaded.config, weights),
    };
    Model::load(&Device::Cpu, config, &weights).unwrap()
}

/// The inverse of `a` `[n, n]`, by Gauss and Jordan with row exchanges.
fn inverse(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    let mut right: Vec<f64> = (0..n * n).map(|k| f64::from(u8::from(k / n == k % n))).collect();
    for c in 0..n {
        let pivot = (c..n).max_by(|&i, &j| a[i * n + c].abs().total_cmp(&a[j * n + c].abs()));
        let pivot = pivot.unwrap();
        for k in 0..n {
            a.swap(c * n + k, pivot * n + k);
            right.swap(c * n + k, pivot * n + k);
        }
        let scale = a[c * n + c];
        for k in 0..n {
            a[c * n + k] /= scale;
            right[c * n + k] /= scale;
        }
        for i in (0..n).filter(|i| *i != c) {
            let f = a[i * n + c];
            for k in 0..n {
                a[i * n + k] -= f * a[c * n + k];
                right[i * n + k] -= f * right[c * n + k];
            }
        }
    }
    right
}

/// XᵀX with damping as a share of the mean of its diagonal.
fn damped(x: &[f64], n: usize, damping: f64) -> Vec<f64> {
    let mut h = gram_of(x, n);
    let mean = (0..n).map(|j| h[j * n + j]).sum::<f64>() / n as f64;
    (0..n).for_each(|j| h[j * n + j] += damping * mean);
    h
}

/// Which rows of a tensor are left, by their values.
fn kept_rows(before: &[f32], after: &[f32], size: usize) -> Vec<usize> {
    let mut left = after.chunks(size).peekable();
    let mut kept = Vec::new();
    for (i, row) in before.chunks(size).enumerate() {
        if left.next_if(|next| *next == row).is_some() {
            kept.push(i);
        }
    }
    assert!(left.next().is_none(), "rows that were not there");
    kept
}

#[test]
fn what_enters_the_first_layer_is_kept_and_changes_no_weight() {
    for name in MODELS {
        let loaded = load(name);
        let alone = |share: &str| loaded.prune(&format!("structured:share={share}"), &mut None);
        let mut cache = None;
        for share in ["0.25", "0.5"] {
            let pruned = loaded.prune(&format!("structured:share={share}"), &mut cache).unwrap();
            let expected = alone(share).unwrap();
            for (tensor, edit) in &expected.edits {
                assert_eq!(pruned.edits[tensor].values, edit.values, "{name} {share} {tensor}");
            }
            assert_eq!(pruned.edits.len(), expected.edits.len(), "{name} {share}");
            let kept = cache.as_ref().expect("the first layer's inputs");
            assert_eq!(kept.layers.len(), 1, "{name}");
        }
        // Another method needs more than that, and leaves what serves here too.
        let other = loaded.prune("sparsegpt", &mut cache).unwrap();
        assert_eq!(other.report.len(), loaded.prune("sparsegpt", &mut None).unwrap().report.len());
        let pruned = loaded.prune("structured:share=0.5", &mut cache).unwrap();
        for (tensor, edit) in &alone("0.5").unwrap().edits {
            assert_eq!(pruned.edits[tensor].values, edit.values, "{name} {tensor}");
        }
    }
}

#[test]
fn the_units_of_least_loss_go_and_their_readers_make_up_for_them() {
    // Units of one column, and the tensor of one row a unit that shows which are left.
    for (name, shows) in
        [("llama-f32-gqa", "mlp.up_proj.weight"), ("mamba-f32", "mixer.conv1d.weight")]
    {
        let loaded = load(name);
        let units = Units::of(&loaded.config, "channels").unwrap();
        let inputs = look_at_all(&loaded.model, 0, &entering(&loaded));
        let n = units.count;
        let readers: Vec<(String, Vec<f32>, Vec<f64>)> = units
            .parts
            .iter()
            .filter(|p| p.reads)
            .map(|part| {
                let name = units.name(0, part);
                let weights = loaded.weights.values(&name, &part.shape).unwrap();
                let h = damped(&inputs[&name], n, setting("structured").number("damping"));
                (name, weights, h)
            })
            .collect();
        let mut scores = vec![0.0; n];
        for (_, weights, h) in &readers {
            let inverse = inverse(h.clone(), n);
            let rows: Vec<Vec<f64>> = weights.chunks(n).map(f64s).collect();
            let product = |w: &[f64], j: usize| (0..n).map(|i| w[i] * h[i * n + j]).sum::<f64>();
            let energy: f64 =
                rows.iter().map(|w| (0..n).map(|j| product(w, j) * w[j]).sum::<f64>()).sum();
            for (j, score) in scores.iter_mut().enumerate() {
                let loss = rows.iter().map(|w| w[j] * w[j]).sum::<f64>() / inverse[j * n + j];
                *score += loss / energy; // both lack the same half
            }
        }
        let removed = lowest(&scores, (n as f64 * 0.4).round() as usize);
        let expected: Vec<usize> = (0..n).filter(|j| !removed.contains(j)).collect();
        for compensate in ["yes", "no"] {
            let spec = format!("structured:share=0.4,compensate={compensate}");
            let edits = loaded.prune(&spec, &mut None).unwrap().edits;
            let part = units.parts.iter().find(|p| p.name.ends_with(shows)).unwrap();
            let shown = loaded.weights.values(&units.name(0, part), &part.shape).unwrap();
            let size = shown.len() / n;
            let kept = kept_rows(&shown, &edits[&units.name(0, part)].values, size);
            assert_eq!(kept, expected, "{name} {spec}");
            for (reader, weights, h) in &readers {
                let mut largest = 0.0f64;
                let after = edits[reader].values.chunks(kept.len());
                for (before, after) in weights.chunks(n).zip(after) {
                    let mut change: Vec<f64> = before.iter().map(|w| -f64::from(*w)).collect();
                    kept.iter().zip(after).for_each(|(&j, w)| change[j] += f64::from(*w));
                    for &j in &kept {
                        let of = |i: usize| change[i] * h[i * n + j];
                        let scale: f64 = (0..n).map(|i| of(i).abs()).sum();
                        let pull = (0..n).map(of).sum::<f64>();
                        largest = largest.max(pull.abs() / scale);
                    }
                    if compensate == "no" {
                        assert!(kept.iter().all(|&j| change[j] == 0.0), "{name} {reader}");
                    }
                }
                // At the optimum the loss falls in no direction; sums of f32 are the difference.
                assert_eq!(largest < 1e-3, compensate == "yes", "{name} {reader}: {largest:e}");
            }
        }
    }
}

#[test]
fn the_gated_norm_is_scaled_by_what_its_mean_square_loses() {
    let loaded = load("mamba2-f32-groups");
    let Mixer::Mamba2(c) = &loaded.config.layers[0].mixer else { panic!("a Mamba-2") };
    let pruned = loaded.prune("structured:unit=heads,share=0.4", &mut None).unwrap();
    let name = |part: &str| format!("backbone.layers.0.mixer.{part}");
    let of = |part: &str, size: usize| {
        let before = loaded.weights.values(&name(part), &[size]).unwrap();
        (before, pruned.edits[&name(part)].values.clone())
    };
    let (before, after) = of("A_log", c.n_head);
    let heads = kept_rows(&before, &after, 1);
    assert_eq!(heads.len(), 4, "one of three of either group goes");
    let inputs = look_at_all(&loaded.model, 0, &entering(&loaded));
    let x = &inputs[&name("out_proj.weight")];
    let (norm, found) = of("norm.weight", c.d_inner);
    let kept: Vec<usize> = (0..c.d_inner).filter(|j| heads.contains(&(j / c.headdim))).collect();
    // What was normed, before the weights: its mean square is 1 over a group, and over what stays something else.
    let mean = |channels: &[usize]| {
        let square = |row: &[f64], j: usize| (row[j] / f64::from(norm[j])).powi(2);
        let rows = x.chunks(c.d_inner);
        rows.map(|row| channels.iter().map(|&j| square(row, j)).sum::<f64>()).sum::<f64>()
            / channels.len() as f64
    };
    let size = c.d_inner / c.n_groups;
    for group in 0..c.n_groups {
        let all: Vec<usize> = (group * size..(group + 1) * size).collect();
        let stay: Vec<usize> = kept.iter().copied().filter(|j| j / size == group).collect();
        let change = (mean(&stay) / mean(&all)).sqrt();
        assert!((change - 1.0).abs() > 1e-3, "{change} could be nothing");
        for j in stay {
            let at = kept.iter().position(|k| *k == j).unwrap();
            let ratio = f64::from(found[at]) / f64::from(norm[j]);
            assert!((ratio / change - 1.0).abs() < 1e-5, "{group} {j}: {ratio} {change}");
        }
    }
}

/// ||X (W - W')ᵀ||² / ||X Wᵀ||²
fn output_error(x: &[f64], before: &[f32], after: &[f32], n: usize) -> f64 {
    let (mut moved, mut all) = (0.0, 0.0);
    for x in x.chunks(n) {
        for (b, a) in before.chunks(n).zip(after.chunks(n)) {
            let of = |w: &dyn Fn(usize) -> f64| (0..n).map(|j| x[j] * w(j)).sum::<f64>().powi(2);
            moved += of(&|j| f64::from(b[j]) - f64::from(a[j]));
            all += of(&|j| f64::from(b[j]));
        }
    }
    moved / all
}

#[test]
fn a_layer_is_calibrated_on_what_the_layers_before_it_give() {
    for (name, spec) in [
        ("llama-f32-gqa", "structured:share=0.5"),
        ("llama-f32-gqa", "mrp:sparsity=0.7"),
        ("mamba-f32", "sparsegpt:sparsity=0.7"),
    ] {
        let loaded = load(name);
        let first = entering(&loaded)[0].clone();
        for inputs in ["pruned", "dense"] {
            let pruned = loaded.prune(&format!("{spec},inputs={inputs}"), &mut None).unwrap();
            let small = result(&loaded, &pruned);
            let [right, wrong] = match inputs {
                "pruned" => [&small, &loaded.model],
                _ => [&loaded.model, &small],
            };
            let of = |model: &Model| look(&loaded.model, 1, &look(model, 0, &first).0).1.inputs;
            let (right, wrong) = (of(right), of(wrong));
            let measured: Vec<Linear> =
                linears(&loaded.config).into_iter().filter(|l| l.layer == 1).collect();
            let lines = pruned.report.iter().filter(|line| line.error > 0.0);
            let mut checked = 0;
            for line in lines {
                let Some(l) = measured.iter().find(|l| l.name == line.name) else { continue };
                let before = loaded.weights.values(&l.name, &[l.rows, l.cols]).unwrap();
                let after = whole(&loaded, &pruned, l);
                let [found, other] =
                    [&right, &wrong].map(|x| output_error(&x[&l.name], &before, &after, l.cols));
                let relative = (line.error / found - 1.0).abs();
                assert!(relative < 1e-4, "{name} {spec} {inputs} {}: {relative:e}", l.name);
                assert!((other / found - 1.0).abs() > 1e-2, "{}: it could be either", l.name);
                checked += 1;
            }
            assert!(checked > 0, "{name} {spec}");
        }
    }
}

/// The pruned matrix in the shape that it had, removed columns 0.
fn whole(loaded: &Loaded, pruned: &Pruned, linear: &Linear) -> Vec<f32> {
    let edit = &pruned.edits[&linear.name];
    if edit.shape == [linear.rows, linear.cols] {
        return edit.values.clone();
    }
    // Channels of a Llama's MLP: the rows that are left of the matrix before say which columns are left of this one.
    let up = linear.name.replace("down_proj", "up_proj");
    let before = loaded.weights.values(&up, &[linear.cols, linear.rows]).unwrap();
    let kept = kept_rows(&before, &pruned.edits[&up].values, linear.rows);
    let mut whole = vec![0.0; linear.rows * linear.cols];
    for (to, row) in whole.chunks_mut(linear.cols).zip(edit.values.chunks(kept.len())) {
        kept.iter().zip(row).for_each(|(&j, w)| to[j] = *w);
    }
    whole
}

#[test]
fn state_columns_are_scored_on_what_enters_their_layer() {
    let loaded = load("mamba2-f32-groups");
    let Mixer::Mamba2(c) = loaded.config.layers[1].mixer.clone() else { panic!("a Mamba-2") };
    for inputs in ["pruned", "dense"] {
        let spec = format!("structured:unit=states,share=0.5,inputs={inputs}");
        let pruned = loaded.prune(&spec, &mut None).unwrap();
        let small = result(&loaded, &pruned);
        let follows = if inputs == "pruned" { &small } else { &loaded.model };
        // Of the columns of every group half goes: those of least sum B² times sum C².
        let columns_left = |rows: &[Tensor]| -> Vec<usize> {
            let columns = c.n_groups * c.d_state;
            let mut sums = [vec![0.0; columns], vec![0.0; columns]];
            for rows in rows {
                let scan = look(&loaded.model, 1, rows).1.scan.unwrap();
                for (sums, values) in sums.iter_mut().zip([&scan.b, &scan.c]) {
                    values.iter().enumerate().for_each(|(i, x)| sums[i % columns] += x * x);
                }
            }
            let scores: Vec<f64> = sums[0].iter().zip(&sums[1]).map(|(b, c)| b * c).collect();
            let groups = scores.chunks(c.d_state).enumerate();
            let gone = groups.flat_map(|(group, scores)| {
                lowest(scores, c.d_state / 2).into_iter().map(move |j| group * c.d_state + j)
            });
            let gone: Vec<usize> = gone.collect();
            (0..columns).filter(|j| !gone.contains(j)).collect()
        };
        let expected = columns_left(&after_layer(follows, 0, &entering(&loaded)));
        assert_ne!(expected, columns_left(&entering(&loaded)), "it could be either");
        // x stays, B and C lose the same columns.
        let conv = "backbone.layers.1.mixer.conv1d.weight";
        let before = loaded.weights.values(conv, &[c.conv_dim(), 1, c.d_conv]).unwrap();
        let kept = kept_rows(&before, &pruned.edits[conv].values, c.d_conv);
        let of = |start: usize| expected.iter().map(move |j| start + j);
        let second = c.d_inner + c.n_groups * c.d_state;
        let rows: Vec<usize> = (0..c.d_inner).chain(of(c.d_inner)).chain(of(second)).collect();
        assert_eq!(kept, rows, "{spec}");
    }
}

#[test]
fn layers_that_go_turn_what_goes_through_them_least() {
    for name in ["llama-f32-gqa", "mamba-f32"] {
        let loaded = load(name);
        let mut rows = entering(&loaded);
        let mut turns = Vec::new();
        for layer in 0..loaded.config.n_layer() {
            let next = after_layer(&loaded.model, layer, &rows);
            let mut of_tokens = Vec::new();
            for (x, y) in rows.iter().zip(&next) {
                let (width, tokens) = (x.cols(), x.rows());
                for t in 0..tokens {
                    let row = |of: &Tensor| f64s(&of.cpu()[t * width..(t + 1) * width]);
                    let (x, y) = (row(x), row(y));
                    let product =
                        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
                    let cosine = product(&x, &y) / (product(&x, &x) * product(&y, &y)).sqrt();
                    of_tokens.push(1.0 - cosine);
                }
            }
            assert_eq!(of_tokens.len(), 120);
            turns.push(of_tokens.iter().sum::<f64>() / 120.0);
            rows = next;
        }
        let pruned = loaded.prune("structured:unit=layers,share=0.5", &mut None).unwrap();
        let n_layer = turns.len();
        let gone = lowest(&turns, (n_layer as f64 * 0.5).round() as usize);
        let left: Vec<usize> = (0..n_layer).filter(|layer| !gone.contains(layer)).collect();
        assert_eq!(pruned.smaller.unwrap().layers, left, "{name}: {turns:?}");
        let layer_of = |line: &str| {
            linears(&loaded.config).into_iter().find(|l| l.name == line).unwrap().layer
        };
        for line in &pruned.report {
            let turn = turns[layer_of(&line.name)];
            // A layer that is looked at adds up in another order, in f32.
            let moved = (line.error - turn).abs();
            assert!(moved < 1e-6, "{name} {}: {} {turn}", line.name, line.error);
        }
    }
}
