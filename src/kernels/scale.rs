//! Multiple: y = factor * x (the multipliers of Granite).
//!
//! Shapes: x, y `[seq_len, d]`.

use super::{Case, random, spread};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "scale",
    source: &[wgsl!(include_str!("../../shaders/scale.wgsl"))],
    reads: 1,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n: u32,
    factor: f32,
}

/// `factor` times every element of `x` `[seq_len, d]`; `x` itself where the factor is 1.
pub fn scale(device: &Device, x: Tensor, factor: f32) -> Tensor {
    if factor == 1.0 {
        return x;
    }
    match device {
        Device::Cpu => {
            let y = x.cpu().iter().map(|x| factor * x).collect();
            Tensor::on_cpu(x.rows(), x.cols(), y)
        }
        Device::Gpu(gpu) => on_gpu(gpu, &x, factor),
    }
}

fn on_gpu(gpu: &Gpu, x: &Tensor, factor: f32) -> Tensor {
    let n = x.rows() * x.cols();
    let y = gpu.alloc(n * 4);
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&Params { n: n as u32, factor }),
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
        name: format!("scale {rows}x{cols}"),
        tolerance: 0.0,
        why: "one product is rounded in one way only",
        run: Box::new(move |device| {
            vec![scale(device, random(device, &mut Rng::new(18), rows, cols), 0.22)]
        }),
    };
    sizes.into_iter().map(make).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_multiplied() {
        let device = Device::Cpu;
        let x = device.tensor(1, 3, &[-1.0, 0.0, 2.5]);
        assert_eq!(scale(&device, x, 4.0).cpu(), [-4.0, 0.0, 10.0]);
    }
}
