//! Attention of few rows on the CPU (a decode step). Keys, and then values, are read where they lie, each once for all
//! heads of a thread: in the order of memory. On an EPYC with AVX-512 one head after the other waited for memory four
//! fifths of its time.

use super::heads::{Call, Head, weigh};
use crate::kernels::cpu_gemm::Rows;
use crate::kernels::simd::{self, Kernel, Vector};
use crate::kernels::tiles::{Sizes, Strides, add_product};
use crate::threads;
use std::ops::Range;

/// Keys of a block: their rows (24 KiB with three heads of 64) stay in the first cache.
const KEYS: usize = 32;
/// Values of a line of the cache.
const LINE: usize = 16;

fn blocks(n: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(KEYS).map(move |first| first..n.min(first + KEYS))
}

/// Puts the result of every row into `y` `[seq_len, n_head * headdim]`.
pub fn attention(call: &Call<'_>, n_kv_head: usize, y: &mut [f32]) {
    let parts = threads::count().min(n_kv_head);
    let part = |i: usize| i * n_kv_head / parts..(i + 1) * n_kv_head / parts;
    let size = call.rows() * call.headdim;
    let results = threads::share((0..parts).map(part), |kv_heads| {
        let mut y = vec![0.0; kv_heads.len() * size];
        simd::run(InPlace { call, kv_heads: kv_heads.clone(), y: &mut y });
        (kv_heads, y)
    });
    for (kv_heads, results) in results {
        for (kv_head, rows) in kv_heads.zip(results.chunks_exact(size)) {
            Head { call, kv_head }.place(0, rows, y);
        }
    }
}

/// Some key heads. y: zeros, `[key heads, rows, headdim]`.
struct InPlace<'a> {
    call: &'a Call<'a>,
    kv_heads: Range<usize>,
    y: &'a mut [f32],
}

impl InPlace<'_> {
    /// Brings the rows of some keys into the cache: loads that nothing waits for come side by side, and those of the
    /// arithmetic do not. Reading values alone, an EPYC with AVX-512 took 3.2 ms with this where it took 4.9 without.
    #[inline(always)]
    fn fetch(&self, rows: Rows<'_>, keys: Range<usize>) {
        let columns =
            self.kv_heads.start * self.call.headdim..self.kv_heads.end * self.call.headdim;
        let mut sum = 0.0;
        for j in keys {
            let row = &rows.values[j * rows.stride..][columns.clone()];
            let mut i = 0;
            while i < row.len() {
                sum += row[i];
                i += LINE;
            }
        }
        std::hint::black_box(sum);
    }
}

impl Kernel for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (call, rows) = (self.call, self.call.rows());
        let (headdim, n) = (call.headdim, call.k.rows);
        let heads = self.kv_heads.len();
        let head = |h: usize| Head { call, kv_head: self.kv_heads.start + h };
        let queries: Vec<&[f32]> =
            (0..heads * rows).map(|i| head(i / rows).query(i % rows)).collect();
        // [key heads, rows, keys]
        let mut weights = vec![0.0; heads * rows * n];
        for keys in blocks(n) {
            self.fetch(call.k, keys.clone());
            for j in keys {
                for h in 0..heads {
                    let key = &head(h).from(call.k, j)[..headdim];
                    for first in (h * rows..(h + 1) * rows).step_by(4) {
                        let (queries, weights) = (&queries[first..], &mut weights[first * n + j..]);
                        match (h + 1) * rows - first {
                            1 => scores::<V, 1>(key, queries, weights, n),
                            2 => scores::<V, 2>(key, queries, weights, n),
                            3 => scores::<V, 3>(key, queries, weights, n),
                            _ => scores::<V, 4>(key, queries, weights, n),
                        }
                    }
                }
            }
        }
        let mut sums = vec![0.0; heads * rows];
        for i in 0..heads * rows {
            let scores = &mut weights[i * n..(i + 1) * n];
            let seen = head(i / rows).seen(i % rows);
            scores[..seen].iter_mut().for_each(|s| *s *= call.scale);
            scores.iter_mut().zip(call.bias).for_each(|(s, bias)| *s += bias);
            (_, sums[i]) = weigh(f32::NEG_INFINITY, scores, seen);
        }
        for keys in blocks(n) {
            self.fetch(call.v, keys.clone());
            let sizes = Sizes { rows, inner: keys.len(), cols: headdim };
            for h in 0..heads {
                let left = (&weights[h * rows * n + keys.start..], Strides { row: n, col: 1 });
                let values = (head(h).from(call.v, keys.start), call.v.stride);
                let y = &mut self.y[h * rows * headdim..];
                add_product::<V>((y, headdim), left, values, sizes);
            }
        }
        for (y, sum) in self.y.chunks_exact_mut(headdim).zip(sums) {
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }
}

/// q . k of `R` rows with one key; the results lie `stride` apart.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn scores<V: Vector, const R: usize>(
    key: &[f32],
    queries: &[&[f32]],
    scores: &mut [f32],
    stride: usize,
) {
    let headdim = key.len();
    let whole = headdim / V::LANES * V::LANES;
    let mut q: [&[f32]; R] = [&[]; R];
    for r in 0..R {
        q[r] = &queries[r][..headdim];
    }
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
        scores[r * stride] = sum;
    }
}
