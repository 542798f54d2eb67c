//! Attention on the CPU, in two forms that compute the same.
//!
//! Many rows (a row is one query of one head): per key head, K and V are packed into tiles once; four rows at a
//! time meet a block of [`KEYS`] keys with the online softmax, and both products run through one micro-kernel
//! whose accumulators stay in registers. Few rows (a decode step): packing would cost as much as the product, so
//! K and V are read where they lie.

use super::Attention;
use crate::kernels::math::exp;

/// Rows one micro-kernel holds, and columns in its vectors.
const ROWS: usize = 4;
const LANES: usize = 8;
/// Keys of a block: K and V of one block (16 KiB at headdim 64) stay in the first cache while rows pass by.
const KEYS: usize = 32;
/// Groups of [`ROWS`] rows that meet a block of keys one after the other.
const GROUPS: usize = 4;
/// Below this many rows a key head, packing does not pay.
const FEW_ROWS: usize = 8;

type Tile = [[f32; LANES]; ROWS];

/// The output, `[seq_len, n_head * headdim]`.
pub fn attention(input: &Attention<'_>) -> Vec<f32> {
    let mut y = vec![0.0; input.q.rows * input.n_head * input.headdim];
    for kv_head in 0..input.n_kv_head {
        let head = Head { input, kv_head, group: input.n_head / input.n_kv_head };
        head.run(&mut y);
    }
    y
}

/// One key head with the query heads that share it; row r is query r / group of head r % group.
struct Head<'a> {
    input: &'a Attention<'a>,
    kv_head: usize,
    group: usize,
}

impl<'a> Head<'a> {
    fn rows(&self) -> usize {
        self.input.q.rows * self.group
    }

    /// Keys that row `r` sees.
    fn seen(&self, r: usize) -> usize {
        self.input.n_past + r / self.group + 1
    }

    /// Where row `r` starts in a row of q or y.
    fn column(&self, r: usize) -> usize {
        (self.kv_head * self.group + r % self.group) * self.input.headdim
    }

