//! Causal attention: y[i, h] = sum_j w[j] v[j, g], w = softmax_j(scale * q[i, h] . k[j, g] + bias[j]),
//! j in 0..n_past + i + 1; the bias (ln of the tokens that a merged key stands for) is rarely there.
//!
//! Shapes: q, y `[seq_len, n_head * headdim]`, k, v `[n_past + seq_len, n_kv_head * headdim]`; query head h reads
//! key head g = h / (n_head / n_kv_head). Source: Vaswani et al. 2017, equation 1; Ainslie et al. 2023 (grouped
//! queries); Milakov & Gimelshein 2018, algorithm 3 (online softmax): no `[seq_len, keys]` matrix is ever stored.
//!
//! On the GPU a prefill gives one lane to each query of each head, several where that is too few lanes for a GPU, each
//! with a part of the keys. A decode step has too few queries for that: a workgroup takes one query of one head and 256
//! keys. In both a second launch merges what was found for parts of the keys.
//! Shaders read vec4s, so that a headdim or a view that is not a multiple of 4 is first copied into padded heads.

mod cpu;
mod few_rows;
mod heads;

use super::{Case, groups, random, spread};
use crate::Rng;
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "attention",
    source: &[wgsl!(include_str!("../../shaders/attention.wgsl"))],
    reads: 4,
    writes: 1,
};

/// Largest headdim: what one lane of the shader can be asked to walk.
const MAX_HEADDIM: usize = 256;
/// Keys a workgroup takes in the form for few queries.
const SPLIT: usize = 256;
/// Lanes that keep a GPU busy, and the most bytes of partial results that are spent on having so many.
const BUSY: usize = 1 << 18;
const MOST_PARTIAL: usize = 96 << 20;
/// From this many queries on, a lane per query is the better use of a GPU.
const MANY_QUERIES: usize = 16;
/// vec4s of output a lane can hold: `acc` in the shader.
const MAX_TILE4: usize = 16;

/// What attention reads.
pub struct Attention<'a> {
    /// `[seq_len, n_head * headdim]`
    pub q: View<'a>,
    /// `[n_past + seq_len, n_kv_head * headdim]`
    pub k: View<'a>,
    /// `[n_past + seq_len, n_kv_head * headdim]`
    pub v: View<'a>,
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads; divides n_head.
    pub n_kv_head: usize,
    /// Columns of a head.
    pub headdim: usize,
    /// Keys before the first query of this chunk.
    pub n_past: usize,
    /// Factor on q . k, usually 1 / sqrt(headdim).
    pub scale: f32,
    /// Added to the logits of a key in every head, `[n_past + seq_len, 1]`.
    pub bias: Option<&'a Tensor>,
}

#[repr(C)]
#[derive(Clone, Copy, Default, Pod, Zeroable)]
struct Params {
    seq_len: u32,
    n_past: u32,
    n_head: u32,
    group: u32,
    headdim: u32,
    head4: u32,
    tiles: u32,
    splits: u32,
    q_offset: u32,
    q_stride: u32,
    k_offset: u32,
    k_stride: u32,
    v_offset: u32,
    v_stride: u32,
    scale: f32,
    biased: u32,
}

/// Attention of a chunk of queries over all keys so far: `[seq_len, n_head * headdim]`.
pub fn attention(device: &Device, input: &Attention<'_>) -> Tensor {
    let Attention { q, k, v, n_head, n_kv_head, headdim, n_past, .. } = *input;
    assert!((1..=MAX_HEADDIM).contains(&headdim), "attention: headdim {headdim}");
    assert!(n_head.is_multiple_of(n_kv_head), "attention: {n_head} heads over {n_kv_head}");
    assert_eq!(q.cols, n_head * headdim, "attention: columns of q");
    assert_eq!((k.cols, v.cols), (n_kv_head * headdim, n_kv_head * headdim), "attention: k, v");
    assert_eq!((k.rows, v.rows), (n_past + q.rows, n_past + q.rows), "attention: rows of k, v");
    assert!(input.bias.is_none_or(|b| (b.rows(), b.cols()) == (k.rows, 1)), "attention: bias");
    match device {
        Device::Cpu => Tensor::on_cpu(q.rows, q.cols, cpu::attention(input)),
        Device::Gpu(gpu) => Tensor::on_gpu(q.rows, q.cols, on_gpu(gpu, input)),
    }
}

