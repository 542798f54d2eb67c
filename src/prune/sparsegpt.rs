//! SparseGPT: columns from left to right; what a removed weight did is taken over by the later columns.
//!
//! For column j of every row, with H⁻¹ = UᵀU: e = w_j / U_jj if it is removed, else 0; w_{j..} -= e U_{j, j..}.
//! Columns are worked on in blocks; what a block does to the columns after it is added once per block.
//! Mask S: the lowest w_j² / U_jj² of the weights as they are when the block (N:M: the group) is reached.
//! Mask M (N:M only): of all ways to remove N of a group the one with the least joint loss (see `joint`).
//!
//! Source: Frantar & Alistarh 2023 (arXiv 2301.00774), algorithm 1. In the words of Zhao et al. 2024
//! (arXiv 2410.15567): SS, and MS with mask M. Where we differ: a row loses exactly its share in every block; the
//! authors' code takes one threshold for all rows of a block (`threshold=block`), and one weight more.

use super::batches::in_numbered_batches;
use super::by_matrix::{ByMatrix, DeviceForm, HostInputs, MatrixJob, Needs, Work};
use super::device::{DeviceInputs, Masking};
use super::grid::{Levels, MatrixLevels};
use super::joint::Joint;
use super::knobs::block_of;
use super::knobs::{
    BLOCK, DAMPING, INPUTS_PRUNED, LAYERS, MASK, MATRICES, ONLY, RATIOS, RUN, SEQUENCES,
};
use super::linalg::axpy;
use super::outcome::Outcome;
use super::pattern::{PATTERN, Pattern, SPARSITY, THRESHOLD_OF_BLOCK};
use super::product::{Grid, add_product};
use crate::config::FAMILIES;
use crate::kernels::prune_rows::RowWay;
use crate::method::{About, Setting};
use crate::{Result, pace::Pace};

pub struct SparseGpt;

static ABOUT: About = About {
    id: "sparsegpt",
    label: "SparseGPT",
    summary: "Goes through the inputs from left to right, removes the weights whose loss is smallest, and lets the later ones take over what they did.",
    source: "Frantar & Alistarh 2023 (arXiv 2301.00774), algorithm 1: SS in the words of arXiv 2410.15567; with mask M it is MS. A row loses exactly its share in every block, where the authors' code takes one threshold for all rows of a block (threshold=block).",
    knobs: &[
        SPARSITY,
        PATTERN,
        THRESHOLD_OF_BLOCK,
        MASK,
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

impl ByMatrix for SparseGpt {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs(&self, _: &Setting, _: usize) -> Needs {
        Needs::Factor
    }

    fn on_host<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a HostInputs) -> Work<'a> {
        Box::pin(async move {
            let joint = match job.setting.choice("mask") {
                "M" => {
                    let pattern = Pattern::of(job.setting);
                    Some(Joint::trailing_groups(inputs.hessian(), pattern, job.pace).await?)
                }
                _ => None,
            };
            sweep(job, inputs, joint.as_ref(), None).await
        })
    }

    fn device_form(&self, setting: &Setting) -> Option<&dyn DeviceForm> {
        Pattern::of(setting).is_by_row().then_some(self)
    }
}

impl DeviceForm for SparseGpt {
    fn on_device<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a DeviceInputs) -> Work<'a> {
        Box::pin(async move {
            let masking = Masking::of(job.setting, inputs.cols())?;
            inputs.compensate(job.weights, &masking, RowWay::InTurn, job.pace).await
        })
    }
}

/// Goes through the columns: what does not stay becomes 0, the rest takes the nearest point of its grid where there are
/// grids.
pub async fn sweep(
    job: MatrixJob<'_>,
    inputs: &HostInputs,
    joint: Option<&Joint>,
    grids: Option<&MatrixLevels>,
) -> Result<Outcome> {
    let (pattern, hessian) = (Pattern::of(job.setting), inputs.hessian());
    let block = block_of(job.setting, hessian.n);
    let sweep = Sweep { u: &hessian.u, n: hessian.n, block, pattern, joint, grids };
    let work = async |first: usize, rows: &mut [f64], pace: &Pace| {
        sweep.rows(first, rows, pace).await?;
        Ok(Outcome::Done)
    };
    in_numbered_batches(job, inputs, pattern.is_by_row(), work).await
}

