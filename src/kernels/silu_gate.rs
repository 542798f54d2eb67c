//! SiLU gate: out[t, j] = y[t, j] * silu(z[t, j]), silu(z) = z / (1 + e^-z).
//!
//! Shapes: y, z, out `[seq_len, d]`. Source: the gate of a Mamba block (Gu & Dao 2023, section 3.4) and of a
//! gated MLP (Shazeer 2020).

use super::cpu_gemm::Rows;
use super::each_row::each_row;
use super::{Case, math, random, spread};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "silu_gate",
    source: &[wgsl!(include_str!("../../shaders/silu_gate.wgsl"))],
    reads: 2,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    y_offset: u32,
    y_stride: u32,
    z_offset: u32,
    z_stride: u32,
}

/// y * silu(z), both `[seq_len, d]`.
pub fn silu_gate<'a>(device: &Device, y: impl Into<View<'a>>, z: impl Into<View<'a>>) -> Tensor {
    let (y, z) = (y.into(), z.into());
    assert_eq!((y.rows, y.cols), (z.rows, z.cols), "silu_gate shapes");
    match device {
        Device::Cpu => Tensor::on_cpu(y.rows, y.cols, on_cpu(Rows::of(y), Rows::of(z))),
        Device::Gpu(gpu) => on_gpu(gpu, y, z),
    }
}

fn on_cpu(y: Rows<'_>, z: Rows<'_>) -> Vec<f32> {
    each_row(
        y.rows,
        y.cols,
        #[inline(always)]
        |t, out| {
            let gated = y.row(t).iter().zip(z.row(t));
            for (out, (y, &z)) in out.iter_mut().zip(gated) {
                *out = y * math::silu(z);
            }
        },
    )
}

fn on_gpu(gpu: &Gpu, y: View<'_>, z: View<'_>) -> Tensor {
    let out = gpu.alloc(y.rows * y.cols * 4);
    let params = Params {
        rows: y.rows as u32,
        cols: y.cols as u32,
        y_offset: y.offset() as u32,
        y_stride: y.stride() as u32,
        z_offset: z.offset() as u32,
        z_stride: z.stride() as u32,
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[y.tensor.gpu(), z.tensor.gpu()],
        writes: &[&out],
        groups: spread((y.rows * y.cols).div_ceil(64)),
    });
    Tensor::on_gpu(y.rows, y.cols, out)
}

/// One value, around the 64 lanes of a workgroup, and views of one tensor.
pub fn cases() -> Vec<Case> {
    let why = "the shader's exp is within 2 + 2|x| ulp (WGSL); sums are not involved";
    let mut cases: Vec<Case> = [(1, 1), (3, 21), (4, 16), (5, 13), (7, 130)]
        .into_iter()
        .map(|(rows, cols)| Case {
            name: format!("silu_gate {rows}x{cols}"),
            tolerance: 1e-5,
            why,
            run: Box::new(move |device| {
                let mut rng = Rng::new(1);
                let y = random(device, &mut rng, rows, cols);
                let z = device.tensor(rows, cols, &rng.normals(rows * cols, 6.0));
                vec![silu_gate(device, &y, &z)]
            }),
        })
        .collect();
    cases.push(Case {
        name: "silu_gate of columns 2..11 and 13..22 of 5x33".into(),
        tolerance: 1e-5,
        why,
        run: Box::new(|device| {
            let both = random(device, &mut Rng::new(2), 5, 33);
            vec![silu_gate(device, both.columns(2, 9), both.columns(13, 9))]
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
        let (y, z) = (rng.normals(35, 2.0), rng.normals(35, 9.0));
        let d = Device::Cpu;
        let found = silu_gate(&d, &d.tensor(5, 7, &y), &d.tensor(5, 7, &z));
        let expected: Vec<f32> = y
            .iter()
            .zip(&z)
            .map(|(&y, &z)| (y as f64 * z as f64 / (1.0 + (-z as f64).exp())) as f32)
            .collect();
        assert!(largest_difference(found.cpu(), &expected) < 1e-6);
    }
}
