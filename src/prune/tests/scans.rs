//! Scores and errors that read the state of a Mamba, from the recurrence written down once more.

use super::model::{Loaded, load, sequences};
use super::seen::{Scan, look, lowest};
use super::*;
use crate::backend::{Device, Tensor};
use crate::models::{Edit, Edits, Model};
use crate::prune::{Subject, states};

fn subject<'a>(loaded: &'a Loaded) -> Subject<'a> {
    let Loaded { config, weights, model, .. } = loaded;
    Subject { device: &Device::Cpu, config, weights, dense: model }
}

/// With other values of some tensors.
fn edited(name: &str, edits: impl Fn(&Loaded) -> Edits) -> Loaded {
    let loaded = load(name);
    let weights = loaded.weights.with_edits(edits(&loaded));
    let model = Model::load(&Device::Cpu, &loaded.config, &weights).unwrap();
    Loaded { weights, model, ..loaded }
}

/// What enters layer 0 on three sequences of different lengths.
fn entering(loaded: &Loaded) -> Vec<Tensor> {
    let all = sequences(3, 30, loaded.config.vocab_size());
    let cut = all.iter().zip([24, 30, 17]);
    cut.map(|(ids, n)| loaded.model.embed(&Device::Cpu, &ids[..n])).collect()
}

fn a_log(loaded: &Loaded, layer: usize) -> Vec<f64> {
    let name = format!("backbone.layers.{layer}.mixer.A_log");
    let shape = loaded.weights.checkpoint().shape(&name).unwrap().to_vec();
    f64s(&loaded.weights.values(&name, &shape).unwrap())
}

fn score(loaded: &Loaded, score: &str, gone: usize, rows: &[Tensor]) -> Vec<f64> {
    let (subject, pace) = (subject(loaded), Pace::default());
    block_on(states::by(score, gone, &subject, 0, rows.iter(), &pace)).unwrap()
}

#[test]
fn every_token_but_the_first_votes_the_columns_out_that_remember_least() {
    let loaded = load("mamba-f32");
    let rows = entering(&loaded);
    let scans: Vec<Scan> =
        rows.iter().map(|rows| look(&loaded.model, 0, rows).1.scan.unwrap()).collect();
    let (a_log, n, gone) = (a_log(&loaded, 0), scans[0].n, 5);
    // sum over the channels of A_log² times sum over the sequences j = 1, 2, 3 of j h², h before the token.
    let mut metric = vec![vec![0.0; n]; 30];
    for (j, scan) in scans.iter().enumerate() {
        for channel in 0..scan.channels {
            let a_log = &a_log[channel * n..][..n];
            let a: Vec<f64> = a_log.iter().map(|a| -a.exp()).collect();
            for (t, h) in scan.states(channel, &a).iter().enumerate().take(scan.tokens - 1) {
                for i in 0..n {
                    metric[t + 1][i] += a_log[i].powi(2) * (j as f64 + 1.0) * h[i].powi(2);
                }
            }
        }
    }
    let mut votes = vec![0.0; n];
    for metric in &metric[1..] {
        lowest(metric, gone).into_iter().for_each(|column| votes[column] -= 1.0);
    }
    assert_eq!(score(&loaded, "sparsessm", gone, &rows), votes);
    assert_eq!(votes.iter().sum::<f64>(), -29.0 * 5.0);
    assert!(votes.iter().filter(|v| **v < 0.0).count() > gone, "the tokens disagree: {votes:?}");
}

#[test]
fn ghost_is_the_mean_square_of_what_a_column_puts_out() {
    let large = |loaded: &Loaded| {
        // Steps of about 800, where e^x is more than f64 holds, and of about 31.
        let name = "backbone.layers.0.mixer.dt_proj.bias";
        let values = (0..60).map(|i| if i % 2 == 0 { 800.0 } else { 31.0 }).collect();
        assert_eq!(loaded.weights.checkpoint().shape(name).unwrap(), [60]);
        Edits::from([(name.to_string(), Edit::new(&[60], values))])
    };
    for loaded in [load("mamba-f32"), edited("mamba-f32", large), load("mamba2-f32-groups")] {
        let rows = entering(&loaded);
        let a_log = a_log(&loaded, 0);
        let mut expected = Vec::new();
        for rows in &rows {
            let scan = look(&loaded.model, 0, rows).1.scan.unwrap();
            expected.resize(scan.n_groups * scan.n, 0.0);
            for channel in 0..scan.channels {
                // One rate a state, or one a head.
                let a: Vec<f64> = match a_log.len() == scan.channels * scan.n {
                    true => a_log[channel * scan.n..][..scan.n].to_vec(),
                    false => vec![a_log[channel * a_log.len() / scan.channels]; scan.n],
                };
                let a: Vec<f64> = a.iter().map(|a| -a.exp()).collect();
                let group = channel * scan.n_groups / scan.channels;
                for (t, h) in scan.states(channel, &a).iter().enumerate() {
                    let c = scan.of_channel(&scan.c, t, channel);
                    for i in 0..scan.n {
                        expected[group * scan.n + i] +=
                            (c[i] * h[i]).powi(2) / (24.0 + 30.0 + 17.0);
                    }
                }
            }
        }
        let found = score(&loaded, "ghost", 3, &rows);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
        }
    }
}

