//! One normed row times a matrix, some of the outputs then convolved with those of the tokens before, in one launch:
//! v = norm(x) Wᵀ; y = v but for the channels first..first + cols, where y is `conv1d`'s silu(bias + taps . (state, v)).
//!
//! Shapes: x `[1, in]`, W `[outs, in]`, y `[1, outs]`, taps `[cols, k]`, bias `[1, cols]`, state `[k - 1, cols]`. A channel
//! of the convolution needs one output alone, so it costs nothing where that output is made. Source: `rmsnorm`, `matmul`,
//! `conv1d`; on the CPU it is those kernels in a row.

use super::conv1d::conv1d_silu;
use super::matmul::{matmul, parts};
use super::matvec_many::{NormedRow, ROW};
use super::rmsnorm::rmsnorm;
use super::{Case, random};
use crate::Rng;
use crate::backend::gpu::{Shader, wgsl};
use crate::backend::{Device, Matrix, Tensor};

static SHADER: Shader = Shader {
    name: "matvec_conv",
    source: &[parts::WEIGHTS, ROW, wgsl!(include_str!("../../shaders/matvec_conv.wgsl"))],
    reads: 6,
    writes: 2,
};

/// A convolution over some columns.
#[derive(Clone, Copy)]
pub struct Conv<'a> {
    /// The first of them.
    pub first: usize,
    /// `[cols, k]`
    pub weight: &'a Tensor,
    /// `[1, cols]`
    pub bias: Option<&'a Tensor>,
}

impl NormedRow<'_> {
    /// y `[1, outs]` and the state for the next token.
    pub fn convolved(&self, w: &Matrix, conv: Conv<'_>, state: &Tensor) -> (Tensor, Tensor) {
        let (cols, taps) = (conv.weight.rows(), conv.weight.cols());
        assert!(conv.first + cols <= w.rows(), "matvec_conv: channels");
        assert_eq!((state.rows(), state.cols()), (taps - 1, cols), "matvec_conv: state");
        let mut params = self.params(&[w]);
        params.first = conv.first as u32;
        params.cols = cols as u32;
        params.taps = taps as u32;
        params.has_bias = conv.bias.is_some().into();
        let (y, next) = (self.gpu.alloc(w.rows() * 4), self.gpu.alloc((taps - 1) * cols * 4));
        let reads = [conv.weight.gpu(), conv.bias.unwrap_or(conv.weight).gpu()];
        self.launch((&SHADER, w), (&params, false), reads, Some(state.gpu()), &[&y, &next]);
        (Tensor::on_gpu(1, w.rows(), y), Tensor::on_gpu(taps - 1, cols, next))
    }
}

/// (outs, depth, first, cols, taps): all outputs and some, around the 8 of a workgroup; with and without a bias.
pub fn cases() -> Vec<Case> {
    [(1, 8, 0, 1, 2), (9, 64, 0, 4, 4), (24, 136, 8, 16, 3), (30, 328, 5, 20, 4)].map(case).into()
}

fn case((outs, depth, first, cols, taps): (usize, usize, usize, usize, usize)) -> Case {
    Case {
        name: format!("matvec_conv 1x{depth} by {outs}, {cols} from {first}, {taps} taps"),
        tolerance: 5e-5,
        why: "sums of up to 328 products of normals in another order, and an exp within 2 + 2|x| ulp (WGSL)",
        run: Box::new(move |device| {
            let mut rng = Rng::new(9);
            let x = random(device, &mut rng, 1, depth);
            let norm = random(device, &mut rng, 1, depth);
            let [weight, state] = [(cols, taps), (taps - 1, cols)]
                .map(|(rows, cols)| random(device, &mut rng, rows, cols));
            let bias = random(device, &mut rng, 1, cols);
            let w = super::embedding::random_matrix(device, &mut rng, outs, depth, true);
            let mut found = Vec::new();
            for bias in [None, Some(&bias)] {
                let conv = Conv { first, weight: &weight, bias };
                let (y, next) = match NormedRow::new(device, x.view(), (&norm, 1e-5), &[&w]) {
                    Some(row) => row.convolved(&w, conv, &state),
                    None => in_turn(device, &rmsnorm(device, &x, &norm, 1e-5), &w, conv, &state),
                };
                found.extend([y, next]);
            }
            found
        }),
    }
}

/// The kernels in a row, on the CPU.
fn in_turn(
    device: &Device,
    normed: &Tensor,
    w: &Matrix,
    conv: Conv<'_>,
    state: &Tensor,
) -> (Tensor, Tensor) {
    let v = matmul(device, normed, w, None, None);
    let at = conv.first..conv.first + conv.weight.rows();
    let columns = v.columns(at.start, at.len());
    let (convolved, next) = conv1d_silu(device, columns, conv.weight, conv.bias, state);
    let mut y = v.cpu().to_vec();
    y[at].copy_from_slice(convolved.cpu());
    (Tensor::on_cpu(1, y.len(), y), next)
}
