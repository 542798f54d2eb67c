//! One normed row times several matrices in one launch: y_i = norm(x) W_iᵀ, side by side; or gated,
//! y = silu(norm(x) W_0ᵀ) * (norm(x) W_1ᵀ).
//!
//! norm(x)[j] = n[j] x[j] / sqrt(mean x^2 + eps). Shapes: x `[1, in]`, W_i `[outs_i, in]` (all f32 or all f16), n
//! `[1, in]`, y `[1, sum of outs_i]`; gated `[1, outs_0]`. Source: `rmsnorm`, `matmul`, `swiglu`. A decoded token has work
//! for a microsecond in each of these kernels, and a GPU takes longer than that from one launch to the next. On the CPU
//! nothing is won, so there is no form for it: the cases compare with those kernels in a row.

use super::matmul::{matmul, parts, reads_vectors, weight_constants};
use super::rmsnorm::rmsnorm;
use super::swiglu::swiglu;
use super::{Case, groups, random, spread};
use crate::Rng;
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Matrix, MatrixData, Tensor, View};
use bytemuck::{Pod, Zeroable};

/// What shaders that multiply one normed row begin with.
pub(super) static ROW: &str = wgsl!(include_str!("../../shaders/matvec_row.wgsl"));

static SHADER: Shader = Shader {
    name: "matvec_many",
    source: &[parts::WEIGHTS, ROW, wgsl!(include_str!("../../shaders/matvec_many.wgsl"))],
    reads: 5,
    writes: 1,
};

/// Outputs of a workgroup.
const OUTS: usize = 8;

#[repr(C)]
#[derive(Clone, Copy, Default, Pod, Zeroable)]
pub(super) struct Params {
    depth: u32,
    w_stride: u32,
    x_offset: u32,
    pub outs: u32,
    outs0: u32,
    outs1: u32,
    eps: f32,
    pub first: u32,
    pub cols: u32,
    pub taps: u32,
    pub has_bias: u32,
}

/// A row `[1, in]` and its RMS norm, on a GPU.
#[derive(Clone, Copy)]
pub struct NormedRow<'a> {
    /// Where it is.
    pub gpu: &'a Gpu,
    /// `[1, in]`
    pub x: View<'a>,
    /// `[1, in]`
    pub weight: &'a Tensor,
    /// Added to the mean square.
    pub eps: f32,
}

