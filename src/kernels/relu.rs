//! ReLU: y = max(x, 0).
//!
//! Shapes: x, y `[seq_len, d_ff]`. Source: Nair & Hinton 2010, section 2; the activation of OPT.

use super::{Case, random, spread};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "relu",
    source: &[wgsl!(include_str!("../../shaders/relu.wgsl"))],
    reads: 1,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n: u32,
}

/// ReLU of every element of `x` `[seq_len, d_ff]`.
pub fn relu(device: &Device, x: &Tensor) -> Tensor {
    match device {
        Device::Cpu => {
            let y = x.cpu().iter().map(|x| x.max(0.0)).collect();
            Tensor::on_cpu(x.rows(), x.cols(), y)
        }
        Device::Gpu(gpu) => on_gpu(gpu, x),
    }
}

fn on_gpu(gpu: &Gpu, x: &Tensor) -> Tensor {
    let n = x.rows() * x.cols();
    let y = gpu.alloc(n * 4);
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&Params { n: n as u32 }),
        reads: &[x.gpu()],
        writes: &[&y],
        groups: spread(n.div_ceil(256)),
    });
    Tensor::on_gpu(x.rows(), x.cols(), y)
}

/// One element, around a workgroup of 256, a shape that divides nothing.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (5, 51), (2, 128), (1, 257), (7, 130)];
    let make = |(rows, cols)| Case {
        name: format!("relu {rows}x{cols}"),
        tolerance: 0.0,
        why: "the larger of two numbers is exact",
        run: Box::new(move |device| {
            vec![relu(device, &random(device, &mut Rng::new(17), rows, cols))]
        }),
    };
    sizes.into_iter().map(make).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_zero_becomes_zero() {
        let device = Device::Cpu;
        let x = device.tensor(1, 4, &[-1.0, 0.0, 2.5, -0.0]);
        assert_eq!(relu(&device, &x).cpu(), [0.0, 0.0, 2.5, 0.0]);
    }
}
