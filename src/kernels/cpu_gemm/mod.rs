//! y[t, o] += sum_i x[t, i] * W[o, i] on the CPU.
//!
//! Chosen by how the weights lie in memory. Row-major ones (native): many rows go to `fma` where the processor has that, else
//! to the `gemm` crate, as few rows of f32 do; few rows of f16 to a product of our own. Panels of both (wasm simd128) go to
//! our own microkernel, which also compiles natively, so that plain tests cover it. Where bf16 arithmetic is on, products of
//! many rows go to `bf16`.

#[cfg(target_arch = "x86_64")]
pub mod bf16;
#[cfg(target_arch = "x86_64")]
pub mod fma;
#[cfg(not(target_arch = "wasm32"))]
mod halves;
mod panels;
#[cfg(not(target_arch = "wasm32"))]
mod rows;

#[cfg(not(target_arch = "wasm32"))]
use crate::backend::Stored;
#[cfg(target_arch = "wasm32")]
use crate::backend::WeightValues;
use crate::backend::{HostMatrix, Layout, PANEL, View};
use crate::threads;
#[cfg(target_arch = "x86_64")]
use std::mem::MaybeUninit;
use std::ops::Range;

/// Activations on the CPU: `rows` rows of `cols` values, `stride` apart, the first at the start of `values`.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub values: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// A view of a CPU tensor.
    pub fn of(view: View<'a>) -> Self {
        let values = &view.tensor.cpu()[view.offset().min(view.tensor.cpu().len())..];
        Self { values, rows: view.rows, cols: view.cols, stride: view.stride() }
    }

    /// Rows `range`.
    pub fn slice(&self, range: Range<usize>) -> Self {
        let start = (range.start * self.stride).min(self.values.len());
        Self { values: &self.values[start..], rows: range.len(), ..*self }
    }

    /// Row `t`.
    #[inline(always)]
    pub fn row(&self, t: usize) -> &'a [f32] {
        &self.values[t * self.stride..][..self.cols]
    }

    fn check(&self) {
        let needed = if self.rows == 0 { 0 } else { (self.rows - 1) * self.stride + self.cols };
        assert!(self.values.len() >= needed, "activations: {} < {needed}", self.values.len());
    }
}

/// Adds x Wᵀ for the outputs `outputs` to `y` `[x.rows, outputs.len()]`; `outputs` starts at a whole panel.
pub fn accumulate(x: Rows<'_>, w: &HostMatrix, outputs: Range<usize>, y: &mut [f32]) {
    x.check();
    assert_eq!(x.cols, w.cols(), "activations and weights");
    assert!(outputs.end <= w.rows() && outputs.start.is_multiple_of(PANEL), "outputs {outputs:?}");
    assert_eq!(y.len(), x.rows * outputs.len(), "results");
    if y.is_empty() || x.cols == 0 {
        return;
    }
    let form = form(x.rows, w.layout());
    #[cfg(not(target_arch = "wasm32"))]
    threads::by_rows(y, shape(x, w.layout(), outputs.len()), |rows, y| {
        form(x.slice(rows), w, outputs.clone(), y);
    });
    #[cfg(target_arch = "wasm32")]
    form(x, w, outputs, y);
}

/// x Wᵀ `[x.rows, w.rows]`, added to what `start` puts into rows of zeros, if there is one.
#[cfg_attr(target_arch = "wasm32", inline(never))]
pub fn product_from(
    x: Rows<'_>,
    w: &HostMatrix,
    start: Option<impl Fn(Range<usize>, &mut [f32]) + Sync>,
) -> Vec<f32> {
    x.check();
    assert_eq!(x.cols, w.cols(), "activations and weights");
    let (form, outs) = (form(x.rows, w.layout()), w.rows());
    let work = |rows: Range<usize>, y: &mut [f32]| {
        if let Some(start) = &start {
            start(rows.clone(), y);
        }
        if !y.is_empty() && x.cols > 0 {
            form(x.slice(rows), w, 0..outs, y);
        }
    };
    #[cfg(target_arch = "x86_64")]
    if start.is_none() && x.cols > 0 && is_fma(x.rows, w.layout()) {
        let set = |rows, y: &mut [_]| set_in_fma(x.slice(rows), w, y);
        // SAFETY: it sets every value.
        return unsafe { threads::product(shape(x, w.layout(), outs), set) };
    }
    #[cfg(not(target_arch = "wasm32"))]
    let from_zeros = |rows, y: &mut [_]| work(rows, threads::zeros(y));
    #[cfg(not(target_arch = "wasm32"))]
    // SAFETY: all values are set to zero.
    return unsafe { threads::product(shape(x, w.layout(), outs), from_zeros) };
    #[cfg(target_arch = "wasm32")]
    threads::rows(x.rows, outs, work)
}

/// What multiplies so many rows, as the thread that asks computes ([`crate::arithmetic`]): those that share its work do too.
fn form(rows: usize, layout: Layout) -> fn(Rows<'_>, &HostMatrix, Range<usize>, &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if layout == Layout::Rows && bf16::is_for(rows) {
        return in_bf16;
    }
    let _ = (rows, layout);
    on_one_thread
}