    fn query(&self, r: usize) -> &'a [f32] {
        let start = self.column(r);
        &self.input.q.cpu_row(r / self.group)[start..start + self.input.headdim]
    }

    fn bias(&self) -> &'a [f32] {
        self.input.bias.map_or(&[], |bias| bias.cpu())
    }

    fn key(&self, j: usize) -> &'a [f32] {
        let start = self.kv_head * self.input.headdim;
        &self.input.k.cpu_row(j)[start..start + self.input.headdim]
    }

    fn value(&self, j: usize) -> &'a [f32] {
        let start = self.kv_head * self.input.headdim;
        &self.input.v.cpu_row(j)[start..start + self.input.headdim]
    }

    fn output<'y>(&self, r: usize, y: &'y mut [f32]) -> &'y mut [f32] {
        let headdim = self.input.headdim;
        let start = r / self.group * self.input.n_head * headdim + self.column(r);
        &mut y[start..start + headdim]
    }

    /// Compiled twice on x86-64. `math::widest` would not do: a closure of this size is not inlined into it.
    fn run(&self, y: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            #[target_feature(enable = "avx2")]
            fn with_avx2(head: &Head<'_>, y: &mut [f32]) {
                head.run_baseline(y);
            }
            // SAFETY: the processor has AVX2, as was just asked.
            return unsafe { with_avx2(self, y) };
        }
        self.run_baseline(y);
    }

    #[inline(always)]
    fn run_baseline(&self, y: &mut [f32]) {
        if self.rows() < FEW_ROWS {
            self.row_by_row(y);
        } else {
            self.blocked(y);
        }
    }

    #[inline(always)]
    fn row_by_row(&self, y: &mut [f32]) {
        let mut weights = Vec::new();
        for r in 0..self.rows() {
            let q = self.query(r);
            weights.clear();
            weights.extend((0..self.seen(r)).map(|j| dot(q, self.key(j)) * self.input.scale));
            weights.iter_mut().zip(self.bias()).for_each(|(s, bias)| *s += bias);
            let largest = weights.iter().fold(f32::NEG_INFINITY, |m, &s| larger(m, s));
            weights.iter_mut().for_each(|s| *s = exp(*s - largest));
            let sum: f32 = weights.iter().sum();
            let out = self.output(r, y);
            for (j, w) in weights.iter().enumerate() {
                out.iter_mut().zip(self.value(j)).for_each(|(o, v)| *o += w * v);
            }
            out.iter_mut().for_each(|o| *o /= sum);
        }
    }

    #[inline(always)]
    fn blocked(&self, y: &mut [f32]) {
        let headdim = self.input.headdim;
        let keys = self.packed_keys();
        let values = self.packed_values();
        let blocks = || {
            let values = values.chunks_exact(KEYS * headdim.div_ceil(LANES));
            keys.chunks_exact(KEYS / LANES * headdim).zip(values)
        };
        for first in (0..self.rows()).step_by(ROWS * GROUPS) {
            let rows = (first..self.rows().min(first + ROWS * GROUPS)).step_by(ROWS);
            let mut groups: Vec<Rows> = rows.map(|r| Rows::new(self, r)).collect();
            for (b, (k, v)) in blocks().enumerate() {
                for group in groups.iter_mut().filter(|g| g.seen[ROWS - 1] > b * KEYS) {
                    let bias = self.bias().get(b * KEYS..).unwrap_or(&[]);
                    group.absorb(b * KEYS, k, v, bias);
                }
            }
            groups.iter().for_each(|g| g.store(self, y));
        }
    }

    /// K transposed, `[blocks, KEYS / LANES, headdim, LANES]`; keys behind the last are zeros.
    fn packed_keys(&self) -> Vec<[f32; LANES]> {
        let (n, headdim) = (self.input.k.rows, self.input.headdim);
        let mut packed = vec![[0.0; LANES]; n.div_ceil(KEYS) * KEYS / LANES * headdim];
        for (i, tile) in packed.chunks_exact_mut(headdim).enumerate() {
            for lane in 0..LANES.min(n.saturating_sub(i * LANES)) {
                let key = self.key(i * LANES + lane);
                tile.iter_mut().zip(key).for_each(|(to, from)| to[lane] = *from);
            }
        }
        packed
    }

    /// V, `[blocks, headdim / LANES, KEYS, LANES]`; what lies behind the last key or dimension is zeros.
    fn packed_values(&self) -> Vec<[f32; LANES]> {
        let (n, tiles) = (self.input.v.rows, self.input.headdim.div_ceil(LANES));
        let mut packed = vec![[0.0; LANES]; n.div_ceil(KEYS) * KEYS * tiles];
        for j in 0..n {
            let block = &mut packed[j / KEYS * KEYS * tiles..];
            for (tile, from) in self.value(j).chunks(LANES).enumerate() {
                block[tile * KEYS + j % KEYS][..from.len()].copy_from_slice(from);
            }
        }
        packed
    }
}

/// The online softmax of four rows: what they have taken from the keys so far.
struct Rows {
    first: usize,
    /// q * scale, `[headdim, ROWS]`.
    q: Vec<[f32; ROWS]>,
    /// The weighted sum of values, `[headdim / LANES, ROWS, LANES]`.
    acc: Vec<Tile>,
    largest: [f32; ROWS],
    sum: [f32; ROWS],
    seen: [usize; ROWS],
}

impl Rows {
    /// Rows behind the last repeat it; they are computed and not stored.
    fn new(head: &Head<'_>, first: usize) -> Self {
        let row = |i: usize| (first + i).min(head.rows() - 1);
        let mut q = vec![[0.0; ROWS]; head.input.headdim];
        for i in 0..ROWS {
            let query = head.query(row(i)).iter();
            q.iter_mut().zip(query).for_each(|(to, from)| to[i] = from * head.input.scale);
        }
        Self {
            first,
            q,
            acc: vec![Tile::default(); head.input.headdim.div_ceil(LANES)],
            largest: [f32::NEG_INFINITY; ROWS],
            sum: [0.0; ROWS],
            seen: std::array::from_fn(|i| head.seen(row(i))),
        }
    }

