//! SparseSSM: entries of Mamba-1's A_log `[d_inner, d_state]` go, those through which least is remembered.
//!
//! With abar_t = exp(delta_t A) and the state h_{t-1} before token t of the j-th calibration sequence (j = 1, 2, ..):
//!   score_dn = sum_t w_t (sum_j abar_t)² (sum_j j h_{t-1}²)
//! w_t is 1 / (t + 1), t from 0; for N:M over the state axis, 1 for the first quarter of the window and 0 after it. The
//! lowest scores of the matrix go (N:M: of every group). Layers in order, on the model as pruned so far.
//!
//! What a removed entry is: A = -1 (A_log = 0), as a stock model runs such a checkpoint; or no memory (abar = 0), as the
//! authors' evaluation computes it, here by an A_log of 40: abar is 0 for every delta above 1e-14.
//!
//! Source: SparseSSM (arXiv 2506.09613) and its released code, whose sum over sequences decays as the factor j says.
//! Where we differ: N:M removes M - N (the released code's argument counts the removed); while later layers are
//! calibrated, removed entries are what they will be (the authors': A = -1). Its ratios of the other matrices:
//! `sparsessm_ratios`. Its structured form is a score of `structured`, [`votes`].

use super::calibrate::{Statistic, Walk};
use super::knobs::{LAYERS, SEQUENCES};
use super::pattern::{PATTERN, Pattern, SPARSITY};
use super::report::{MatrixReport, Pruned};
use super::scan::HostScan;
use super::task::{Pruning, Task, Whole};
use crate::config::{MambaMixer, Mixer};
use crate::method::{About, Knob, KnobKind, Setting};
use crate::models::{Edit, Model, Names};
use crate::order::mark_lowest;
use crate::pace::{Pace, now_ms};
use crate::{Error, Result};

pub struct SparseSsm;

static ABOUT: About = About {
    id: "sparsessm",
    label: "SparseSSM (A_log)",
    summary: "Removes the decay rates of Mamba-1's states through which least is remembered. The matrices stay as they are.",
    source: "SparseSSM (arXiv 2506.09613), the score of the released code; what a removed entry means can be chosen.",
    knobs: &[
        SPARSITY,
        PATTERN,
        Knob {
            id: "removed",
            label: "Removed entry",
            help: "What a removed entry of A_log becomes: A = -1, as a stock model runs the authors' checkpoint; or no memory at all, as the authors' evaluation computes",
            kind: KnobKind::Choice {
                options: &[("rate", "A = -1"), ("memory", "no memory")],
                default: "memory",
            },
        },
        LAYERS,
        SEQUENCES,
    ],
    families: &["mamba"],
};

/// A_log of an entry that remembers nothing: exp(-delta e^40) is 0 in f32 for every delta above 1e-14.
const FORGETS: f32 = 40.0;

impl Pruning for SparseSsm {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn prune<'a>(&'a self, task: Task<'a>) -> Whole<'a> {
        Box::pin(prune(task))
    }
}

async fn prune(task: Task<'_>) -> Result<Pruned> {
    let Task { subject, sequences, setting, pace, progress, .. } = task;
    let Mixer::Mamba(config) = &subject.config.layers[0].mixer else {
        let expected = "a Mamba-1: a Mamba-2 has one A a head, and nothing else has any";
        return Err(Error::input("model", "another architecture", expected));
    };
    let names = Names::of(subject.config.family);
    let (chosen, n_layer) = (setting.layers("layers"), subject.config.n_layer());
    let mut model = Model::load(subject.device, subject.config, subject.weights)?;
    let mut walk = Walk::start(subject.device, &model, Statistic::SquareSums, sequences);
    let mut pruned = Pruned::start(sequences, 0);
    for layer in 0..n_layer {
        progress(layer, n_layer);
        if chosen.is_empty() || chosen.contains(&layer) {
            let start = now_ms();
            let mut scans = Vec::new();
            for rows in walk.rows() {
                scans.push(HostScan::of(subject.device, &model, layer, rows).await?);
                pace.breathe().await?;
            }
            let name = format!("{}{}A_log", names.layer(layer), names.ssm);
            let shape = [config.d_inner, config.d_state];
            let before = subject.weights.values(&name, &shape)?;
            let mask = choose(&scans, &before, config, setting, pace).await?;
            let removed = if setting.choice("removed") == "rate" { 0.0 } else { FORGETS };
            let after = before.iter().zip(&mask).map(|(a, gone)| if *gone { removed } else { *a });
            let after: Vec<f32> = after.collect();
            let line = report(&name, shape, &mask, [now_ms() - start, requested(setting)]);
            let error = error(&scans, [&before, &after]);
            pruned.report.push(MatrixReport { error, ..line });
            pruned.edits.insert(name, Edit::new(&shape, after));
            let edited = subject.weights.with_edits(pruned.edits.clone());
            model.reload_layer(subject.device, &edited, layer)?;
        }
        if layer + 1 < n_layer {
            walk.run(subject.device, &model, layer, pace).await?;
        }
    }
    progress(n_layer, n_layer);
    Ok(pruned)
}

fn requested(setting: &Setting) -> f64 {
    pattern(setting).share()
}

/// Unstructured: of the whole matrix.
fn pattern(setting: &Setting) -> Pattern {
    match setting.choice("pattern") {
        "unstructured" => Pattern::Shared(setting.number("sparsity")),
        groups => Pattern::of_groups(groups),
    }
}

