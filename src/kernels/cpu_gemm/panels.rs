//! The microkernel over packed panels: a tile of [`TILE`] rows by one panel of eight outputs stays in registers while
//! it walks the inputs. Four rows of x are packed as quads first, so that one step reads four neighbours there too.
//! Inputs are cut into blocks so that a panel's block stays in the first level cache, and rows into blocks so that
//! theirs stay in the second.

use super::Rows;
use crate::backend::{HostMatrix, PANEL, Stored};
use crate::kernels::simd::{F32x4, Vector};
use half::f16;
use std::ops::Range;

/// Rows of a register tile. V8 (Chromium 156) keeps eight sums in registers and spills with more: copies of this loop with
/// five or six rows, with twelve outputs, unrolled, or over rows where they lie were 17 to 44 % slower.
const TILE: usize = 4;
/// Inputs of a block: 768 * 8 * 4 bytes = 24 KiB of a panel.
const DEPTH: usize = 768;
/// Rows of a block: 64 * 768 * 4 bytes = 192 KiB of activations.
const ROWS: usize = 16 * TILE;

/// Adds x Wᵀ for the outputs `outputs` to as many columns of y `[x.rows, ..]`, whose rows are `stride` apart.
pub fn accumulate(
    x: Rows<'_>,
    w: &HostMatrix,
    outputs: Range<usize>,
    y: &mut [f32],
    stride: usize,
) {
    let weights = match w.stored() {
        Stored::F32(panels) => Panels::F32(panels),
        Stored::F16(panels) if x.rows == 1 => return one_row(x, panels, outputs, y),
        Stored::F16(panels) => w.widened().map_or(Panels::F16(panels), Panels::F32),
    };
    // One row block reads each weight once, whatever the depth; fewer, longer walks are better then.
    let depth = if x.rows <= TILE { x.cols } else { DEPTH };
    let (mut quads, mut wide) = (Vec::new(), Vec::new());
    for row in (0..x.rows).step_by(ROWS) {
        let rows = row..(row + ROWS).min(x.rows);
        for from in (0..x.cols).step_by(depth) {
            let inputs = from..(from + depth).min(x.cols);
            pack(x, rows.clone(), inputs.clone(), &mut quads);
            for out in outputs.clone().step_by(PANEL) {
                let tile_outs = PANEL.min(outputs.end - out);
                let start = out * w.cols() + inputs.start * PANEL;
                let panel = weights.block(start..start + inputs.len() * PANEL, &mut wide);
                let block = Block { x, inputs: inputs.clone(), quads: &quads, panel };
                let to = Target { stride, col: out - outputs.start, cols: tile_outs };
                block.run(rows.clone(), to, y);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Panels<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

impl<'a> Panels<'a> {
    /// Part of a panel in f32: where it lies, or widened to `wide`, where it stays in the first cache for a block of rows.
    fn block<'b>(self, range: Range<usize>, wide: &'b mut Vec<f32>) -> &'b [f32]
    where
        'a: 'b,
    {
        match self {
            Panels::F32(values) => &values[range],
            Panels::F16(values) => {
                let values = &values[range];
                wide.resize(values.len(), 0.0);
                for (to, from) in wide.chunks_exact_mut(4).zip(values.chunks_exact(4)) {
                    // SAFETY: both have four values; a panel is made of eights.
                    unsafe { F32x4::load_halves(from.as_ptr()).store(to.as_mut_ptr()) };
                }
                wide
            }
        }
    }
}

/// One row: every weight is widened in registers.
fn one_row(x: Rows<'_>, panels: &[f16], outputs: Range<usize>, y: &mut [f32]) {
    for out in outputs.clone().step_by(PANEL) {
        let panel = &panels[out * x.cols..(out + PANEL) * x.cols];
        let cols = PANEL.min(outputs.end - out);
        let to = Target { stride: cols, col: 0, cols };
        to.add(whole_rows::<f16, 1>(x, 0..x.cols, 0, panel), &mut y[out - outputs.start..]);
    }
}

/// What a panel holds.
trait Element: Copy {
    /// # Safety
    /// `from` must be valid for reading four values.
    unsafe fn four(from: *const Self) -> F32x4;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn four(from: *const f32) -> F32x4 {
        // SAFETY: the caller promises that so many values may be read there.
        unsafe { F32x4::load(from) }
    }
}

impl Element for f16 {
    #[inline(always)]
    unsafe fn four(from: *const f16) -> F32x4 {
        // SAFETY: the caller promises that so many values may be read there.
        unsafe { F32x4::load_halves(from) }
    }
}

/// The whole quads of some rows: `[rows / TILE, inputs, TILE]`.
fn pack(x: Rows<'_>, rows: Range<usize>, inputs: Range<usize>, quads: &mut Vec<f32>) {
    quads.clear();
    for row in rows.clone().step_by(TILE).take(rows.len() / TILE) {
        let rows: [&[f32]; TILE] =
            std::array::from_fn(|r| &x.values[(row + r) * x.stride..][inputs.clone()]);
        quads.extend((0..inputs.len()).flat_map(|i| rows.map(|row| row[i])));
    }
}

struct Block<'a> {
    x: Rows<'a>,
    inputs: Range<usize>,
    /// Of the first whole tiles.
    quads: &'a [f32],
    panel: &'a [f32],
}

/// Where a tile's results go: `cols` columns from `col` of rows `stride` apart.
#[derive(Clone, Copy)]
struct Target {
    stride: usize,
    col: usize,
    cols: usize,
}

impl Target {
    /// Adds a tile to the rows at the start of `y`.
    fn add<const R: usize>(self, sums: [[F32x4; 2]; R], y: &mut [f32]) {
        for (r, sums) in sums.into_iter().enumerate() {
            let y = &mut y[r * self.stride..r * self.stride + self.cols];
            let lanes = values(sums);
            // Of known length a loop becomes two vectors.
            match <&mut [f32; PANEL]>::try_from(&mut *y) {
                Ok(whole) => whole.iter_mut().zip(lanes).for_each(|(y, lane)| *y += lane),
                Err(_) => y.iter_mut().zip(lanes).for_each(|(y, lane)| *y += lane),
            }
        }
    }
}

#[inline(always)]
fn values([low, high]: [F32x4; 2]) -> [f32; PANEL] {
    let mut lanes = [0.0; PANEL];
    // SAFETY: `lanes` has eight values.
    unsafe {
        low.store(lanes.as_mut_ptr());
        high.store(lanes.as_mut_ptr().add(4));
    }
    lanes
}

impl Block<'_> {
    fn run(&self, rows: Range<usize>, to: Target, y: &mut [f32]) {
        let mut row = rows.start;
        for quads in self.quads.chunks_exact(TILE * self.inputs.len()) {
            let sums = quad::<TILE>(quads, self.panel);
            to.add(sums, &mut y[row * to.stride + to.col..]);
            row += TILE;
        }
        if row == rows.end {
            return;
        }
        let y = &mut y[row * to.stride + to.col..];
        match rows.end - row {
            1 => to.add(self.rows::<1>(row), y),
            2 => to.add(self.rows::<2>(row), y),
            _ => to.add(self.rows::<3>(row), y),
        }
    }

    /// Rows that make no whole quad, where they lie.
    fn rows<const R: usize>(&self, row: usize) -> [[F32x4; 2]; R] {
        whole_rows::<f32, R>(self.x, self.inputs.clone(), row, self.panel)
    }
}

/// Sums of `R` rows of x, from `row` on, over `inputs`, times a panel of so many inputs.
fn whole_rows<E: Element, const R: usize>(
    x: Rows<'_>,
    inputs: Range<usize>,
    row: usize,
    panel: &[E],
) -> [[F32x4; 2]; R] {
    let depth = inputs.len();
    let start = |r: usize| (row + r) * x.stride + inputs.start;
    assert!(start(R - 1) + depth <= x.values.len() && panel.len() >= depth * PANEL);
    let a: [*const f32; R] = std::array::from_fn(|r| x.values[start(r)..].as_ptr());
    // SAFETY: `a[R - 1]`, the last row, has `depth` values (asserted) and so have those before it; the panel
    // has `depth` times eight (asserted).
    unsafe { sums::<E, R>(a, panel.as_ptr(), depth) }
}

/// Sums of `R` rows times one panel.
///
/// # Safety
/// Every `a[r]` must be valid for `depth` values, `panel` for `8 * depth`.
#[inline(always)]
unsafe fn sums<E: Element, const R: usize>(
    a: [*const f32; R],
    panel: *const E,
    depth: usize,
) -> [[F32x4; 2]; R] {
    let mut sums = [[F32x4::splat(0.0); 2]; R];
    for k in 0..depth {
        // SAFETY: k < depth.
        unsafe {
            let low = E::four(panel.add(k * PANEL));
            let high = E::four(panel.add(k * PANEL + 4));
            for r in 0..R {
                let a = F32x4::splat(*a[r].add(k));
                sums[r][0] = sums[r][0].fused(a, low);
                sums[r][1] = sums[r][1].fused(a, high);
            }
        }
    }
    sums
}

/// Sums of four rows times one panel: the rows lie side by side in `quads`, a step `STEP` values after the other.
#[inline(always)]
fn quad<const STEP: usize>(quads: &[f32], panel: &[f32]) -> [[F32x4; 2]; TILE] {
    let depth = panel.len() / PANEL;
    assert!(quads.len() + STEP >= depth * STEP + TILE, "quads of {depth} inputs");
    let mut sums = [[F32x4::splat(0.0); 2]; TILE];
    let (mut a, mut b) = (quads.as_ptr(), panel.as_ptr());
    for _ in 0..depth {
        // SAFETY: step k < depth reads quads[k * STEP..k * STEP + 4], there by the assertion, and
        // panel[k * 8..k * 8 + 8]; pointers beyond the last step are made and not read.
        unsafe {
            let (low, high) = (F32x4::load(b), F32x4::load(b.add(4)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = F32x4::splat(*a.add(r));
                sums[0] = sums[0].fused(a, low);
                sums[1] = sums[1].fused(a, high);
            }
            a = a.wrapping_add(STEP);
            b = b.wrapping_add(PANEL);
        }
    }
    sums
}

/// Adds xᵀx to `sum` `[cols, cols]`. Both factors are read from the same panels of columns, and what lies below the
/// diagonal is that above.
#[cfg_attr(not(any(target_arch = "wasm32", test)), allow(dead_code))]
pub fn gram(x: Rows<'_>, sum: &mut [f32]) {
    let n = x.cols;
    assert_eq!(sum.len(), n * n, "gram sum");
    let panels = columns(x);
    let size = x.rows * PANEL;
    for right in 0..n.div_ceil(PANEL) {
        let panel = &panels[right * size..(right + 1) * size];
        let columns = right * PANEL..((right + 1) * PANEL).min(n);
        for top in (0..columns.end).step_by(TILE) {
            let left = &panels[top / PANEL * size + top % PANEL..];
            for (r, sums) in quad::<PANEL>(left, panel).into_iter().enumerate() {
                let i = top + r;
                for (j, product) in columns.clone().zip(values(sums)).filter(|(j, _)| *j >= i) {
                    sum[i * n + j] += product;
                    if i != j {
                        sum[j * n + i] += product;
                    }
                }
            }
        }
    }
}

/// Panels of columns: `[ceil(cols / PANEL), rows, PANEL]`, the last one filled up with zeros.
fn columns(x: Rows<'_>) -> Vec<f32> {
    let mut panels = vec![0.0; x.cols.next_multiple_of(PANEL) * x.rows];
    for (p, panel) in panels.chunks_exact_mut((x.rows * PANEL).max(1)).enumerate() {
        for (t, to) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
            let row = &x.values[t * x.stride..][p * PANEL..((p + 1) * PANEL).min(x.cols)];
            // A copy of unknown length is a call.
            match <&[f32; PANEL]>::try_from(row) {
                Ok(whole) => *to = *whole,
                Err(_) => to[..row.len()].copy_from_slice(row),
            }
        }
    }
    panels
}
