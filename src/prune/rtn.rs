//! Round-to-nearest: every weight takes the nearest point of its group's grid (`grid`). The control of quantisation that
//! needs no data.

use super::batches::in_numbered_batches;
use super::by_matrix::{ByMatrix, HostInputs, MatrixJob, Needs, Work};
use super::grid::{BITS, GRID, GROUP, MatrixLevels, Rule};
use super::knobs::{INPUTS_DENSE, LAYERS, MATRICES, ONLY, RUN, SEQUENCES};
use super::outcome::Outcome;
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use crate::pace::Pace;

pub struct Rtn;

static ABOUT: About = About {
    id: "rtn",
    label: "RTN (int8, int4)",
    summary: "Rounds every weight to the nearest of 256 or 16 values. Looks at no data: the control of quantisation, and what pruning must beat at equal bytes.",
    source: "The baseline of Frantar et al. 2022 (arXiv 2210.17323, GPTQ), with its min-max grid; scales are rounded to f16 before the weights are.",
    knobs: &[BITS, GROUP, GRID, INPUTS_DENSE, MATRICES, ONLY, LAYERS, SEQUENCES, RUN],
    families: &FAMILIES,
};

impl ByMatrix for Rtn {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs(&self, _: &Setting, _: usize) -> Needs {
        Needs::Nothing
    }

    fn check(&self, _: &Setting) -> crate::Result<()> {
        Ok(()) // it zeroes nothing
    }

    fn requested(&self, _: &Setting) -> f64 {
        0.0
    }

    fn on_host<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a HostInputs) -> Work<'a> {
        Box::pin(async move {
            let cols = inputs.cols;
            let rule = Rule::of(job.setting, cols);
            let grids = MatrixLevels::new(rule, job.weights.len() / cols, cols);
            let round = async |first: usize, rows: &mut [f64], _: &Pace| {
                for (row, weights) in (first..).zip(rows.chunks_exact_mut(cols)) {
                    for (from, weights) in
                        (0..).step_by(rule.group).zip(weights.chunks_mut(rule.group))
                    {
                        let grid = rule.grid(weights);
                        grids.keep(row, from, grid);
                        weights.iter_mut().for_each(|w| *w = grid.nearest(*w));
                    }
                }
                Ok(Outcome::Done)
            };
            let MatrixJob { weights, blocks, setting, pace } = job;
            let job = MatrixJob { weights: &mut *weights, blocks: &mut None, setting, pace };
            let outcome = in_numbered_batches(job, inputs, true, round).await?;
            *blocks = Some(grids.blocks(weights));
            Ok(outcome)
        })
    }
}
