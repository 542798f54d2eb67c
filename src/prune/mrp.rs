//! MRP: all removed weights of a row, or of a block of a row, are made up for at once.
//!
//! Block "row": one mask a row, then the whole-row optimum (see `refit`).
//! Block B: from left to right, with G = U_BBᵀ U_BB (U_BB the block of U, H⁻¹ = UᵀU) the inverse of what remains
//! when all columns before the block are frozen; for the removed set P of the block
//!   λ_P = (G_PP)⁻¹ w_P, w_B -= λ G, w_later -= (λ U_BBᵀ) U_{B, later}
//! which is SparseGPT with its column loop replaced by one small solve; kept weights on both sides are moved.
//! Mask S: the lowest w_j² / G_jj (block "row": G = H⁻¹). Mask M (N:M only): see `joint`. Mask W: see `remaining`.
//!
//! Source: Zhao, Sun, Shen, Yu, Kong, Wang, Lin 2024 (arXiv 2410.15567): SM and MM. No code of the authors was to
//! be had; block sizes, damping and calibration are ours. The whole row is our reading of the paper.

use super::batches::in_batches;
use super::by_matrix::{ByMatrix, DeviceForm, HostInputs, MatrixJob, Needs, Work};
use super::check;
use super::device::{DeviceInputs, Masking};
use super::hessian::Hessian;
use super::joint::Joint;
use super::knobs::{
    BLOCK_OR_ROW, DAMPING, INPUTS_PRUNED, LAYERS, MASK_OR_WANDA, MATRICES, ONLY, RATIOS,
};
use super::knobs::{RUN, SEQUENCES, block_of};
use super::linalg::{axpy, dot};
use super::outcome::Outcome;
use super::pattern::{PATTERN, Pattern, SPARSITY, THRESHOLD_OF_BLOCK};
use super::product::{Grid, add_product};
use super::refit::{RefitWay, Space, refit};
use super::remaining::Remaining;
use super::swaps::{self, SWAPS};
use crate::config::FAMILIES;
use crate::kernels::prune_rows::RowWay as OnDevice;
use crate::method::{About, Setting};
use crate::{Error, Result, pace::Pace};

pub struct Mrp;

static ABOUT: About = About {
    id: "mrp",
    label: "MRP (SM/MM)",
    summary: "Removes many weights and computes the best values of all the others at once, in closed form. MRP (SM/MM), our implementation of arXiv 2410.15567.",
    source: "Zhao et al. 2024 (arXiv 2410.15567), multiple removal problem: SM with mask S, MM with mask M. Written from the equations; block, damping and calibration are our choices. The whole row is the optimum for its mask; blocks are cheaper.",
    knobs: &[
        SPARSITY,
        PATTERN,
        THRESHOLD_OF_BLOCK,
        MASK_OR_WANDA,
        BLOCK_OR_ROW,
        SWAPS,
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

impl ByMatrix for Mrp {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, setting: &Setting) -> Result<()> {
        check::weights(setting)?;
        if setting.choice("block") != "row" && swaps::wanted(setting) > 0 {
            let expected =
                "0, or block=row: in blocks a mask is compensated before the next one is chosen";
            return Err(Error::input("swaps", "swaps with blocks", expected));
        }
        Ok(())
    }

    fn needs(&self, setting: &Setting, cols: usize) -> Needs {
        let is_row = setting.choice("block") == "row";
        Needs::of_refit(is_row && RefitWay::of(Pattern::of(setting), cols) == RefitWay::Dual)
    }

    fn on_host<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a HostInputs) -> Work<'a> {
        match job.setting.choice("block") {
            "row" => Box::pin(whole_rows(job, inputs)),
            _ => Box::pin(block_by_block(job, inputs)),
        }
    }

    fn device_form(&self, setting: &Setting) -> Option<&dyn DeviceForm> {
        let is_host_only = swaps::wanted(setting) > 0 || setting.choice("mask") == "W";
        (Pattern::of(setting).is_by_row() && !is_host_only).then_some(self)
    }
}

impl DeviceForm for Mrp {
    fn on_device<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a DeviceInputs) -> Work<'a> {
        Box::pin(async move {
            let MatrixJob { weights, setting, pace, .. } = job;
            let masking = Masking::of(setting, inputs.cols())?;
            match setting.choice("block") {
                "row" => inputs.whole_rows(weights, &masking, pace).await,
                _ => inputs.compensate(weights, &masking, OnDevice::Jointly, pace).await,
            }
        })
    }
}

