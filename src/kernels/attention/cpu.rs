//! Attention on the CPU, in two forms that compute the same.
//!
//! Many rows (a row is one query of one head): per key head, K and V are copied in blocks of [`KEYS`] keys; [`ROWS`] rows at a
//! time meet a block with the online softmax, and both products are tiles of matrix products. The rows stand side by side,
//! a lane each, so that no lane of the softmax waits for another.
//! Few rows (a decode step): see `few_rows`.

use super::heads::{Call, Head};
use super::{Attention, few_rows};
use crate::kernels::math::exp2_lanes;
use crate::kernels::simd::{self, Kernel, Vector};
use crate::kernels::tiles::{Sizes, Strides, add_product};
use crate::threads;
use std::f32::consts::LOG2_E;

/// Rows that meet a block of keys together, and keys of a block: whole tiles of products. K or V of a block (12 KiB at headdim
/// 64) stays in the first cache while rows pass by.
const ROWS: usize = 48;
const KEYS: usize = 48;
/// Rows of one piece of work, which one thread does.
const PIECE: usize = 2 * ROWS;
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
    /// K, then V, block after block, each `[KEYS, headdim]`; behind the last key stand zeros.
    fn copied(&self) -> Vec<f32> {
        let (n, headdim) = (self.call.k.rows, self.call.headdim);
        let half = KEYS * headdim;
        let mut blocks = vec![0.0; n.div_ceil(KEYS) * 2 * half];
        for (i, block) in blocks.chunks_exact_mut(half).enumerate() {
            let (first, rows) = (i / 2 * KEYS, if i % 2 == 0 { self.call.k } else { self.call.v });
            for (j, to) in block.chunks_exact_mut(headdim).take(n - first).enumerate() {
                to.copy_from_slice(&self.from(rows, first + j)[..headdim]);
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

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (headdim, rows) = (self.head.call.headdim, self.y.len() / self.head.call.headdim);
        // Whole vectors of rows; those that are not there have queries of zeros.
        let width = rows.next_multiple_of(V::LANES);
        let q = self.queries(rows, width);
        let mut softmax = Softmax::new();
        let keys = self.head.seen(self.first + rows - 1);
        for (b, block) in self.blocks.chunks_exact(2 * KEYS * headdim).enumerate() {
            let first = b * KEYS;
            if first >= keys {
                break;
            }
            let n = KEYS.min(keys - first);
            let (k, v) = block.split_at(KEYS * headdim);
            // [keys, rows]
            let mut scores = [0.0; KEYS * ROWS];
            let k = (k, Strides { row: headdim, col: 1 });
            let sizes = Sizes { rows: n, inner: headdim, cols: width };
            add_product::<V>((&mut scores, width), k, (&q, width), sizes);
            let scores = &mut scores[..n * width];
            let bias = self.head.call.bias.get(first..).unwrap_or(&[]);
            for (scores, bias) in scores.chunks_exact_mut(width).zip(bias) {
                scores.iter_mut().for_each(|s| *s += bias * LOG2_E);
            }
            self.hide(scores, width, first, f32::NEG_INFINITY);
            softmax.weigh::<V>(scores, width);
            self.hide(scores, width, first, 0.0);
            for (y, shrink) in self.y.chunks_exact_mut(headdim).zip(softmax.shrink) {
                if shrink != 1.0 {
                    y.iter_mut().for_each(|y| *y *= shrink);
                }
            }
            let weights = (&scores[..], Strides { row: 1, col: width });
            let sizes = Sizes { rows, inner: n, cols: headdim };
            add_product::<V>((&mut *self.y, headdim), weights, (v, headdim), sizes);
        }
        for (y, sum) in self.y.chunks_exact_mut(headdim).zip(softmax.sums) {
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }
}

impl Blocked<'_> {
    /// The queries side by side, `[headdim, width]`, scaled for powers of two.
    #[inline(always)]
    fn queries(&self, rows: usize, width: usize) -> Vec<f32> {
        let call = self.head.call;
        let mut q = vec![0.0; call.headdim * width];
        for r in 0..rows {
            let to = q[r..].iter_mut().step_by(width);
            let query = self.head.query(self.first + r);
            to.zip(query).for_each(|(to, from)| *to = from * (call.scale * LOG2_E));
        }
        q
    }

    /// Puts `value` where a row does not see a key; those of `scores` begin with key `first`.
    #[inline(always)]
    fn hide(&self, scores: &mut [f32], width: usize, first: usize, value: f32) {
        for (j, scores) in scores.chunks_exact_mut(width).enumerate() {
            // Rows see the more the later they come.
            for r in (0..width).take_while(|r| self.head.seen(self.first + r) <= first + j) {
                scores[r] = value;
            }
        }
    }
}

/// The online softmax of [`ROWS`] rows, in powers of two.
struct Softmax {
    /// The largest score so far. Every row sees key 0, so that it is a number after the first block.
    largest: [f32; ROWS],
    /// Of the weights so far, relative to the largest.
    sums: [f32; ROWS],
    /// What the last block has multiplied earlier weights by.
    shrink: [f32; ROWS],
}

impl Softmax {
    #[inline(always)]
    fn new() -> Softmax {
        Softmax { largest: [f32::NEG_INFINITY; ROWS], sums: [0.0; ROWS], shrink: [1.0; ROWS] }
    }

    /// Turns scores `[keys, width]` into weights; `width` is a multiple of the lanes, at most [`ROWS`].
    #[inline(always)]
    fn weigh<V: Vector>(&mut self, scores: &mut [f32], width: usize) {
        assert!(width <= ROWS && width.is_multiple_of(V::LANES), "lanes");
        assert!(scores.len().is_multiple_of(width), "scores");
        for r in (0..width).step_by(V::LANES) {
            let places = (r..scores.len()).step_by(width);
            // SAFETY: r + LANES <= width <= ROWS, and a place is r above a multiple of the width, of which the scores have
            // whole ones.
            unsafe {
                let before = V::load(self.largest.as_ptr().add(r));
                let mut top = before;
                for at in places.clone() {
                    top = V::load(scores.as_ptr().add(at)).at_least(top);
                }
                let shrink = exp2_lanes(before.minus(top));
                let mut sum = V::load(self.sums.as_ptr().add(r)).times(shrink);
                for at in places {
                    let score = scores.as_mut_ptr().add(at);
                    let weight = exp2_lanes(V::load(score).minus(top));
                    weight.store(score);
                    sum = sum.plus(weight);
                }
                top.store(self.largest.as_mut_ptr().add(r));
                sum.store(self.sums.as_mut_ptr().add(r));
                shrink.store(self.shrink.as_mut_ptr().add(r));
            }
        }
    }
}
