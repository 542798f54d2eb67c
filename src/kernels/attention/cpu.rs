//! Attention on the CPU, in two forms that compute the same.
//!
//! Many rows (a row is one query of one head): per key head, K is transposed and V copied in blocks of [`KEYS`] keys;
//! [`ROWS`] rows at a time meet a block with the online softmax, and both products are tiles of matrix products.
//! Few rows (a decode step): K and V are read where they lie, once for all query heads that share them.

use super::Attention;
use crate::kernels::cpu_gemm::Rows;
use crate::kernels::math::exp;
use crate::kernels::simd::{self, Kernel, Vector};
use crate::kernels::tiles::{Sizes, Strides, add_product};
use crate::threads;

/// Rows that meet a block of keys together.
const ROWS: usize = 16;
/// Keys of a block: K and V of one block (16 KiB at headdim 64) stay in the first cache while rows pass by.
const KEYS: usize = 32;
/// Rows of one piece of work, which one thread does.
const PIECE: usize = 8 * ROWS;
/// Below this many rows a key head, copying K and V does not pay.
const FEW_ROWS: usize = 8;

/// The output, `[seq_len, n_head * headdim]`.
pub fn attention(input: &Attention<'_>) -> Vec<f32> {
    let call = Call::new(input);
    let few = call.rows() < FEW_ROWS;
    let heads = in_order(0..input.n_kv_head, |kv_head| {
        let head = Head { call: &call, kv_head };
        if few { head.read_in_place() } else { head.copied() }
    });
    let mut y = vec![0.0; input.q.rows * input.n_head * input.headdim];
    if few {
        for (kv_head, rows) in heads.iter().enumerate() {
            Head { call: &call, kv_head }.place(0, rows, &mut y);
        }
        return y;
    }
    let pieces = call.rows().div_ceil(PIECE);
    // The last pieces see the most keys: they go first, so that no thread is left with a long one at the end.
    let pieces = (0..pieces * input.n_kv_head).rev();
    let n_kv_head = input.n_kv_head;
    let piece = move |i: usize| (i % n_kv_head, i / n_kv_head * PIECE);
    let results = threads::share(pieces, |i| {
        let (kv_head, first) = piece(i);
        (i, Head { call: &call, kv_head }.piece(&heads[kv_head], first))
    });
    for (i, rows) in results {
        let (kv_head, first) = piece(i);
        Head { call: &call, kv_head }.place(first, &rows, &mut y);
    }
    y
}

/// The result of every item, in their order.
fn in_order(
    items: std::ops::Range<usize>,
    work: impl Fn(usize) -> Vec<f32> + Sync,
) -> Vec<Vec<f32>> {
    let mut results = vec![Vec::new(); items.len()];
    for (i, result) in threads::share(items, |i| (i, work(i))) {
        results[i] = result;
    }
    results
}

/// The inputs as plain memory, which threads may share.
struct Call<'a> {
    q: Rows<'a>,
    k: Rows<'a>,
    v: Rows<'a>,
    /// Empty, or one value a key.
    bias: &'a [f32],
    /// Query heads of a key head.
    group: usize,
    headdim: usize,
    n_past: usize,
    scale: f32,
}

impl<'a> Call<'a> {
    fn new(input: &Attention<'a>) -> Self {
        let [q, k, v] = [input.q, input.k, input.v].map(Rows::of);
        let bias = input.bias.map_or(&[][..], |bias| bias.cpu());
        let group = input.n_head / input.n_kv_head;
        let Attention { headdim, n_past, scale, .. } = *input;
        Self { q, k, v, bias, group, headdim, n_past, scale }
    }

    /// Rows of one key head.
    fn rows(&self) -> usize {
        self.q.rows * self.group
    }
}

/// One key head with the query heads that share it; row r is query r / group of head r % group.
struct Head<'a> {
    call: &'a Call<'a>,
    kv_head: usize,
}

impl<'a> Head<'a> {
    /// Keys that row `r` sees.
    #[inline(always)]
    fn seen(&self, r: usize) -> usize {
        self.call.n_past + r / self.call.group + 1
    }

