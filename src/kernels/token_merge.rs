//! Kept rows, each averaged with the rows merged into it.
//!
//! out[k] = (x[keep[k]] + sum_{e < merged, target[e] = keep[k]} x[source[e]]) / (1 + number of such e).
//! Shapes: x `[seq_len, d]`, keep `[kept]`, source `[edges]`, out `[kept, d]`.
//! Source: arXiv 2410.14725, step 5, for one source; several sources count equally (the mean over the group, as the
//! released code does) instead of halving repeatedly.

use super::token_links::{Links, token_links};
use super::{Case, groups, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "token_merge",
    source: &[wgsl!(include_str!("../../shaders/token_merge.wgsl"))],
    reads: 5,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    kept: u32,
    cols: u32,
    x_offset: u32,
    x_stride: u32,
    merged: u32,
}

/// Which rows are averaged into the kept ones.
#[derive(Clone, Copy)]
pub struct Merging<'a> {
    /// The row of `x` that edge e brings `[edges]`.
    pub source: &'a Ids,
    /// The edges by the kept row that they lead to.
    pub links: &'a Links,
    /// Only the first so many edges are merged.
    pub merged: usize,
}

/// Gathers the rows `keep` of `x` and averages the merged rows into them.
pub fn token_merge<'a>(
    device: &Device,
    x: impl Into<View<'a>>,
    keep: &Ids,
    merging: Option<Merging<'_>>,
) -> Tensor {
    let x = x.into();
    // Where nothing is merged every list is empty; without lists the kept rows stand in for the unread buffers.
    let merging = merging.filter(|m| m.merged > 0);
    if let Some(m) = &merging {
        assert!(m.merged <= m.source.len() && m.links.head.len() == keep.len(), "token_merge");
    }
    match device {
        Device::Cpu => Tensor::on_cpu(keep.len(), x.cols, on_cpu(x, keep.cpu(), merging)),
        Device::Gpu(gpu) => on_gpu(gpu, x, keep, merging),
    }
}

fn on_cpu(x: View<'_>, keep: &[u32], merging: Option<Merging<'_>>) -> Vec<f32> {
    let mut out = Vec::with_capacity(keep.len() * x.cols);
    for (k, &row) in keep.iter().enumerate() {
        let start = out.len();
        out.extend_from_slice(x.cpu_row(row as usize));
        let Some(m) = &merging else { continue };
        let (source, next) = (m.source.cpu(), m.links.next.cpu());
        let sum = &mut out[start..];
        let (mut e, mut count) = (m.links.head.cpu()[k] as usize, 1.0);
        while e < m.merged {
            let from = x.cpu_row(source[e] as usize);
            sum.iter_mut().zip(from).for_each(|(s, v)| *s += v);
            count += 1.0;
            e = next[e] as usize;
        }
        if count > 1.0 {
            sum.iter_mut().for_each(|s| *s /= count);
        }
    }
    out
}

fn on_gpu(gpu: &Gpu, x: View<'_>, keep: &Ids, merging: Option<Merging<'_>>) -> Tensor {
    let out = gpu.alloc(keep.len() * x.cols * 4);
    let params = Params {
        kept: keep.len() as u32,
        cols: x.cols as u32,
        x_offset: x.offset() as u32,
        x_stride: x.stride() as u32,
        merged: merging.as_ref().map_or(0, |m| m.merged as u32),
    };
    let (source, head, next) = match &merging {
        Some(m) => (m.source, &m.links.head, &m.links.next),
        None => (keep, keep, keep),
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[x.tensor.gpu(), keep.gpu(), source.gpu(), head.gpu(), next.gpu()],
        writes: &[&out],
        groups: [groups(x.cols, 64), keep.len().min(65_535) as u32, 1],
    });
    Tensor::on_gpu(keep.len(), x.cols, out)
}

/// Rows to keep, sources and links of a case that merges the last rows into some of the first.
pub(super) fn last_into_first(
    device: &Device,
    rng: &mut Rng,
    rows: usize,
    edges: usize,
) -> (Ids, Ids, Links) {
    let keep: Vec<u32> = (0..(rows - edges) as u32).collect();
    let source: Vec<u32> = (keep.len() as u32..rows as u32).rev().collect();
    let few = keep.len().div_ceil(3);
    let target: Vec<u32> = source.iter().map(|_| rng.below(few) as u32).collect();
    let keep = device.ids(&keep);
    let links = token_links(device, &keep, &device.ids(&target));
    (keep, device.ids(&source), links)
}

/// Sizes 1, around the workgroup of 64 columns, no edges, all edges into one row; one case on a view.
pub fn cases() -> Vec<Case> {
    let case = |name: String, rows: usize, cols: usize, edges: usize, merged: usize| Case {
        name,
        tolerance: 1e-6,
        why: "one division, which a shader may round by 2.5 units in the last place",
        run: Box::new(move |device| {
            let mut rng = Rng::new(1);
            let x = random(device, &mut rng, rows, cols + 3);
            let (keep, source, links) = last_into_first(device, &mut rng, rows, edges);
            let merging = Some(Merging { source: &source, links: &links, merged });
            vec![token_merge(device, x.columns(2, cols), &keep, merging)]
        }),
    };
    let sizes = [(2, 1, 1, 1), (9, 63, 4, 2), (10, 64, 5, 5), (11, 65, 3, 0), (90, 130, 40, 33)];
    let sized = |(rows, cols, edges, merged): (usize, usize, usize, usize)| {
        let name = format!("token_merge {merged} of {edges} edges in columns of {rows}x{cols}");
        case(name, rows, cols, edges, merged)
    };
    sizes.into_iter().map(sized).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_sources_count_equally() {
        let cpu = Device::Cpu;
        let x = cpu.tensor(5, 1, &[1.0, 2.0, 9.0, 3.0, 6.0]);
        let (keep, source) = (cpu.ids(&[2, 4]), cpu.ids(&[0, 1, 3]));
        let links = token_links(&cpu, &keep, &cpu.ids(&[4, 4, 4]));
        for (merged, expected) in [(3, 3.0), (1, 3.5), (0, 6.0)] {
            let merging = Some(Merging { source: &source, links: &links, merged });
            assert_eq!(token_merge(&cpu, &x, &keep, merging).cpu(), [9.0, expected]);
        }
    }
}
