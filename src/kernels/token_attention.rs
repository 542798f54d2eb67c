//! How much attention every token receives, mean over the heads.
//!
//! With p[h, i, j] = softmax_{j <= i}(scale * q[i, h] . k[j, g]) over the keys that query i sees,
//! last row: a[j] = mean_h p[h, seq_len - 1, j]; column: a[j] = mean_h sum_{i >= j} p[h, i, j] / (seq_len - j).
//! Early tokens are seen by more queries, hence the division by their number.
//! Shapes: q `[seq_len, n_head * headdim]`, k `[seq_len, n_kv_head * headdim]` (both rotated), a `[seq_len, 1]`.
//! The row costs O(seq_len), the column O(seq_len^2); the matrix of weights is never stored, logits are formed twice.
//! Sources: last row as in LazyLLM (arXiv 2407.14057), column as in LTMP and H2O (arXiv 2306.14048).

use super::{Case, groups, random};
use crate::Rng;
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "token_attention",
    source: &[wgsl!(include_str!("../../shaders/token_attention.wgsl"))],
    reads: 3,
    writes: 1,
};

/// Whose attention counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Queries {
    /// The last token's.
    Last,
    /// Every token's that sees the key.
    All,
}

/// Queries and keys of one layer, rotated.
#[derive(Clone, Copy)]
pub struct Heads<'a> {
    /// `[seq_len, n_head * headdim]`
    pub q: View<'a>,
    /// `[seq_len, n_kv_head * headdim]`
    pub k: View<'a>,
    /// Query heads.
    pub n_head: usize,
    /// Key heads; divides n_head.
    pub n_kv_head: usize,
    /// Columns of a head.
    pub headdim: usize,
    /// Of the products of queries and keys.
    pub scale: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    seq_len: u32,
    first_query: u32,
    n_head: u32,
    group: u32,
    headdim: u32,
    q_offset: u32,
    q_stride: u32,
    k_offset: u32,
    k_stride: u32,
    scale: f32,
}

/// Attention received by every token: `[seq_len, 1]`.
pub fn token_attention(device: &Device, heads: &Heads<'_>, queries: Queries) -> Tensor {
    let Heads { q, k, n_head, n_kv_head, headdim, scale } = *heads;
    assert!(n_kv_head > 0 && n_head.is_multiple_of(n_kv_head), "token_attention heads");
    assert_eq!(
        (q.cols, k.cols),
        (n_head * headdim, n_kv_head * headdim),
        "token_attention columns"
    );
    assert!(q.rows == k.rows && q.rows > 0, "token_attention rows");
    let first_query = match queries {
        Queries::Last => q.rows - 1,
        Queries::All => 0,
    };
    match device {
        Device::Cpu => on_cpu(heads, first_query, scale),
        Device::Gpu(gpu) => on_gpu(gpu, heads, first_query, scale),
    }
}

fn on_cpu(heads: &Heads<'_>, first_query: usize, scale: f32) -> Tensor {
    let (n, d) = (heads.q.rows, heads.headdim);
    let group = heads.n_head / heads.n_kv_head;
    let mut received = vec![0.0f32; n];
    let mut row = Vec::with_capacity(n);
    for head in 0..heads.n_head {
        for i in first_query..n {
            let q = &heads.q.cpu_row(i)[head * d..][..d];
            let key = |j: usize| &heads.k.cpu_row(j)[head / group * d..][..d];
            row.clear();
            row.extend((0..=i).map(|j| dot(q, key(j)) * scale));
            let largest = row.iter().fold(f32::NEG_INFINITY, |m, &s| m.max(s));
            row.iter_mut().for_each(|s| *s = super::math::exp(*s - largest));
            let share = 1.0 / row.iter().sum::<f32>();
            received.iter_mut().zip(&row).for_each(|(a, p)| *a += p * share);
        }
    }
    for (j, a) in received.iter_mut().enumerate() {
        *a /= ((n - j.max(first_query)) * heads.n_head) as f32;
    }
    Tensor::on_cpu(n, 1, received)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut partial = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum::<f32>();
    for (x, y) in a8.zip(b8) {
        partial.iter_mut().zip(x.iter().zip(y)).for_each(|(p, (x, y))| *p += x * y);
    }
    partial.iter().sum::<f32>() + rest
}

