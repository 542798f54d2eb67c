//! The language model's head and its loss in one: the logits are never written.
//!
//! z = h Wᵀ; y[t, 0] = log sum_o exp(z[t, o]) - z[t, target[t]] (nats); y[t, 1] = 1 if target[t] is the argmax of
//! z[t, :] (of equal logits the smallest index), else 0.
//!
//! Shapes: h `[seq_len, d_model]`, table W `[vocab_size, d_model]`, targets `[seq_len]`, y `[seq_len, 2]`. The sum is
//! the online one (Milakov & Gimelshein 2018, algorithm 3) over tiles of the vocabulary. On the GPU two dispatches:
//! partial results per token and share of the vocabulary, then their combination.

use super::cpu_gemm::{self, Rows};
use super::embedding::random_matrix;
use super::math::exp;
use super::matmul::{parts, reads_vectors, weight_constants};
use super::simd::widest;
use super::{Case, groups, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, HostMatrix, Ids, Matrix, MatrixData, Tensor, View, WeightValues};
use bytemuck::{Pod, Zeroable};

static STATE: &str = wgsl!(include_str!("../../shaders/lm_head_nll_state.wgsl"));

static DIRECT: Shader = Shader {
    name: "lm_head_nll_direct",
    source: &[
        parts::WEIGHTS,
        parts::INPUT,
        parts::REGISTERS,
        STATE,
        wgsl!(include_str!("../../shaders/lm_head_nll_direct.wgsl")),
    ],
    reads: 3,
    writes: 1,
};

static SHARED: Shader = Shader {
    name: "lm_head_nll_shared",
    source: &[
        parts::WEIGHTS,
        parts::INPUT,
        parts::SHAPE,
        parts::TILES,
        parts::TILE_SUMS,
        STATE,
        wgsl!(include_str!("../../shaders/lm_head_nll_shared.wgsl")),
    ],
    reads: 3,
    writes: 1,
};

static COMBINE: Shader = Shader {
    name: "lm_head_nll_combine",
    source: &[
        parts::WEIGHTS,
        parts::INPUT,
        wgsl!(include_str!("../../shaders/lm_head_nll_combine.wgsl")),
    ],
    reads: 5,
    writes: 1,
};

/// How the GPU computes the partial results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NllForm {
    /// Registers only, 8 tokens by one share an invocation; for software adapters.
    Direct,
    /// Tiles through workgroup memory, 64 tokens by one share a workgroup; for real GPUs.
    Shared,
}

impl NllForm {
    /// Tokens of one tile, outputs of one tile, and partial results one tile leaves for a token.
    fn tile(self) -> (usize, usize, usize) {
        match self {
            NllForm::Direct => (8, 8, 1),
            NllForm::Shared => (64, 64, 8),
        }
    }

    /// Outputs of a share: enough shares to keep an adapter busy, few enough to combine quickly.
    fn share(self, rows: usize, vocab: usize) -> usize {
        let (tokens, outs, _) = self.tile();
        let wanted = match self {
            NllForm::Direct => 64,
            NllForm::Shared => 256,
        };
        let shares = wanted / rows.div_ceil(tokens).min(wanted);
        vocab.div_ceil(shares.clamp(4, 64)).next_multiple_of(outs)
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    outs: u32,
    depth: u32,
    x_offset: u32,
    x_stride: u32,
    w_stride: u32,
    share: u32,
    partials: u32,
}

impl Params {
    fn new(h: View<'_>, table: &Matrix, share: usize, partials: usize) -> Self {
        Self {
            rows: h.rows as u32,
            outs: table.rows() as u32,
            depth: h.cols as u32,
            x_offset: h.offset() as u32,
            x_stride: h.stride() as u32,
            w_stride: table.row_stride() as u32,
            share: share as u32,
            partials: partials as u32,
        }
    }
}

/// `[seq_len, 2]`: -log p(target) in nats, and 1.0 where the target is the argmax (else 0.0), for hidden states
/// `h` `[seq_len, d_model]`, `table` `[vocab_size, d_model]` and `targets` `[seq_len]`.
pub fn lm_head_nll<'a>(
    device: &Device,
    h: impl Into<View<'a>>,
    table: &Matrix,
    targets: &Ids,
) -> Tensor {
    let h = h.into();
    assert_eq!(h.cols, table.cols(), "lm_head_nll: d_model");
    assert_eq!(h.rows, targets.len(), "lm_head_nll: targets");
    match (device, table.data()) {
        (Device::Cpu, MatrixData::Cpu(host)) => {
            Tensor::on_cpu(h.rows, 2, on_cpu(Rows::of(h), host, targets.cpu()))
        }
        (Device::Gpu(gpu), _) => {
            let form = if gpu.is_software() { NllForm::Direct } else { NllForm::Shared };
            on_gpu(gpu, h, table, targets, form)
        }
        _ => panic!("lm_head_nll: the table is on another device"),
    }
}

