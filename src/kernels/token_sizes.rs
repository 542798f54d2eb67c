//! How many tokens a kept row stands for after a merge, and the logarithm of that, which attention adds to its logits.
//!
//! out[k] = sizes[keep[k]] + sum_{e < merged, target[e] = keep[k]} sizes[source[e]]; log_sizes[k] = ln out[k].
//! Shapes: sizes `[seq_len, 1]`, keep `[kept]`, source `[edges]`, outputs `[kept, 1]`.
//! Source: ToMe (Bolya et al. 2023), section 3, proportional attention.

use super::token_merge::{Merging, last_into_first};
use super::{Case, groups};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, Tensor};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "token_sizes",
    source: &[wgsl!(include_str!("../../shaders/token_sizes.wgsl"))],
    reads: 5,
    writes: 2,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    kept: u32,
    merged: u32,
}

/// (sizes, log sizes) of the rows `keep`, each `[kept, 1]`.
pub fn token_sizes(
    device: &Device,
    sizes: &Tensor,
    keep: &Ids,
    merging: Option<Merging<'_>>,
) -> (Tensor, Tensor) {
    let merging = merging.filter(|m| m.merged > 0);
    assert_eq!(sizes.cols(), 1, "token_sizes");
    if let Some(m) = &merging {
        assert!(m.merged <= m.source.len() && m.links.head.len() == keep.len(), "token_sizes");
    }
    match device {
        Device::Cpu => {
            let out = on_cpu(sizes.cpu(), keep.cpu(), merging);
            let logs = out.iter().map(|size| size.ln()).collect();
            (Tensor::on_cpu(out.len(), 1, out), Tensor::on_cpu(keep.len(), 1, logs))
        }
        Device::Gpu(gpu) => on_gpu(gpu, sizes, keep, merging),
    }
}

fn on_cpu(sizes: &[f32], keep: &[u32], merging: Option<Merging<'_>>) -> Vec<f32> {
    let mut out: Vec<f32> = keep.iter().map(|&row| sizes[row as usize]).collect();
    let Some(m) = merging else { return out };
    let (source, next) = (m.source.cpu(), m.links.next.cpu());
    for (size, &head) in out.iter_mut().zip(m.links.head.cpu()) {
        let mut e = head as usize;
        while e < m.merged {
            *size += sizes[source[e] as usize];
            e = next[e] as usize;
        }
    }
    out
}

fn on_gpu(gpu: &Gpu, sizes: &Tensor, keep: &Ids, merging: Option<Merging<'_>>) -> (Tensor, Tensor) {
    let n = keep.len();
    let (out, logs) = (gpu.alloc(n * 4), gpu.alloc(n * 4));
    let merged = merging.as_ref().map_or(0, |m| m.merged as u32);
    // Without merging the kept rows stand in for buffers that are not read.
    let (source, head, next) = match &merging {
        Some(m) => (m.source, &m.links.head, &m.links.next),
        None => (keep, keep, keep),
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&Params { kept: n as u32, merged }),
        reads: &[sizes.gpu(), keep.gpu(), source.gpu(), head.gpu(), next.gpu()],
        writes: &[&out, &logs],
        groups: [groups(n, 64), 1, 1],
    });
    (Tensor::on_gpu(n, 1, out), Tensor::on_gpu(n, 1, logs))
}

/// Sizes 1, around the workgroup of 64, no edges, all edges into a few rows.
pub fn cases() -> Vec<Case> {
    let sizes = [(2, 1, 1), (70, 7, 7), (128, 64, 40), (130, 65, 0)];
    let case = |(rows, edges, merged): (usize, usize, usize)| Case {
        name: format!("token_sizes {merged} of {edges} edges in {rows} rows"),
        tolerance: 1e-6,
        why: "a shader's logarithm; the sizes themselves are integers",
        run: Box::new(move |device| {
            let mut rng = Rng::new(1);
            let values: Vec<f32> = (0..rows).map(|_| 1.0 + rng.below(5) as f32).collect();
            let (keep, source, links) = last_into_first(device, &mut rng, rows, edges);
            let merging = Some(Merging { source: &source, links: &links, merged });
            let sizes = device.tensor(rows, 1, &values);
            let (sizes, logs) = token_sizes(device, &sizes, &keep, merging);
            vec![sizes, logs]
        }),
    };
    sizes.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::token_links::token_links;

    #[test]
    fn a_row_stands_for_itself_and_all_that_went_into_it() {
        let cpu = Device::Cpu;
        let sizes = cpu.tensor(5, 1, &[1.0, 2.0, 1.0, 3.0, 1.0]);
        let (keep, source) = (cpu.ids(&[2, 4]), cpu.ids(&[0, 1, 3]));
        let links = token_links(&cpu, &keep, &cpu.ids(&[4, 4, 2]));
        let merging = Some(Merging { source: &source, links: &links, merged: 2 });
        let (sizes, logs) = token_sizes(&cpu, &sizes, &keep, merging);
        // The third edge is pruned.
        assert_eq!(sizes.cpu(), [1.0, 4.0]);
        assert_eq!(logs.cpu(), [0.0, 4.0_f32.ln()]);
    }
}
