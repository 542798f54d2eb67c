//! Running sum of products of columns: G' = G + XᵀX, the Hessian of a linear layer's inputs without its factor 2.
//!
//! Shapes: x `[seq_len, d]`, G `[d, d]`. On the CPU one half is computed, from packed columns on both sides, and added
//! where it lies: natively by `cpu_gemm::fma`, or by the `gemm` crate where the processor has no FMA. On the GPU an invocation computes 4 by 4 elements in registers;
//! there both halves are only nearly the same, so readers take their mean.

use super::cpu_gemm::{self, Rows};
use super::{Case, groups, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "gram",
    source: &[wgsl!(include_str!("../../shaders/gram.wgsl"))],
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
}

/// Adds xᵀx to the symmetric `sum` `[d, d]`, in place where nobody else holds it.
pub fn gram<'a>(device: &Device, x: impl Into<View<'a>>, sum: Tensor) -> Tensor {
    let x = x.into();
    assert_eq!((sum.rows(), sum.cols()), (x.cols, x.cols), "gram sum");
    match device {
        Device::Cpu => on_cpu(x, sum),
        Device::Gpu(gpu) => on_gpu(gpu, x, &sum),
    }
}

fn on_cpu(x: View<'_>, sum: Tensor) -> Tensor {
    let mut total = sum.into_cpu();
    cpu_gemm::gram(Rows::of(x), &mut total);
    Tensor::on_cpu(x.cols, x.cols, total)
}

fn on_gpu(gpu: &Gpu, x: View<'_>, sum: &Tensor) -> Tensor {
    let y = gpu.alloc(x.cols * x.cols * 4);
    let params = Params {
        rows: x.rows as u32,
        cols: x.cols as u32,
        x_offset: x.offset() as u32,
        x_stride: x.stride() as u32,
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[x.tensor.gpu(), sum.gpu()],
        writes: &[&y],
        groups: [groups(x.cols, 32), groups(x.cols, 32), 1],
    });
    Tensor::on_gpu(x.cols, x.cols, y)
}

/// Normals, `[d, d]`.
fn symmetric(rng: &mut Rng, d: usize) -> Vec<f32> {
    let values = rng.normals(d * d, 1.0);
    (0..d * d).map(|k| values[(k / d).max(k % d) * d + (k / d).min(k % d)]).collect()
}

/// Around the tiles of 4 and 32 columns; the last case is a view.
pub fn cases() -> Vec<Case> {
    let sizes =
        [(1, 1, 0), (9, 3, 0), (5, 4, 0), (7, 31, 0), (64, 32, 0), (70, 33, 0), (12, 30, 7)];
    sizes
        .into_iter()
        .map(|(rows, cols, from)| Case {
            name: format!("gram {rows}x{cols} from column {from}"),
            tolerance: 2e-5,
            why: "sums of up to 70 products of normals in another order",
            run: Box::new(move |device| {
                let mut rng = Rng::new(6);
                let x = random(device, &mut rng, rows, from + cols);
                let s = device.tensor(cols, cols, &symmetric(&mut rng, cols));
                vec![gram(device, x.columns(from, cols), s)]
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_form_is_the_equation() {
        let (rows, cols, from) = (13, 11, 3);
        let mut rng = Rng::new(8);
        let x = rng.normals(rows * (cols + from), 1.0);
        let sum = symmetric(&mut rng, cols);
        let mut expected = Vec::new();
        for i in 0..cols {
            for j in 0..cols {
                let at = |t: usize, c: usize| f64::from(x[t * (cols + from) + from + c]);
                let products: f64 = (0..rows).map(|t| at(t, i) * at(t, j)).sum();
                expected.push((f64::from(sum[i * cols + j]) + products) as f32);
            }
        }
        let device = Device::Cpu;
        let x = device.tensor(rows, cols + from, &x);
        let found = gram(&device, x.columns(from, cols), device.tensor(cols, cols, &sum));
        assert!(crate::kernels::largest_difference(found.cpu(), &expected) < 1e-5);
    }
}
