//! Tiles of registers: [`TOGETHER`] keys meet up to three rows, and three rows four vectors of values. Each key is asked
//! for [`AHEAD`] before its turn, in the order of memory and little by little, so that memory and arithmetic work at the
//! same time: of rows that are met in tiles the processor does not find out by itself what comes next.

use super::{LINE, Part, blocks};
use crate::kernels::cpu_gemm::Rows;
use crate::kernels::simd::Vector;

/// Keys of a tile.
const TOGETHER: usize = 4;
/// Keys whose values are added before the sums are stored: with those that come next they stay in the first cache.
const KEYS: usize = 16;
/// Keys between what is asked for and what is used; all of a block are asked for before it begins.
const AHEAD: usize = KEYS;

/// weights: q . k, `[key heads, rows, keys]`.
#[inline(always)]
pub fn scores<V: Vector>(part: &Part<'_>, weights: &mut [f32]) {
    let (call, rows, n) = (part.call, part.call.rows(), part.call.k.rows);
    let (headdim, heads) = (call.headdim, part.kv_heads.len());
    let mut queries = Vec::with_capacity(heads * rows * headdim);
    for i in 0..heads * rows {
        queries.extend_from_slice(part.head(i / rows).query(i % rows));
    }
    let mut ahead = Ahead::new(part, call.k);
    for keys in blocks(n, TOGETHER) {
        for h in 0..heads {
            ahead.ask(keys.len() * headdim / LINE);
            let tile = Scores {
                keys: part.head(h).from(call.k, keys.start),
                stride: call.k.stride,
                queries: &queries[h * rows * headdim..(h + 1) * rows * headdim],
                headdim,
                n,
            };
            let weights = &mut weights[h * rows * n + keys.start..];
            if keys.len() == TOGETHER {
                tile.of_all::<V, TOGETHER>(weights);
                continue;
            }
            for j in 0..keys.len() {
                let one = Scores { keys: &tile.keys[j * tile.stride..], ..tile };
                one.of_all::<V, 1>(&mut weights[j..]);
            }
        }
    }
}

/// y += weights v, `[key heads, rows, headdim]`.
#[inline(always)]
pub fn add_values<V: Vector>(part: &Part<'_>, weights: &[f32], y: &mut [f32]) {
    let (call, rows, n) = (part.call, part.call.rows(), part.call.v.rows);
    let headdim = call.headdim;
    let mut ahead = Ahead::new(part, call.v);
    for keys in blocks(n, KEYS) {
        for h in 0..part.kv_heads.len() {
            let values = part.head(h).from(call.v, keys.start);
            let (weights, y) =
                (&weights[h * rows * n + keys.start..], &mut y[h * rows * headdim..]);
            let last = keys.len() - 1;
            assert!(values.len() >= last * call.v.stride + headdim, "values");
            assert!(weights.len() > (rows - 1) * n + last, "weights");
            assert!(y.len() >= rows * headdim, "results");
            let sums = Sums {
                values: values.as_ptr(),
                stride: call.v.stride,
                weights: weights.as_ptr(),
                n,
                y: y.as_mut_ptr(),
                headdim,
                rows,
                keys: keys.len(),
            };
            // SAFETY: the three slices hold so many keys, rows and columns, and `y` is borrowed alone.
            unsafe { sums.run::<V>(0, &mut ahead) };
        }
    }
}

/// Rows of the next tile, of those that are left.
#[inline(always)]
fn together(left: usize) -> usize {
    match left {
        1 => 1,
        2 | 4 => 2,
        _ => 3,
    }
}

/// The lines of a part's keys or values in the order of memory, from [`AHEAD`] keys on.
struct Ahead {
    row: *const f32,
    /// Values from the start of a row to the next line that is asked for, and to its end.
    at: usize,
    width: usize,
    stride: usize,
}

impl Ahead {
    #[inline(always)]
    fn new(part: &Part<'_>, rows: Rows<'_>) -> Self {
        let columns = part.columns();
        let (width, stride) = (columns.len(), rows.stride);
        let row = rows.values.as_ptr().wrapping_add(AHEAD * stride + columns.start);
        Self { row, at: 0, width, stride }
    }

    /// Asks for the next lines, also behind the last key: no harm is done.
    #[inline(always)]
    fn ask(&mut self, lines: usize) {
        for _ in 0..lines {
            prefetch(self.row.wrapping_add(self.at));
            self.at += LINE;
            if self.at >= self.width {
                (self.row, self.at) = (self.row.wrapping_add(self.stride), 0);
            }
        }
    }
}

#[inline(always)]
fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint; no address is wrong.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Some keys of one head, from the first on and `stride` apart, and the rows that meet them, one behind the other.
#[derive(Clone, Copy)]
struct Scores<'a> {
    keys: &'a [f32],
    stride: usize,
    queries: &'a [f32],
    headdim: usize,
    /// Of all keys: scores of a row and of the next are so many apart.
    n: usize,
}

