//! The most likely token of every row: id[t] = argmax_i logits[t, i], the smaller id among equals.
//!
//! Shapes: logits `[rows, vocab_size]`, finite; id `[rows]`. It stays on the device, so that the next token can be read
//! before anybody has seen this one: a readback takes longer than a token on a fast GPU.

use super::rows::numbers;
use super::{Case, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "greedy",
    source: &[wgsl!(include_str!("../../shaders/greedy.wgsl"))],
    reads: 1,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    cols: u32,
    offset: u32,
    stride: u32,
}

/// The most likely token of each row of `logits` `[rows, vocab_size]`.
pub fn greedy<'a>(device: &Device, logits: impl Into<View<'a>>) -> Ids {
    let logits = logits.into();
    assert!(logits.rows > 0 && logits.cols > 0, "greedy of no logits");
    match device {
        Device::Cpu => {
            let rows = (0..logits.rows).map(|t| largest(logits.cpu_row(t)));
            Ids::on_cpu(rows.collect())
        }
        Device::Gpu(gpu) => on_gpu(gpu, logits),
    }
}

/// The place of the largest value, the first among equals.
pub fn largest(values: &[f32]) -> u32 {
    let better = |best, i| if values[i] > values[best] { i } else { best };
    (0..values.len()).fold(0, better) as u32
}

fn on_gpu(gpu: &Gpu, logits: View<'_>) -> Ids {
    let ids = gpu.alloc(logits.rows * 4);
    let params = Params {
        cols: logits.cols as u32,
        offset: logits.offset() as u32,
        stride: logits.stride() as u32,
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[logits.tensor.gpu()],
        writes: &[&ids],
        groups: [logits.rows as u32, 1, 1],
    });
    Ids::on_gpu(logits.rows, ids)
}

/// One value, around the 256 lanes, a width that divides nothing; equal values; on views.
pub fn cases() -> Vec<Case> {
    let case = |(rows, cols): (usize, usize)| Case {
        name: format!("greedy {rows}x{cols}"),
        tolerance: 0.0,
        why: "nothing is computed but comparisons",
        run: Box::new(move |device| {
            let x = random(device, &mut Rng::new(14), rows, cols + 3);
            // Few different values, so that most rows have several that are the largest.
            let few: Vec<f32> = (0..rows * cols).map(|i| (i * 7 % 5) as f32).collect();
            let few = device.tensor(rows, cols, &few);
            let numbers = |ids: Ids| numbers(device, &ids, cols);
            vec![numbers(greedy(device, x.columns(2, cols))), numbers(greedy(device, &few))]
        }),
    };
    [(1, 1), (2, 255), (3, 256), (1, 257), (5, 1003)].into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_largest_is_taken() {
        let x = Device::Cpu.tensor(2, 3, &[1.0, 3.0, 3.0, -1.0, -2.0, -3.0]);
        assert_eq!(greedy(&Device::Cpu, &x).cpu(), [1, 0]);
    }
}
