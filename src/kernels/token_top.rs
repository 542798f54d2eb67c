//! What UTRC's released code makes of a hybrid edge: per channel, only the larger values are averaged in.
//!
//! out[j] = (x[into, j] + sum of the `count` largest of x[source[e], j]) / (1 + count). Shapes: x `[seq_len, d]`,
//! source `[sources]`, out `[1, d]`. Source: read off the code at github wuyushuwys/ToR_SSM; the paper has no such step.

use super::token_rank::sort_key;
use super::{Case, groups};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, Tensor, View};
use crate::order;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "token_top",
    source: &[wgsl!(include_str!("../../shaders/token_top.wgsl"))],
    reads: 2,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    sources: u32,
    count: u32,
    into: u32,
    cols: u32,
    x_offset: u32,
    x_stride: u32,
}

/// Row `into` of `x` averaged, channel by channel, with the `count` largest values of the rows `source`: `[1, d]`.
pub fn token_top<'a>(
    device: &Device,
    x: impl Into<View<'a>>,
    source: &Ids,
    count: usize,
    into: usize,
) -> Tensor {
    let x = x.into();
    assert!(count <= source.len() && into < x.rows, "token_top {count} of {}", source.len());
    match device {
        Device::Cpu => Tensor::on_cpu(1, x.cols, on_cpu(x, source.cpu(), count, into)),
        Device::Gpu(gpu) => on_gpu(gpu, x, source, count, into),
    }
}

fn on_cpu(x: View<'_>, source: &[u32], count: usize, into: usize) -> Vec<f32> {
    let column = |j: usize| {
        let value = |e: usize| x.cpu_row(source[e] as usize)[j];
        let key = |e: usize| order::pair(!sort_key(value(e)), e as u32);
        let mut keys: Vec<u64> = (0..source.len()).map(key).collect();
        order::sort(&mut keys);
        // In the order of the edges, as the shader adds.
        let mut edges: Vec<u64> = keys[..count].iter().map(|key| key & 0xffff_ffff).collect();
        order::sort(&mut edges);
        let sum = edges.into_iter().fold(x.cpu_row(into)[j], |sum, e| sum + value(e as usize));
        sum / (1 + count) as f32
    };
    (0..x.cols).map(column).collect()
}

fn on_gpu(gpu: &Gpu, x: View<'_>, source: &Ids, count: usize, into: usize) -> Tensor {
    let out = gpu.alloc(x.cols * 4);
    let params = Params {
        sources: source.len() as u32,
        count: count as u32,
        into: into as u32,
        cols: x.cols as u32,
        x_offset: x.offset() as u32,
        x_stride: x.stride() as u32,
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[x.tensor.gpu(), source.gpu()],
        writes: &[&out],
        groups: [groups(x.cols, 64), 1, 1],
    });
    Tensor::on_gpu(1, x.cols, out)
}

/// Sizes 1, around the workgroup of 64 columns, none and all of the sources, equal values; all on views.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, 1, 0), (1, 63, 1), (5, 64, 2), (9, 65, 9), (33, 130, 16)];
    let case = |(sources, cols, count): (usize, usize, usize)| Case {
        name: format!("token_top {count} of {sources} sources of width {cols}"),
        tolerance: 1e-6,
        why: "the same sums in the same order; one division",
        run: Box::new(move |device| {
            let mut rng = Rng::new(8);
            // Halves, so that many values are equal.
            let halves = |v: f32| (v * 2.0).round() / 2.0;
            let values: Vec<f32> =
                rng.normals((sources + 2) * (cols + 3), 1.0).into_iter().map(halves).collect();
            let x = device.tensor(sources + 2, cols + 3, &values);
            let source: Vec<u32> = (2..sources as u32 + 2).collect();
            vec![token_top(device, x.columns(3, cols), &device.ids(&source), count, 1)]
        }),
    };
    sizes.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::super::random;
    use super::*;

    #[test]
    fn only_the_largest_values_of_every_channel_count() {
        let cpu = Device::Cpu;
        let x = cpu.tensor(4, 2, &[1.0, -8.0, 2.0, 5.0, 4.0, -1.0, 3.0, 2.0]);
        let found = token_top(&cpu, &x, &cpu.ids(&[0, 2, 3]), 2, 1);
        assert_eq!(found.cpu(), [(2.0 + 4.0 + 3.0) / 3.0, (5.0 + 2.0 - 1.0) / 3.0]);
    }

    #[test]
    fn it_agrees_with_sorting_in_f64() {
        let (rows, cols, count) = (12, 7, 4);
        let x = random(&Device::Cpu, &mut Rng::new(3), rows, cols);
        let source: Vec<u32> = (1..rows as u32).collect();
        let found = token_top(&Device::Cpu, &x, &Device::Cpu.ids(&source), count, 0);
        for j in 0..cols {
            let at = |t: usize| f64::from(x.view().cpu_row(t)[j]);
            let mut values: Vec<f64> = (1..rows).map(at).collect();
            values.sort_by(f64::total_cmp);
            let top: f64 = values[rows - 1 - count..].iter().sum();
            let expected = (at(0) + top) / (1 + count) as f64;
            assert!((f64::from(found.cpu()[j]) - expected).abs() < 1e-6);
        }
    }
}
