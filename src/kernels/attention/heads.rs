//! What both forms of attention on the CPU share: the inputs as plain memory, one key head of them.

use super::Attention;
use crate::kernels::cpu_gemm::Rows;

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