fn on_gpu(gpu: &Gpu, input: &Attention<'_>) -> Buffer {
    let views = [input.q, input.k, input.v];
    let aligned = |n: usize| n.is_multiple_of(4);
    let direct = |x: &View<'_>| aligned(x.offset()) && aligned(x.stride());
    if aligned(input.headdim) && views.iter().all(direct) {
        return launch(gpu, input);
    }
    let [q, k, v] = views.map(|x| pad(gpu, x, input.headdim));
    launch(gpu, &Attention { q: q.view(), k: k.view(), v: v.view(), ..*input })
}

/// A copy of `x` whose heads are padded with zeros to a multiple of 4.
fn pad(gpu: &Gpu, x: View<'_>, headdim: usize) -> Tensor {
    let cols = x.cols / headdim * headdim.next_multiple_of(4);
    let y = gpu.alloc(x.rows * cols * 4);
    let params = Params {
        seq_len: x.rows as u32,
        n_head: (x.cols / headdim) as u32,
        headdim: headdim as u32,
        head4: headdim.div_ceil(4) as u32,
        q_offset: x.offset() as u32,
        q_stride: x.stride() as u32,
        ..Params::default()
    };
    let from = x.tensor.gpu();
    let lanes = groups(x.rows * cols, 64);
    record(gpu, "pad", 1, &params, [from, from, from, from], &y, spread(lanes as usize));
    Tensor::on_gpu(x.rows, cols, y)
}

fn launch(gpu: &Gpu, input: &Attention<'_>) -> Buffer {
    let seq_len = input.q.rows;
    let head4 = input.headdim.div_ceil(4);
    let tiles = head4.div_ceil(MAX_TILE4);
    let rows = seq_len * input.n_head;
    let most = input.k.rows.div_ceil(SPLIT);
    let splits = match seq_len >= MANY_QUERIES {
        true => most
            .min(BUSY / (rows * tiles))
            .min(MOST_PARTIAL / (rows * (input.headdim + 2) * 4))
            .max(1),
        false => most,
    };
    let params = Params {
        seq_len: seq_len as u32,
        n_past: input.n_past as u32,
        n_head: input.n_head as u32,
        group: (input.n_head / input.n_kv_head) as u32,
        headdim: input.headdim as u32,
        head4: head4 as u32,
        tiles: tiles as u32,
        splits: splits as u32,
        q_offset: (input.q.offset() / 4) as u32,
        q_stride: (input.q.stride() / 4) as u32,
        k_offset: (input.k.offset() / 4) as u32,
        k_stride: (input.k.stride() / 4) as u32,
        v_offset: (input.v.offset() / 4) as u32,
        v_stride: (input.v.stride() / 4) as u32,
        scale: input.scale,
        biased: u32::from(input.bias.is_some()),
    };
    let [q, k, v] = [input.q, input.k, input.v].map(|x| x.tensor.gpu());
    // Without a bias the keys stand in for the buffer that is not read.
    let reads = [q, k, v, input.bias.map_or(k, |bias| bias.gpu())];
    let y = gpu.alloc(rows * input.headdim * 4);
    let (entry, tile4, at) = match seq_len >= MANY_QUERIES {
        true => {
            let lanes = groups(seq_len * input.n_head / input.n_kv_head, 64);
            let at = [lanes, (input.n_kv_head * tiles) as u32, splits as u32];
            ("queries", head4.div_ceil(tiles), at)
        }
        false => ("keys", 1, [rows as u32, splits as u32, 1]),
    };
    if splits == 1 {
        record(gpu, entry, tile4, &params, reads, &y, at);
        return y;
    }
    let partial = gpu.alloc(rows * splits * (input.headdim + 2) * 4);
    record(gpu, entry, tile4, &params, reads, &partial, at);
    let reads = [&partial, reads[1], reads[2], reads[3]];
    let lanes = groups(rows * input.headdim, 64) as usize;
    record(gpu, "merge", 1, &params, reads, &y, spread(lanes));
    y
}

