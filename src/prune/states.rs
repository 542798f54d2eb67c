//! Scores of the state columns of a Mamba for structured pruning.
//!
//! Column n of a group writes with B_tn and is read with C_tn: y_t = sum_n C_tn h_n,t and h_n,t decays and takes in
//! B_tn Δ_t x_t. Score: mean_t B_tn² times mean_t C_tn² on the calibration text. In a Mamba-2 decay, Δ and x are the same
//! for all columns of a head, so they change no order but through their correlation with B and C, which is left out; in a
//! Mamba-1 every column has decays of its own, which this score does not see. GHOST: `scan`. SparseSSM: `sparsessm`.
//! No linear matrix reads a column, so nothing can make up for one that goes. Source: ours.

use super::scan::{self, HostScan};
use super::sparsessm;
use super::task::Subject;
use crate::backend::{Device, Tensor};
use crate::config::Mixer;
use crate::kernels::column_squares::column_squares;
use crate::method::{Knob, KnobKind};
use crate::models::{Hooks, LayerOutput, MixerInputs, Model, Names, Reduced};
use crate::pace::Pace;
use crate::{Error, Result};

/// How state columns are scored.
pub const SCORE: Knob = Knob {
    id: "score",
    label: "State score",
    help: "Which state columns go: those written and read least (mean B² times mean C²), those whose loss moves the scan's output least (GHOST), or those that most tokens vote out (SparseSSM, Mamba-1). Other units have their own score",
    kind: KnobKind::Choice {
        options: &[("bc", "mean B² times mean C²"), ("ghost", "GHOST"), ("sparsessm", "SparseSSM")],
        default: "bc",
    },
};

/// One score a state column, by the value of [`SCORE`]; `gone` of every group will go. Other arguments: those of
/// [`scores`]. Errors: those of [`scores`], and SparseSSM's score of a Mamba-2.
pub async fn by(
    score: &str,
    gone: usize,
    subject: &Subject<'_>,
    layer: usize,
    sequences: impl Iterator<Item = &Tensor>,
    pace: &Pace,
) -> Result<Vec<f64>> {
    let Subject { device, config, weights, dense } = *subject;
    if score == "bc" {
        return scores(device, dense, layer, sequences, pace).await;
    }
    let names = Names::of(config.family);
    let name = format!("{}{}A_log", names.layer(layer), names.ssm);
    let a_log = |shape: &[usize]| weights.values(&name, shape);
    let rate = |a_log: &f32| -f64::from(*a_log).exp();
    match (&config.layers[layer].mixer, score) {
        (Mixer::Mamba(c), "sparsessm") => {
            let mut scans = Vec::new();
            for rows in sequences {
                scans.push(HostScan::of(device, dense, layer, rows).await?);
                pace.breathe().await?;
            }
            sparsessm::votes(&scans, &a_log(&[c.d_inner, c.d_state])?, gone, pace).await
        }
        (Mixer::Mamba(c), _) => {
            let a: Vec<f64> = a_log(&[c.d_inner, c.d_state])?.iter().map(rate).collect();
            scan::ghost(device, dense, layer, &a, sequences, pace).await
        }
        (Mixer::Mamba2(c), "ghost") => {
            // One rate a head.
            let of_head = |a_log: &f32| vec![rate(a_log); c.d_state];
            let a: Vec<f64> = a_log(&[c.n_head])?.iter().flat_map(of_head).collect();
            scan::ghost(device, dense, layer, &a, sequences, pace).await
        }
        _ => {
            let expected =
                "bc or ghost: SparseSSM weighs A state by state, and a Mamba-2 has one A a head";
            Err(Error::input("score", score, expected))
        }
    }
}

/// Sums over tokens of B² and C², `[1, n_groups * d_state]`.
#[derive(Default)]
struct Squares(Option<[Tensor; 2]>);

impl Hooks for Squares {
    fn wants_layer(&self, _: usize, _: usize) -> bool {
        true
    }

    fn reduce(&mut self, device: &Device, output: LayerOutput<'_>) -> Option<Reduced> {
        if let MixerInputs::Ssm(inputs) = output.inputs {
            let zeros = || [(); 2].map(|()| device.zeros(1, inputs.b.cols));
            let [b, c] = self.0.take().unwrap_or_else(zeros);
            let sums = [column_squares(device, inputs.b, &b), column_squares(device, inputs.c, &c)];
            self.0 = Some(sums);
        }
        None
    }
}

/// One score a state column, of all groups one after the other.
///
/// `sequences`: rows that enter the layer; Errors: there are none, cancelled, or the GPU failed.
pub async fn scores(
    device: &Device,
    model: &Model,
    layer: usize,
    sequences: impl Iterator<Item = &Tensor>,
    pace: &Pace,
) -> Result<Vec<f64>> {
    let mut squares = Squares::default();
    for rows in sequences {
        model.run_layer(device, layer, rows.clone(), &mut squares);
        device.finish().await?;
        pace.breathe().await?;
    }
    let Some([b, c]) = squares.0 else {
        return Err(Error::input("calibration", "no text", "at least one sequence"));
    };
    let (b, c) = (device.read(&b).await?, device.read(&c).await?);
    Ok(b.iter().zip(&c).map(|(b, c)| f64::from(*b) * f64::from(*c)).collect())
}