/// Tokens and outputs of a CPU tile: 64 * 512 * 4 bytes = 128 KiB of logits.
const TOKENS: usize = 64;
const OUTS: usize = 512;

/// The online sum of one token.
#[derive(Clone, Copy)]
struct State {
    top: f32,
    sum: f32,
    best: usize,
    target: f32,
}

fn on_cpu(h: Rows<'_>, table: &HostMatrix, targets: &[u32]) -> Vec<f32> {
    let vocab = table.rows();
    let mut y = Vec::with_capacity(h.rows * 2);
    let mut logits = vec![0.0; TOKENS.min(h.rows) * OUTS.min(vocab)];
    for first in (0..h.rows).step_by(TOKENS) {
        let rows = first..(first + TOKENS).min(h.rows);
        let start = State { top: f32::NEG_INFINITY, sum: 0.0, best: 0, target: 0.0 };
        let mut states = vec![start; rows.len()];
        for from in (0..vocab).step_by(OUTS) {
            let outs = from..(from + OUTS).min(vocab);
            let tile = &mut logits[..rows.len() * outs.len()];
            tile.fill(0.0);
            cpu_gemm::accumulate(h.slice(rows.clone()), table, outs.clone(), tile);
            let tokens = states.iter_mut().zip(tile.chunks_exact(outs.len()));
            for ((state, z), &target) in tokens.zip(&targets[rows.clone()]) {
                widest(
                    #[inline(always)]
                    || state.fold(z, from),
                );
                if let Some(&z) = (target as usize).checked_sub(from).and_then(|i| z.get(i)) {
                    state.target = z;
                }
            }
        }
        for (state, &target) in states.iter().zip(&targets[rows]) {
            let correct = state.best == target as usize;
            y.extend([state.top + state.sum.ln() - state.target, f32::from(u8::from(correct))]);
        }
    }
    y
}

impl State {
    /// Takes in the logits of the outputs from `from`.
    #[inline(always)]
    fn fold(&mut self, z: &[f32], from: usize) {
        let top = largest(z);
        if top > self.top {
            self.sum *= exp(self.top - top);
            self.top = top;
            self.best = from + z.iter().position(|&v| v == top).unwrap_or(0);
        }
        self.sum += sum_of_exps(z, self.top);
    }
}

#[inline(always)]
fn largest(z: &[f32]) -> f32 {
    let (eights, rest) = z.as_chunks::<8>();
    let mut lanes = [f32::NEG_INFINITY; 8];
    for eight in eights {
        for (lane, &v) in lanes.iter_mut().zip(eight) {
            *lane = if v > *lane { v } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b))
}

