//! The two forms of SSD on the CPU.
//!
//! Sequential works on the state as it lies, [`ROWS`] rows of a head at a time: B and C are loaded once for all of them,
//! and the rows (2 KB at 128 states) stay in the L1 cache over all tokens. Chunked keeps the state of a head
//! transposed, `[d_state, headdim]`, so that everything is a product of row-major matrices.

use super::Ssd;
use crate::backend::Tensor;
use crate::kernels::math::{self, Lanes};

/// Rows of a head the sequential form takes together.
const ROWS: usize = 4;
/// Tokens of a chunk: measured 15 % faster than 64 in wasm and natively (24 heads of 64, 128 states).
const CHUNK: usize = 32;
/// Columns of a tile of a product.
const TILE: usize = 8;

/// What happens to one head at one token.
#[derive(Clone, Copy)]
struct Step {
    delta: f32,
    /// delta A.
    log_decay: f32,
}

/// `[seq_len, n_head]`.
#[inline(always)]
fn steps(s: &Ssd<'_>) -> Vec<Step> {
    let mut out = Vec::with_capacity(s.x.rows * s.n_head);
    for t in 0..s.x.rows {
        let heads = s.dt.cpu_row(t).iter().zip(s.dt_bias.cpu()).zip(s.a.cpu());
        out.extend(heads.map(|((dt, bias), a)| {
            let delta = math::softplus(dt + bias).clamp(s.dt_limit.0, s.dt_limit.1);
            Step { delta, log_decay: delta * a }
        }));
    }
    out
}

fn finish(s: &Ssd<'_>, y: Vec<f32>, state: Vec<f32>) -> (Tensor, Tensor) {
    let rows = s.n_head * s.headdim;
    (Tensor::on_cpu(s.x.rows, rows, y), Tensor::on_cpu(rows, s.d_state, state))
}

#[inline(always)]
pub(super) fn sequential(s: &Ssd<'_>) -> (Tensor, Tensor) {
    let steps = steps(s);
    let mut y = vec![0.0; s.x.rows * s.n_head * s.headdim];
    let mut state = s.state.cpu().to_vec();
    for head in 0..s.n_head {
        let (mut row, end) = (head * s.headdim, (head + 1) * s.headdim);
        while row + ROWS <= end {
            walk::<ROWS>(s, &steps, head, row, &mut state, &mut y);
            row += ROWS;
        }
        for row in row..end {
            walk::<1>(s, &steps, head, row, &mut state, &mut y);
        }
    }
    finish(s, y, state)
}

/// All tokens of the rows `row..row + R` of a head.
#[inline(always)]
fn walk<const R: usize>(
    s: &Ssd<'_>,
    steps: &[Step],
    head: usize,
    row: usize,
    state: &mut [f32],
    y: &mut [f32],
) {
    let (n, d_inner) = (s.d_state, s.n_head * s.headdim);
    let group = head / (s.n_head / s.n_groups) * n;
    let skip = s.d.cpu()[head];
    let h = &mut state[row * n..(row + R) * n];
    for (t, y) in y.chunks_exact_mut(d_inner).enumerate() {
        let step = steps[t * s.n_head + head];
        let x: [f32; R] = std::array::from_fn(|r| s.x.cpu_row(t)[row + r]);
        let b = &s.b.cpu_row(t)[group..group + n];
        let c = &s.c.cpu_row(t)[group..group + n];
        let sums = advance(h, math::exp(step.log_decay), x.map(|x| step.delta * x), b, c);
        for r in 0..R {
            y[row + r] = skip * x[r] + sums[r];
        }
    }
}

/// h = decay h + drive (outer) b for R rows; gives h.c.
#[inline(always)]
fn advance<const R: usize>(
    h: &mut [f32],
    decay: f32,
    drive: [f32; R],
    b: &[f32],
    c: &[f32],
) -> [f32; R] {
    let n = b.len();
    let (quads_b, rest_b) = b.as_chunks::<4>();
    let (quads_c, rest_c) = c.as_chunks::<4>();
    let (decays, drives) = (Lanes::splat(decay), drive.map(Lanes::splat));
    let mut sums = [Lanes::splat(0.0); R];
    for (q, (b, c)) in quads_b.iter().zip(quads_c).enumerate() {
        let (b, c) = (Lanes::load(b), Lanes::load(c));
        for r in 0..R {
            let at = &mut h[r * n + 4 * q..r * n + 4 * q + 4];
            let at: &mut [f32; 4] = at.try_into().expect("four values");
            let next = decays.times(Lanes::load(at)).plus(drives[r].times(b));
            next.store(at);
            sums[r] = sums[r].plus(next.times(c));
        }
    }
    let whole = n - rest_b.len();
    std::array::from_fn(|r| {
        let mut lanes = [0.0; 4];
        sums[r].store(&mut lanes);
        let mut sum = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
        for ((h, b), c) in h[r * n + whole..(r + 1) * n].iter_mut().zip(rest_b).zip(rest_c) {
            *h = decay * *h + drive[r] * b;
            sum += *h * c;
        }
        sum
    })
}