/// The entries that go.
async fn choose(
    scans: &[HostScan],
    a_log: &[f32],
    config: &MambaMixer,
    setting: &Setting,
    pace: &Pace,
) -> Result<Vec<bool>> {
    let pattern = pattern(setting);
    let n = config.d_state;
    let tokens = scans.iter().map(|s| s.tokens).max().unwrap_or(0);
    if tokens == 0 {
        return Err(Error::input("calibration", "no text", "at least one sequence"));
    }
    let weights: Vec<f64> = match pattern {
        Pattern::NofM { .. } => {
            (0..tokens).map(|t| f64::from(u8::from(t < tokens.div_ceil(4)))).collect()
        }
        _ => (0..tokens).map(|t| 1.0 / (t as f64 + 1.0)).collect(),
    };
    let mut scores = Vec::with_capacity(a_log.len());
    for (channel, a_log) in a_log.chunks_exact(n).enumerate() {
        scores.extend(channel_scores(scans, channel, a_log, &weights));
        if channel % 8 == 0 {
            pace.breathe().await?;
        }
    }
    let mut mask = vec![false; scores.len()];
    pattern.mark(0, n, &scores, &mut mask);
    Ok(mask)
}

/// Scores `[d_state]` of one channel; `weights` of the tokens.
fn channel_scores(scans: &[HostScan], channel: usize, a_log: &[f32], weights: &[f64]) -> Vec<f64> {
    let n = a_log.len();
    let a: Vec<f64> = a_log.iter().map(|a| -f64::from(*a).exp()).collect();
    let [mut decays, mut states] = [(); 2].map(|()| vec![0.0; weights.len() * n]);
    for (j, scan) in scans.iter().enumerate() {
        scan.channel(channel, &a, &mut |step| {
            for i in 0..n {
                decays[step.t * n + i] += step.decay[i];
                states[step.t * n + i] += (j + 1) as f64 * step.before[i].powi(2);
            }
        });
    }
    let mut scores = vec![0.0; n];
    for ((w, decays), states) in weights.iter().zip(decays.chunks(n)).zip(states.chunks(n)) {
        for ((score, d), h) in scores.iter_mut().zip(decays).zip(states) {
            *score += w * d * d * h;
        }
    }
    scores
}

/// How many tokens vote every state column out, below 0 so that the most votes are the lowest score `[d_state]`.
///
/// Token t votes for the `gone` columns n of least
///   sum_d A_log_dn² sum_j j h²_{t-1,dn}
/// with j as above. Before the first token no state is there and all columns are alike, so that it has no vote; the released
/// code lets its sort decide. A column whose A is -1 throughout has A_log = 0 and gets every vote, whatever it holds.
/// Errors: no text, cancelled. Source: `structure_ts.py` of the released code.
pub async fn votes(
    scans: &[HostScan],
    a_log: &[f32],
    gone: usize,
    pace: &Pace,
) -> Result<Vec<f64>> {
    let Some(first) = scans.first() else {
        return Err(Error::input("calibration", "no text", "at least one sequence"));
    };
    let n = first.d_state;
    let tokens = scans.iter().map(|s| s.tokens).max().unwrap_or(0);
    let mut metric = vec![0.0; tokens * n];
    for (channel, a_log) in a_log.chunks_exact(n).enumerate() {
        let a_log: Vec<f64> = a_log.iter().map(|a| f64::from(*a)).collect();
        let a: Vec<f64> = a_log.iter().map(|a| -a.exp()).collect();
        for (j, scan) in scans.iter().enumerate() {
            scan.channel(channel, &a, &mut |step| {
                for i in 0..n {
                    let share = (j + 1) as f64 * (a_log[i] * step.before[i]).powi(2);
                    metric[step.t * n + i] += share;
                }
            });
        }
        if channel % 8 == 0 {
            pace.breathe().await?;
        }
    }
    let mut votes = vec![0.0; n];
    for metric in metric.chunks_exact(n).skip(1) {
        let mut chosen = vec![false; n];
        mark_lowest(metric, gone, &mut chosen);
        votes.iter_mut().zip(chosen).for_each(|(v, is)| *v -= f64::from(u8::from(is)));
    }
    Ok(votes)
}

/// Relative squared error of what the states put out, C_t h_t, on the first sequence.
fn error(scans: &[HostScan], a_logs: [&[f32]; 2]) -> f64 {
    let Some(scan) = scans.first() else { return 0.0 };
    let n = scan.d_state;
    let (mut moved, mut all) = (0.0, 0.0);
    for channel in 0..scan.channels() {
        let [before, after] = a_logs.map(|a_log| {
            let a = a_log[channel * n..][..n].iter().map(|a| -f64::from(*a).exp());
            let mut y = Vec::with_capacity(scan.tokens);
            scan.channel(channel, &a.collect::<Vec<f64>>(), &mut |step| {
                let reads = step.c.iter().zip(step.after);
                y.push(reads.map(|(c, h)| f64::from(*c) * h).sum::<f64>());
            });
            y
        });
        moved += before.iter().zip(&after).map(|(b, a)| (b - a).powi(2)).sum::<f64>();
        all += before.iter().map(|y| y * y).sum::<f64>();
    }
    if all > 0.0 { moved / all } else { 0.0 }
}

fn report(
    name: &str,
    [rows, cols]: [usize; 2],
    mask: &[bool],
    [milliseconds, requested]: [f64; 2],
) -> MatrixReport {
    MatrixReport {
        name: name.to_string(),
        rows,
        cols,
        requested,
        achieved: mask.iter().filter(|m| **m).count() as f64 / mask.len() as f64,
        error: 0.0,
        held_out_error: None,
        milliseconds,
        damping: None,
        retries: 0,
        on_gpu: false,
        left: None,
    }
}