/// sum_i exp(z[i] - top), in eight lanes.
#[inline(always)]
fn sum_of_exps(z: &[f32], top: f32) -> f32 {
    let (eights, rest) = z.as_chunks::<8>();
    let mut lanes = [0.0f32; 8];
    for eight in eights {
        for (lane, &v) in lanes.iter_mut().zip(eight) {
            *lane += exp(v - top);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&v| exp(v - top)).sum::<f32>()
}

fn on_gpu(gpu: &Gpu, h: View<'_>, table: &Matrix, targets: &Ids, form: NllForm) -> Tensor {
    let (rows, vocab) = (h.rows, table.rows());
    let (tokens, _, per_share) = form.tile();
    let share = form.share(rows, vocab);
    let shares = vocab.div_ceil(share);
    let partials = gpu.alloc(rows * shares * per_share * 16);
    let y = gpu.alloc(rows * 2 * 4);
    let params = Params::new(h, table, share, shares * per_share);
    let (weights, f16) = weight_constants(table);
    let constants = [f16, ("X_VECTORS", f64::from(u8::from(reads_vectors(h))))];
    let x = h.tensor.gpu();
    let (shader, across) = match form {
        NllForm::Direct => (&DIRECT, groups(shares, 4)),
        NllForm::Shared => (&SHARED, groups(shares, 1)),
    };
    let shared = Dispatch {
        shader,
        entry: "main",
        constants: &constants,
        params: bytemuck::bytes_of(&params),
        reads: &[weights, x, x],
        writes: &[&partials],
        groups: [across, groups(rows, tokens), 1],
    };
    gpu.dispatch(&shared);
    gpu.dispatch(&Dispatch {
        shader: &COMBINE,
        reads: &[weights, x, x, targets.gpu(), &partials],
        writes: &[&y],
        groups: [groups(rows, 4), 1, 1],
        ..shared
    });
    Tensor::on_gpu(rows, 2, y)
}

/// Both forms at sizes 1, around their tiles and at one that divides nothing; equal rows, so that ties are met.
pub fn cases() -> Vec<Case> {
    let sizes = [
        (1, 1, 1),
        (7, 63, 7),
        (8, 64, 8),
        (9, 65, 9),
        (63, 513, 15),
        (65, 300, 17),
        (33, 1037, 130),
    ];
    let mut cases = Vec::new();
    for form in [NllForm::Direct, NllForm::Shared] {
        for (rows, vocab, depth) in sizes {
            let half = rows % 2 == 0 || rows == 33;
            cases.push(Case {
                name: format!("lm_head_nll {form:?} {rows}x{depth} by {vocab} f16 {half}"),
                tolerance: 5e-5,
                why: "logits of up to 130 products and a sum of exponentials in another order",
                run: Box::new(move |device| {
                    let mut rng = Rng::new(6);
                    let offset = if depth % 4 == 0 { 4 } else { 3 };
                    let h = random(device, &mut rng, rows, depth + offset);
                    let table = random_matrix(device, &mut rng, vocab, depth, half);
                    let targets: Vec<u32> = (0..rows).map(|_| rng.below(vocab) as u32).collect();
                    let targets = device.ids(&targets);
                    vec![run(device, h.columns(offset, depth), &table, &targets, form)]
                }),
            });
        }
        cases.push(Case {
            name: format!("lm_head_nll {form:?} with every row of the table four times"),
            tolerance: 5e-5,
            why: "as above; equal logits are equal to the bit in either form",
            run: Box::new(move |device| ties(device, form)),
        });
    }
    cases
}

fn run(device: &Device, h: View<'_>, table: &Matrix, targets: &Ids, form: NllForm) -> Tensor {
    match device {
        Device::Gpu(gpu) => on_gpu(gpu, h, table, targets, form),
        Device::Cpu => lm_head_nll(device, h, table, targets),
    }
}

/// Row r + 50 i of the table is row r of 50; the targets are the argmax, once as its first, once as its third copy.
fn ties(device: &Device, form: NllForm) -> Vec<Tensor> {
    let mut rng = Rng::new(8);
    let (rows, distinct, depth) = (12, 50, 20);
    let h = rng.normals(rows * depth, 1.0);
    let w = rng.normals(distinct * depth, 1.0);
    let score = |t: usize, r: usize| -> f32 {
        (0..depth).map(|k| h[t * depth + k] * w[r * depth + k]).sum()
    };
    let best = |t: usize| (0..distinct).max_by(|&a, &b| score(t, a).total_cmp(&score(t, b)));
    let first: Vec<u32> = (0..rows).filter_map(best).map(|r| r as u32).collect();
    let third: Vec<u32> = first.iter().map(|r| r + 2 * distinct as u32).collect();
    let table = device.matrix(4 * distinct, depth, WeightValues::F32(&w.repeat(4)));
    let h = device.tensor(rows, depth, &h);
    [first, third].map(|t| run(device, h.view(), &table, &device.ids(&t), form)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_form_is_the_equation() {
        let mut rng = Rng::new(12);
        for (rows, vocab, depth) in [(3, 5, 7), (67, 1031, 19)] {
            let (h, w) = (rng.normals(rows * depth, 1.0), rng.normals(vocab * depth, 1.0));
            let targets: Vec<u32> = (0..rows).map(|_| rng.below(vocab) as u32).collect();
            let device = Device::Cpu;
            let table = device.matrix(vocab, depth, WeightValues::F32(&w));
            let ids = device.ids(&targets);
            let found = lm_head_nll(&device, &device.tensor(rows, depth, &h), &table, &ids);
            for t in 0..rows {
                let z: Vec<f64> = (0..vocab)
                    .map(|o| {
                        (0..depth)
                            .map(|k| f64::from(h[t * depth + k]) * f64::from(w[o * depth + k]))
                            .sum()
                    })
                    .collect();
                let target = z[targets[t] as usize];
                let nll = z.iter().map(|z| z.exp()).sum::<f64>().ln() - target;
                let correct = z.iter().all(|&z| z <= target);
                let y = &found.cpu()[2 * t..2 * t + 2];
                assert!((f64::from(y[0]) - nll).abs() < 2e-5, "token {t}: {} {nll}", y[0]);
                assert_eq!(y[1], f32::from(u8::from(correct)), "token {t}");
            }
        }
    }

    #[test]
    fn of_equal_logits_the_first_is_the_argmax() {
        for output in ties(&Device::Cpu, NllForm::Direct).iter().zip([1.0, 0.0]) {
            let correct: Vec<f32> = output.0.cpu().chunks(2).map(|y| y[1]).collect();
            assert_eq!(correct, [output.1; 12]);
        }
    }
}
