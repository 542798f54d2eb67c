//! Our own product: 4 x 4 elements of C in registers (eight of two f64), one value of A for both halves of a row of B.

use super::Grid;

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

pub use imp::Pair;

#[cfg(target_arch = "wasm32")]
mod imp {
    use core::arch::wasm32::*;

    /// Two f64 in one register.
    #[derive(Clone, Copy)]
    pub struct Pair(v128);

    impl Pair {
        pub const ZERO: Pair = Pair(f64x2(0.0, 0.0));

        #[inline(always)]
        pub fn new(a: f64, b: f64) -> Self {
            Self(f64x2(a, b))
        }

        #[inline(always)]
        pub fn both(v: f64) -> Self {
            Self(f64x2_splat(v))
        }

        #[inline(always)]
        pub fn plus(self, other: Self) -> Self {
            Self(f64x2_add(self.0, other.0))
        }

        #[inline(always)]
        pub fn times(self, other: Self) -> Self {
            Self(f64x2_mul(self.0, other.0))
        }

        #[inline(always)]
        pub fn values(self) -> [f64; 2] {
            [f64x2_extract_lane::<0>(self.0), f64x2_extract_lane::<1>(self.0)]
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    /// Two f64.
    #[derive(Clone, Copy)]
    pub struct Pair([f64; 2]);

    impl Pair {
        pub const ZERO: Pair = Pair([0.0; 2]);

        pub fn new(a: f64, b: f64) -> Self {
            Self([a, b])
        }

        pub fn both(v: f64) -> Self {
            Self([v; 2])
        }

        pub fn plus(self, other: Self) -> Self {
            Self([self.0[0] + other.0[0], self.0[1] + other.0[1]])
        }

        pub fn times(self, other: Self) -> Self {
            Self([self.0[0] * other.0[0], self.0[1] * other.0[1]])
        }

        pub fn values(self) -> [f64; 2] {
            self.0
        }
    }
}
