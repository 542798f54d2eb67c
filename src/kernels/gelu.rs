//! GELU: y = x Phi(x), with Phi exact (erf) or by tanh.
//!
//! Erf:  Phi(x) = (1 + erf(x / sqrt 2)) / 2 (`gelu`).
//! Tanh: Phi(x) = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 (`gelu_new`, `gelu_pytorch_tanh`).
//!
//! Shapes: x, y `[seq_len, d_ff]`. Source: Hendrycks & Gimpel 2016, section 2.
//! erf(z) is z P(z^2) below 1 (Chebyshev interpolation of degree 5, |error| <= 4e-8) and 1 - poly(t) exp(-z^2) above
//! (Abramowitz & Stegun 7.1.26, |error| <= 1.5e-7), taken as erfc in the negative tail, where 1 + erf would cancel.
//! (1 + tanh(w)) / 2 is taken as the sigmoid of 2 w for the same reason.

use super::cpu_gemm::Rows;
use super::each_row::each_row;
use super::math::exp;
use super::{Case, spread};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor};
use bytemuck::{Pod, Zeroable};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

static SHADER: Shader = Shader {
    name: "gelu",
    source: &[wgsl!(include_str!("../../shaders/gelu.wgsl"))],
    reads: 1,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n: u32,
}

/// Which form of Phi.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gelu {
    /// Exact: HF's `gelu`.
    Erf,
    /// The tanh approximation: HF's `gelu_new` and `gelu_pytorch_tanh`.
    Tanh,
}

/// GELU of every element of `x` `[seq_len, d_ff]`.
pub fn gelu(device: &Device, x: &Tensor, kind: Gelu) -> Tensor {
    match device {
        Device::Cpu => Tensor::on_cpu(x.rows(), x.cols(), on_cpu(Rows::of(x.view()), kind)),
        Device::Gpu(gpu) => on_gpu(gpu, x, kind),
    }
}

fn on_cpu(x: Rows<'_>, kind: Gelu) -> Vec<f32> {
    match kind {
        Gelu::Erf => each(x, erf_form),
        Gelu::Tanh => each(x, tanh_form),
    }
}

#[inline(always)]
fn each(x: Rows<'_>, f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    each_row(
        x.rows,
        x.cols,
        #[inline(always)]
        |t, y| {
            for (y, &x) in y.iter_mut().zip(x.row(t)) {
                *y = f(x);
            }
        },
    )
}

/// erfc(a) for a >= 0. Both branches are computed, so that a loop over a slice can become SIMD code.
#[inline(always)]
fn erfc(a: f32) -> f32 {
    const A: [f32; 5] = [0.254_829_6, -0.284_496_72, 1.421_413_8, -1.453_152, 1.061_405_4];
    const P: [f32; 6] = [
        FRAC_2_SQRT_PI,
        -0.376_123_44,
        0.112_803_17,
        -0.026_715_055,
        0.004_921_762,
        -0.000_564_806,
    ];
    let z = a * a;
    let near = P[0] + z * (P[1] + z * (P[2] + z * (P[3] + z * (P[4] + z * P[5]))));
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let far = t * (A[0] + t * (A[1] + t * (A[2] + t * (A[3] + t * A[4]))));
    let far = far * exp(-z);
    if a < 1.0 { 1.0 - a * near } else { far }
}

#[inline(always)]
fn erf_form(x: f32) -> f32 {
    let tail = 0.5 * erfc(x.abs() * FRAC_1_SQRT_2);
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

#[inline(always)]
fn tanh_form(x: f32) -> f32 {
    /// 2 sqrt(2 / pi)
    const SCALE: f32 = 1.595_769;
    let u = SCALE * (x + 0.044_715 * x * x * x);
    let e = exp(-u.abs());
    let above = if u < 0.0 { e } else { 1.0 };
    x * above / (1.0 + e)
}

fn on_gpu(gpu: &Gpu, x: &Tensor, kind: Gelu) -> Tensor {
    let n = x.rows() * x.cols();
    let y = gpu.alloc(n * 4);
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: match kind {
            Gelu::Erf => "erf_form",
            Gelu::Tanh => "tanh_form",
        },
        constants: &[],
        params: bytemuck::bytes_of(&Params { n: n as u32 }),
        reads: &[x.gpu()],
        writes: &[&y],
        groups: spread(n.div_ceil(256)),
    });
    Tensor::on_gpu(x.rows(), x.cols(), y)
}

/// One element, around a workgroup of 256, a shape that divides nothing; both forms, small and large values.
pub fn cases() -> Vec<Case> {
    let shapes = [(1, 1, 1.0), (5, 51, 1.0), (2, 128, 3.0), (1, 257, 30.0), (7, 130, 1.0)];
    let kinds = [Gelu::Erf, Gelu::Tanh];
    let make = |((rows, cols, scale), kind): ((usize, usize, f32), Gelu)| Case {
        name: format!("gelu {kind:?} {rows}x{cols} of size {scale}"),
        tolerance: 2e-6,
        why: "exp and division are allowed a few units in the last place",
        run: Box::new(move |device| {
            let x = device.tensor(rows, cols, &Rng::new(31).normals(rows * cols, scale));
            vec![gelu(device, &x, kind)]
        }),
    };
    shapes.into_iter().flat_map(|s| kinds.map(|k| make((s, k)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erf in f64 by its Maclaurin series; enough terms for |x| <= 5, where the largest is about e^25.
    fn erf(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..200 {
            term *= -x * x / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn erf_stays_within_3e_7() {
        for i in 0..=36_000 {
            let a = i as f32 * 1e-4;
            let error = (1.0 - erfc(a) as f64 - erf(a as f64)).abs();
            assert!(error <= 3e-7, "erf({a}): {error:e}");
        }
    }

    #[test]
    fn both_forms_equal_their_equations_in_f64() {
        let x: Vec<f32> = (-500..=500).map(|i| i as f32 * 1e-2).collect();
        let device = Device::Cpu;
        let input = device.tensor(7, 143, &x);
        let exact = gelu(&device, &input, Gelu::Erf);
        let tanh = gelu(&device, &input, Gelu::Tanh);
        for (i, x) in x.iter().map(|&x| x as f64).enumerate() {
            let e = x * (1.0 + erf(x / 2f64.sqrt())) / 2.0;
            let w = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            let t = x * (1.0 + w.tanh()) / 2.0;
            let bound = 5e-7 * x.abs().max(1.0);
            assert!((exact.cpu()[i] as f64 - e).abs() <= bound, "erf form at {x}");
            assert!((tanh.cpu()[i] as f64 - t).abs() <= bound, "tanh form at {x}");
        }
    }

    #[test]
    fn extremes_neither_overflow_nor_become_nan() {
        for f in [erf_form, tanh_form] {
            assert_eq!((f(1e4), f(0.0)), (1e4, 0.0));
            // `math::exp` ends at 1e-38, not at 0.
            assert!(f(-1e4).abs() < 1e-30);
        }
    }
}