/// What the states of a scan put out without D: of every channel sum_n C_n h_n, token by token.
fn put_out(scan: &Scan, a_log: &[f64]) -> Vec<f64> {
    let of_channel = |channel: usize| {
        let a: Vec<f64> = a_log[channel * scan.n..][..scan.n].iter().map(|a| -a.exp()).collect();
        let of_token = |(t, h): (usize, Vec<f64>)| {
            let c = scan.of_channel(&scan.c, t, channel);
            c.iter().zip(&h).map(|(c, h)| c * h).sum::<f64>()
        };
        scan.states(channel, &a).into_iter().enumerate().map(of_token).collect::<Vec<f64>>()
    };
    (0..scan.channels).flat_map(of_channel).collect()
}

#[test]
fn the_error_of_a_pruned_a_log_is_that_of_its_states_in_the_model_pruned_so_far() {
    let loaded = load("mamba-f32");
    let pruned = loaded.prune("sparsessm:sparsity=0.6,removed=rate", &mut None).unwrap();
    let name = |layer: usize| format!("backbone.layers.{layer}.mixer.A_log");
    let first = &sequences(4, 40, loaded.config.vocab_size())[0];
    let after = |layer: usize| f64s(&pruned.edits[&name(layer)].values);
    let error = |scan: &Scan, layer: usize| {
        let [before, after] = [a_log(&loaded, layer), after(layer)].map(|a| put_out(scan, &a));
        let moved: f64 = before.iter().zip(&after).map(|(b, a)| (b - a).powi(2)).sum();
        moved / before.iter().map(|y| y * y).sum::<f64>()
    };
    let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-6;
    let rows = loaded.model.embed(&Device::Cpu, first);
    let scan = look(&loaded.model, 0, &rows).1.scan.unwrap();
    assert!(near(pruned.report[0].error, error(&scan, 0)), "{}", error(&scan, 0));
    // Layer 1 hears what layer 0 gives with its entries removed; not what it gave before, nor the embeddings.
    let edits = Edits::from([(name(0), pruned.edits[&name(0)].clone())]);
    let model = Model::load(&Device::Cpu, &loaded.config, &loaded.weights.with_edits(edits));
    let heard = look(&model.unwrap(), 0, &rows).0;
    let of = |rows: &Tensor| error(&look(&loaded.model, 1, rows).1.scan.unwrap(), 1);
    let found = pruned.report[1].error;
    assert!(near(found, of(&heard)), "{found} {}", of(&heard));
    for other in [look(&loaded.model, 0, &rows).0, rows] {
        assert!(!near(found, of(&other)), "it could be either");
    }
}

#[test]
fn states_that_put_out_nothing_have_no_error() {
    let silent = |loaded: &Loaded| {
        // Rows of x_proj: two for the step, sixteen for B, sixteen for C.
        let name = |layer: usize| format!("backbone.layers.{layer}.mixer.x_proj.weight");
        let without_c = |layer: usize| {
            let mut values = loaded.weights.values(&name(layer), &[34, 60]).unwrap();
            values[18 * 60..].fill(0.0);
            (name(layer), Edit::new(&[34, 60], values))
        };
        [without_c(0), without_c(1)].into()
    };
    let loaded = edited("mamba-f32", silent);
    let pruned = loaded.prune("sparsessm", &mut None).unwrap();
    let errors: Vec<f64> = pruned.report.iter().map(|line| line.error).collect();
    assert_eq!(errors, [0.0, 0.0]);
}
