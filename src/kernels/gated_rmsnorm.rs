//! Gated RMSNorm of Mamba-2: x = y * silu(z); out[t, j] = w[j] * x[t, j] / sqrt(mean_g x[t]^2 + eps), the mean over
//! the group of `group_size` consecutive columns that j belongs to.
//!
//! Shapes: y, z, out `[seq_len, d_inner]`, w `[1, d_inner]`. Source: Dao & Gu 2024, section 6.1, and transformers'
//! Mamba2 (5.23): the gate comes before the norm, and the norm is over d_inner / n_groups columns, not the row.

use super::cpu_gemm::Rows;
use super::each_row::each_row;
use super::rmsnorm::NormForm;
use super::{Case, math, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "gated_rmsnorm",
    source: &[wgsl!(include_str!("../../shaders/gated_rmsnorm.wgsl"))],
    reads: 3,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    size: u32,
    eps: f32,
    y_offset: u32,
    y_stride: u32,
    z_offset: u32,
    z_stride: u32,
}

/// Gates `y` by `z`, then normalises every group of `group_size` columns; `group_size` divides d_inner.
pub fn gated_rmsnorm<'a>(
    device: &Device,
    y: impl Into<View<'a>>,
    z: impl Into<View<'a>>,
    weight: &Tensor,
    eps: f32,
    group_size: usize,
) -> Tensor {
    let (y, z) = (y.into(), z.into());
    assert_eq!((y.rows, y.cols), (z.rows, z.cols), "gated_rmsnorm shapes");
    assert_eq!(weight.cols(), y.cols, "gated_rmsnorm weight");
    assert!(group_size > 0 && y.cols.is_multiple_of(group_size), "group_size {group_size}");
    match device {
        Device::Cpu => {
            let out = on_cpu(Rows::of(y), Rows::of(z), weight.cpu(), eps, group_size);
            Tensor::on_cpu(y.rows, y.cols, out)
        }
        Device::Gpu(gpu) => on_gpu(gpu, [y, z], weight, eps, group_size, NormForm::of(gpu)),
    }
}

fn on_cpu(y: Rows<'_>, z: Rows<'_>, weight: &[f32], eps: f32, size: usize) -> Vec<f32> {
    each_row(
        y.rows,
        y.cols,
        #[inline(always)]
        |t, out| {
            let gated = y.row(t).iter().zip(z.row(t));
            for (out, (y, &z)) in out.iter_mut().zip(gated) {
                *out = y * math::silu(z);
            }
            for (x, w) in out.chunks_exact_mut(size).zip(weight.chunks_exact(size)) {
                let mean_square = x.iter().map(|v| v * v).sum::<f32>() / size as f32;
                let scale = 1.0 / (mean_square + eps).sqrt();
                for (x, w) in x.iter_mut().zip(w) {
                    *x = *x * scale * w;
                }
            }
        },
    )
}

fn on_gpu(
    gpu: &Gpu,
    [y, z]: [View<'_>; 2],
    weight: &Tensor,
    eps: f32,
    group_size: usize,
    form: NormForm,
) -> Tensor {
    let out = gpu.alloc(y.rows * y.cols * 4);
    let params = Params {
        rows: y.rows as u32,
        cols: y.cols as u32,
        size: group_size as u32,
        eps,
        y_offset: y.offset() as u32,
        y_stride: y.stride() as u32,
        z_offset: z.offset() as u32,
        z_stride: z.stride() as u32,
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: form.entry(),
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[y.tensor.gpu(), z.tensor.gpu(), weight.gpu()],
        writes: &[&out],
        groups: form.groups(y.rows * (y.cols / group_size)),
    });
    Tensor::on_gpu(y.rows, y.cols, out)
}

/// Sizes 1, around the 16 lanes and the 4 groups of a workgroup, several groups a row, and a view.
pub fn cases() -> Vec<Case> {
    let why = "sums of up to 257 squares in another order; exp within 2 + 2|x| ulp (WGSL)";
    let sizes = [
        (1, 1, 1),
        (3, 15, 15),
        (4, 16, 16),
        (5, 34, 17),
        (7, 130, 130),
        (3, 60, 12),
        (2, 514, 257),
    ];
    let mut cases: Vec<Case> = sizes
        .into_iter()
        .map(|(rows, cols, size)| Case {
            name: format!("gated_rmsnorm {rows}x{cols} in groups of {size}"),
            tolerance: 2e-5,
            why,
            run: Box::new(move |device| {
                let mut rng = Rng::new(1);
                let y = random(device, &mut rng, rows, cols);
                let z = random(device, &mut rng, rows, cols);
                let w = random(device, &mut rng, 1, cols);
                let form = |form| match device {
                    Device::Gpu(gpu) => on_gpu(gpu, [y.view(), z.view()], &w, 1e-5, size, form),
                    Device::Cpu => gated_rmsnorm(device, &y, &z, &w, 1e-5, size),
                };
                vec![form(NormForm::Narrow), form(NormForm::Wide)]
            }),
        })
        .collect();
    cases.push(Case {
        name: "gated_rmsnorm of columns 1..19 and 21..39 of 5x40".into(),
        tolerance: 2e-5,
        why,
        run: Box::new(|device| {
            let mut rng = Rng::new(2);
            let both = random(device, &mut rng, 5, 40);
            let w = random(device, &mut rng, 1, 18);
            vec![gated_rmsnorm(device, both.columns(1, 18), both.columns(21, 18), &w, 1e-3, 6)]
        }),
    });
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::largest_difference;

    #[test]
    fn the_cpu_form_is_the_equation() {
        let mut rng = Rng::new(3);
        let (rows, cols, size, eps) = (3, 15, 5, 1e-3);
        let (y, z) = (rng.normals(rows * cols, 2.0), rng.normals(rows * cols, 3.0));
        let w = rng.normals(cols, 1.0);
        let x: Vec<f64> = y
            .iter()
            .zip(&z)
            .map(|(&y, &z)| y as f64 * z as f64 / (1.0 + (-z as f64).exp()))
            .collect();
        let expected: Vec<f32> = (0..rows * cols)
            .map(|i| {
                let group = i / size * size;
                let squares: f64 = x[group..group + size].iter().map(|v| v * v).sum();
                let norm = (squares / size as f64 + eps as f64).sqrt();
                (w[i % cols] as f64 * x[i] / norm) as f32
            })
            .collect();
        let d = Device::Cpu;
        let (y, z) = (d.tensor(rows, cols, &y), d.tensor(rows, cols, &z));
        let found = gated_rmsnorm(&d, &y, &z, &d.tensor(1, cols, &w), eps, size);
        assert!(largest_difference(found.cpu(), &expected) < 2e-6);
    }
}
