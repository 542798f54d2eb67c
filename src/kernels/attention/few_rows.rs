//! Attention of few rows on the CPU (a decode step). Keys, and then values, are read where they lie, each once for all
//! heads of a thread: in the order of memory. On an EPYC with AVX-512 one head after the other waited for memory four
//! fifths of its time. Both products have two forms: tiles of registers that leave the memory no pause (`tiled`,
//! native), and one key after the other (`plain`, the page, where every unrolled loop is bytes to load).

#[cfg(any(target_arch = "wasm32", test))]
mod plain;
#[cfg(not(target_arch = "wasm32"))]
mod tiled;

use super::heads::{Call, Head};
use crate::kernels::math::exp;
use crate::kernels::simd::{self, Kernel, Vector};
use crate::threads;
#[cfg(target_arch = "wasm32")]
use plain as form;
use std::ops::Range;
#[cfg(not(target_arch = "wasm32"))]
use tiled as form;

/// Values of a line of the cache.
const LINE: usize = 16;

/// Puts the result of every row into `y` `[seq_len, n_head * headdim]`.
pub fn attention(call: &Call<'_>, n_kv_head: usize, y: &mut [f32]) {
    // A product here is counted as four, because it waits for memory: an estimate, which sets where threads begin.
    let products = call.rows() * n_kv_head * call.k.rows * call.headdim * 2;
    let parts = threads::parts(4 * products, n_kv_head);
    let part = |i: usize| i * n_kv_head / parts..(i + 1) * n_kv_head / parts;
    let size = call.rows() * call.headdim;
    let results = threads::share((0..parts).map(part), |kv_heads| {
        let mut y = vec![0.0; kv_heads.len() * size];
        simd::run(InPlace { part: Part { call, kv_heads: kv_heads.clone() }, y: &mut y });
        (kv_heads, y)
    });
    for (kv_heads, results) in results {
        for (kv_head, rows) in kv_heads.zip(results.chunks_exact(size)) {
            Head { call, kv_head }.place(0, rows, y);
        }
    }
}

/// Some key heads, which one thread does.
struct Part<'a> {
    call: &'a Call<'a>,
    kv_heads: Range<usize>,
}

impl<'a> Part<'a> {
    #[inline(always)]
    fn head(&self, h: usize) -> Head<'a> {
        Head { call: self.call, kv_head: self.kv_heads.start + h }
    }

    /// Columns of these heads in a row of keys or values.
    #[inline(always)]
    fn columns(&self) -> Range<usize> {
        self.kv_heads.start * self.call.headdim..self.kv_heads.end * self.call.headdim
    }
}

/// Ranges of `size` of n keys; the last may be shorter.
#[inline(always)]
fn blocks(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |first| first..n.min(first + size))
}

/// y: zeros, `[key heads, rows, headdim]`.
struct InPlace<'a> {
    part: Part<'a>,
    y: &'a mut [f32],
}

impl Kernel for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { part, y } = self;
        let (call, rows) = (part.call, part.call.rows());
        let (n, all) = (call.k.rows, part.kv_heads.len() * rows);
        // [key heads, rows, keys]
        let mut weights = vec![0.0; all * n];
        form::scores::<V>(&part, &mut weights);
        let mut sums = vec![0.0; all];
        for i in 0..all {
            let scores = &mut weights[i * n..(i + 1) * n];
            let seen = part.head(i / rows).seen(i % rows);
            scores[..seen].iter_mut().for_each(|s| *s *= call.scale);
            scores.iter_mut().zip(call.bias).for_each(|(s, bias)| *s += bias);
            sums[i] = weigh(scores, seen);
        }
        form::add_values::<V>(&part, &weights, y);
        for (y, sum) in y.chunks_exact_mut(call.headdim).zip(sums) {
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }
}

/// Turns the scores of a row, of which it sees the first `seen`, into weights relative to their largest. Gives their sum.
#[inline(always)]
fn weigh(scores: &mut [f32], seen: usize) -> f32 {
    let (scores, unseen) = scores.split_at_mut(seen.min(scores.len()));
    unseen.fill(0.0);
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = scores.as_chunks::<16>();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(m, &s)| *m = larger(*m, s));
    }
    let largest = rest.iter().fold(f32::NEG_INFINITY, |m, &s| larger(m, s));
    let largest = lanes.into_iter().fold(largest, larger);
    scores.iter_mut().for_each(|s| *s = exp(*s - largest));
    let mut sums = [0.0f32; 16];
    let (chunks, rest) = scores.as_chunks::<16>();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, s)| *sum += s);
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

/// Unlike `f32::max`, one instruction a lane.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::backend::{Device, Tensor};
    use crate::kernels::attention::Attention;

    /// Scores, and sums of values under other weights, of one form.
    struct Both<'a>(Part<'a>, &'a [f32], bool);

    impl Kernel for Both<'_> {
        type Output = [Vec<f32>; 2];
        #[inline(always)]
        fn run<V: Vector>(self) -> [Vec<f32>; 2] {
            let Both(part, weights, is_plain) = self;
            let mut scores = vec![0.0; weights.len()];
            let size = part.kv_heads.len() * part.call.rows() * part.call.headdim;
            let mut y = vec![0.0; size];
            match is_plain {
                true => plain::scores::<V>(&part, &mut scores),
                false => tiled::scores::<V>(&part, &mut scores),
            }
            match is_plain {
                true => plain::add_values::<V>(&part, weights, &mut y),
                false => tiled::add_values::<V>(&part, weights, &mut y),
            }
            [scores, y]
        }
    }

    #[test]
    fn both_forms_agree_for_every_number_of_rows_keys_and_columns() {
        let mut rng = Rng::new(75);
        for (group, seq_len) in [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (2, 3), (7, 1)] {
            for n in [1, 3, 4, 5, 15, 16, 17, 33, 70] {
                for headdim in [1, 4, 7, 16, 33, 64, 100] {
                    let (n, kv) = (n.max(seq_len), 3 * headdim);
                    let mut tensor = |rows, cols| -> Tensor {
                        Device::Cpu.tensor(rows, cols, &rng.normals(rows * cols, 1.0))
                    };
                    let (q, k, v) = (tensor(seq_len, group * kv), tensor(n, kv + 2), tensor(n, kv));
                    let weights = rng.normals(2 * group * seq_len * n, 1.0);
                    let call = Call::new(&Attention {
                        q: q.view(),
                        k: k.columns(1, kv),
                        v: v.view(),
                        n_head: 3 * group,
                        n_kv_head: 3,
                        headdim,
                        n_past: n - seq_len,
                        scale: 1.0,
                        bias: None,
                    });
                    let run = |is_plain| {
                        let part = Part { call: &call, kv_heads: 1..3 };
                        simd::run(Both(part, &weights, is_plain))
                    };
                    let (plain, tiled) = (run(true), run(false));
                    let name = format!("{group} by {seq_len} over {n} keys of {headdim}");
                    assert_eq!(plain[0], tiled[0], "scores of {name}");
                    // Sums of up to 70 products of normals, cut in other places.
                    let d = crate::kernels::largest_difference(&plain[1], &tiled[1]);
                    assert!(d < 1e-5, "values of {name}: {d}");
                }
            }
        }
    }
}
