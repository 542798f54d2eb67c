//! The most similar edges: the first `count` of all edges in decreasing order of similarity, equal ones in
//! increasing order of their source.
//!
//! source'[r] = source[e], target'[r] = target[e] with r = #{d : (-g_d, source_d) < (-g_e, source_e)} < count.
//! Shapes: g `[edges, 1]`, source and target `[edges]` or longer, outputs `[count]`. Ranked by counting, as in
//! `token_rank`. Source: arXiv 2410.14725, step 4.

use super::rows::numbers;
use super::token_rank::sort_key;
use super::{Case, groups, token_rank};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, Tensor};
use crate::order;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "token_select",
    source: &[wgsl!(include_str!("../../shaders/token_select.wgsl"))],
    reads: 3,
    writes: 2,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    edges: u32,
    count: u32,
}

/// (sources, targets) of the `count` most similar edges, most similar first.
pub fn token_select(
    device: &Device,
    similarity: &Tensor,
    source: &Ids,
    target: &Ids,
    count: usize,
) -> (Ids, Ids) {
    let edges = similarity.rows();
    assert!((1..=edges).contains(&count), "token_select {count} of {edges} edges");
    assert!(source.len() >= edges && target.len() >= edges, "token_select ends");
    match device {
        Device::Cpu => on_cpu(similarity.cpu(), source.cpu(), target.cpu(), count),
        Device::Gpu(gpu) => on_gpu(gpu, similarity, source, target, count),
    }
}

fn on_cpu(similarity: &[f32], source: &[u32], target: &[u32], count: usize) -> (Ids, Ids) {
    let edges = similarity.len();
    let mut target_of = vec![0; source[..edges].iter().max().map_or(0, |&s| s as usize + 1)];
    let mut keys = Vec::with_capacity(edges);
    for e in 0..edges {
        target_of[source[e] as usize] = target[e];
        keys.push(order::pair(!sort_key(similarity[e]), source[e]));
    }
    order::sort(&mut keys);
    let sources: Vec<u32> = keys[..count].iter().map(|key| *key as u32).collect();
    let targets = sources.iter().map(|&s| target_of[s as usize]).collect();
    (Ids::on_cpu(sources), Ids::on_cpu(targets))
}

fn on_gpu(gpu: &Gpu, similarity: &Tensor, source: &Ids, target: &Ids, count: usize) -> (Ids, Ids) {
    let (sources, targets) = (gpu.alloc(count * 4), gpu.alloc(count * 4));
    let edges = similarity.rows();
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&Params { edges: edges as u32, count: count as u32 }),
        reads: &[similarity.gpu(), source.gpu(), target.gpu()],
        writes: &[&sources, &targets],
        groups: [groups(edges, 64), 1, 1],
    });
    (Ids::on_gpu(count, sources), Ids::on_gpu(count, targets))
}

/// Sizes 1, around the workgroup of 64, and one that divides nothing; similarities with many ties, sources in no
/// order.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (63, 20), (64, 64), (65, 1), (301, 77)];
    let case = |(edges, count): (usize, usize)| Case {
        name: format!("token_select {count} of {edges}"),
        tolerance: 0.0,
        why: "integers",
        run: Box::new(move |device| {
            let mut rng = Rng::new(1);
            let similarity: Vec<f32> =
                (0..edges).map(|_| rng.below(9) as f32 * 0.25 - 1.0).collect();
            let shuffle = super::random(device, &mut rng, edges, 1);
            let target: Vec<u32> = (0..edges).map(|_| rng.below(edges) as u32).collect();
            let source = token_rank::token_rank(device, &shuffle, 0..edges);
            let similarity = device.tensor(edges, 1, &similarity);
            let ends = token_select(device, &similarity, &source, &device.ids(&target), count);
            [ends.0, ends.1].iter().map(|ids| numbers(device, ids, edges)).collect()
        }),
    };
    sizes.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_edges_go_by_their_source() {
        let cpu = Device::Cpu;
        let g = cpu.tensor(5, 1, &[0.5, 0.9, 0.5, -0.2, 0.9]);
        let (source, target) = (cpu.ids(&[7, 6, 3, 1, 2]), cpu.ids(&[8, 9, 10, 11, 12]));
        let (s, t) = token_select(&cpu, &g, &source, &target, 4);
        assert_eq!((s.cpu(), t.cpu()), (&[2, 6, 3, 7][..], &[12, 9, 10, 8][..]));
    }
}
