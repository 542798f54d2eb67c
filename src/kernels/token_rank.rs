//! Rows in increasing order of their value; equal values in the order of their rows.
//!
//! order[#{j : (v_j, j) < (v_i, i)}] = i for the rows i of a range. Ranking by counting needs no barrier and no
//! communication, O(n^2) compares that are cheap up to many thousands of rows.
//! Values are compared as integers that sort like the floats (and -0 like 0), so that the order is total: whatever
//! the values are, NaN included, the result is a permutation and later kernels index inside their buffers.

use super::rows::numbers;
use super::{Case, groups};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, Tensor};
use crate::order;
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

static SHADER: Shader = Shader {
    name: "token_rank",
    source: &[wgsl!(include_str!("../../shaders/token_rank.wgsl"))],
    reads: 1,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    first: u32,
    n: u32,
}

/// The rows of `range` in increasing order of `values` `[seq_len, 1]`; gives `[range.len()]` row numbers.
pub fn token_rank(device: &Device, values: &Tensor, range: Range<usize>) -> Ids {
    assert!(values.cols() == 1 && range.end <= values.rows(), "token_rank range");
    assert!(!range.is_empty(), "token_rank of nothing");
    match device {
        Device::Cpu => {
            let v = values.cpu();
            let mut keys: Vec<u64> = range.map(|i| order::pair(sort_key(v[i]), i as u32)).collect();
            order::sort(&mut keys);
            Ids::on_cpu(keys.into_iter().map(|key| key as u32).collect())
        }
        Device::Gpu(gpu) => on_gpu(gpu, values, range),
    }
}

/// An integer that sorts like the float.
pub(super) fn sort_key(value: f32) -> u32 {
    const SIGN: u32 = 1 << 31;
    let bits = if value == 0.0 { 0 } else { value.to_bits() };
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn on_gpu(gpu: &Gpu, values: &Tensor, range: Range<usize>) -> Ids {
    let order = gpu.alloc(range.len() * 4);
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&Params { first: range.start as u32, n: range.len() as u32 }),
        reads: &[values.gpu()],
        writes: &[&order],
        groups: [groups(range.len(), 64), 1, 1],
    });
    Ids::on_gpu(range.len(), order)
}

/// Sizes 1, around the workgroup of 64, and one that divides nothing; values with many ties and signs.
pub fn cases() -> Vec<Case> {
    let ranges = [(1, 0..1), (70, 3..66), (64, 0..64), (70, 2..67), (301, 1..297)];
    let case = |(n, range): (usize, Range<usize>)| Case {
        name: format!("token_rank {range:?} of {n}"),
        tolerance: 0.0,
        why: "integers",
        run: Box::new(move |device| {
            let mut rng = Rng::new(1);
            let mut values: Vec<f32> = (0..n).map(|_| rng.below(9) as f32 * 0.5 - 2.0).collect();
            values[n / 2] = -0.0;
            let values = device.tensor(n, 1, &values);
            vec![numbers(device, &token_rank(device, &values, range.clone()), n)]
        }),
    };
    ranges.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_total_whatever_the_values() {
        let values = [f32::NAN, 1.0, -0.0, f32::NEG_INFINITY, 0.0, -f32::NAN, 1.0, f32::INFINITY];
        let tensor = Device::Cpu.tensor(8, 1, &values);
        let order = token_rank(&Device::Cpu, &tensor, 0..8);
        assert_eq!(order.cpu(), [5, 3, 2, 4, 1, 6, 7, 0]);
    }

    #[test]
    fn ranks_are_counts_of_smaller_pairs() {
        let (n, mut rng) = (57, Rng::new(2));
        let values: Vec<f32> = (0..n).map(|_| rng.below(7) as f32 - 3.0).collect();
        let order = token_rank(&Device::Cpu, &Device::Cpu.tensor(n, 1, &values), 4..50);
        for i in 4..50 {
            let less = |&j: &usize| (values[j], j) < (values[i], i);
            assert_eq!(order.cpu()[(4..50).filter(less).count()], i as u32);
        }
    }
}
