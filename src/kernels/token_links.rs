//! The edges into every kept row as a linked list, so that merging reads only the edges it needs.
//!
//! head[k] = the first edge e with target[e] = keep[k]; next[e] = the first later edge with the same target;
//! both are the number of edges where there is none. Shapes: keep, head `[kept]`, target, next `[edges]`.
//! No atomics, and a list is in increasing order of its edges, so sums have one order on every device and "the
//! first m edges" is where a walk stops.

use super::rows::numbers;
use super::{Case, groups};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "token_links",
    source: &[wgsl!(include_str!("../../shaders/token_links.wgsl"))],
    reads: 2,
    writes: 2,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    kept: u32,
    edges: u32,
}

/// Lists of edges by target.
pub struct Links {
    /// The first edge into every kept row `[kept]`; the number of edges where there is none.
    pub head: Ids,
    /// The next edge with the same target `[edges]`; the number of edges where there is none.
    pub next: Ids,
}

/// Links the edges with these targets. An edge whose target is not kept is in no list.
pub fn token_links(device: &Device, keep: &Ids, target: &Ids) -> Links {
    match device {
        Device::Cpu => on_cpu(keep.cpu(), target.cpu()),
        Device::Gpu(gpu) => on_gpu(gpu, keep, target),
    }
}

fn on_cpu(keep: &[u32], target: &[u32]) -> Links {
    let none = target.len() as u32;
    let rows = keep.iter().chain(target).max().map_or(0, |&row| row as usize + 1);
    // From the last edge to the first: what is already there comes later.
    let mut first = vec![none; rows];
    let mut next = vec![none; target.len()];
    for (e, &row) in target.iter().enumerate().rev() {
        next[e] = std::mem::replace(&mut first[row as usize], e as u32);
    }
    let head = keep.iter().map(|&row| first[row as usize]).collect();
    Links { head: Ids::on_cpu(head), next: Ids::on_cpu(next) }
}

fn on_gpu(gpu: &Gpu, keep: &Ids, target: &Ids) -> Links {
    let (head, next) = (gpu.alloc(keep.len() * 4), gpu.alloc(target.len() * 4));
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&Params { kept: keep.len() as u32, edges: target.len() as u32 }),
        reads: &[keep.gpu(), target.gpu()],
        writes: &[&head, &next],
        groups: [groups(keep.len().max(target.len()), 64), 1, 1],
    });
    Links { head: Ids::on_gpu(keep.len(), head), next: Ids::on_gpu(target.len(), next) }
}

/// Sizes 1, around the workgroup of 64, more edges than rows and fewer.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (63, 64), (64, 9), (65, 63), (20, 301)];
    let case = |(kept, edges): (usize, usize)| Case {
        name: format!("token_links {edges} edges into {kept} rows"),
        tolerance: 0.0,
        why: "integers",
        run: Box::new(move |device| {
            let mut rng = Rng::new(1);
            let keep: Vec<u32> = (0..kept).map(|i| 3 * i as u32 + 1).collect();
            let target: Vec<u32> = (0..edges).map(|_| keep[rng.below(kept)]).collect();
            let links = token_links(device, &device.ids(&keep), &device.ids(&target));
            [links.head, links.next].iter().map(|ids| numbers(device, ids, edges + 1)).collect()
        }),
    };
    sizes.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_holds_its_edges_in_order() {
        let cpu = Device::Cpu;
        let links = token_links(&cpu, &cpu.ids(&[2, 4, 7]), &cpu.ids(&[7, 2, 7, 7, 5]));
        assert_eq!(links.head.cpu(), [1, 5, 0]);
        assert_eq!(links.next.cpu(), [2, 5, 3, 5, 5]);
    }
}
