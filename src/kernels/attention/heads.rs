//! What both forms of attention on the CPU share: the inputs as plain memory, one key head of them, the softmax of a row.

use super::Attention;
use crate::kernels::cpu_gemm::Rows;
use crate::kernels::math::exp;

/// The inputs as plain memory, which threads may share.
pub(super) struct Call<'a> {
    q: Rows<'a>,
    pub k: Rows<'a>,
    pub v: Rows<'a>,
    /// Empty, or one value a key.
    pub bias: &'a [f32],
    /// Query heads of a key head.
    group: usize,
    pub headdim: usize,
    n_past: usize,
    pub scale: f32,
}

impl<'a> Call<'a> {
    pub fn new(input: &Attention<'a>) -> Self {
        let [q, k, v] = [input.q, input.k, input.v].map(Rows::of);
        let bias = input.bias.map_or(&[][..], |bias| bias.cpu());
        let group = input.n_head / input.n_kv_head;
        let Attention { headdim, n_past, scale, .. } = *input;
        Self { q, k, v, bias, group, headdim, n_past, scale }
    }

    /// Rows of one key head.
    pub fn rows(&self) -> usize {
        self.q.rows * self.group
    }
}

/// One key head with the query heads that share it; row r is query r / group of head r % group.
pub(super) struct Head<'a> {
    pub call: &'a Call<'a>,
    pub kv_head: usize,
}

impl<'a> Head<'a> {
    /// Keys that row `r` sees.
    #[inline(always)]
    pub fn seen(&self, r: usize) -> usize {
        self.call.n_past + r / self.call.group + 1
    }

    /// Where row `r` starts in a row of q or y.
    #[inline(always)]
    fn column(&self, r: usize) -> usize {
        (self.kv_head * self.call.group + r % self.call.group) * self.call.headdim
    }

    #[inline(always)]
    pub fn query(&self, r: usize) -> &'a [f32] {
        let start = r / self.call.group * self.call.q.stride + self.column(r);
        &self.call.q.values[start..start + self.call.headdim]
    }

    /// Keys or values of this head from key `j` on, rows a stride apart.
    #[inline(always)]
    pub fn from(&self, rows: Rows<'a>, j: usize) -> &'a [f32] {
        &rows.values[j * rows.stride + self.kv_head * self.call.headdim..]
    }

    /// Copies the results of the rows from `first` on to where they belong in `y`.
    pub fn place(&self, first: usize, rows: &[f32], y: &mut [f32]) {
        let headdim = self.call.headdim;
        for (i, row) in rows.chunks_exact(headdim).enumerate() {
            let start = (first + i) / self.call.group * self.call.q.cols + self.column(first + i);
            y[start..start + headdim].copy_from_slice(row);
        }
    }
}

/// Turns the scores of a row, of which it sees the first `seen`, into weights relative to their largest and `before`.
/// Gives that and the sum of the weights.
#[inline(always)]
pub(super) fn weigh(before: f32, scores: &mut [f32], seen: usize) -> (f32, f32) {
    let (scores, unseen) = scores.split_at_mut(seen.min(scores.len()));
    unseen.fill(0.0);
    let mut lanes = [before; 16];
    let (chunks, rest) = scores.as_chunks::<16>();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(m, &s)| *m = larger(*m, s));
    }
    let largest = rest.iter().fold(before, |m, &s| larger(m, s));
    let largest = lanes.into_iter().fold(largest, larger);
    scores.iter_mut().for_each(|s| *s = exp(*s - largest));
    let mut sums = [0.0f32; 16];
    let (chunks, rest) = scores.as_chunks::<16>();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, s)| *sum += s);
    }
    (largest, sums.iter().sum::<f32>() + rest.iter().sum::<f32>())
}

/// Unlike `f32::max`, one instruction a lane.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
