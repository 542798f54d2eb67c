//! Natively: x86-64 with AVX2, FMA and F16C (`x86`), or plain loops.

use super::{Inputs, WeightRows, plain};
use crate::backend::Bits;

/// Adds x Wᵀ to y.
pub fn accumulate(w: &WeightRows<'_>, x: &[Inputs], y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if crate::backend::reads_halves() {
        return super::x86::accumulate(w, x, y);
    }
    w.each(x, y, plain);
}

/// A row of x for weights of these bits.
pub fn inputs(x: &[f32], group: usize, bits: Bits) -> Inputs {
    #[cfg(target_arch = "x86_64")]
    if crate::backend::reads_halves() {
        return super::x86::inputs(x, group, bits);
    }
    let _ = bits;
    Inputs::of(x, group)
}
