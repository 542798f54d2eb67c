//! Natively: x86-64 with AVX2, FMA and F16C (`x86`), or plain loops.

use super::{BlockRow, Inputs, plain};

/// A row of W times a row of x.
pub fn product(row: &BlockRow<'_>, x: &Inputs) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if crate::backend::reads_halves() {
        return super::x86::product(row, x);
    }
    plain(row, x)
}
