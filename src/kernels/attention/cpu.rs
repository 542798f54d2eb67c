//! Attention on the CPU, in two forms that compute the same.
//!
//! Many rows (a row is one query of one head): per key head, K is transposed and V copied in blocks of [`KEYS`] keys;
//! [`ROWS`] rows at a time meet a block with the online softmax, and both products are tiles of matrix products.
//! Few rows (a decode step): see `few_rows`.

use super::heads::{Call, Head, weigh};
use super::{Attention, few_rows};
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
    let mut y = vec![0.0; input.q.rows * input.n_head * input.headdim];
    if call.rows() < FEW_ROWS {
        few_rows::attention(&call, input.n_kv_head, &mut y);
        return y;
    }
    let heads = in_order(0..input.n_kv_head, |kv_head| Head { call: &call, kv_head }.copied());
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

impl Head<'_> {
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
