//! RMSNorm: y[t, j] = w[j] * x[t, j] / sqrt(mean_j x[t, j]^2 + eps).
//!
//! Shapes: x `[seq_len, d]`, w `[1, d]`, y `[seq_len, d]`. Source: Zhang & Sennrich 2019, equation 4.

use super::cpu_gemm::Rows;
use super::each_row::each_row;
use super::{Case, groups, random, spread};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "rmsnorm",
    source: &[wgsl!(include_str!("../../shaders/rmsnorm.wgsl"))],
    reads: 2,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    x_offset: u32,
    x_stride: u32,
    eps: f32,
}

/// Normalises every row of `x` `[seq_len, d]` and scales it by `weight` `[1, d]`.
pub fn rmsnorm<'a>(device: &Device, x: impl Into<View<'a>>, weight: &Tensor, eps: f32) -> Tensor {
    let x = x.into();
    assert_eq!(weight.cols(), x.cols, "rmsnorm weight");
    match device {
        Device::Cpu => Tensor::on_cpu(x.rows, x.cols, on_cpu(Rows::of(x), weight.cpu(), eps)),
        Device::Gpu(gpu) => on_gpu(gpu, x, weight, eps, NormForm::of(gpu)),
    }
}

/// How the GPU computes a norm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NormForm {
    /// 16 lanes a row: software adapters punish barriers and idle lanes.
    Narrow,
    /// 256 lanes a row.
    Wide,
}

impl NormForm {
    pub fn of(gpu: &Gpu) -> NormForm {
        if gpu.is_software() { NormForm::Narrow } else { NormForm::Wide }
    }

    /// The entry point of the shader.
    pub fn entry(self) -> &'static str {
        match self {
            NormForm::Narrow => "main",
            NormForm::Wide => "wide",
        }
    }

    /// Workgroups for so many rows or groups.
    pub fn groups(self, items: usize) -> [u32; 3] {
        match self {
            NormForm::Narrow => spread(items.div_ceil(4)),
            NormForm::Wide => spread(items),
        }
    }
}

fn on_cpu(x: Rows<'_>, weight: &[f32], eps: f32) -> Vec<f32> {
    each_row(
        x.rows,
        x.cols,
        #[inline(always)]
        |t, y| {
            let row = x.row(t);
            let mean_square = row.iter().map(|v| v * v).sum::<f32>() / x.cols as f32;
            let scale = 1.0 / (mean_square + eps).sqrt();
            let inputs = row.iter().zip(weight);
            for (y, (v, w)) in y.iter_mut().zip(inputs) {
                *y = v * scale * w;
            }
        },
    )
}

fn on_gpu(gpu: &Gpu, x: View<'_>, weight: &Tensor, eps: f32, form: NormForm) -> Tensor {
    let y = gpu.alloc(x.rows * x.cols * 4);
    let params = Params {
        rows: x.rows as u32,
        cols: x.cols as u32,
        x_offset: x.offset() as u32,
        x_stride: x.stride() as u32,
        eps,
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: form.entry(),
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[x.tensor.gpu(), weight.gpu()],
        writes: &[&y],
        groups: match form {
            NormForm::Narrow => [groups(x.rows, 4), 1, 1],
            NormForm::Wide => form.groups(x.rows),
        },
    });
    Tensor::on_gpu(x.rows, x.cols, y)
}

/// Sizes 1, around the tile of 16 lanes, and one that divides nothing; one case on a view.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (3, 15), (4, 16), (5, 17), (7, 130), (3, 257)];
    let why = "sums of up to 257 squares in another order";
    let mut cases: Vec<Case> = sizes
        .into_iter()
        .map(|(rows, cols)| Case {
            name: format!("rmsnorm {rows}x{cols}"),
            tolerance: 1e-5,
            why,
            run: Box::new(move |device| {
                let mut rng = Rng::new(1);
                let x = random(device, &mut rng, rows, cols);
                let w = random(device, &mut rng, 1, cols);
                let form = |form| match device {
                    Device::Gpu(gpu) => on_gpu(gpu, x.view(), &w, 1e-5, form),
                    Device::Cpu => rmsnorm(device, &x, &w, 1e-5),
                };
                vec![form(NormForm::Narrow), form(NormForm::Wide)]
            }),
        })
        .collect();
    cases.push(Case {
        name: "rmsnorm of columns 3..20 of 5x33".into(),
        tolerance: 1e-5,
        why,
        run: Box::new(|device| {
            let mut rng = Rng::new(2);
            let x = random(device, &mut rng, 5, 33);
            let w = random(device, &mut rng, 1, 17);
            vec![rmsnorm(device, x.columns(3, 17), &w, 1e-5)]
        }),
    });
    cases
}