/// The product of these rows with `outs` rows of weights, as threads share it.
#[cfg(not(target_arch = "wasm32"))]
pub fn shape(x: Rows<'_>, layout: Layout, outs: usize) -> threads::Shape {
    let fewest = fewest_rows(x.rows, layout);
    threads::Shape { rows: x.rows, stride: outs, products: x.rows * x.cols * outs, fewest }
}

/// Fewest of `rows` rows that may be multiplied by themselves. The forms of our own give a row the same bits among any
/// number, and pack the weights for each part anew; the `gemm` crate cuts the sums of up to 64 rows in other places.
#[cfg(not(target_arch = "wasm32"))]
fn fewest_rows(rows: usize, layout: Layout) -> usize {
    #[cfg(target_arch = "x86_64")]
    if layout == Layout::Rows && (bf16::is_for(rows) || fma::is_for(rows)) {
        return 16;
    }
    let _ = (rows, layout);
    96
}

#[cfg(target_arch = "x86_64")]
fn in_bf16(x: Rows<'_>, w: &HostMatrix, outputs: Range<usize>, y: &mut [f32]) {
    let (values, outs) = (outputs.start * w.cols()..outputs.end * w.cols(), outputs.len());
    let x = bf16::Activations::new(x);
    match w.stored() {
        Stored::F32(all) => x.accumulate(&all[values], outs, y, outs),
        Stored::F16(all) => x.accumulate(&all[values], outs, y, outs),
    }
}

/// Whether `fma` multiplies so many rows.
#[cfg(target_arch = "x86_64")]
fn is_fma(rows: usize, layout: Layout) -> bool {
    layout == Layout::Rows && !bf16::is_for(rows) && fma::is_for(rows)
}

/// Sets y `[x.rows, w.rows]` to x Wᵀ.
#[cfg(target_arch = "x86_64")]
fn set_in_fma(x: Rows<'_>, w: &HostMatrix, y: &mut [MaybeUninit<f32>]) {
    let x = fma::Activations::new(x);
    match w.stored() {
        Stored::F32(all) => x.set(all, w.rows(), y),
        Stored::F16(all) => x.set(all, w.rows(), y),
    }
}

#[cfg(target_arch = "x86_64")]
fn in_fma(x: Rows<'_>, w: &HostMatrix, outputs: Range<usize>, y: &mut [f32]) {
    let (values, outs) = (outputs.start * w.cols()..outputs.end * w.cols(), outputs.len());
    let x = fma::Activations::new(x);
    match w.stored() {
        Stored::F32(all) => x.accumulate(&all[values], outs, y, outs),
        Stored::F16(all) => x.accumulate(&all[values], outs, y, outs),
    }
}

fn on_one_thread(x: Rows<'_>, w: &HostMatrix, outputs: Range<usize>, y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if w.layout() == Layout::Rows && fma::is_for(x.rows) {
        return in_fma(x, w, outputs, y);
    }
    #[cfg(not(target_arch = "wasm32"))]
    if w.layout() == Layout::Rows {
        let (values, outs) = (outputs.start * w.cols()..outputs.end * w.cols(), outputs.len());
        return match w.stored() {
            Stored::F32(all) => rows::product(x, &all[values], outs, y, outs),
            Stored::F16(all) => halves::accumulate(x, &all[values], outs, y),
        };
    }
    assert_eq!(w.layout(), Layout::Panels, "weights are packed in panels here");
    let stride = outputs.len();
    panels::accumulate(x, w, outputs, y, stride);
}

/// Adds x Wᵀ for row-major weights `[outs, x.cols]` to `outs` columns of y `[x.rows, ..]`, whose rows are `stride` apart.
pub fn product(x: Rows<'_>, weights: &[f32], outs: usize, y: &mut [f32], stride: usize) {
    #[cfg(target_arch = "x86_64")]
    if fma::is_for(x.rows) {
        return fma::Activations::new(x).accumulate(weights, outs, y, stride);
    }
    #[cfg(not(target_arch = "wasm32"))]
    rows::product(x, weights, outs, y, stride);
    #[cfg(target_arch = "wasm32")]
    {
        let w = HostMatrix::new(outs, x.cols, WeightValues::F32(weights));
        panels::accumulate(x, &w, 0..outs, y, stride);
    }
}

