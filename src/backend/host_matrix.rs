//! A weight matrix in memory, in the precision of its checkpoint, laid out once for the CPU kernel that will read it, or
//! left where it lies in a mapped file.
//!
//! [`Layout::Rows`] is plain row-major: the native GEMM crate packs for itself. [`Layout::Panels`] is for our own
//! wasm kernel: panels of [`PANEL`] output rows, each stored input by input, so that one step of the inner loop
//! reads eight neighbours. The last panel is padded with zero rows. f16 is widened in registers, or in blocks that stay
//! in the cache: half the memory and half the bytes of a decoded token, the same values.

use super::WeightValues;
use crate::weights::Numbers;
use half::f16;
use half::slice::HalfFloatSliceExt;
// Threads share a matrix, and the page has one.
#[cfg(target_arch = "wasm32")]
use std::cell::OnceCell as Once;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::OnceLock as Once;

/// Output rows of one panel: two vectors of four.
pub const PANEL: usize = 8;

/// Values of f16 up to which a matrix is kept in f32 too, once several rows are multiplied with it: 1 MiB. Else
/// every product widens them anew, which a short choice pays as much for as a context.
const MOST_WIDENED: usize = 1 << 18;

/// How a [`HostMatrix`] lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[rows, cols]`
    Rows,
    /// `[ceil(rows / PANEL), cols, PANEL]`
    Panels,
}

/// Values in the order of their layout.
#[derive(Debug, Clone)]
pub enum Stored {
    /// Four bytes a value.
    F32(Numbers<f32>),
    /// Two bytes a value.
    F16(Numbers<f16>),
}

/// Whether the machine widens f16 and multiplies it eight lanes at a time, which the packed kernels are written for.
pub fn reads_halves() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Values `[rows, cols]` in memory.
pub struct HostMatrix {
    rows: usize,
    cols: usize,
    layout: Layout,
    values: Stored,
    wide: Once<Vec<f32>>,
}

impl HostMatrix {
    /// Copies row-major values, laid out for this machine's kernel.
    pub fn new(rows: usize, cols: usize, values: WeightValues<'_>) -> Self {
        let layout = if cfg!(target_arch = "wasm32") { Layout::Panels } else { Layout::Rows };
        Self::with_layout(rows, cols, values, layout)
    }

    /// Copies row-major values, laid out as told (tests and measurements run both layouts anywhere).
    pub fn with_layout(rows: usize, cols: usize, values: WeightValues<'_>, layout: Layout) -> Self {
        assert_eq!(values.len(), rows * cols, "matrix [{rows}, {cols}]");
        let values = match values {
            WeightValues::F32(v) => Stored::F32(Numbers::Held(laid_out(rows, cols, v, layout))),
            WeightValues::F16(v) => Stored::F16(Numbers::Held(laid_out(rows, cols, v, layout))),
        };
        Self { rows, cols, layout, values, wide: Once::new() }
    }

    /// Row-major values as they are, without a copy.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn in_place(rows: usize, cols: usize, values: Stored) -> Self {
        let matrix = Self { rows, cols, layout: Layout::Rows, values, wide: Once::new() };
        let size = match &matrix.values {
            Stored::F32(values) => values.len(),
            Stored::F16(values) => values.len(),
        };
        assert_eq!(size, rows * cols, "matrix [{rows}, {cols}]");
        matrix
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Where value `[row, col]` lies.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The stored values in the order of [`HostMatrix::layout`].
    pub fn stored(&self) -> &Stored {
        &self.values
    }

    /// The stored values of a small matrix of f16 in f32, made when they are first asked for; `None` of any other.
    pub fn widened(&self) -> Option<&[f32]> {
        let Stored::F16(values) = &self.values else { return None };
        let make = || {
            let mut wide = vec![0.0; values.len()];
            widen(values, &mut wide);
            wide
        };
        (values.len() <= MOST_WIDENED).then(|| &self.wide.get_or_init(make)[..])
    }

    /// Bytes of the stored values.
    pub fn bytes(&self) -> usize {
        match &self.values {
            Stored::F32(values) => values.len() * 4,
            Stored::F16(values) => values.len() * 2,
        }
    }

    /// Copies row `r` to `to` `[cols]`.
    pub fn copy_row(&self, r: usize, to: &mut [f32]) {
        assert!(r < self.rows, "row {r} of {}", self.rows);
        assert_eq!(to.len(), self.cols, "a row of a matrix");
        let row = r * self.cols..(r + 1) * self.cols;
        let panel = r / PANEL * PANEL * self.cols;
        match (self.layout, &self.values) {
            (Layout::Rows, Stored::F32(values)) => to.copy_from_slice(&values[row]),
            (Layout::Rows, Stored::F16(values)) => widen(&values[row], to),
            (Layout::Panels, Stored::F32(values)) => {
                let lanes = values[panel..].chunks_exact(PANEL).map(|lanes| lanes[r % PANEL]);
                to.iter_mut().zip(lanes).for_each(|(to, v)| *to = v);
            }
            (Layout::Panels, Stored::F16(values)) => {
                let lanes = values[panel..].chunks_exact(PANEL).map(|lanes| lanes[r % PANEL]);
                to.iter_mut().zip(lanes).for_each(|(to, v)| *to = v.to_f32());
            }
        }
    }

    /// Row `r`.
    pub fn row_f32(&self, r: usize) -> Vec<f32> {
        let mut row = vec![0.0; self.cols];
        self.copy_row(r, &mut row);
        row
    }

    /// All values, row-major.
    pub fn to_rows(&self) -> Vec<f32> {
        let mut all = vec![0.0; self.rows * self.cols];
        for (r, row) in all.chunks_mut(self.cols.max(1)).enumerate() {
            self.copy_row(r, row);
        }
        all
    }
}

/// Copies f16 to f32.
pub fn widen(from: &[f16], to: &mut [f32]) {
    from.convert_to_f32_slice(to);
}

fn laid_out<T: Copy + Default>(rows: usize, cols: usize, values: &[T], layout: Layout) -> Vec<T> {
    match layout {
        Layout::Rows => values.to_vec(),
        Layout::Panels => pack(rows, cols, values),
    }
}

/// Row-major values in panels; the default value is zero.
fn pack<T: Copy + Default>(rows: usize, cols: usize, values: &[T]) -> Vec<T> {
    let mut packed = vec![T::default(); rows.next_multiple_of(PANEL) * cols];
    if cols == 0 {
        return packed;
    }
    for (r, row) in values.chunks_exact(cols).enumerate() {
        let panel = &mut packed[r / PANEL * PANEL * cols..];
        for (lanes, &value) in panel.chunks_exact_mut(PANEL).zip(row) {
            lanes[r % PANEL] = value;
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_both_layouts_in_both_precisions() {
        for (rows, cols) in [(1, 1), (7, 3), (8, 5), (9, 4), (17, 11)] {
            let values: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
            // Whole numbers below 2048 are exact in f16.
            let halves: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
            for given in [WeightValues::F32(&values), WeightValues::F16(&halves)] {
                for layout in [Layout::Rows, Layout::Panels] {
                    let matrix = HostMatrix::with_layout(rows, cols, given, layout);
                    assert_eq!(matrix.to_rows(), values, "{layout:?} {rows}x{cols}");
                    assert_eq!(matrix.row_f32(rows - 1), values[(rows - 1) * cols..]);
                }
            }
        }
    }
}