fn record(
    gpu: &Gpu,
    entry: &'static str,
    tile4: usize,
    params: &Params,
    reads: [&Buffer; 4],
    y: &Buffer,
    groups: [u32; 3],
) {
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry,
        constants: &[("TILE4", tile4 as f64)],
        params: bytemuck::bytes_of(params),
        reads: &reads,
        writes: &[y],
        groups,
    });
}

/// Shape of a case: q, k and v are views with an offset and a stride when `inset` is not 0.
#[derive(Clone, Copy)]
struct Shape {
    seq_len: usize,
    n_past: usize,
    n_head: usize,
    n_kv_head: usize,
    headdim: usize,
    inset: usize,
}

impl Shape {
    /// Without a bias, and with one.
    fn run(self, device: &Device) -> Vec<Tensor> {
        let Shape { seq_len, n_past, n_head, n_kv_head, headdim, inset } = self;
        let mut rng = Rng::new(71);
        let (wide, narrow) = (n_head * headdim, n_kv_head * headdim);
        let q = random(device, &mut rng, seq_len, wide + 2 * inset);
        let k = random(device, &mut rng, n_past + seq_len, narrow + inset);
        let v = random(device, &mut rng, n_past + seq_len, narrow + inset);
        let input = Attention {
            q: q.columns(inset, wide),
            k: k.columns(inset, narrow),
            v: v.columns(0, narrow),
            n_head,
            n_kv_head,
            headdim,
            n_past,
            scale: 1.0 / (headdim as f32).sqrt(),
            bias: None,
        };
        let bias = random(device, &mut rng, n_past + seq_len, 1);
        [None, Some(&bias)].map(|bias| attention(device, &Attention { bias, ..input })).into()
    }
}

/// (seq_len, n_past, n_head, n_kv_head, headdim, inset): one key; around 8 keys, 64 lanes, 256 keys a split, 16
/// queries (the change of form); headdims of one tile, several, odd; views on 4 elements and off them.
pub fn cases() -> Vec<Case> {
    let shapes = [
        (1, 0, 1, 1, 1, 0),
        (1, 0, 2, 1, 64, 0),
        (1, 62, 2, 1, 8, 0),
        (1, 254, 3, 1, 20, 0),
        (1, 255, 3, 3, 64, 0),
        (1, 256, 9, 3, 64, 0),
        (3, 255, 2, 2, 80, 4),
        (1, 777, 4, 2, 130, 0),
        (5, 510, 2, 1, 33, 3),
        (15, 1, 4, 2, 16, 0),
        (16, 0, 4, 2, 16, 4),
        (17, 0, 3, 1, 64, 0),
        (23, 9, 6, 2, 32, 8),
        (33, 0, 2, 1, 68, 0),
        (63, 0, 2, 1, 16, 0),
        (64, 0, 1, 1, 128, 0),
        (65, 70, 2, 2, 64, 0),
        (37, 5, 3, 1, 13, 1),
        (20, 0, 1, 1, 256, 0),
        (40, 500, 3, 1, 64, 0),
        (33, 300, 2, 1, 100, 4),
        (70, 700, 2, 2, 13, 1),
    ];
    let case = |(seq_len, n_past, n_head, n_kv_head, headdim, inset)| {
        let shape = Shape { seq_len, n_past, n_head, n_kv_head, headdim, inset };
        Case {
            name: format!("attention {seq_len}+{n_past} {n_head}/{n_kv_head}x{headdim} at {inset}"),
            tolerance: 1e-5,
            why: "dot products of up to 256 and sums of up to 778 in another order, and another exp",
            run: Box::new(move |device| shape.run(device)),
        }
    };
    shapes.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests;