/// Gives weight `j` another value (0 removes it) and lets the later ones of `row` take over; `u` is row j of U. Gives e;
/// the loss is e² / 2.
pub fn move_to(value: f64, row: &mut [f64], u: &[f64], j: usize) -> f64 {
    let e = (row[j] - value) / u[j];
    axpy(-e, &u[j + 1..], &mut row[j + 1..]);
    row[j] = value;
    e
}

/// What the sweep over the columns of some rows reads.
struct Sweep<'a> {
    u: &'a [f64],
    n: usize,
    block: usize,
    pattern: Pattern,
    joint: Option<&'a Joint>,
    grids: Option<&'a MatrixLevels>,
}

impl Sweep<'_> {
    /// Rows from number `first` on.
    async fn rows(&self, first: usize, rows: &mut [f64], pace: &Pace) -> Result<()> {
        let n = self.n;
        let mut grids = vec![None; rows.len() / n]; // of every row where it has got to
        let mut errors = vec![0.0; rows.len() / n * self.block];
        for a in (0..n).step_by(self.block) {
            let b = (a + self.block).min(n);
            let mut masks = self.block_masks(rows, a, b);
            let rest = errors.chunks_exact_mut(self.block).zip(masks.chunks_exact_mut(b - a));
            let numbered = (first..).zip(rows.chunks_exact_mut(n)).zip(&mut grids);
            for (((number, row), grid), (errors, mask)) in numbered.zip(rest) {
                self.sweep_block((number, row, grid), mask, errors, a, b);
            }
            if b < n {
                let u = Grid::new(&self.u[a * n + b..], b - a, n - b, n);
                let errors = Grid::new(&errors, rows.len() / n, b - a, self.block);
                add_product(&mut rows[b..], n, -1.0, errors, u);
            }
            pace.breathe().await?;
        }
        Ok(())
    }

    /// What of the columns a..b goes, of all rows `[rows, b - a]`; groups are masked when the sweep reaches them.
    fn block_masks(&self, rows: &[f64], a: usize, b: usize) -> Vec<bool> {
        let mut masks = vec![false; rows.len() / self.n * (b - a)];
        if !matches!(self.pattern, Pattern::NofM { .. }) {
            let blocks = rows.chunks_exact(self.n).map(|row| &row[a..b]);
            let scores: Vec<f64> = blocks.flat_map(|row| self.scores(row, a)).collect();
            self.pattern.mark(a, b - a, &scores, &mut masks);
        }
        masks
    }

    /// Columns a..b of one row; `errors` takes e of every column.
    fn sweep_block(
        &self,
        (number, row, grid): (usize, &mut [f64], &mut Option<Levels>),
        mask: &mut [bool],
        errors: &mut [f64],
        a: usize,
        b: usize,
    ) {
        let n = self.n;
        for j in a..b {
            if let Pattern::NofM { group, .. } = self.pattern
                && (j - a).is_multiple_of(group)
            {
                let end = (j + group).min(b);
                self.mark_group(&row[j..end], j, &mut mask[j - a..end - a]);
            }
            if let Some(grids) = self.grids
                && j.is_multiple_of(grids.rule.group)
            {
                let found = grids.rule.grid(&row[j..(j + grids.rule.group).min(n)]);
                grids.keep(number, j, found);
                *grid = Some(found);
            }
            errors[j - a] = 0.0;
            let stays = if mask[j - a] { 0.0 } else { row[j] };
            let value = grid.map_or(stays, |grid| grid.nearest(stays));
            if mask[j - a] || value != row[j] {
                errors[j - a] = move_to(value, &mut row[..b], &self.u[j * n..j * n + b], j);
            }
        }
    }

    /// Which of the columns from `from` on go, by their present weights `row`.
    fn mark_group(&self, row: &[f64], from: usize, mask: &mut [bool]) {
        match self.joint {
            Some(joint) => joint.mark(from, row, mask),
            None => self.pattern.mark(from, row.len(), &self.scores(row, from), mask),
        }
    }

    /// Mask S for some weights of a row, of the columns from `from` on.
    fn scores(&self, row: &[f64], from: usize) -> Vec<f64> {
        let score = |(k, w): (usize, &f64)| {
            let u = self.u[(from + k) * self.n + from + k];
            (w / u).powi(2)
        };
        row.iter().enumerate().map(score).collect()
    }
}
