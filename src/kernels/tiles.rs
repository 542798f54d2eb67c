//! Small products of row-major matrices on the CPU, for what attention and the SSD do many times a layer: out += a b.
//!
//! A tile of four rows by two vectors of columns (six rows where a vector has eight lanes or more: eight sums hardly fill the
//! two units of such a processor) stays in registers while it walks the inner axis. Sums run over the inner axis in order.
//! What two vectors do not cover is done by narrower ones. Loops count and take no iterators: compilers leave closures as
//! calls here, compiled for the baseline.

#![allow(clippy::needless_range_loop)]

use super::simd::Vector;

/// Where a matrix lies: rows `row` apart, columns `col` apart, from the start of a slice.
#[derive(Clone, Copy)]
pub struct Strides {
    pub row: usize,
    pub col: usize,
}

/// Sizes of a product: out `[rows, cols]`, a `[rows, inner]`, b `[inner, cols]`.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub rows: usize,
    pub inner: usize,
    pub cols: usize,
}

impl Sizes {
    /// Panics unless three slices hold what their strides say; the columns of `out` and `b` are neighbours.
    #[inline(always)]
    fn check(self, out: (usize, usize), a: (usize, Strides), b: (usize, usize)) {
        let last = |n: usize| n.saturating_sub(1);
        assert!(out.0 >= last(self.rows) * out.1 + self.cols, "product: results");
        let end = last(self.rows) * a.1.row + last(self.inner) * a.1.col;
        assert!(a.0 > end, "product: left side");
        assert!(b.0 >= last(self.inner) * b.1 + self.cols, "product: right side");
    }
}

/// out += a b; rows of `out` and of `b` are `out_row` and `b_row` apart, `a` may lie in any way.
#[inline(always)]
pub fn add_product<V: Vector>(
    (out, out_row): (&mut [f32], usize),
    (a, a_strides): (&[f32], Strides),
    (b, b_row): (&[f32], usize),
    sizes: Sizes,
) {
    if sizes.rows == 0 || sizes.inner == 0 || sizes.cols == 0 {
        return;
    }
    sizes.check((out.len(), out_row), (a.len(), a_strides), (b.len(), b_row));
    let product = Product {
        out: out.as_mut_ptr(),
        out_row,
        a: a.as_ptr(),
        a_strides,
        b: b.as_ptr(),
        b_row,
        sizes,
    };
    // SAFETY: the three slices hold what the sizes and strides say, as was just checked, and `out` is borrowed alone.
    unsafe { product.run::<V>(0) };
}

struct Product {
    out: *mut f32,
    out_row: usize,
    a: *const f32,
    a_strides: Strides,
    b: *const f32,
    b_row: usize,
    sizes: Sizes,
}

impl Product {
    /// All columns from `col` on.
    ///
    /// # Safety
    /// The pointers hold what the sizes and strides say.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self, mut col: usize) {
        // SAFETY: every call stays within `cols`.
        unsafe {
            while col + 2 * V::LANES <= self.sizes.cols {
                self.columns::<V, 2>(col);
                col += 2 * V::LANES;
            }
            while col + V::LANES <= self.sizes.cols {
                self.columns::<V, 1>(col);
                col += V::LANES;
            }
            if V::LANES > 1 && col < self.sizes.cols {
                self.run::<V::Narrower>(col);
            }
        }
    }

    /// `C` vectors of columns, all rows.
    #[inline(always)]
    unsafe fn columns<V: Vector, const C: usize>(&self, col: usize) {
        let mut row = 0;
        // SAFETY: every call stays within `rows`.
        unsafe {
            while V::LANES >= 8 && row + 6 <= self.sizes.rows {
                self.tile::<V, 6, C>(row, col);
                row += 6;
            }
            while row + 4 <= self.sizes.rows {
                self.tile::<V, 4, C>(row, col);
                row += 4;
            }
            match self.sizes.rows - row {
                0 => {}
                1 => self.tile::<V, 1, C>(row, col),
                2 => self.tile::<V, 2, C>(row, col),
                _ => self.tile::<V, 3, C>(row, col),
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<V: Vector, const R: usize, const C: usize>(&self, row: usize, col: usize) {
        // SAFETY: `row + R` rows and `col + C * LANES` columns are there, as the callers see to.
        unsafe {
            let out = self.out.add(row * self.out_row + col);
            let mut a = self.a.add(row * self.a_strides.row);
            let mut b = self.b.add(col);
            let mut sums = [[V::splat(0.0); C]; R];
            for _ in 0..self.sizes.inner {
                let mut vectors = [V::splat(0.0); C];
                for c in 0..C {
                    vectors[c] = V::load(b.add(c * V::LANES));
                }
                for r in 0..R {
                    let a = V::splat(*a.add(r * self.a_strides.row));
                    for c in 0..C {
                        sums[r][c] = sums[r][c].fused(a, vectors[c]);
                    }
                }
                a = a.wrapping_add(self.a_strides.col);
                b = b.wrapping_add(self.b_row);
            }
            for r in 0..R {
                for c in 0..C {
                    let to = out.add(r * self.out_row + c * V::LANES);
                    V::load(to).plus(sums[r][c]).store(to);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::kernels::simd::{self, Kernel};

    struct Case<'a> {
        out: &'a mut [f32],
        a: &'a [f32],
        b: &'a [f32],
        strides: Strides,
        sizes: Sizes,
    }

    impl Kernel for Case<'_> {
        type Output = ();
        #[inline(always)]
        fn run<V: Vector>(self) {
            let cols = self.sizes.cols;
            add_product::<V>(
                (self.out, cols + 1),
                (self.a, self.strides),
                (self.b, cols),
                self.sizes,
            );
        }
    }

    #[test]
    fn products_of_every_remainder_are_the_equation_and_touch_nothing_else() {
        let mut rng = Rng::new(3);
        for rows in 1..=9 {
            for cols in [1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 47, 64] {
                for (inner, transposed) in [(1, false), (5, true), (37, false)] {
                    let sizes = Sizes { rows, inner, cols };
                    let strides = match transposed {
                        true => Strides { row: 1, col: rows },
                        false => Strides { row: inner, col: 1 },
                    };
                    let (a, b) = (rng.normals(rows * inner, 1.0), rng.normals(inner * cols, 1.0));
                    let before = rng.normals(rows * (cols + 1), 1.0);
                    let mut found = before.clone();
                    simd::run(Case { out: &mut found, a: &a, b: &b, strides, sizes });
                    for r in 0..rows {
                        for c in 0..=cols {
                            let at = |k: usize| f64::from(a[r * strides.row + k * strides.col]);
                            let old = before[r * (cols + 1) + c];
                            let sum: f64 = match c < cols {
                                true => {
                                    (0..inner).map(|k| at(k) * f64::from(b[k * cols + c])).sum()
                                }
                                false => 0.0,
                            };
                            let expected = (f64::from(old) + sum) as f32;
                            let d = (found[r * (cols + 1) + c] - expected).abs();
                            // 37 products of normals in f32.
                            assert!(d < 1e-5, "{rows}x{inner}x{cols} at {r},{c}: {d}");
                        }
                    }
                }
            }
        }
    }
}
