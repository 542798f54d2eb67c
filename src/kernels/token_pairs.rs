//! Cosines of given pairs of rows: g[e] = x[left[e]] . x[right[e]] / (max(|x[left[e]]|, eps) max(|x[right[e]]|, eps)).
//!
//! Cosines are rounded to the steps of `token_match`, for the reason given there.
//! Shapes: x `[seq_len, d]`, left and right `[pairs]`, g `[pairs, 1]`. A zero row is similar to nothing and not NaN.
//! For methods that compare neighbours only (arXiv 2509.22691): O(seq_len d) instead of all pairs.

use super::token_match::{STEP, stepped};
use super::{Case, groups};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, Tensor, View};
use bytemuck::{Pod, Zeroable};

/// Rows this short have no direction.
const EPS: f32 = 1e-6;
const LANES: usize = 16;

static SHADER: Shader = Shader {
    name: "token_pairs",
    source: &[wgsl!(include_str!("../../shaders/token_pairs.wgsl"))],
    reads: 3,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    pairs: u32,
    cols: u32,
    x_offset: u32,
    x_stride: u32,
    eps: f32,
}

/// Cosines of the rows `left[e]` and `right[e]` of `x`: `[pairs, 1]`.
pub fn token_pairs<'a>(device: &Device, x: impl Into<View<'a>>, left: &Ids, right: &Ids) -> Tensor {
    let x = x.into();
    assert!(!left.is_empty() && left.len() == right.len(), "token_pairs ends");
    match device {
        Device::Cpu => {
            let pairs = left.cpu().iter().zip(right.cpu());
            let cosine = |(&a, &b)| cosine(x.cpu_row(a as usize), x.cpu_row(b as usize));
            Tensor::on_cpu(left.len(), 1, pairs.map(cosine).collect())
        }
        Device::Gpu(gpu) => on_gpu(gpu, x, left, right),
    }
}

/// Sums in 16 lanes, in the order of the shader.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let sum = |a: &[f32], b: &[f32]| {
        let mut partial = [0.0f32; LANES];
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            partial.iter_mut().zip(a.iter().zip(b)).for_each(|(p, (a, b))| *p += a * b);
        }
        partial.iter().fold(0.0, |total, p| total + p)
    };
    stepped(sum(a, b) / (sum(a, a).sqrt().max(EPS) * sum(b, b).sqrt().max(EPS)))
}

fn on_gpu(gpu: &Gpu, x: View<'_>, left: &Ids, right: &Ids) -> Tensor {
    let cosines = gpu.alloc(left.len() * 4);
    let params = Params {
        pairs: left.len() as u32,
        cols: x.cols as u32,
        x_offset: x.offset() as u32,
        x_stride: x.stride() as u32,
        eps: EPS,
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[x.tensor.gpu(), left.gpu(), right.gpu()],
        writes: &[&cosines],
        groups: [groups(left.len(), 4), 1, 1],
    });
    Tensor::on_gpu(left.len(), 1, cosines)
}

/// Sizes 1, around the 16 lanes and 4 pairs, and one that divides nothing; a zero row; all on views.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (3, 15), (4, 16), (5, 17), (77, 130)];
    let case = |(pairs, cols): (usize, usize)| Case {
        name: format!("token_pairs {pairs} pairs of width {cols}"),
        tolerance: 1.01 * STEP,
        why: "division and square root may round otherwise, and then to another step",
        run: Box::new(move |device| {
            let mut rng = Rng::new(6);
            let rows = pairs + 2;
            let mut values = rng.normals(rows * (cols + 3), 1.0);
            values[..cols + 3].fill(0.0);
            let x = device.tensor(rows, cols + 3, &values);
            let left: Vec<u32> = (0..pairs as u32).collect();
            let right: Vec<u32> = (0..pairs).map(|_| rng.below(rows) as u32).collect();
            let (left, right) = (device.ids(&left), device.ids(&right));
            vec![token_pairs(device, x.columns(3, cols), &left, &right)]
        }),
    };
    sizes.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::super::random;
    use super::*;

    #[test]
    fn cosines_are_those_of_a_plain_transcription() {
        let (rows, cols) = (9, 37);
        let x = random(&Device::Cpu, &mut Rng::new(2), rows, cols);
        let left: Vec<u32> = (0..rows as u32).collect();
        let right: Vec<u32> = left.iter().map(|i| (i * 4 + 1) % rows as u32).collect();
        let cpu = Device::Cpu;
        let found = token_pairs(&cpu, &x, &cpu.ids(&left), &cpu.ids(&right));
        for (e, (&a, &b)) in left.iter().zip(&right).enumerate() {
            let row = |i: u32| x.view().cpu_row(i as usize).iter().map(|&v| f64::from(v));
            let dot = |i, j| row(i).zip(row(j)).map(|(u, v)| u * v).sum::<f64>();
            let expected = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            // Half a step, and the rounding of a sum of 37.
            let bound = f64::from(STEP) / 2.0 + 1e-6;
            assert!((f64::from(found.cpu()[e]) - expected).abs() < bound);
        }
    }
}