async fn whole_rows(job: MatrixJob<'_>, inputs: &HostInputs) -> Result<Outcome> {
    let hessian = inputs.hessian();
    let pattern = Pattern::of(job.setting);
    let wanda = Remaining::of(&job, inputs);
    let mask = Marker::new(job.setting, pattern, 0, hessian.inverse_diagonal(), &|a, b| {
        hessian.inverse_block(a, b)
    })?;
    let swaps = swaps::wanted(job.setting);
    let way = RefitWay::of(pattern, hessian.n);
    in_batches(job, inputs, pattern, async |rows: &mut [f64], pace: &Pace| {
        let mut marked = match &wanda {
            Some(wanda) => wanda.mark(rows, 0, hessian.n, &mut vec![0; rows.len() / hessian.n]),
            None => mask.mark(rows),
        };
        if swaps > 0 {
            swaps::improve(rows, &mut marked, hessian, (pattern, swaps), pace).await?;
        }
        refit(rows, &marked, hessian, way, pace).await
    })
    .await
}

async fn block_by_block(job: MatrixJob<'_>, inputs: &HostInputs) -> Result<Outcome> {
    let hessian = inputs.hessian();
    let (n, size) = (hessian.n, block_of(job.setting, hessian.n));
    let mut blocks = Vec::new();
    for a in (0..n).step_by(size) {
        blocks.push(Block::new(job.setting, hessian, a, (a + size).min(n), job.pace).await?);
    }
    let pattern = Pattern::of(job.setting);
    let wanda = Remaining::of(&job, inputs);
    in_batches(job, inputs, pattern, async |rows: &mut [f64], pace: &Pace| {
        let mut gone = vec![0; rows.len() / n]; // weights of every row that are removed
        let mut space = Space::default();
        let mut errors = vec![0.0; rows.len() / n * size];
        for block in &blocks {
            let masks = match &wanda {
                Some(wanda) => wanda.mark(rows, block.a, block.b, &mut gone),
                None => block.masks(rows),
            };
            let rest = errors.chunks_exact_mut(size).zip(masks.chunks_exact(block.b - block.a));
            for (row, (errors, mask)) in rows.chunks_exact_mut(n).zip(rest) {
                if !block.solve(row, mask, errors, &mut space) {
                    return Ok(Outcome::NotPositive);
                }
            }
            pace.breathe().await?;
            block.carry_on(rows, &errors, size, hessian);
            pace.breathe().await?;
        }
        Ok(Outcome::Done)
    })
    .await
}

/// Columns a..b.
struct Block<'a> {
    a: usize,
    b: usize,
    n: usize,
    u: &'a [f64],
    g: Vec<f64>, // [b - a, b - a]
    mask: Marker,
}

impl<'a> Block<'a> {
    async fn new(
        setting: &Setting,
        hessian: &'a Hessian,
        a: usize,
        b: usize,
        pace: &Pace,
    ) -> Result<Block<'a>> {
        let size = b - a;
        let g = hessian.trailing_inverse(a, b, pace).await?;
        let diagonal = (0..size).map(|j| g[j * size + j]).collect();
        let part = |from: usize, to: usize| {
            (from..to).flat_map(|i| g[i * size + from..i * size + to].to_vec()).collect()
        };
        let mask = Marker::new(setting, Pattern::of(setting), a, diagonal, &part)?;
        Ok(Block { a, b, n: hessian.n, u: &hessian.u, g, mask })
    }

    /// What goes in the block, of all rows `[rows, b - a]`.
    fn masks(&self, rows: &[f64]) -> Vec<bool> {
        let blocks = rows.chunks_exact(self.n).flat_map(|row| row[self.a..self.b].to_vec());
        self.mask.mark(&blocks.collect::<Vec<f64>>())
    }

    /// Compensates inside the block; `errors` takes λ U_BBᵀ. False when a system cannot be solved.
    fn solve(&self, row: &mut [f64], mask: &[bool], errors: &mut [f64], space: &mut Space) -> bool {
        let size = self.b - self.a;
        let row = &mut row[self.a..self.b];
        space.choose(mask, true);
        space.unknowns.clear();
        space.unknowns.extend(space.chosen.iter().map(|&j| row[j]));
        if !space.solve(&self.g, size) {
            return false;
        }
        let mut lambda = vec![0.0; size];
        for (&j, &x) in space.chosen.iter().zip(&space.unknowns) {
            lambda[j] = x;
            axpy(-x, &self.g[j * size..(j + 1) * size], row);
        }
        space.chosen.iter().for_each(|&j| row[j] = 0.0);
        for (k, e) in errors[..size].iter_mut().enumerate() {
            let u = &self.u[(self.a + k) * self.n + self.a..][..size];
            *e = dot(&u[k..], &lambda[k..]);
        }
        true
    }

    /// What the block's removals do to the columns after it.
    fn carry_on(&self, rows: &mut [f64], errors: &[f64], stride: usize, hessian: &Hessian) {
        if self.b == self.n {
            return;
        }
        let (size, m) = (self.b - self.a, rows.len() / self.n);
        let u = &hessian.u[self.a * self.n + self.b..];
        let u = Grid::new(u, size, self.n - self.b, self.n);
        add_product(&mut rows[self.b..], self.n, -1.0, Grid::new(errors, m, size, stride), u);
    }
}