/// `[rows, cols]` to `[cols, rows]`.
#[inline(always)]
fn transpose(values: &[f32], cols: usize, out: &mut [f32]) {
    let rows = values.len() / cols;
    for (i, row) in values.chunks_exact(cols).enumerate() {
        for (j, v) in row.iter().enumerate() {
            out[j * rows + i] = *v;
        }
    }
}

/// Listing 1, chunk after chunk, so that no state but the running one is kept. The last chunk is filled up to whole tiles
/// with tokens of delta 0, which change nothing.
#[inline(always)]
pub(super) fn chunked(s: &Ssd<'_>) -> (Tensor, Tensor) {
    let (p, n) = (s.headdim, s.d_state);
    let steps = steps(s);
    let mut y = vec![0.0; s.x.rows * s.n_head * p];
    let mut states = vec![0.0; s.n_head * p * n];
    for (from, to) in s.state.cpu().chunks_exact(p * n).zip(states.chunks_exact_mut(p * n)) {
        transpose(from, n, to);
    }
    let heads = s.n_head / s.n_groups;
    let mut scratch = Scratch::new(s);
    for first in (0..s.x.rows).step_by(CHUNK) {
        let rows = CHUNK.min(s.x.rows - first);
        let len = rows.next_multiple_of(TILE);
        for group in 0..s.n_groups {
            scratch.load_group(s, first, [rows, len], group * n);
            for head in group * heads..(group + 1) * heads {
                let step = |i: usize| match i < rows {
                    true => steps[(first + i) * s.n_head + head],
                    false => Step { delta: 0.0, log_decay: 0.0 },
                };
                scratch.load_head(s, first, [rows, len], head, step);
                let h = &mut states[head * p * n..(head + 1) * p * n];
                scratch.head(s, first, [rows, len], head, h, &mut y);
            }
        }
    }
    let mut state = vec![0.0; states.len()];
    for (from, to) in states.chunks_exact(p * n).zip(state.chunks_exact_mut(p * n)) {
        transpose(from, p, to);
    }
    finish(s, y, state)
}

/// What one chunk of one group, then of one head, needs.
struct Scratch {
    /// B transposed, `[d_state, len]`.
    b: Vec<f32>,
    /// C, `[len, d_state]`.
    c: Vec<f32>,
    /// C B^T, `[len, len]`.
    scores: Vec<f32>,
    /// Scores weighed for a head, `[len, len]`, zeros above the diagonal.
    m: Vec<f32>,
    /// exp(cum) C, `[len, d_state]`.
    decayed_c: Vec<f32>,
    /// x of a head, `[len, headdim]`.
    x: Vec<f32>,
    /// x times delta and the decay to the end of the chunk, `[len, headdim]`.
    weighed_x: Vec<f32>,
    /// Output of a head, `[len, headdim]`.
    y: Vec<f32>,
    cum: Vec<f32>,
}

impl Scratch {
    fn new(s: &Ssd<'_>) -> Self {
        let zeros = |n: usize| vec![0.0; n];
        Self {
            b: zeros(CHUNK * s.d_state),
            c: zeros(CHUNK * s.d_state),
            scores: zeros(CHUNK * CHUNK),
            m: zeros(CHUNK * CHUNK),
            decayed_c: zeros(CHUNK * s.d_state),
            x: zeros(CHUNK * s.headdim),
            weighed_x: zeros(CHUNK * s.headdim),
            y: zeros(CHUNK * s.headdim),
            cum: zeros(CHUNK),
        }
    }

    #[inline(always)]
    fn load_group(&mut self, s: &Ssd<'_>, first: usize, [rows, len]: [usize; 2], col: usize) {
        let n = s.d_state;
        self.c[rows * n..len * n].fill(0.0);
        for row in self.b[..n * len].chunks_exact_mut(len) {
            row[rows..].fill(0.0);
        }
        for i in 0..rows {
            self.c[i * n..(i + 1) * n].copy_from_slice(&s.c.cpu_row(first + i)[col..][..n]);
            for (k, b) in s.b.cpu_row(first + i)[col..][..n].iter().enumerate() {
                self.b[k * len + i] = *b;
            }
        }
        self.scores[..len * len].fill(0.0);
        add_product(&mut self.scores, &self.c, &self.b, [len, n, len]);
    }

