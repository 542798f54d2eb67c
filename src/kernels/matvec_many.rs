//! Several products of the same few rows in one launch, the RMS norm of the rows included: y_i = norm(x) W_iᵀ, side by
//! side; or gated, y = silu(norm(x) W_0ᵀ) * (norm(x) W_1ᵀ).
//!
//! norm(x)[j] = n[j] x[j] / sqrt(mean x^2 + eps), or x itself. Shapes: x `[rows, in]` with at most four rows, W_i
//! `[outs_i, in]` (all f32 or all f16), n `[1, in]`, y `[rows, sum of outs_i]`; gated `[rows, outs_0]`.
//! Source: `rmsnorm`, `matmul`, `swiglu`. A decoded token has work for a microsecond in each of these kernels, and a GPU
//! takes longer than that from one launch to the next. On the CPU nothing is won: there it is those kernels in a row.

use super::packed::FEW_ROWS;
use super::rmsnorm::rmsnorm;
use super::swiglu::swiglu;
use super::{Case, groups, random, spread};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Matrix, Tensor, View};
use crate::kernels::matmul::{matmul, reads_vectors, weight_constants};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "matvec_many",
    source: &[wgsl!(include_str!("../../shaders/matvec_many.wgsl"))],
    reads: 5,
    writes: 1,
};

/// Outputs of a workgroup.
const OUTS: usize = 8;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    depth: u32,
    w_stride: u32,
    x_offset: u32,
    x_stride: u32,
    outs: [u32; 3],
    eps: f32,
}

/// The weight `[1, in]` of an RMS norm and its epsilon.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    /// `[1, in]`
    pub weight: &'a Tensor,
    /// Added to the mean square.
    pub eps: f32,
}

/// How the products are put together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ManyForm {
    SideBySide,
    Gated,
}

/// Whether one launch can do it: on a GPU, few rows that can be read as vectors, and one to three dense matrices of one
/// precision.
pub fn fits(device: &Device, x: View<'_>, matrices: &[&Matrix]) -> bool {
    let is_alike = |w: &&Matrix| {
        w.packed().is_none() && weight_constants(w).1 == weight_constants(matrices[0]).1
    };
    matches!(device, Device::Gpu(_))
        && x.rows <= FEW_ROWS
        && reads_vectors(x)
        && (1..=3).contains(&matrices.len())
        && matrices.iter().all(is_alike)
}

/// The products with one to three matrices, side by side. On a GPU only where it [`fits`].
pub fn matvec_many<'a>(
    device: &Device,
    x: impl Into<View<'a>>,
    norm: Option<Norm<'_>>,
    matrices: &[&Matrix],
) -> Tensor {
    run(device, x.into(), norm, matrices, ManyForm::SideBySide)
}

/// silu of the first product times the second. On a GPU only where it [`fits`].
pub fn matvec_gated<'a>(
    device: &Device,
    x: impl Into<View<'a>>,
    norm: Option<Norm<'_>>,
    [gate, up]: [&Matrix; 2],
) -> Tensor {
    assert_eq!(gate.rows(), up.rows(), "matvec_gated: outputs");
    run(device, x.into(), norm, &[gate, up], ManyForm::Gated)
}

fn run(
    device: &Device,
    x: View<'_>,
    norm: Option<Norm<'_>>,
    matrices: &[&Matrix],
    form: ManyForm,
) -> Tensor {
    for w in matrices {
        assert_eq!(w.cols(), x.cols, "matvec_many: inputs");
    }
    if let Some(norm) = norm {
        assert_eq!(norm.weight.rows() * norm.weight.cols(), x.cols, "matvec_many: norm");
    }
    match device {
        Device::Cpu => on_cpu(x, norm, matrices, form),
        Device::Gpu(gpu) => {
            assert!(fits(device, x, matrices), "matvec_many: these rows and matrices do not fit");
            on_gpu(gpu, x, norm, matrices, form)
        }
    }
}

fn on_cpu(x: View<'_>, norm: Option<Norm<'_>>, matrices: &[&Matrix], form: ManyForm) -> Tensor {
    let device = &Device::Cpu;
    let normed = norm.map(|norm| rmsnorm(device, x, norm.weight, norm.eps));
    let x = normed.as_ref().map_or(x, Tensor::view);
    let parts: Vec<Tensor> = matrices.iter().map(|w| matmul(device, x, w, None, None)).collect();
    if form == ManyForm::Gated {
        return swiglu(device, &parts[0], &parts[1]);
    }
    let mut y = Vec::new();
    for row in 0..x.rows {
        parts.iter().for_each(|part| y.extend_from_slice(part.view().cpu_row(row)));
    }
    Tensor::on_cpu(x.rows, y.len() / x.rows, y)
}