    /// Where row `r` starts in a row of q or y.
    #[inline(always)]
    fn column(&self, r: usize) -> usize {
        (self.kv_head * self.call.group + r % self.call.group) * self.call.headdim
    }

    #[inline(always)]
    fn query(&self, r: usize) -> &'a [f32] {
        let start = r / self.call.group * self.call.q.stride + self.column(r);
        &self.call.q.values[start..start + self.call.headdim]
    }

    /// Keys or values of this head from key `j` on, rows a stride apart.
    #[inline(always)]
    fn from(&self, rows: Rows<'a>, j: usize) -> &'a [f32] {
        &rows.values[j * rows.stride + self.kv_head * self.call.headdim..]
    }

    /// Copies the results of the rows from `first` on to where they belong in `y`.
    fn place(&self, first: usize, rows: &[f32], y: &mut [f32]) {
        let headdim = self.call.headdim;
        for (i, row) in rows.chunks_exact(headdim).enumerate() {
            let start = (first + i) / self.call.group * self.call.q.cols + self.column(first + i);
            y[start..start + headdim].copy_from_slice(row);
        }
    }

    /// For few rows: their results, `[rows, headdim]`.
    fn read_in_place(&self) -> Vec<f32> {
        let mut y = vec![0.0; self.call.rows() * self.call.headdim];
        simd::run(InPlace { head: self, y: &mut y });
        y
    }

    /// K transposed, then V, block after block: `[headdim, KEYS]`, `[KEYS, headdim]`; behind the last key stand zeros.
    fn copied(&self) -> Vec<f32> {
        let (n, headdim) = (self.call.k.rows, self.call.headdim);
        let half = KEYS * headdim;
        let mut blocks = vec![0.0; n.div_ceil(KEYS) * 2 * half];
        for (b, block) in blocks.chunks_exact_mut(2 * half).enumerate() {
            let (keys, values) = block.split_at_mut(half);
            for i in 0..KEYS.min(n - b * KEYS) {
                let key = &self.from(self.call.k, b * KEYS + i)[..headdim];
                keys[i..].iter_mut().step_by(KEYS).zip(key).for_each(|(to, from)| *to = *from);
                let value = &self.from(self.call.v, b * KEYS + i)[..headdim];
                values[i * headdim..(i + 1) * headdim].copy_from_slice(value);
            }
        }
        blocks
    }

    /// Results of up to [`PIECE`] rows from `first` on, `[rows, headdim]`.
    fn piece(&self, blocks: &[f32], first: usize) -> Vec<f32> {
        let rows = PIECE.min(self.call.rows() - first);
        let mut y = vec![0.0; rows * self.call.headdim];
        for (i, y) in y.chunks_mut(ROWS * self.call.headdim).enumerate() {
            simd::run(Blocked { head: self, first: first + i * ROWS, blocks, y });
        }
        y
    }
}

/// Few rows over keys and values where they lie. y: zeros, `[rows, headdim]`.
struct InPlace<'a> {
    head: &'a Head<'a>,
    y: &'a mut [f32],
}

impl Kernel for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Head { call, .. } = *self.head;
        let (rows, headdim, n) = (call.rows(), call.headdim, call.k.rows);
        let mut weights = vec![0.0; rows * n];
        for first in (0..rows).step_by(4) {
            let weights = &mut weights[first * n..];
            match rows - first {
                1 => self.head.scores::<V, 1>(first, weights),
                2 => self.head.scores::<V, 2>(first, weights),
                3 => self.head.scores::<V, 3>(first, weights),
                _ => self.head.scores::<V, 4>(first, weights),
            }
        }
        let mut sums = [0.0; FEW_ROWS];
        for r in 0..rows {
            let scores = &mut weights[r * n..(r + 1) * n];
            let seen = self.head.seen(r);
            scores[..seen].iter_mut().for_each(|s| *s *= call.scale);
            scores.iter_mut().zip(call.bias).for_each(|(s, bias)| *s += bias);
            let (_, sum) = weigh(f32::NEG_INFINITY, scores, seen);
            sums[r] = sum;
        }
        for first in (0..n).step_by(KEYS) {
            let sizes = Sizes { rows, inner: KEYS.min(n - first), cols: headdim };
            let left = (&weights[first..], Strides { row: n, col: 1 });
            let values = self.head.from(call.v, first);
            add_product::<V>((self.y, headdim), left, (values, call.v.stride), sizes);
        }
        for (y, sum) in self.y.chunks_exact_mut(headdim).zip(sums) {
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }
}

