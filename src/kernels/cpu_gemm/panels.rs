//! The microkernel over packed panels: a tile of up to [`TILE`] rows by one panel of eight outputs stays in
//! registers while it walks the inputs. Inputs are cut into blocks so that a panel's block stays in the first
//! level cache, and rows into blocks so that theirs stay in the second.

use super::Rows;
use super::lanes::{F32x4, add, load, mul, splat, store, zero};
use crate::backend::{HostMatrix, PANEL};
use std::ops::Range;

/// Rows of a register tile. V8 keeps eight sums in registers and spills with more: in node, 256 x 768 by 768 x 768,
/// 35 GFLOP a CPU second with four rows, 22 with five, 26 with six; unrolling the walk by two costs a fifth as well.
const TILE: usize = 4;
/// Inputs of a block: 768 * 8 * 4 bytes = 24 KiB of a panel.
const DEPTH: usize = 768;
/// Rows of a block: 64 * 768 * 4 bytes = 192 KiB of activations.
const ROWS: usize = 16 * TILE;

pub fn accumulate(x: Rows<'_>, w: &HostMatrix, outputs: Range<usize>, y: &mut [f32]) {
    // One row block reads each weight once, whatever the depth; fewer, longer walks are better then.
    let depth = if x.rows <= TILE { x.cols } else { DEPTH };
    for row in (0..x.rows).step_by(ROWS) {
        let rows = row..(row + ROWS).min(x.rows);
        for from in (0..x.cols).step_by(depth) {
            let inputs = from..(from + depth).min(x.cols);
            for out in outputs.clone().step_by(PANEL) {
                let tile_outs = PANEL.min(outputs.end - out);
                let start = out * w.cols() + inputs.start * PANEL;
                let panel = &w.stored()[start..start + inputs.len() * PANEL];
                let block = Block { x, inputs: inputs.clone(), panel };
                let to =
                    Target { stride: outputs.len(), col: out - outputs.start, cols: tile_outs };
                block.run(rows.clone(), to, y);
            }
        }
    }
}

struct Block<'a> {
    x: Rows<'a>,
    inputs: Range<usize>,
    panel: &'a [f32],
}

/// Where a tile's results go: `cols` columns from `col` of rows `stride` apart.
#[derive(Clone, Copy)]
struct Target {
    stride: usize,
    col: usize,
    cols: usize,
}

impl Block<'_> {
    fn run(&self, rows: Range<usize>, to: Target, y: &mut [f32]) {
        let mut row = rows.start;
        while row < rows.end {
            let y = &mut y[row * to.stride + to.col..];
            match rows.end - row {
                1 => self.tile::<1>(row, to, y),
                2 => self.tile::<2>(row, to, y),
                3 => self.tile::<3>(row, to, y),
                _ => self.tile::<TILE>(row, to, y),
            }
            row += TILE;
        }
    }

    fn tile<const R: usize>(&self, row: usize, to: Target, y: &mut [f32]) {
        let depth = self.inputs.len();
        let start = |r: usize| (row + r) * self.x.stride + self.inputs.start;
        assert!(start(R - 1) + depth <= self.x.values.len() && self.panel.len() >= depth * PANEL);
        let a: [*const f32; R] = std::array::from_fn(|r| self.x.values[start(r)..].as_ptr());
        // SAFETY: `a[R - 1]`, the last row, has `depth` values (asserted) and so have those before it; the panel
        // has `depth` times eight (asserted).
        let sums = unsafe { sums::<R>(a, self.panel.as_ptr(), depth) };
        for (r, [low, high]) in sums.into_iter().enumerate() {
            let y = &mut y[r * to.stride..r * to.stride + to.cols];
            let mut lanes = [0.0; PANEL];
            // SAFETY: `lanes` has eight values.
            unsafe {
                store(lanes.as_mut_ptr(), low);
                store(lanes.as_mut_ptr().add(4), high);
            }
            for (y, lane) in y.iter_mut().zip(lanes) {
                *y += lane;
            }
        }
    }
}

/// Sums of `R` rows times one panel.
///
/// # Safety
/// Every `a[r]` must be valid for `depth` values, `panel` for `8 * depth`.
#[inline(always)]
unsafe fn sums<const R: usize>(
    a: [*const f32; R],
    panel: *const f32,
    depth: usize,
) -> [[F32x4; 2]; R] {
    let mut sums = [[zero(); 2]; R];
    for k in 0..depth {
        // SAFETY: k < depth.
        unsafe {
            let low = load(panel.add(k * PANEL));
            let high = load(panel.add(k * PANEL + 4));
            for r in 0..R {
                let a = splat(a[r].add(k));
                sums[r][0] = add(sums[r][0], mul(a, low));
                sums[r][1] = add(sums[r][1], mul(a, high));
            }
        }
    }
    sums
}