impl<'a> NormedRow<'a> {
    /// Where one launch can do it: on a GPU, one row that can be read as vectors, and one to three dense matrices of one
    /// precision.
    pub fn new(
        device: &'a Device,
        x: View<'a>,
        (weight, eps): (&'a Tensor, f32),
        matrices: &[&Matrix],
    ) -> Option<Self> {
        let Device::Gpu(gpu) = device else { return None };
        let precision = |w: &Matrix| match w.data() {
            MatrixData::Gpu(precision, _) if w.packed().is_none() => Some(*precision),
            _ => None,
        };
        let first = precision(matrices[0])?;
        let fits = x.rows == 1
            && reads_vectors(x)
            && matrices.len() <= 3
            && matrices.iter().all(|w| w.cols() == x.cols && precision(w) == Some(first));
        fits.then_some(Self { gpu, x, weight, eps })
    }

    /// Parameters for matrices side by side.
    #[inline(never)]
    pub(super) fn params(&self, matrices: &[&Matrix]) -> Params {
        let outs = |i: usize| matrices.get(i).map_or(0, |w| w.rows() as u32);
        Params {
            depth: self.x.cols as u32,
            w_stride: matrices[0].row_stride() as u32,
            x_offset: (self.x.offset() / 4) as u32,
            outs: outs(0) + outs(1) + outs(2),
            outs0: outs(0),
            outs1: outs(1),
            eps: self.eps,
            ..Params::default()
        }
    }

    /// Records a shader that begins with [`ROW`]: its weights, the row and its norm are bound before `reads`.
    #[inline(never)]
    pub(super) fn launch(
        &self,
        (shader, w): (&'static Shader, &Matrix),
        (params, is_gated): (&Params, bool),
        reads: [&Buffer; 2],
        state: Option<&Buffer>,
        writes: &[&Buffer],
    ) {
        let (buffer, f16) = weight_constants(w);
        let mut all = vec![buffer, self.x.tensor.gpu(), self.weight.gpu()];
        all.extend(reads.into_iter().chain(state));
        self.gpu.dispatch(&Dispatch {
            shader,
            entry: "main",
            constants: &[f16, ("GATED", f64::from(u8::from(is_gated)))],
            params: bytemuck::bytes_of(params),
            reads: &all,
            writes,
            groups: spread(groups(params.outs as usize, OUTS) as usize),
        });
    }

    /// The products with one to three matrices, side by side `[1, sum of outs_i]`.
    pub fn times(&self, matrices: &[&Matrix]) -> Tensor {
        self.run(matrices, false)
    }

    /// silu of the first product times the second `[1, outs_0]`.
    pub fn gated(&self, [gate, up]: [&Matrix; 2]) -> Tensor {
        assert_eq!(gate.rows(), up.rows(), "matvec_many: outputs of a gate");
        self.run(&[gate, up], true)
    }

    #[inline(never)]
    fn run(&self, matrices: &[&Matrix], is_gated: bool) -> Tensor {
        let mut params = self.params(matrices);
        if is_gated {
            params.outs = params.outs0;
        }
        let y = self.gpu.alloc(params.outs as usize * 4);
        // What is not there is not read; the first matrix stands in.
        let weights = |i: usize| weight_constants(matrices.get(i).unwrap_or(&matrices[0])).0;
        let reads = [weights(1), weights(2)];
        self.launch((&SHADER, matrices[0]), (&params, is_gated), reads, None, &[&y]);
        Tensor::on_gpu(1, params.outs as usize, y)
    }
}

/// Around the 8 outputs of a workgroup and the 64 and 256 inputs of a walk, one to three matrices and gated, f32 and f16; a view
/// with an offset.
pub fn cases() -> Vec<Case> {
    let small = [([1, 0, 0], 8), ([8, 9, 0], 56), ([7, 16, 5], 64), ([24, 8, 8], 136)];
    let sizes = small.into_iter().chain([([8, 1, 0], 256), ([9, 3, 2], 584)]);
    let both = |(outs, depth)| [false, true].map(|half| case(outs, depth, half));
    sizes.flat_map(both).collect()
}

fn case(outs: [usize; 3], depth: usize, half: bool) -> Case {
    Case {
        name: format!("matvec_many 1x{depth} by {outs:?}, f16 {half}"),
        tolerance: 5e-5,
        why: "sums of up to 584 products of normals in another order, scaled after and not before",
        run: Box::new(move |device| {
            let mut rng = Rng::new(8);
            let x = random(device, &mut rng, 3, depth + 8);
            let weight = random(device, &mut rng, 1, depth);
            let mut matrix = |n| super::embedding::random_matrix(device, &mut rng, n, depth, half);
            let matrices: Vec<Matrix> =
                outs.iter().filter(|n| **n > 0).map(|n| matrix(*n)).collect();
            let gate = [matrix(outs[0]), matrix(outs[0])];
            let x = View { row: 1, rows: 1, ..x.columns(4, depth) };
            let list: Vec<&Matrix> = matrices.iter().collect();
            if let Some(row) = NormedRow::new(device, x, (&weight, 1e-5), &list) {
                return vec![row.times(&list), row.gated([&gate[0], &gate[1]])];
            }
            assert!(matches!(device, Device::Cpu), "a row that fits");
            let normed = rmsnorm(device, x, &weight, 1e-5);
            let product = |w: &Matrix| matmul(device, &normed, w, None, None);
            let side_by_side: Vec<f32> =
                list.iter().flat_map(|w| product(w).cpu().to_vec()).collect();
            let gated = swiglu(device, &product(&gate[0]), &product(&gate[1]));
            vec![Tensor::on_cpu(1, side_by_side.len(), side_by_side), gated]
        }),
    }
}