impl Head<'_> {
    /// q . k of `R` rows from `first` on with every key, `[R, keys]`.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    fn scores<V: Vector, const R: usize>(&self, first: usize, scores: &mut [f32]) {
        let (headdim, n) = (self.call.headdim, self.call.k.rows);
        let whole = headdim / V::LANES * V::LANES;
        let mut q: [&[f32]; R] = [&[]; R];
        for r in 0..R {
            q[r] = self.query(first + r);
        }
        for j in 0..n {
            let key = &self.from(self.call.k, j)[..headdim];
            let mut sums = [V::splat(0.0); R];
            let mut i = 0;
            while i < whole {
                // SAFETY: i + LANES <= headdim, the length of the key and of every query.
                unsafe {
                    let k = V::load(key.as_ptr().add(i));
                    for r in 0..R {
                        sums[r] = sums[r].fused(k, V::load(q[r].as_ptr().add(i)));
                    }
                }
                i += V::LANES;
            }
            for r in 0..R {
                let mut sum = sums[r].sum();
                for i in whole..headdim {
                    sum += key[i] * q[r][i];
                }
                scores[r * n + j] = sum;
            }
        }
    }
}

/// Turns the scores of a row, of which it sees the first `seen`, into weights relative to their largest and `before`.
/// Gives that and the sum of the weights.
#[inline(always)]
fn weigh(before: f32, scores: &mut [f32], seen: usize) -> (f32, f32) {
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

/// Up to [`ROWS`] rows from `first` on over copied keys and values. y: zeros, `[rows, headdim]`.
struct Blocked<'a> {
    head: &'a Head<'a>,
    first: usize,
    blocks: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Blocked<'_> {
    type Output = ();

    /// Every row sees key 0, so that its largest score is a number after the first block.
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Head { call, .. } = *self.head;
        let headdim = call.headdim;
        let rows = self.y.len() / headdim;
        let mut q = vec![0.0; rows * headdim];
        for r in 0..rows {
            let query = self.head.query(self.first + r).iter();
            let to = q[r * headdim..].iter_mut();
            to.zip(query).for_each(|(to, from)| *to = from * call.scale);
        }
        let (mut largest, mut sums) = ([f32::NEG_INFINITY; ROWS], [0.0f32; ROWS]);
        let blocks = self.head.seen(self.first + rows - 1).div_ceil(KEYS);
        for b in 0..blocks {
            let block = &self.blocks[b * 2 * KEYS * headdim..];
            let mut scores = [0.0f32; ROWS * KEYS];
            let sizes = Sizes { rows, inner: headdim, cols: KEYS };
            let queries = (&q[..], Strides { row: headdim, col: 1 });
            add_product::<V>((&mut scores, KEYS), queries, (block, KEYS), sizes);
            let bias = call.bias.get(b * KEYS..).unwrap_or(&[]);
            for r in 0..rows {
                let scores = &mut scores[r * KEYS..(r + 1) * KEYS];
                scores.iter_mut().zip(bias).for_each(|(s, bias)| *s += bias);
                let seen = self.head.seen(self.first + r).saturating_sub(b * KEYS);
                let (top, sum) = weigh(largest[r], scores, seen);
                let shrink = exp(largest[r] - top);
                sums[r] = sums[r] * shrink + sum;
                largest[r] = top;
                if shrink != 1.0 {
                    let y = &mut self.y[r * headdim..(r + 1) * headdim];
                    y.iter_mut().for_each(|y| *y *= shrink);
                }
            }
            let sizes = Sizes { rows, inner: KEYS, cols: headdim };
            let weights = (&scores[..], Strides { row: KEYS, col: 1 });
            add_product::<V>(
                (self.y, headdim),
                weights,
                (&block[KEYS * headdim..], headdim),
                sizes,
            );
        }
        for (y, sum) in self.y.chunks_exact_mut(headdim).zip(sums) {
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }
}

/// Unlike `f32::max`, one instruction a lane.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
