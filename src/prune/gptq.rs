//! GPTQ: columns from left to right; what rounding a weight did is taken over by the later columns.
//!
//! For column j of every row, with H⁻¹ = UᵀU and q the nearest point of the grid (`grid`) to w_j: e = (w_j - q) / U_jj,
//! w_{j..} -= e U_{j, j..}. A row's grid is that of its weights as they were; a group's, of its weights as they are when
//! it is reached. With a sparsity or a pattern the weights that `sparsegpt` would remove are rounded to 0 in the same
//! pass: it is the same loop.
//!
//! Source: Frantar et al. 2022 (arXiv 2210.17323), algorithm 1, without its order of columns by activation; jointly with
//! pruning: Frantar & Alistarh 2023 (arXiv 2301.00774), section 3.5.

use super::by_matrix::{ByMatrix, HostInputs, MatrixJob, Needs, Work};
use super::grid::{BITS, GRID, GROUP, MatrixLevels, Rule};
use super::knobs::{BLOCK, DAMPING, INPUTS_PRUNED, LAYERS, MATRICES, ONLY, RATIOS, RUN, SEQUENCES};
use super::pattern::{PATTERN, SPARSITY, THRESHOLD_OF_BLOCK, TOP};
use super::sparsegpt;
use crate::config::FAMILIES;
use crate::method::{About, Knob, KnobKind, Setting};

pub struct Gptq;

static ABOUT: About = About {
    id: "gptq",
    label: "GPTQ (int8, int4)",
    summary: "Rounds the weights from left to right, and lets the later ones take over what rounding did; removes some of them in the same pass if it is asked to.",
    source: "Frantar et al. 2022 (arXiv 2210.17323), algorithm 1, min-max grid, columns in their order; jointly with pruning as in Frantar & Alistarh 2023 (arXiv 2301.00774). Scales are rounded to f16 before the weights are.",
    knobs: &[
        BITS,
        GROUP,
        GRID,
        Knob {
            help: "Share of the weights that become zero in the same pass (unstructured pattern)",
            kind: KnobKind::Number { min: 0.0, max: TOP, step: 0.05, default: 0.0 },
            ..SPARSITY
        },
        PATTERN,
        THRESHOLD_OF_BLOCK,
        BLOCK,
        DAMPING,
        INPUTS_PRUNED,
        RATIOS,
        MATRICES,
        ONLY,
        LAYERS,
        SEQUENCES,
        RUN,
    ],
    families: &FAMILIES,
};

impl ByMatrix for Gptq {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs(&self, _: &Setting, _: usize) -> Needs {
        Needs::Factor
    }

    fn on_host<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a HostInputs) -> Work<'a> {
        Box::pin(async move {
            let MatrixJob { weights, blocks, setting, pace } = job;
            let cols = inputs.cols;
            let grids = MatrixLevels::new(Rule::of(setting, cols), weights.len() / cols, cols);
            let job = MatrixJob { weights: &mut *weights, blocks: &mut None, setting, pace };
            let outcome = sparsegpt::sweep(job, inputs, None, Some(&grids)).await?;
            *blocks = Some(grids.blocks(weights));
            Ok(outcome)
        })
    }
}