    /// Takes in the keys from `first_key` on: one block of packed K and V, and their biases if there are any.
    #[inline(always)]
    fn absorb(
        &mut self,
        first_key: usize,
        keys: &[[f32; LANES]],
        values: &[[f32; LANES]],
        bias: &[f32],
    ) {
        let mut scores = [[0.0f32; KEYS]; ROWS];
        for (i, tile) in keys.chunks_exact(self.q.len()).enumerate() {
            let product = multiply(&self.q, tile, Tile::default());
            for (to, from) in scores.iter_mut().zip(&product) {
                to[i * LANES..(i + 1) * LANES].copy_from_slice(from);
            }
        }
        let mut shrink = [0.0f32; ROWS];
        for r in 0..ROWS {
            let seen = self.seen[r].saturating_sub(first_key).min(KEYS);
            scores[r].iter_mut().zip(bias).for_each(|(s, bias)| *s += bias);
            shrink[r] = self.weigh(r, &mut scores[r], seen);
        }
        let weights: [[f32; ROWS]; KEYS] =
            std::array::from_fn(|j| std::array::from_fn(|r| scores[r][j]));
        for (acc, tile) in self.acc.iter_mut().zip(values.chunks_exact(KEYS)) {
            for (row, s) in acc.iter_mut().zip(shrink) {
                row.iter_mut().for_each(|a| *a *= s);
            }
            *acc = multiply(&weights, tile, *acc);
        }
    }

    /// Turns the scores of row `r` into weights relative to its largest score so far; gives the factor by which
    /// what was summed before must shrink. Every row sees key 0, so that its largest score is a number at once.
    #[inline(always)]
    fn weigh(&mut self, r: usize, scores: &mut [f32; KEYS], seen: usize) -> f32 {
        scores[seen..].fill(f32::NEG_INFINITY);
        let mut lanes = [self.largest[r]; LANES];
        for chunk in scores.as_chunks::<LANES>().0 {
            lanes.iter_mut().zip(chunk).for_each(|(m, &s)| *m = larger(*m, s));
        }
        let largest = lanes.into_iter().fold(self.largest[r], larger);
        let shrink = exp(self.largest[r] - largest);
        scores.iter_mut().for_each(|s| *s = exp(*s - largest));
        scores[seen..].fill(0.0);
        let mut sums = [0.0f32; LANES];
        for chunk in scores.as_chunks::<LANES>().0 {
            sums.iter_mut().zip(chunk).for_each(|(sum, s)| *sum += s);
        }
        self.sum[r] = self.sum[r] * shrink + sums.iter().sum::<f32>();
        self.largest[r] = largest;
        shrink
    }

    fn store(&self, head: &Head<'_>, y: &mut [f32]) {
        for i in 0..ROWS.min(head.rows() - self.first) {
            let out = head.output(self.first + i, y);
            for (to, acc) in out.chunks_mut(LANES).zip(&self.acc) {
                to.iter_mut().zip(&acc[i]).for_each(|(y, a)| *y = a / self.sum[i]);
            }
        }
    }
}

/// acc + a^T b over the first axis: a `[depth, ROWS]`, b `[depth, LANES]`.
#[inline(always)]
fn multiply(a: &[[f32; ROWS]], b: &[[f32; LANES]], mut acc: Tile) -> Tile {
    for (a, b) in a.iter().zip(b) {
        for r in 0..ROWS {
            for l in 0..LANES {
                acc[r][l] += a[r] * b[l];
            }
        }
    }
    acc
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            lanes[l] += a[l] * b[l];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// Unlike `f32::max`, one instruction a lane.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
