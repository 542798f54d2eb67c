//! Sum: y[t, j] = a[t, j] + b[t, j] (the residual stream).
//!
//! Shapes: a, b, y `[seq_len, d]`.

use super::{Case, random, spread};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "add",
    source: &[wgsl!(include_str!("../../shaders/add.wgsl"))],
    reads: 2,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n: u32,
    cols: u32,
    a_offset: u32,
    a_stride: u32,
    b_offset: u32,
    b_stride: u32,
}

/// `a + b`, both `[seq_len, d]`.
pub fn add<'a>(device: &Device, a: impl Into<View<'a>>, b: impl Into<View<'a>>) -> Tensor {
    let (a, b) = (a.into(), b.into());
    assert_eq!((a.rows, a.cols), (b.rows, b.cols), "add of two shapes");
    match device {
        Device::Cpu => Tensor::on_cpu(a.rows, a.cols, on_cpu(a, b)),
        Device::Gpu(gpu) => on_gpu(gpu, a, b),
    }
}

fn on_cpu(a: View<'_>, b: View<'_>) -> Vec<f32> {
    let mut y = Vec::with_capacity(a.rows * a.cols);
    for t in 0..a.rows {
        y.extend(a.cpu_row(t).iter().zip(b.cpu_row(t)).map(|(a, b)| a + b));
    }
    y
}

fn on_gpu(gpu: &Gpu, a: View<'_>, b: View<'_>) -> Tensor {
    let n = a.rows * a.cols;
    let y = gpu.alloc(n * 4);
    let params = Params {
        n: n as u32,
        cols: a.cols as u32,
        a_offset: a.offset() as u32,
        a_stride: a.stride() as u32,
        b_offset: b.offset() as u32,
        b_stride: b.stride() as u32,
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[a.tensor.gpu(), b.tensor.gpu()],
        writes: &[&y],
        groups: spread(n.div_ceil(256)),
    });
    Tensor::on_gpu(a.rows, a.cols, y)
}

/// One element, around a workgroup of 256, a shape that divides nothing, and two views of one tensor.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (5, 51), (2, 128), (1, 257), (7, 130)];
    let why = "one addition is rounded in one way only";
    let mut cases: Vec<Case> = sizes
        .into_iter()
        .map(|(rows, cols)| Case {
            name: format!("add {rows}x{cols}"),
            tolerance: 0.0,
            why,
            run: Box::new(move |device| {
                let mut rng = Rng::new(11);
                let a = random(device, &mut rng, rows, cols);
                let b = random(device, &mut rng, rows, cols);
                vec![add(device, &a, &b)]
            }),
        })
        .collect();
    cases.push(Case {
        name: "add of columns 3..20 and 9..26 of 5x33".into(),
        tolerance: 0.0,
        why,
        run: Box::new(|device| {
            let x = random(device, &mut Rng::new(12), 5, 33);
            vec![add(device, x.columns(3, 17), x.columns(9, 17))]
        }),
    });
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_two_views_is_taken_element_by_element() {
        let device = Device::Cpu;
        let x = device.tensor(2, 4, &[1.0, 2.0, 30.0, 40.0, 5.0, 6.0, 70.0, 80.0]);
        let y = add(&device, x.columns(0, 2), x.columns(2, 2));
        assert_eq!(y.cpu(), [31.0, 42.0, 75.0, 86.0]);
    }
}
