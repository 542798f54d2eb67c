//! Methods that only choose a mask: one score a weight, the lowest go; the others stay, or are refitted.

use super::batches::in_batches;
use super::by_matrix::{HostInputs, MatrixJob, Needs};
use super::device::DeviceInputs;
use super::outcome::Outcome;
use super::pattern::Pattern;
use super::refit::{RefitWay, refit};
use super::swaps;
use crate::method::{Knob, KnobKind, Setting};
use crate::{Result, pace::Pace};

/// The knob of every such method.
pub const REFIT: Knob = Knob {
    id: "refit",
    label: "Refit",
    help: "Whether the kept weights of every row take their best values for this mask (the whole-row optimum of MRP)",
    kind: KnobKind::Choice {
        options: &[("none", "keep as they are"), ("row", "whole row")],
        default: "none",
    },
};

/// What such a method needs: `mask` for its scores, more for the refit.
pub fn needs(mask: Needs, setting: &Setting, cols: usize) -> Needs {
    match setting.choice("refit") {
        "row" => Needs::of_refit(RefitWay::of(Pattern::of(setting), cols) == RefitWay::Dual),
        _ if swaps::wanted(setting) > 0 => Needs::Factor,
        _ => mask,
    }
}

/// Fills the scores `[cols]` of the weights of one row. Not a type parameter: that would cost the page 5 kB.
type Score<'a> = &'a (dyn Fn(&[f64], &mut [f64]) + Sync);

/// Whether a GPU can help: by the refit; a threshold that rows share and swaps are the CPU's.
pub fn has_device_form(setting: &Setting) -> bool {
    let refits = setting.choice("refit") == "row" && swaps::wanted(setting) == 0;
    refits && Pattern::of(setting).is_by_row()
}

/// Chooses the mask on the CPU and refits on the GPU.
pub async fn on_device(
    job: MatrixJob<'_>,
    inputs: &DeviceInputs,
    score: Score<'_>,
) -> Result<Outcome> {
    let sums = inputs.square_sums().await?;
    let mask = mask_on_cpu(job.weights, &sums, Pattern::of(job.setting), score);
    inputs.refit(job.weights, &mask, job.pace).await
}

/// Removes from every row the weights with the lowest scores.
pub async fn on_host(job: MatrixJob<'_>, inputs: &HostInputs, score: Score<'_>) -> Result<Outcome> {
    let cols = inputs.cols;
    let pattern = Pattern::of(job.setting);
    let hessian = (job.setting.choice("refit") == "row").then(|| inputs.hessian());
    let swaps = swaps::wanted(job.setting);
    in_batches(job, inputs, pattern, async |rows: &mut [f64], pace: &Pace| {
        let mut mask = vec![false; rows.len()];
        let mut scores = vec![0.0; rows.len()];
        for (row, scores) in rows.chunks_exact(cols).zip(scores.chunks_exact_mut(cols)) {
            score(row, scores);
        }
        pattern.mark(0, cols, &scores, &mut mask);
        if swaps > 0 {
            swaps::improve(rows, &mut mask, inputs.hessian(), (pattern, swaps), pace).await?;
        }
        match hessian {
            Some(hessian) => refit(rows, &mask, hessian, RefitWay::of(pattern, cols), pace).await,
            None => {
                rows.iter_mut().zip(&mask).filter(|(_, m)| **m).for_each(|(w, _)| *w = 0.0);
                Ok(Outcome::Done)
            }
        }
    })
    .await
}

/// The mask of weights that a GPU will refit; those of dead inputs become 0.
fn mask_on_cpu(
    weights: &mut [f32],
    square_sums: &[f64],
    pattern: Pattern,
    score: Score<'_>,
) -> Vec<bool> {
    let cols = square_sums.len();
    let (mut row, mut scores) = (vec![0.0; cols], vec![0.0; cols]);
    let mut mask = vec![false; weights.len()];
    for (weights, mask) in weights.chunks_exact_mut(cols).zip(mask.chunks_exact_mut(cols)) {
        for ((w, to), sum) in weights.iter_mut().zip(&mut row).zip(square_sums) {
            *w = if *sum > 0.0 { *w } else { 0.0 };
            *to = f64::from(*w);
        }
        score(&row, &mut scores);
        pattern.mark(0, cols, &scores, mask);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_for_a_gpu_takes_the_lowest_scores_and_all_of_what_is_never_fed() {
        // Wanda's scores by hand: norms 2, 0, 1 and 3; the second input is dead.
        let mut weights = [1.0, -9.0, 3.0, -0.5, 0.1, 8.0, -0.3, 4.0];
        let squares = [4.0f64, 0.0, 1.0, 9.0];
        let score = |row: &[f64], scores: &mut [f64]| {
            for ((to, w), sum) in scores.iter_mut().zip(row).zip(squares) {
                *to = w.abs() * sum.sqrt();
            }
        };
        let mask = mask_on_cpu(&mut weights, &squares, Pattern::Row(0.5), &score);
        // 2, 0, 3, 1.5 and 0.2, 0, 0.3, 12
        let (o, x) = (false, true);
        assert_eq!(mask, [o, x, o, x, x, x, o, o]);
        assert_eq!(weights, [1.0, 0.0, 3.0, -0.5, 0.1, 0.0, -0.3, 4.0]);
    }
}
