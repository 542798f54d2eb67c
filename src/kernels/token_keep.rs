//! The rows that stay: all of 0..seq_len without `removed`, increasing.
//!
//! keep[i - #{r in removed : r < i}] = i for every i not in removed. Counting again instead of a prefix sum: no
//! barrier, seq_len * removed compares. Shapes: removed `[r]` (distinct, any order), keep `[seq_len - r]`.

use super::rows::numbers;
use super::{Case, groups};
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "token_keep",
    source: &[wgsl!(include_str!("../../shaders/token_keep.wgsl"))],
    reads: 1,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    removed: u32,
}

/// The rows of `0..rows` that are not among the distinct rows `removed`; at least one stays.
pub fn token_keep(device: &Device, removed: &Ids, rows: usize) -> Ids {
    assert!(removed.len() < rows, "token_keep removes {} of {rows}", removed.len());
    match device {
        Device::Cpu => {
            let mut stays = vec![true; rows];
            removed.cpu().iter().for_each(|&row| stays[row as usize] = false);
            Ids::on_cpu((0..rows as u32).filter(|&row| stays[row as usize]).collect())
        }
        Device::Gpu(gpu) => on_gpu(gpu, removed, rows),
    }
}

fn on_gpu(gpu: &Gpu, removed: &Ids, rows: usize) -> Ids {
    let kept = rows - removed.len();
    let keep = gpu.alloc(kept * 4);
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&Params { rows: rows as u32, removed: removed.len() as u32 }),
        reads: &[removed.gpu()],
        writes: &[&keep],
        groups: [groups(rows, 64), 1, 1],
    });
    Ids::on_gpu(kept, keep)
}

/// Sizes around the workgroup of 64, and one that divides nothing.
pub fn cases() -> Vec<Case> {
    let sizes = [(2, 1), (63, 30), (64, 1), (65, 64), (301, 77)];
    let case = |(rows, removed): (usize, usize)| Case {
        name: format!("token_keep without {removed} of {rows}"),
        tolerance: 0.0,
        why: "integers",
        run: Box::new(move |device| {
            let gone: Vec<u32> = (0..removed).rev().map(|i| (i * rows / removed) as u32).collect();
            let keep = token_keep(device, &device.ids(&gone), rows);
            vec![numbers(device, &keep, rows)]
        }),
    };
    sizes.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_stay_in_order() {
        let cpu = Device::Cpu;
        assert_eq!(token_keep(&cpu, &cpu.ids(&[5, 0, 3]), 7).cpu(), [1, 2, 4, 6]);
    }
}
