//! Our own product: 4 x 4 elements of C in registers (eight of two f64), one value of A for both halves of a row of B.

use super::Grid;
use crate::prune::pair::Pair;

/// Columns of a panel and rows of a tile.
const SIDE: usize = 4;

/// As [`super::add_product`], which has checked the sizes.
pub fn add_product(c: &mut [f64], stride: usize, scale: f64, a: Grid<'_>, b: Grid<'_>) {
    let mut panel = vec![[Pair::ZERO; 2]; b.rows];
    for j in (0..b.cols).step_by(SIDE) {
        let width = SIDE.min(b.cols - j);
        for (p, to) in panel.iter_mut().enumerate() {
            let value = |q: usize| if q < width { b.at(p, j + q) * scale } else { 0.0 };
            *to = [Pair::new(value(0), value(1)), Pair::new(value(2), value(3))];
        }
        for i in (0..a.rows).step_by(SIDE) {
            let height = SIDE.min(a.rows - i);
            // Rows beyond the last are computed from it and thrown away.
            let starts = std::array::from_fn(|r| (i + r.min(height - 1)) * a.down);
            let tile = tile(a, starts, &panel);
            for (r, row) in tile.iter().take(height).enumerate() {
                let to = &mut c[(i + r) * stride + j..][..width];
                let sums = row.map(Pair::values);
                to.iter_mut().zip(sums.as_flattened()).for_each(|(c, sum)| *c += sum);
            }
        }
    }
}

/// The products of four rows of A, which begin at `starts`, with a panel.
#[inline(always)]
fn tile(a: Grid<'_>, starts: [usize; SIDE], panel: &[[Pair; 2]]) -> [[Pair; 2]; SIDE] {
    let mut sums = [[Pair::ZERO; 2]; SIDE];
    let last = (panel.len() - 1) * a.right;
    let rows = starts.map(|start| &a.values[start..=start + last]);
    for (p, b) in panel.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(rows) {
            let x = Pair::both(row[p * a.right]);
            *sums = [sums[0].plus(x.times(b[0])), sums[1].plus(x.times(b[1]))];
        }
    }
    sums
}