fn on_gpu(gpu: &Gpu, heads: &Heads<'_>, first_query: usize, scale: f32) -> Tensor {
    let Heads { q, k, n_head, n_kv_head, headdim, .. } = *heads;
    let (n, queries) = (q.rows, q.rows - first_query);
    let params = Params {
        seq_len: n as u32,
        first_query: first_query as u32,
        n_head: n_head as u32,
        group: (n_head / n_kv_head) as u32,
        headdim: headdim as u32,
        q_offset: q.offset() as u32,
        q_stride: q.stride() as u32,
        k_offset: k.offset() as u32,
        k_stride: k.stride() as u32,
        scale,
    };
    let launch = |entry, before: &Buffer, out: &Buffer, groups| {
        gpu.dispatch(&Dispatch {
            shader: &SHADER,
            entry,
            constants: &[],
            params: bytemuck::bytes_of(&params),
            reads: &[q.tensor.gpu(), k.tensor.gpu(), before],
            writes: &[out],
            groups,
        });
    };
    let stats = gpu.alloc(n_head * queries * 8);
    launch("stats", k.tensor.gpu(), &stats, [groups(queries, 64), n_head as u32, 1]);
    let columns = gpu.alloc(n_head * n * 4);
    launch("received", &stats, &columns, [groups(n, 64), n_head as u32, 1]);
    let scores = gpu.alloc(n * 4);
    launch("mean", &columns, &scores, [groups(n, 64), 1, 1]);
    Tensor::on_gpu(n, 1, scores)
}

/// Sizes 1, around the workgroup of 64 tokens, shared key heads, a headdim that divides nothing; all on views.
pub fn cases() -> Vec<Case> {
    let shapes = [[1, 1, 1, 1], [63, 2, 1, 8], [64, 4, 2, 16], [65, 3, 3, 5], [130, 2, 2, 12]];
    let case = |[n, n_head, n_kv_head, headdim]: [usize; 4]| Case {
        name: format!("token_attention {n} tokens, {n_head}/{n_kv_head} heads of {headdim}"),
        tolerance: 2e-6,
        why: "sums of at most 130 weights below 1, in another order; exp differs in the last place",
        run: Box::new(move |device| {
            let mut rng = Rng::new(9);
            let (wide, narrow) = (n_head * headdim, n_kv_head * headdim);
            let qk = random(device, &mut rng, n, 2 + wide + narrow);
            let (q, k) = (qk.columns(2, wide), qk.columns(2 + wide, narrow));
            let heads =
                Heads { q, k, n_head, n_kv_head, headdim, scale: 1.0 / (headdim as f32).sqrt() };
            [Queries::Last, Queries::All].map(|s| token_attention(device, &heads, s)).into()
        }),
    };
    shapes.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_attention_matches_its_equation_in_f64() {
        let (n, n_head, n_kv_head, headdim) = (11, 4, 2, 3);
        let mut rng = Rng::new(1);
        let q = random(&Device::Cpu, &mut rng, n, n_head * headdim);
        let k = random(&Device::Cpu, &mut rng, n, n_kv_head * headdim);
        let weight = |h: usize, i: usize, j: usize| -> f64 {
            let logit = |j: usize| -> f64 {
                let at = |t: &Tensor, row: usize, col: usize| f64::from(t.view().cpu_row(row)[col]);
                let terms = (0..headdim)
                    .map(|d| at(&q, i, h * headdim + d) * at(&k, j, h / 2 * headdim + d));
                (terms.sum::<f64>() / (headdim as f64).sqrt()).exp()
            };
            if j > i { 0.0 } else { logit(j) / (0..=i).map(logit).sum::<f64>() }
        };
        let heads = Heads {
            q: q.view(),
            k: k.view(),
            n_head,
            n_kv_head,
            headdim,
            scale: 1.0 / (headdim as f32).sqrt(),
        };
        let [last, all] =
            [Queries::Last, Queries::All].map(|s| token_attention(&Device::Cpu, &heads, s));
        for j in 0..n {
            let mean = |f: &dyn Fn(usize) -> f64| (0..n_head).map(f).sum::<f64>() / n_head as f64;
            let row = mean(&|h| weight(h, n - 1, j));
            let column = mean(&|h| (0..n).map(|i| weight(h, i, j)).sum::<f64>() / (n - j) as f64);
            assert!((f64::from(last.cpu()[j]) - row).abs() < 1e-6);
            assert!((f64::from(all.cpu()[j]) - column).abs() < 1e-6);
        }
        assert!((last.cpu().iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