/// Mask S or M over some columns of a row.
enum Marker {
    Single { pattern: Pattern, from: usize, diagonal: Vec<f64> },
    Joint { joint: Joint, width: usize },
}

impl Marker {
    /// For columns from `from`; `diagonal` and `block` are those of an inverse over these columns.
    fn new(
        setting: &Setting,
        pattern: Pattern,
        from: usize,
        diagonal: Vec<f64>,
        block: &dyn Fn(usize, usize) -> Vec<f64>,
    ) -> Result<Marker> {
        Ok(match setting.choice("mask") {
            "M" => {
                let width = diagonal.len();
                Marker::Joint { joint: Joint::of_blocks(width, pattern, block)?, width }
            }
            _ => Marker::Single { pattern, from, diagonal },
        })
    }

    /// What goes of `rows` `[rows, columns]`.
    fn mark(&self, rows: &[f64]) -> Vec<bool> {
        let mut mask = vec![false; rows.len()];
        match self {
            Marker::Joint { joint, width } => {
                for (row, mask) in rows.chunks(*width).zip(mask.chunks_mut(*width)) {
                    joint.mark(0, row, mask);
                }
            }
            Marker::Single { pattern, from, diagonal } => {
                let weights = rows.iter().zip(diagonal.iter().cycle());
                let scores: Vec<f64> = weights.map(|(w, g)| w * w / g).collect();
                pattern.mark(*from, diagonal.len(), &scores, &mut mask);
            }
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::tests::{f64s, hessian, layer, setting};
    use pollster::block_on;

    #[test]
    fn the_errors_of_the_blocks_add_up_to_the_measured_loss() {
        let (n, size) = (90, 32);
        let case = layer(6, n, 300, 31);
        let h = hessian(&case.gram, n, 0.01);
        for spec in ["mrp:sparsity=0.6", "mrp:pattern=2:4", "mrp:pattern=4:8,mask=M"] {
            let setting = setting(spec);
            for weights in case.weights.chunks(n) {
                let mut row = f64s(weights);
                let mut predicted = 0.0;
                for a in (0..n).step_by(size) {
                    let b = (a + size).min(n);
                    let pace = Pace::default();
                    let block = block_on(Block::new(&setting, &h, a, b, &pace)).unwrap();
                    let mut errors = vec![0.0; size];
                    let mask = block.masks(&row);
                    assert!(block.solve(&mut row, &mask, &mut errors, &mut Space::default()));
                    block.carry_on(&mut row, &errors, size, &h);
                    predicted += errors[..b - a].iter().map(|e| e * e).sum::<f64>();
                }
                let change: Vec<f64> =
                    row.iter().zip(weights).map(|(a, b)| a - f64::from(*b)).collect();
                let measured = h.loss(&change);
                assert!(
                    (predicted / measured - 1.0).abs() < 1e-9,
                    "{spec}: {predicted} {measured}"
                );
            }
        }
    }

    #[test]
    fn from_the_same_weights_a_block_loses_no_more_than_column_after_column() {
        let (n, a, b) = (96, 32, 64);
        let case = layer(12, n, 300, 32);
        let h = hessian(&case.gram, n, 0.01);
        for spec in ["mrp:sparsity=0.5", "mrp:sparsity=0.8", "mrp:pattern=2:4,mask=M"] {
            let pace = Pace::default();
            let block = block_on(Block::new(&setting(spec), &h, a, b, &pace)).unwrap();
            for weights in case.weights.chunks(n) {
                let lost = |row: &[f64]| {
                    let change = row.iter().zip(weights).map(|(a, b)| a - f64::from(*b));
                    h.loss(&change.collect::<Vec<f64>>())
                };
                let mut jointly = f64s(weights);
                let (mask, mut errors) = (block.masks(&jointly), vec![0.0; b - a]);
                assert!(block.solve(&mut jointly, &mask, &mut errors, &mut Space::default()));
                block.carry_on(&mut jointly, &errors, b - a, &h);
                let mut in_turn = f64s(weights);
                for j in (a..b).filter(|&j| jointly[j] == 0.0) {
                    crate::prune::sparsegpt::move_to(
                        0.0,
                        &mut in_turn,
                        &h.u[j * n..(j + 1) * n],
                        j,
                    );
                }
                let (jointly, in_turn) = (lost(&jointly), lost(&in_turn));
                assert!(jointly <= in_turn * (1.0 + 1e-9), "{spec}: {jointly} > {in_turn}");
            }
        }
    }
}
