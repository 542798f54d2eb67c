//! A weight matrix in memory, laid out once for the CPU kernel that will read it.
//!
//! [`Layout::Rows`] is plain row-major: the native GEMM crate packs for itself. [`Layout::Panels`] is for our own
//! wasm kernel: panels of [`PANEL`] output rows, each stored input by input, so that one step of the inner loop
//! reads eight neighbours. The last panel is padded with zero rows. [`Layout::Halves`] is row-major f16, for
//! checkpoints in f16 on x86-64 with F16C: half the bytes of a decoded token, the same values.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Output rows of one panel: two vectors of four.
pub const PANEL: usize = 8;

/// How a [`HostMatrix`] lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[rows, cols]`
    Rows,
    /// `[ceil(rows / PANEL), cols, PANEL]`
    Panels,
    /// `[rows, cols]`, f16
    Halves,
}

/// Whether the CPU kernels read f16 about as fast as f32; elsewhere f16 weights are widened once.
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
    values: Vec<f32>,
    /// Of [`Layout::Halves`], instead of `values`.
    halves: Vec<f16>,
}

impl HostMatrix {
    /// Takes row-major values and lays them out for this machine's kernel.
    pub fn new(rows: usize, cols: usize, values: Vec<f32>) -> Self {
        let layout = if cfg!(target_arch = "wasm32") { Layout::Panels } else { Layout::Rows };
        Self::with_layout(rows, cols, values, layout)
    }

    /// Takes row-major values and lays them out as told (tests and measurements run both layouts anywhere).
    pub fn with_layout(rows: usize, cols: usize, values: Vec<f32>, layout: Layout) -> Self {
        assert_eq!(values.len(), rows * cols, "matrix [{rows}, {cols}]");
        let values = match layout {
            Layout::Rows => values,
            Layout::Panels => pack(rows, cols, &values),
            Layout::Halves => panic!("f16 is not made from f32"),
        };
        Self { rows, cols, layout, values, halves: Vec::new() }
    }

    /// Takes row-major f16.
    pub fn of_halves(rows: usize, cols: usize, halves: Vec<f16>) -> Self {
        assert_eq!(halves.len(), rows * cols, "matrix [{rows}, {cols}]");
        Self { rows, cols, layout: Layout::Halves, values: Vec::new(), halves }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn cols(&self) -> usize {
        self.cols
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The stored values in the order of [`HostMatrix::layout`].
    pub fn stored(&self) -> &[f32] {
        &self.values
    }

    /// The stored values of [`Layout::Halves`], row-major.
    pub fn halves(&self) -> &[f16] {
        &self.halves
    }

    /// Bytes of the stored values.
    pub fn bytes(&self) -> usize {
        self.values.len() * 4 + self.halves.len() * 2
    }

    /// Copies row `r` to `to` `[cols]`.
    pub fn copy_row(&self, r: usize, to: &mut [f32]) {
        assert!(r < self.rows, "row {r} of {}", self.rows);
        assert_eq!(to.len(), self.cols, "a row of a matrix");
        match self.layout {
            Layout::Rows => to.copy_from_slice(&self.values[r * self.cols..(r + 1) * self.cols]),
            Layout::Panels => {
                let panel = &self.values[r / PANEL * PANEL * self.cols..];
                for (to, lanes) in to.iter_mut().zip(panel.chunks_exact(PANEL)) {
                    *to = lanes[r % PANEL];
                }
            }
            Layout::Halves => widen(&self.halves[r * self.cols..(r + 1) * self.cols], to),
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

fn pack(rows: usize, cols: usize, values: &[f32]) -> Vec<f32> {
    let mut packed = vec![0.0; rows.next_multiple_of(PANEL) * cols];
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
    fn rows_come_back_from_panels() {
        for (rows, cols) in [(1, 1), (7, 3), (8, 5), (9, 4), (17, 11)] {
            let values: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
            let packed = HostMatrix::with_layout(rows, cols, values.clone(), Layout::Panels);
            assert_eq!(packed.to_rows(), values, "{rows}x{cols}");
            assert_eq!(packed.row_f32(rows - 1), values[(rows - 1) * cols..], "{rows}x{cols}");
            let halves = values.iter().map(|&x| f16::from_f32(x)).collect();
            // Whole numbers below 2048 are exact in f16.
            assert_eq!(HostMatrix::of_halves(rows, cols, halves).to_rows(), values);
        }
    }
}
