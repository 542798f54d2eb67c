//! LayerNorm: y[t, j] = w[j] * (x[t, j] - mean_t) / sqrt(var_t + eps) + b[j], var_t = mean_j (x[t, j] - mean_t)^2.
//!
//! Shapes: x, y `[seq_len, d]`, w, b `[1, d]`. Source: Ba et al. 2016, equation 3. The variance is taken from
//! deviations, never as E[x^2] - mean^2, which cancels when a row's mean is large.

use super::cpu_gemm::Rows;
use super::each_row::each_row;
use super::{Case, groups, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "layernorm",
    source: &[wgsl!(include_str!("../../shaders/layernorm.wgsl"))],
    reads: 3,
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

/// Normalises every row of `x` `[seq_len, d]`, scales it by `weight` and adds `bias`, both `[1, d]`.
pub fn layernorm<'a>(
    device: &Device,
    x: impl Into<View<'a>>,
    weight: &Tensor,
    bias: &Tensor,
    eps: f32,
) -> Tensor {
    let x = x.into();
    assert_eq!(weight.cols(), x.cols, "layernorm weight");
    assert_eq!(bias.cols(), x.cols, "layernorm bias");
    match device {
        Device::Cpu => {
            let y = on_cpu(Rows::of(x), weight.cpu(), bias.cpu(), eps);
            Tensor::on_cpu(x.rows, x.cols, y)
        }
        Device::Gpu(gpu) => on_gpu(gpu, x, weight, bias, eps),
    }
}

fn on_cpu(x: Rows<'_>, weight: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
    each_row(
        x.rows,
        x.cols,
        #[inline(always)]
        |t, y| {
            let row = x.row(t);
            let mean = sum(row, |v| v) / x.cols as f32;
            let var = sum(row, |v| (v - mean) * (v - mean)) / x.cols as f32;
            let scale = 1.0 / (var + eps).sqrt();
            let inputs = row.iter().zip(weight.iter().zip(bias));
            for (y, (v, (w, b))) in y.iter_mut().zip(inputs) {
                *y = (v - mean) * scale * w + b;
            }
        },
    )
}

/// The sum of f(v) in eight lanes: one running f32 sum would neither vectorise nor be as exact.
#[inline(always)]
fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = row.as_chunks::<8>();
    let mut lanes = [0.0f32; 8];
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += f(v);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&v| f(v)).sum::<f32>()
}

fn on_gpu(gpu: &Gpu, x: View<'_>, weight: &Tensor, bias: &Tensor, eps: f32) -> Tensor {
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
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[x.tensor.gpu(), weight.gpu(), bias.gpu()],
        writes: &[&y],
        groups: [groups(x.rows, 4), 1, 1],
    });
    Tensor::on_gpu(x.rows, x.cols, y)
}

/// Sizes 1, around the tile of 16 lanes, one that divides nothing, a large mean, and a view.
pub fn cases() -> Vec<Case> {
    let sizes =
        [(1, 1, 0.0), (3, 15, 0.0), (4, 16, 0.0), (5, 17, 0.0), (7, 130, 0.0), (6, 96, 50.0)];
    let mut cases: Vec<Case> = sizes
        .into_iter()
        .map(|(rows, cols, mean)| Case {
            name: format!("layernorm {rows}x{cols} around {mean}"),
            tolerance: if mean == 0.0 { 1e-5 } else { 3e-5 },
            why: "sums of up to 130 values in another order; around 50 a value carries 4e-6 of rounding",
            run: Box::new(move |device| {
                let mut rng = Rng::new(41);
                let x: Vec<f32> = (0..rows * cols).map(|_| mean + rng.normal()).collect();
                let x = device.tensor(rows, cols, &x);
                let w = random(device, &mut rng, 1, cols);
                let b = random(device, &mut rng, 1, cols);
                vec![layernorm(device, &x, &w, &b, 1e-5)]
            }),
        })
        .collect();
    cases.push(Case {
        name: "layernorm of columns 3..20 of 5x33".into(),
        tolerance: 1e-5,
        why: "sums of 17 values in another order",
        run: Box::new(|device| {
            let mut rng = Rng::new(42);
            let x = random(device, &mut rng, 5, 33);
            let w = random(device, &mut rng, 1, 17);
            let b = random(device, &mut rng, 1, 17);
            vec![layernorm(device, x.columns(3, 17), &w, &b, 1e-5)]
        }),
    });
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layernorm_equals_its_equation_in_f64() {
        let device = Device::Cpu;
        let mut rng = Rng::new(4);
        let (x, w, b) = (rng.normals(3 * 19, 2.0), rng.normals(19, 1.0), rng.normals(19, 1.0));
        let [tx, tw, tb] = [(3, &x), (1, &w), (1, &b)].map(|(rows, v)| device.tensor(rows, 19, v));
        let y = layernorm(&device, &tx, &tw, &tb, 1e-5);
        for t in 0..3 {
            let row: Vec<f64> = x[t * 19..(t + 1) * 19].iter().map(|&v| v as f64).collect();
            let mean = row.iter().sum::<f64>() / 19.0;
            let var = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 19.0;
            for j in 0..19 {
                let expected = w[j] as f64 * (row[j] - mean) / (var + 1e-5).sqrt() + b[j] as f64;
                assert!((y.cpu()[t * 19 + j] as f64 - expected).abs() <= 3e-6, "[{t}, {j}]");
            }
        }
    }
}