fn on_gpu(
    gpu: &Gpu,
    x: View<'_>,
    norm: Option<Norm<'_>>,
    matrices: &[&Matrix],
    form: ManyForm,
) -> Tensor {
    let of = |i: usize| matrices.get(i).map_or(0, |w| w.rows());
    let outs = match form {
        ManyForm::SideBySide => of(0) + of(1) + of(2),
        ManyForm::Gated => of(0),
    };
    let params = Params {
        depth: x.cols as u32,
        w_stride: matrices[0].row_stride() as u32,
        x_offset: (x.offset() / 4) as u32,
        x_stride: (x.stride() / 4) as u32,
        outs: [0, 1, 2].map(|i| of(i) as u32),
        eps: norm.map_or(0.0, |norm| norm.eps),
    };
    let y = gpu.alloc(x.rows * outs * 4);
    // What is not there is not read; the first matrix and x stand in.
    let weights = |i: usize| weight_constants(matrices.get(i).unwrap_or(&matrices[0])).0;
    let flag = |is: bool| f64::from(u8::from(is));
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[
            weight_constants(matrices[0]).1,
            ("ROWS", x.rows as f64),
            ("NORMED", flag(norm.is_some())),
            ("GATED", flag(form == ManyForm::Gated)),
        ],
        params: bytemuck::bytes_of(&params),
        reads: &[
            weights(0),
            weights(1),
            weights(2),
            x.tensor.gpu(),
            norm.map_or(x.tensor.gpu(), |norm| norm.weight.gpu()),
        ],
        writes: &[&y],
        groups: spread(groups(outs, OUTS) as usize),
    });
    Tensor::on_gpu(x.rows, outs, y)
}

/// One to four rows, around the 8 outputs of a workgroup and the 64 inputs of a walk, with and without a norm, one to
/// three matrices and gated, f32 and f16; a view with an offset.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, [1, 0, 0], 8), (2, [8, 9, 0], 56), (3, [7, 16, 5], 64), (4, [24, 8, 8], 136)];
    let mut cases = Vec::new();
    for (rows, outs, depth) in sizes {
        for normed in [true, false] {
            for half in [true, false] {
                cases.push(case(
                    rows,
                    &outs[..outs.iter().filter(|n| **n > 0).count()],
                    depth,
                    (normed, half),
                ));
            }
        }
    }
    cases
}

fn case(rows: usize, outs: &[usize], depth: usize, (normed, half): (bool, bool)) -> Case {
    let outs = outs.to_vec();
    Case {
        name: format!("matvec_many {rows}x{depth} by {outs:?}, normed {normed}, f16 {half}"),
        tolerance: 5e-5,
        why: "sums of up to 136 products of normals in another order, scaled after and not before",
        run: Box::new(move |device| {
            let mut rng = Rng::new(8);
            let x = random(device, &mut rng, rows, depth + 8);
            let weight = random(device, &mut rng, 1, depth);
            let norm = normed.then_some(Norm { weight: &weight, eps: 1e-5 });
            let mut matrix = |n| super::embedding::random_matrix(device, &mut rng, n, depth, half);
            let matrices: Vec<Matrix> = outs.iter().map(|n| matrix(*n)).collect();
            let (gate, up) = (matrix(outs[0]), matrix(outs[0]));
            let list: Vec<&Matrix> = matrices.iter().collect();
            let x = x.columns(4, depth);
            vec![matvec_many(device, x, norm, &list), matvec_gated(device, x, norm, [&gate, &up])]
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::WeightValues;

    #[test]
    fn the_products_stand_side_by_side_and_the_gate_is_the_first() {
        let device = Device::Cpu;
        let x = device.tensor(1, 2, &[3.0, 4.0]);
        let identity = device.matrix(2, 2, WeightValues::F32(&[1.0, 0.0, 0.0, 1.0]));
        let sum = device.matrix(1, 2, WeightValues::F32(&[1.0, 1.0]));
        let ones = device.tensor(1, 2, &[1.0, 1.0]);
        // The mean square of 3 and 4 is 12.5.
        let norm = Norm { weight: &ones, eps: 0.0 };
        let y = matvec_many(&device, &x, Some(norm), &[&identity, &sum]);
        let scale = 12.5f32.sqrt();
        assert!(
            crate::kernels::largest_difference(y.cpu(), &[3.0 / scale, 4.0 / scale, 7.0 / scale])
                < 1e-6
        );
        let y = matvec_gated(&device, &x, None, [&sum, &sum]);
        assert!((y.cpu()[0] - 7.0 / (1.0 + (-7.0f32).exp()) * 7.0).abs() < 1e-4);
    }
}
