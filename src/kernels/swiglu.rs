//! SwiGLU: y[t, j] = silu(gate[t, j]) * up[t, j], silu(g) = g / (1 + exp(-g)).
//!
//! Shapes: gate, up, y `[seq_len, d_ff]`. Source: Shazeer 2020, equation 5. The shader takes the sigmoid with the
//! exponent -|g|, so that nothing overflows; `math::exp` holds its result at the end of the range instead.

use super::cpu_gemm::Rows;
use super::each_row::each_row;
use super::math::silu;
use super::{Case, random, spread};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "swiglu",
    source: &[wgsl!(include_str!("../../shaders/swiglu.wgsl"))],
    reads: 2,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n: u32,
    cols: u32,
    gate_offset: u32,
    gate_stride: u32,
    up_offset: u32,
    up_stride: u32,
}

/// `silu(gate) * up`, both `[seq_len, d_ff]`.
pub fn swiglu<'a>(device: &Device, gate: impl Into<View<'a>>, up: impl Into<View<'a>>) -> Tensor {
    let (gate, up) = (gate.into(), up.into());
    assert_eq!((gate.rows, gate.cols), (up.rows, up.cols), "swiglu of two shapes");
    match device {
        Device::Cpu => Tensor::on_cpu(gate.rows, gate.cols, on_cpu(Rows::of(gate), Rows::of(up))),
        Device::Gpu(gpu) => on_gpu(gpu, gate, up),
    }
}

fn on_cpu(gate: Rows<'_>, up: Rows<'_>) -> Vec<f32> {
    each_row(
        gate.rows,
        gate.cols,
        #[inline(always)]
        |t, y| {
            let inputs = gate.row(t).iter().zip(up.row(t));
            for (y, (&g, u)) in y.iter_mut().zip(inputs) {
                *y = silu(g) * u;
            }
        },
    )
}

fn on_gpu(gpu: &Gpu, gate: View<'_>, up: View<'_>) -> Tensor {
    let n = gate.rows * gate.cols;
    let y = gpu.alloc(n * 4);
    let params = Params {
        n: n as u32,
        cols: gate.cols as u32,
        gate_offset: gate.offset() as u32,
        gate_stride: gate.stride() as u32,
        up_offset: up.offset() as u32,
        up_stride: up.stride() as u32,
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[gate.tensor.gpu(), up.tensor.gpu()],
        writes: &[&y],
        groups: spread(n.div_ceil(256)),
    });
    Tensor::on_gpu(gate.rows, gate.cols, y)
}

/// One element, around a workgroup of 256, a shape that divides nothing, large gates, and views.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, 1, 1.0), (5, 51, 1.0), (2, 128, 1.0), (1, 257, 40.0), (7, 130, 1.0)];
    let why = "exp is allowed a few units in the last place, relative to the result";
    let mut cases: Vec<Case> = sizes
        .into_iter()
        .map(|(rows, cols, scale)| Case {
            name: format!("swiglu {rows}x{cols} of size {scale}"),
            tolerance: 2e-6,
            why,
            run: Box::new(move |device| {
                let mut rng = Rng::new(21);
                let gate = device.tensor(rows, cols, &rng.normals(rows * cols, scale));
                let up = random(device, &mut rng, rows, cols);
                vec![swiglu(device, &gate, &up)]
            }),
        })
        .collect();
    cases.push(Case {
        name: "swiglu of columns 0..17 and 17..34 of 5x40".into(),
        tolerance: 2e-6,
        why,
        run: Box::new(|device| {
            let x = random(device, &mut Rng::new(22), 5, 40);
            vec![swiglu(device, x.columns(0, 17), x.columns(17, 17))]
        }),
    });
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swiglu_equals_its_equation_in_f64_and_survives_large_gates() {
        let device = Device::Cpu;
        let mut rng = Rng::new(3);
        let mut gate = rng.normals(3 * 7, 4.0);
        gate[0] = -200.0;
        gate[1] = 200.0;
        let up = rng.normals(3 * 7, 1.0);
        let y = swiglu(&device, &device.tensor(3, 7, &gate), &device.tensor(3, 7, &up));
        for ((g, u), y) in gate.iter().zip(&up).zip(y.cpu()) {
            let expected = *g as f64 / (1.0 + (-*g as f64).exp()) * *u as f64;
            assert!((*y as f64 - expected).abs() <= 5e-7 * expected.abs().max(1.0), "{g} {u}: {y}");
        }
    }
}
