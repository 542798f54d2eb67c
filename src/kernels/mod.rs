//! One kernel, one idea: `shaders/NAME.wgsl` and `src/kernels/NAME.rs` (equation, parameters, wrapper, CPU form,
//! test cases). A kernel takes views on one device and gives new tensors on the same device.

// Equations index with brackets: x[t, j] is no link.
#![allow(rustdoc::broken_intra_doc_links)]

pub mod add;
pub mod attention;
mod blocks;
pub mod column_squares;
pub mod conv1d;
mod cpu_gemm;
mod each_row;
pub mod embedding;
pub mod gated_rmsnorm;
pub mod gelu;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod gpu_faults;
pub mod gram;
pub mod greedy;
pub mod inverse_factor;
pub mod layernorm;
pub mod lm_head_nll;
pub mod math;
pub mod matmul;
pub mod matvec_conv;
pub mod matvec_many;
pub mod packed;
pub mod prune_rows;
pub mod refit;
pub mod relu;
pub mod rmsnorm;
pub mod rotary;
pub mod rotary_append;
pub mod rows;
pub mod scale;
pub mod selective_scan;
pub mod silu_gate;
pub mod simd;
pub mod ssd;
pub mod swiglu;
mod tiles;
pub mod token_attention;
pub mod token_formula;
pub mod token_keep;
pub mod token_links;
pub mod token_match;
pub mod token_merge;
pub mod token_pairs;
pub mod token_rank;
pub mod token_score;
pub mod token_select;
pub mod token_sizes;
pub mod token_ssm;
pub mod token_top;

use crate::Rng;
use crate::backend::{Device, Tensor};

/// A test of one kernel: the CPU form is compared with the shader on the same inputs.
pub struct Case {
    /// The kernel and the shape, e.g. "rmsnorm 5x30".
    pub name: String,
    /// Largest |gpu - cpu| / max(1, |cpu|) that is accepted, and why.
    pub tolerance: f32,
    /// The reason for the tolerance: what rounds differently.
    pub why: &'static str,
    /// Builds its inputs from a fixed seed on the device and gives the outputs.
    pub run: RunCase,
}

/// Builds inputs on a device and gives a kernel's outputs.
pub type RunCase = Box<dyn Fn(&Device) -> Vec<Tensor>>;

/// Every kernel's cases.
pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    all.extend(add::cases());
    all.extend(attention::cases());
    all.extend(column_squares::cases());
    all.extend(conv1d::cases());
    all.extend(embedding::cases());
    all.extend(gated_rmsnorm::cases());
    all.extend(gelu::cases());
    all.extend(gram::cases());
    all.extend(greedy::cases());
    all.extend(inverse_factor::cases());
    all.extend(layernorm::cases());
    all.extend(lm_head_nll::cases());
    all.extend(matmul::cases());
    all.extend(matvec_conv::cases());
    all.extend(matvec_many::cases());
    all.extend(packed::cases());
    all.extend(prune_rows::cases());
    all.extend(refit::cases());
    all.extend(relu::cases());
    all.extend(rmsnorm::cases());
    all.extend(rotary::cases());
    all.extend(rotary_append::cases());
    all.extend(rows::cases());
    all.extend(scale::cases());
    all.extend(selective_scan::cases());
    all.extend(silu_gate::cases());
    all.extend(ssd::cases());
    all.extend(swiglu::cases());
    all.extend(token_attention::cases());
    all.extend(token_formula::cases());
    all.extend(token_keep::cases());
    all.extend(token_links::cases());
    all.extend(token_match::cases());
    all.extend(token_merge::cases());
    all.extend(token_pairs::cases());
    all.extend(token_rank::cases());
    all.extend(token_score::cases());
    all.extend(token_select::cases());
    all.extend(token_sizes::cases());
    all.extend(token_ssm::cases());
    all.extend(token_top::cases());
    all
}

/// Largest |a - b| / max(1, |b|); infinite when lengths differ or either is not finite.
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    let difference = |(x, y): (&f32, &f32)| {
        let d = (x - y).abs() / y.abs().max(1.0);
        if d.is_finite() { d } else { f32::INFINITY }
    };
    a.iter().zip(b).map(difference).fold(0.0, f32::max)
}

/// A random normal tensor, for cases.
pub fn random(device: &Device, rng: &mut Rng, rows: usize, cols: usize) -> Tensor {
    device.tensor(rows, cols, &rng.normals(rows * cols, 1.0))
}

/// Workgroups for `n` items, `size` items each.
pub(crate) fn groups(n: usize, size: usize) -> u32 {
    u32::try_from(n.div_ceil(size)).expect("a dispatch of fewer than 2^32 workgroups")
}

/// Spreads `n` workgroups over x and y, each at most 65,535; the shader tests its index against `n`.
pub(crate) fn spread(n: usize) -> [u32; 3] {
    let y = n.div_ceil(65_535);
    [n.div_ceil(y) as u32, y as u32, 1]
}
