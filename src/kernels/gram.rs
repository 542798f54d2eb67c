//! Running sum of products of columns: G' = G + XᵀX, the Hessian of a linear layer's inputs without its factor 2.
//!
//! Shapes: x `[seq_len, d]`, G `[d, d]`. On the CPU one half is computed: natively by `cpu_gemm` with Xᵀ on both sides, in
//! blocks of columns, in wasm from panels of columns. On the GPU an invocation computes 4 by 4 elements in registers;
//! there both halves are only nearly the same, so readers take their mean.

use super::cpu_gemm::{self, Rows};
use super::{Case, groups, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
#[cfg(not(target_arch = "wasm32"))]
use crate::backend::{HostMatrix, PANEL, WeightValues};
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

/// Columns of the sum that are computed together natively: whole panels.
#[cfg(not(target_arch = "wasm32"))]
const COLUMNS: usize = 8 * PANEL;

/// Adds xᵀx to `sum` `[d, d]`.
pub fn gram<'a>(device: &Device, x: impl Into<View<'a>>, sum: &Tensor) -> Tensor {
    let x = x.into();
    assert_eq!((sum.rows(), sum.cols()), (x.cols, x.cols), "gram sum");
    match device {
        Device::Cpu => on_cpu(x, sum),
        Device::Gpu(gpu) => on_gpu(gpu, x, sum),
    }
}

#[cfg(target_arch = "wasm32")]
fn on_cpu(x: View<'_>, sum: &Tensor) -> Tensor {
    let mut total = sum.cpu().to_vec();
    cpu_gemm::gram(Rows::of(x), &mut total);
    Tensor::on_cpu(x.cols, x.cols, total)
}

#[cfg(not(target_arch = "wasm32"))]
fn on_cpu(x: View<'_>, sum: &Tensor) -> Tensor {
    let _reference = crate::arithmetic::reference();
    let mut transposed = vec![0.0f32; x.cols * x.rows]; // [d, seq_len]
    for t in 0..x.rows {
        for (j, v) in x.cpu_row(t).iter().enumerate() {
            transposed[j * x.rows + t] = *v;
        }
    }
    let left = Rows { values: &transposed, rows: x.cols, cols: x.rows, stride: x.rows };
    let right = HostMatrix::new(x.cols, x.rows, WeightValues::F32(&transposed));
    let n = x.cols;
    let mut upper = vec![0.0; n * n];
    let block = |(b, upper): (usize, &mut [f32])| {
        // Columns of the lower half, which are rows of the upper one.
        let start = b * COLUMNS;
        let columns = start..(start + COLUMNS).min(n);
        let mut part = vec![0.0; (n - start) * columns.len()];
        cpu_gemm::accumulate(left.slice(start..n), &right, columns.clone(), &mut part);
        for (j, upper) in upper.chunks_exact_mut(n).enumerate() {
            let products = part.chunks_exact(columns.len()).map(|row| row[j]).skip(j);
            upper[start + j..].iter_mut().zip(products).for_each(|(to, product)| *to = product);
        }
    };
    crate::threads::share(upper.chunks_mut(COLUMNS * n).enumerate(), block);
    let mut total = sum.cpu().to_vec();
    for (i, total) in total.chunks_exact_mut(n).enumerate() {
        let (left, right) = total.split_at_mut(i);
        left.iter_mut().enumerate().for_each(|(j, t)| *t += upper[j * n + i]);
        right.iter_mut().zip(&upper[i * n + i..]).for_each(|(t, product)| *t += product);
    }
    Tensor::on_cpu(n, n, total)
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
                let s = random(device, &mut rng, cols, cols);
                vec![gram(device, x.columns(from, cols), &s)]
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
        let sum = rng.normals(cols * cols, 1.0);
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
        let found = gram(&device, x.columns(from, cols), &device.tensor(cols, cols, &sum));
        assert!(crate::kernels::largest_difference(found.cpu(), &expected) < 1e-5);
    }
}