    #[inline(always)]
    fn load_head(
        &mut self,
        s: &Ssd<'_>,
        first: usize,
        [rows, len]: [usize; 2],
        head: usize,
        step: impl Fn(usize) -> Step,
    ) {
        let (p, n) = (s.headdim, s.d_state);
        let mut cum = 0.0;
        for i in 0..len {
            cum += step(i).log_decay;
            self.cum[i] = cum;
        }
        for i in 0..len {
            let row = &mut self.m[i * len..(i + 1) * len];
            let columns = row.iter_mut().zip(&self.scores[i * len..]).zip(&self.cum);
            for ((m, score), cum) in columns.take(i + 1) {
                *m = score * math::exp(self.cum[i] - cum);
            }
            row.iter_mut().enumerate().take(i + 1).for_each(|(j, m)| *m *= step(j).delta);
            row[i + 1..].fill(0.0);
            let to_here = math::exp(self.cum[i]);
            let c = self.c[i * n..].iter().zip(&mut self.decayed_c[i * n..(i + 1) * n]);
            c.for_each(|(c, out)| *out = to_here * c);
            if i >= rows {
                let row = i * p..(i + 1) * p;
                for values in [&mut self.x, &mut self.weighed_x, &mut self.y] {
                    values[row.clone()].fill(0.0);
                }
                continue;
            }
            let to_end = math::exp(cum - self.cum[i]) * step(i).delta;
            let x = &s.x.cpu_row(first + i)[head * p..][..p];
            self.x[i * p..(i + 1) * p].copy_from_slice(x);
            let weighed = self.weighed_x[i * p..(i + 1) * p].iter_mut().zip(x);
            weighed.for_each(|(out, x)| *out = to_end * x);
            let y = self.y[i * p..(i + 1) * p].iter_mut().zip(x);
            y.for_each(|(y, x)| *y = s.d.cpu()[head] * x);
        }
    }

    /// y of one head, and its state `h` `[d_state, headdim]` moved to the end of the chunk.
    #[inline(always)]
    fn head(
        &mut self,
        s: &Ssd<'_>,
        first: usize,
        [rows, len]: [usize; 2],
        head: usize,
        h: &mut [f32],
        y: &mut [f32],
    ) {
        let (p, n, d_inner) = (s.headdim, s.d_state, s.n_head * s.headdim);
        add_product(&mut self.y, &self.m, &self.x, [len, len, p]);
        add_product(&mut self.y, &self.decayed_c, h, [len, n, p]);
        for (i, row) in self.y.chunks_exact(p).take(rows).enumerate() {
            y[(first + i) * d_inner + head * p..][..p].copy_from_slice(row);
        }
        let whole = math::exp(self.cum[len - 1]);
        h.iter_mut().for_each(|h| *h *= whole);
        add_product(h, &self.b, &self.weighed_x, [n, len, p]);
    }
}

/// out `[m, n]` += a `[m, k]` b `[k, n]`, in tiles of 4 rows by [`TILE`] columns whose sums stay in registers.
#[inline(always)]
fn add_product(out: &mut [f32], a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) {
    for i in (0..m).step_by(4) {
        let mut j = 0;
        if i + 4 <= m {
            while j + TILE <= n {
                add_tile(&mut out[i * n + j..], &a[i * k..(i + 4) * k], &b[j..], n);
                j += TILE;
            }
        }
        for i in i..m.min(i + 4) {
            for (x, b) in a[i * k..(i + 1) * k].iter().zip(b.chunks_exact(n)) {
                let row = out[i * n + j..(i + 1) * n].iter_mut().zip(&b[j..]);
                row.for_each(|(out, b)| *out += x * b);
            }
        }
    }
}

/// One tile: a is `[4, k]`, rows of b and of out are `n` apart.
#[inline(always)]
fn add_tile(out: &mut [f32], a: &[f32], b: &[f32], n: usize) {
    let k = a.len() / 4;
    let (a01, a23) = a.split_at(2 * k);
    let ((a0, a1), (a2, a3)) = (a01.split_at(k), a23.split_at(k));
    let mut sums = [[Lanes::splat(0.0); 2]; 4];
    let columns = a0.iter().zip(a1).zip(a2).zip(a3);
    for ((((a0, a1), a2), a3), b) in columns.zip(b.chunks(n)) {
        let ([left, right, ..], _) = b.as_chunks::<4>() else { break };
        let (left, right) = (Lanes::load(left), Lanes::load(right));
        for (sums, a) in sums.iter_mut().zip([a0, a1, a2, a3]) {
            let a = Lanes::splat(*a);
            sums[0] = sums[0].plus(a.times(left));
            sums[1] = sums[1].plus(a.times(right));
        }
    }
    for (row, sums) in out.chunks_mut(n).zip(sums) {
        for (to, sum) in row.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            Lanes::load(to).plus(sum).store(to);
        }
    }
}