impl Scores<'_> {
    /// Of `K` keys with all rows.
    #[inline(always)]
    fn of_all<V: Vector, const K: usize>(&self, to: &mut [f32]) {
        let rows = self.queries.len() / self.headdim;
        let mut first = 0;
        while first < rows {
            let to = &mut to[first * self.n..];
            let together = together(rows - first);
            match together {
                1 => self.tile::<V, 1, K>(first, to),
                2 => self.tile::<V, 2, K>(first, to),
                _ => self.tile::<V, 3, K>(first, to),
            }
            first += together;
        }
    }

    /// Of `K` keys with `R` rows from `first` on.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    fn tile<V: Vector, const R: usize, const K: usize>(&self, first: usize, to: &mut [f32]) {
        let Self { stride, headdim, .. } = *self;
        let (keys, queries) = (self.keys, &self.queries[first * headdim..]);
        assert!(keys.len() >= (K - 1) * stride + headdim && queries.len() >= R * headdim, "keys");
        let whole = headdim / V::LANES * V::LANES;
        let mut sums = [[V::splat(0.0); K]; R];
        let mut i = 0;
        while i < whole {
            let mut q = [V::splat(0.0); R];
            // SAFETY: i + LANES <= headdim, and every key and query has so many values, as was just asserted.
            unsafe {
                for r in 0..R {
                    q[r] = V::load(queries.as_ptr().add(r * headdim + i));
                }
                for j in 0..K {
                    let key = V::load(keys.as_ptr().add(j * stride + i));
                    for r in 0..R {
                        sums[r][j] = sums[r][j].fused(key, q[r]);
                    }
                }
            }
            i += V::LANES;
        }
        for r in 0..R {
            for j in 0..K {
                let mut sum = sums[r][j].sum();
                for i in whole..headdim {
                    sum += keys[j * stride + i] * queries[r * headdim + i];
                }
                to[r * self.n + j] = sum;
            }
        }
    }
}

/// Sums of the values of some keys of one head under the weights of all rows, added to y.
struct Sums {
    values: *const f32,
    stride: usize,
    weights: *const f32,
    /// Weights of a row and of the next are so many apart.
    n: usize,
    y: *mut f32,
    headdim: usize,
    rows: usize,
    keys: usize,
}

impl Sums {
    /// All columns from `col` on.
    ///
    /// # Safety
    /// The pointers hold what the sizes and strides say.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self, mut col: usize, ahead: &mut Ahead) {
        // SAFETY: every call stays within `headdim`.
        unsafe {
            while col + 4 * V::LANES <= self.headdim {
                self.columns::<V, 4>(col, ahead);
                col += 4 * V::LANES;
            }
            if col + 2 * V::LANES <= self.headdim {
                self.columns::<V, 2>(col, ahead);
                col += 2 * V::LANES;
            }
            if col + V::LANES <= self.headdim {
                self.columns::<V, 1>(col, ahead);
                col += V::LANES;
            }
            if V::LANES > 1 && col < self.headdim {
                self.run::<V::Narrower>(col, ahead);
            }
        }
    }

    /// `C` vectors of columns, all rows.
    #[inline(always)]
    unsafe fn columns<V: Vector, const C: usize>(&self, col: usize, ahead: &mut Ahead) {
        let mut row = 0;
        while row < self.rows {
            // The first rows that meet the values ask for those that come next.
            let lines = if row == 0 { C * V::LANES / LINE } else { 0 };
            let together = together(self.rows - row);
            // SAFETY: every call stays within `rows`.
            unsafe {
                match together {
                    1 => self.tile::<V, 1, C>(row, col, lines, ahead),
                    2 => self.tile::<V, 2, C>(row, col, lines, ahead),
                    _ => self.tile::<V, 3, C>(row, col, lines, ahead),
                }
            }
            row += together;
        }
    }

    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn tile<V: Vector, const R: usize, const C: usize>(
        &self,
        row: usize,
        col: usize,
        lines: usize,
        ahead: &mut Ahead,
    ) {
        // SAFETY: `row + R` rows and `col + C * LANES` columns are there, as the callers see to.
        unsafe {
            let mut values = self.values.add(col);
            let weights = self.weights.add(row * self.n);
            let mut sums = [[V::splat(0.0); C]; R];
            for j in 0..self.keys {
                ahead.ask(lines);
                let mut w = [V::splat(0.0); R];
                for r in 0..R {
                    w[r] = V::splat(*weights.add(r * self.n + j));
                }
                for c in 0..C {
                    let value = V::load(values.add(c * V::LANES));
                    for r in 0..R {
                        sums[r][c] = sums[r][c].fused(w[r], value);
                    }
                }
                values = values.wrapping_add(self.stride);
            }
            for r in 0..R {
                for c in 0..C {
                    let to = self.y.add((row + r) * self.headdim + col + c * V::LANES);
                    V::load(to).plus(sums[r][c]).store(to);
                }
            }
        }
    }
}
