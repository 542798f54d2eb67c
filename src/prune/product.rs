//! C += s A B in f64: the product behind factorisations and behind what a block does to the columns after it.
//!
//! Native: the `gemm` crate (AVX2 or AVX-512 where the machine has them), in f32 too. wasm: 4 x 4 elements of C in registers, B
//! packed in panels of four columns; it also compiles natively, so that plain tests cover it.

#[cfg_attr(not(any(target_arch = "wasm32", test)), allow(dead_code))]
mod tiles;

#[cfg(not(target_arch = "wasm32"))]
use crate::threads;

/// A matrix in memory: element (i, j) lies at `i * down + j * right`.
#[derive(Clone, Copy)]
pub struct Grid<'a, T = f64> {
    values: &'a [T],
    rows: usize,
    cols: usize,
    down: usize,
    right: usize,
}

impl<'a, T: Copy> Grid<'a, T> {
    /// Rows of `cols` values, `stride` apart, the first at the start of `values`.
    pub fn new(values: &'a [T], rows: usize, cols: usize, stride: usize) -> Self {
        let needed = if rows * cols == 0 { 0 } else { (rows - 1) * stride + cols };
        assert!(values.len() >= needed, "grid: {} < {needed}", values.len());
        Self { values, rows, cols, down: stride, right: 1 }
    }

    pub fn transposed(self) -> Self {
        let Self { values, rows, cols, down, right } = self;
        Self { values, rows: cols, cols: rows, down: right, right: down }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn rows(self, range: std::ops::Range<usize>) -> Self {
        Self { values: &self.values[range.start * self.down..], rows: range.len(), ..self }
    }

    fn at(&self, i: usize, j: usize) -> T {
        self.values[i * self.down + j * self.right]
    }
}

/// Adds `scale` A B to `c`, rows of B's width that are `stride` apart.
pub fn add_product(c: &mut [f64], stride: usize, scale: f64, a: Grid<'_>, b: Grid<'_>) {
    assert_eq!(a.cols, b.rows, "inner sizes of a product");
    if a.rows * b.cols * a.cols == 0 {
        return;
    }
    assert!(stride >= b.cols && c.len() >= (a.rows - 1) * stride + b.cols, "product");
    #[cfg(target_arch = "wasm32")]
    tiles::add_product(c, stride, scale, a, b);
    #[cfg(not(target_arch = "wasm32"))]
    on_threads(c, stride, [1.0, scale], a, b);
}

/// A B in f32, rows of B's width.
#[cfg(not(target_arch = "wasm32"))]
pub fn product_f32(a: Grid<'_, f32>, b: Grid<'_, f32>) -> Vec<f32> {
    assert_eq!(a.cols, b.rows, "inner sizes of a product");
    let mut c = vec![0.0; a.rows * b.cols];
    if !c.is_empty() {
        on_threads(&mut c, b.cols, [1.0, 1.0], a, b);
    }
    c
}

/// `factors[0]` C + `factors[1]` A B
#[cfg(not(target_arch = "wasm32"))]
fn on_threads<T: Copy + Send + Sync + 'static>(
    c: &mut [T],
    stride: usize,
    factors: [T; 2],
    a: Grid<'_, T>,
    b: Grid<'_, T>,
) {
    // The `gemm` crate cuts the sums of up to 64 rows in other places.
    let shape =
        threads::Shape { rows: a.rows, stride, products: a.rows * a.cols * b.cols, fewest: 96 };
    threads::by_rows(c, shape, |rows, c| {
        on_one_thread(c, stride, factors, a.rows(rows), b);
    });
}

#[cfg(not(target_arch = "wasm32"))]
fn on_one_thread<T: Copy + 'static>(
    c: &mut [T],
    stride: usize,
    [old, new]: [T; 2],
    a: Grid<'_, T>,
    b: Grid<'_, T>,
) {
    assert!(c.len() >= (a.rows - 1) * stride + b.cols, "product");
    // SAFETY: c has a.rows rows of b.cols values `stride` apart (asserted), Grid::new has checked a and b, the inner
    // sizes agree (asserted by the callers), and c is borrowed mutably, so that nothing overlaps it.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            c.as_mut_ptr(),
            1,
            stride as isize,
            true,
            a.values.as_ptr(),
            a.right as isize,
            a.down as isize,
            b.values.as_ptr(),
            b.right as isize,
            b.down as isize,
            old,
            new,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn both_ways_compute_the_equation() {
        let mut rng = Rng::new(11);
        let mut values =
            |n: usize| -> Vec<f64> { rng.normals(n, 1.0).iter().map(|x| f64::from(*x)).collect() };
        for (m, n, k) in [(1, 1, 1), (4, 4, 3), (5, 9, 7), (3, 2, 40), (13, 6, 1), (0, 3, 2)] {
            let stride = n + 2;
            let (a, b, c) = (values(m * k), values(n * k), values(m * stride));
            let across: Vec<f64> = (0..m * k).map(|at| a[at % m * k + at / m]).collect();
            let (a, b) = (Grid::new(&a, m, k, k), Grid::new(&b, n, k, k).transposed());
            let across = Grid::new(&across, k, m, m).transposed();
            let mut expected = c.clone();
            for i in 0..m {
                for j in 0..n {
                    let sum: f64 = (0..k).map(|p| a.at(i, p) * b.at(p, j)).sum();
                    expected[i * stride + j] -= 0.5 * sum;
                }
            }
            let ways = [add_product, tiles::add_product];
            for (way, a) in ways.iter().flat_map(|way| [(way, a), (way, across)]) {
                let mut found = c.clone();
                way(&mut found, stride, -0.5, a, b);
                let near = |(x, y): (&f64, &f64)| (x - y).abs() < 1e-12 * k as f64;
                assert!(found.iter().zip(&expected).all(near), "{m} {n} {k}");
            }
        }
    }

    #[test]
    #[cfg(not(target_arch = "wasm32"))]
    fn rows_shared_out_to_threads_are_those_of_one() {
        // Two threads share a product from 2^22 multiplications and twice 96 rows on.
        let (m, n, k) = (200, 150, 150);
        let mut rng = Rng::new(12);
        let mut values =
            |n: usize| -> Vec<f64> { rng.normals(n, 1.0).iter().map(|x| f64::from(*x)).collect() };
        let (a, b) = (values(m * k), values(k * n));
        let b = Grid::new(&b, k, n, n);
        for a in [Grid::new(&a, m, k, k), Grid::new(&a, k, m, m).transposed()] {
            let [alone, shared] = [1, 2].map(|count| {
                threads::set(Some(count)).unwrap();
                let mut c = vec![0.0; m * n];
                add_product(&mut c, n, 1.0, a, b);
                c
            });
            assert!(alone == shared && alone[m * n - 1] != 0.0);
        }
        threads::set(Some(1)).unwrap();
    }
}
