//! xᵀx by the tiles of `super`: columns of x on both sides, which need no turning to be packed.
//!
//! The columns are packed as panels once a block of rows of x. A thread then takes [`ROWS`] rows of the sum and adds to
//! the tiles on and below the diagonal where they lie; what they wrote above it is replaced by the other half in the end.

use super::*;
use crate::threads;

/// Rows of the sum that share packed columns in the second level cache: whole tiles of either height.
const ROWS: usize = 96;
/// Sides of the squares in which one half becomes the other.
const SQUARE: usize = 32;

/// Adds xᵀx to the symmetric `sum` `[x.cols, x.cols]`. The processor must have the instructions ([`is_for`]).
pub fn gram(x: Rows<'_>, sum: &mut [f32]) {
    let (n, most) = (x.cols, most_rows());
    x.check();
    assert!(most > 0, "a processor with AVX2 and FMA");
    assert_eq!(sum.len(), n * n, "gram sum");
    if n == 0 {
        return;
    }
    let width = if most == 8 { 48 } else { 16 };
    let mut panels = vec![0.0; n.next_multiple_of(width) * DEPTH.min(x.rows)];
    for rows in blocks(x.rows) {
        let size = rows.len() * width;
        for (columns, panel) in columns(0..n, width).zip(panels.chunks_exact_mut(size)) {
            pack_columns(x, &rows, columns, panel, width);
        }
        let panels = &panels[..n.div_ceil(width) * size];
        threads::share(sum.chunks_mut(ROWS * n).enumerate(), |(number, sum)| {
            let from = number * ROWS;
            let own = from..from + sum.len() / n;
            let mut left = vec![0.0; own.len() * rows.len()];
            for tile in tiles(own.len(), most) {
                let to = &mut left[tile.start * rows.len()..tile.end * rows.len()];
                pack_columns(x, &rows, from + tile.start..from + tile.end, to, tile.len());
            }
            simd::run(Columns { left: &left, own, panels, depth: rows.len(), most, n, sum });
        });
    }
    mirror(sum, n);
}

/// These columns, `width` at a time.
fn columns(all: Range<usize>, width: usize) -> impl Iterator<Item = Range<usize>> {
    let end = all.end;
    all.step_by(width).map(move |from| from..end.min(from + width))
}

/// Columns of x side by side, row by row: `[rows, width]`. Those that are not there keep what was there.
fn pack_columns(
    x: Rows<'_>,
    rows: &Range<usize>,
    columns: Range<usize>,
    to: &mut [f32],
    width: usize,
) {
    for (t, to) in rows.clone().zip(to.chunks_exact_mut(width)) {
        let from = &x.values[t * x.stride..][columns.clone()];
        // A copy of unknown length is a call.
        match (<&[f32; 16]>::try_from(from), <&mut [f32; 16]>::try_from(&mut *to)) {
            (Ok(from), Ok(to)) => *to = *from,
            _ => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
        }
    }
}

/// What some rows of the sum gain by a block.
struct Columns<'a> {
    /// `[tiles, depth, rows of the tile]`
    left: &'a [f32],
    own: Range<usize>,
    /// `[n / width, depth, width]`
    panels: &'a [f32],
    depth: usize,
    /// Rows of a tile.
    most: usize,
    n: usize,
    /// `[own, n]`
    sum: &'a mut [f32],
}

impl Kernel for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        match V::LANES {
            16 => self.add::<V, 3>(),
            8 => self.add::<V, 2>(),
            _ => unreachable!("columns are packed where there are such vectors"),
        }
    }
}

impl Columns<'_> {
    /// As many panels as stay in the second level cache are added to all tiles, then the next.
    #[inline(always)]
    fn add<V: Vector, const N: usize>(self) {
        let (width, depth) = (N * V::LANES, self.depth);
        let mut first = 0;
        while first < self.own.end {
            for tile in tiles(self.own.len(), self.most) {
                let left = &self.left[tile.start * depth..tile.end * depth];
                let end = (first + OUTS).min(self.own.start + tile.end);
                let mut out = first;
                while out < end {
                    let panel = &self.panels[out * depth..][..width * depth];
                    let n = width.min(self.n - out);
                    let y = &mut self.sum[tile.start * self.n + out..];
                    assert!(y.len() >= (tile.len() - 1) * self.n + n, "results");
                    let (x, panel, y) = (left.as_ptr(), panel.as_ptr(), y.as_mut_ptr());
                    let of = Tile { x, panel, depth, y, stride: self.n, n, adds: true };
                    // SAFETY: the slices have what a tile of so many rows reads and writes.
                    unsafe { of.of_height::<V, N>(tile.len()) };
                    out += width;
                }
            }
            first += OUTS;
        }
    }
}

/// Replaces what lies above the diagonal by what lies below it.
fn mirror(sum: &mut [f32], n: usize) {
    for top in (0..n).step_by(SQUARE) {
        for left in (0..=top).step_by(SQUARE) {
            for i in top..n.min(top + SQUARE) {
                for j in left..i.min(left + SQUARE) {
                    sum[j * n + i] = sum[i * n + j];
                }
            }
        }
    }
}