/// Adds xᵀx to the symmetric `sum` `[x.cols, x.cols]`, in f32 on every machine.
pub fn gram(x: Rows<'_>, sum: &mut [f32]) {
    x.check();
    assert_eq!(sum.len(), x.cols * x.cols, "gram sum");
    #[cfg(target_arch = "x86_64")]
    if fma::is_for(x.rows) {
        return fma::gram(x, sum);
    }
    #[cfg(not(target_arch = "wasm32"))]
    rows::gram(x, sum);
    #[cfg(target_arch = "wasm32")]
    panels::gram(x, sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::backend::WeightValues;
    use half::f16;

    /// The equation, in f64.
    fn plain(x: Rows<'_>, w: &[f32], outs: Range<usize>, y: &[f32]) -> Vec<f32> {
        let mut result = Vec::new();
        for t in 0..x.rows {
            for (j, o) in outs.clone().enumerate() {
                let mut sum = y[t * outs.len() + j] as f64;
                for i in 0..x.cols {
                    sum += x.values[t * x.stride + i] as f64 * w[o * x.cols + i] as f64;
                }
                result.push(sum as f32);
            }
        }
        result
    }

    #[test]
    fn both_layouts_compute_the_equation() {
        let mut rng = Rng::new(7);
        for rows in [1, 2, 3, 4, 5, 6, 7, 9, 13, 65] {
            // The last of f16 is too large to be kept in f32.
            for (cols, outs, start) in
                [(1, 1, 0), (3, 7, 0), (37, 29, 16), (1553, 8, 0), (257, 1028, 0)]
            {
                let stride = cols + 3;
                let values = rng.normals(rows * stride, 1.0);
                let x = Rows { values: &values, rows, cols, stride };
                let w = rng.normals(outs * cols, 1.0);
                // f16 values, so that every layout has the same.
                let w: Vec<f32> = w.iter().map(|&x| f16::from_f32(x).to_f32()).collect();
                let y = rng.normals(rows * (outs - start), 1.0);
                let expected = plain(x, &w, start..outs, &y);
                for (layout, half) in layouts() {
                    let matrix = matrix(layout, half, outs, cols, &w);
                    let mut found = y.clone();
                    accumulate(x, &matrix, start..outs, &mut found);
                    let d = crate::kernels::largest_difference(&found, &expected);
                    // Rounding grows with the square root of the number of products.
                    assert!(
                        d < 4e-6 * (cols as f32).sqrt(),
                        "{layout:?} f16 {half} {rows}x{cols}x{outs}: {d}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_way_gives_the_gram_matrix() {
        let mut rng = Rng::new(9);
        let sizes = [(0, 3), (1, 1), (3, 4), (5, 7), (9, 8), (13, 9), (70, 21), (2, 33)];
        // Around the tiles, panels and blocks of `fma`.
        for (rows, cols) in sizes.into_iter().chain([(6, 97), (8, 201), (5, 16), (330, 50)]) {
            let stride = cols + 2;
            let values = rng.normals(rows * stride, 1.0);
            let x = Rows { values: &values, rows, cols, stride };
            let start: Vec<f32> = (0..cols * cols).map(|k| (k / cols + k % cols) as f32).collect();
            let mut expected = start.clone();
            for (k, sum) in expected.iter_mut().enumerate() {
                let at = |t: usize, j: usize| f64::from(values[t * stride + j]);
                let products: f64 = (0..rows).map(|t| at(t, k / cols) * at(t, k % cols)).sum();
                *sum = (f64::from(*sum) + products) as f32;
            }
            let ways: [fn(Rows<'_>, &mut [f32]); _] = [
                gram,
                panels::gram,
                #[cfg(not(target_arch = "wasm32"))]
                rows::gram,
            ];
            for way in ways {
                let mut found = start.clone();
                way(x, &mut found);
                // Sums of up to 330 products and a number below 402, whose last place is 3e-5.
                let d = crate::kernels::largest_difference(&found, &expected);
                assert!(d < 4e-5, "{rows}x{cols}: {d}");
            }
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn threads_do_not_change_a_bit() {
        let mut rng = Rng::new(17);
        // Above the number of products from which threads are used; sizes that no tile divides, and rows for one part only.
        for (rows, cols, outs) in
            [(131, 577, 321), (1030, 67, 515), (5, 1536, 2111), (33, 900, 230), (50, 900, 230)]
        {
            let values = rng.normals(rows * cols, 1.0);
            let x = Rows { values: &values, rows, cols, stride: cols };
            let w = rng.normals(outs * cols, 1.0);
            for half in [false, true] {
                let matrix = matrix(Layout::Rows, half, outs, cols, &w);
                let found = [1, 2, 3].map(|count| {
                    crate::threads::set(Some(count)).unwrap();
                    let mut y = vec![0.5; rows * outs];
                    accumulate(x, &matrix, 0..outs, &mut y);
                    (y, product_from(x, &matrix, None::<fn(Range<usize>, &mut [f32])>))
                });
                crate::threads::set(Some(1)).unwrap();
                let same = found[0] == found[1] && found[0] == found[2];
                assert!(same, "f16 {half} {rows}x{cols}x{outs}");
            }
        }
    }

    fn layouts() -> Vec<(Layout, bool)> {
        let mut all = vec![(Layout::Panels, false), (Layout::Panels, true)];
        if !cfg!(target_arch = "wasm32") {
            all.extend([(Layout::Rows, false), (Layout::Rows, true)]);
        }
        all
    }

    fn matrix(layout: Layout, half: bool, outs: usize, cols: usize, w: &[f32]) -> HostMatrix {
        let halves: Vec<f16> = w.iter().map(|&x| f16::from_f32(x)).collect();
        let values = if half { WeightValues::F16(&halves) } else { WeightValues::F32(w) };
        HostMatrix::with_layout(outs, cols, values, layout)
    }
}
