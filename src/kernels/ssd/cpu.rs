//! The two forms of SSD on the CPU. Both keep the state of one head transposed, `[d_state, headdim]`, so that inner
//! loops run over the rows of a head without a horizontal sum.

use super::Ssd;
use crate::backend::Tensor;
use crate::kernels::math;

/// Tokens of a chunk.
const CHUNK: usize = 64;

/// delta `[seq_len, n_head]`.
#[inline(always)]
fn deltas(s: &Ssd<'_>) -> Vec<f32> {
    let mut out = Vec::with_capacity(s.x.rows * s.n_head);
    for t in 0..s.x.rows {
        let delta =
            |(dt, bias): (&f32, &f32)| math::softplus(dt + bias).clamp(s.dt_limit.0, s.dt_limit.1);
        out.extend(s.dt.cpu_row(t).iter().zip(s.dt_bias.cpu()).map(delta));
    }
    out
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

/// The output and the new state while they are made.
struct Output {
    y: Vec<f32>,
    state: Vec<f32>,
}

impl Output {
    fn new(s: &Ssd<'_>) -> Self {
        let rows = s.n_head * s.headdim;
        Self { y: vec![0.0; s.x.rows * rows], state: vec![0.0; rows * s.d_state] }
    }

    fn finish(self, s: &Ssd<'_>) -> (Tensor, Tensor) {
        let rows = s.n_head * s.headdim;
        (Tensor::on_cpu(s.x.rows, rows, self.y), Tensor::on_cpu(rows, s.d_state, self.state))
    }
}

#[inline(always)]
pub(super) fn sequential(s: &Ssd<'_>) -> (Tensor, Tensor) {
    let (p, n, d_inner) = (s.headdim, s.d_state, s.n_head * s.headdim);
    let delta = deltas(s);
    let mut out = Output::new(s);
    let mut h = vec![0.0; p * n];
    let mut drive = vec![0.0; p];
    for head in 0..s.n_head {
        let part = head * p * n..(head + 1) * p * n;
        transpose(&s.state.cpu()[part.clone()], n, &mut h);
        let group = head / (s.n_head / s.n_groups) * n;
        for t in 0..s.x.rows {
            let delta = delta[t * s.n_head + head];
            let decay = math::exp(delta * s.a.cpu()[head]);
            let x = &s.x.cpu_row(t)[head * p..][..p];
            let y = &mut out.y[t * d_inner + head * p..][..p];
            for ((y, d), x) in y.iter_mut().zip(&mut drive).zip(x) {
                *y = s.d.cpu()[head] * x;
                *d = delta * x;
            }
            let b = &s.b.cpu_row(t)[group..][..n];
            let c = &s.c.cpu_row(t)[group..][..n];
            for ((h, b), c) in h.chunks_exact_mut(p).zip(b).zip(c) {
                for ((h, y), d) in h.iter_mut().zip(y.iter_mut()).zip(&drive) {
                    *h = decay * *h + d * b;
                    *y += *h * c;
                }
            }
        }
        transpose(&h, p, &mut out.state[part]);
    }
    out.finish(s)
}

/// Listing 1, chunk after chunk, so that no state but the running one is kept.
#[inline(always)]
pub(super) fn chunked(s: &Ssd<'_>) -> (Tensor, Tensor) {
    let (p, n) = (s.headdim, s.d_state);
    let delta = deltas(s);
    let mut out = Output::new(s);
    let mut states = vec![0.0; s.n_head * p * n];
    for (from, to) in s.state.cpu().chunks_exact(p * n).zip(states.chunks_exact_mut(p * n)) {
        transpose(from, n, to);
    }
    let heads = s.n_head / s.n_groups;
    let mut scratch = Scratch::new(s);
    for first in (0..s.x.rows).step_by(CHUNK) {
        let len = CHUNK.min(s.x.rows - first);
        for group in 0..s.n_groups {
            scratch.load_group(s, first, len, group * n);
            for head in group * heads..(group + 1) * heads {
                let delta = |i: usize| delta[(first + i) * s.n_head + head];
                scratch.load_head(s, first, len, head, delta);
                let h = &mut states[head * p * n..(head + 1) * p * n];
                scratch.head(s, first, len, head, h, &mut out.y);
            }
        }
    }
    for (from, to) in states.chunks_exact(p * n).zip(out.state.chunks_exact_mut(p * n)) {
        transpose(from, p, to);
    }
    out.finish(s)
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
    fn load_group(&mut self, s: &Ssd<'_>, first: usize, len: usize, col: usize) {
        let n = s.d_state;
        for i in 0..len {
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
        len: usize,
        head: usize,
        delta: impl Fn(usize) -> f32,
    ) {
        let (p, n) = (s.headdim, s.d_state);
        let mut cum = 0.0;
        for i in 0..len {
            cum += delta(i) * s.a.cpu()[head];
            self.cum[i] = cum;
        }
        for i in 0..len {
            let row = &mut self.m[i * len..(i + 1) * len];
            let columns = row.iter_mut().zip(&self.scores[i * len..]).zip(&self.cum);
            for ((m, score), cum) in columns.take(i + 1) {
                *m = score * math::exp(self.cum[i] - cum);
            }
            row.iter_mut().enumerate().take(i + 1).for_each(|(j, m)| *m *= delta(j));
            row[i + 1..].fill(0.0);
            let to_here = math::exp(self.cum[i]);
            let c = self.c[i * n..].iter().zip(&mut self.decayed_c[i * n..(i + 1) * n]);
            c.for_each(|(c, out)| *out = to_here * c);
            let to_end = math::exp(cum - self.cum[i]) * delta(i);
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
        len: usize,
        head: usize,
        h: &mut [f32],
        y: &mut [f32],
    ) {
        let (p, n, d_inner) = (s.headdim, s.d_state, s.n_head * s.headdim);
        add_product(&mut self.y, &self.m, &self.x, [len, len, p]);
        add_product(&mut self.y, &self.decayed_c, h, [len, n, p]);
        for (i, row) in self.y.chunks_exact(p).take(len).enumerate() {
            y[(first + i) * d_inner + head * p..][..p].copy_from_slice(row);
        }
        let whole = math::exp(self.cum[len - 1]);
        h.iter_mut().for_each(|h| *h *= whole);
        add_product(h, &self.b, &self.weighed_x, [n, len, p]);
    }
}

/// out `[m, n]` += a `[m, k]` b `[k, n]`, in tiles of 4 rows by 16 columns whose sums stay in registers.
#[inline(always)]
fn add_product(out: &mut [f32], a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) {
    const WIDE: usize = if cfg!(target_arch = "wasm32") { 8 } else { 16 };
    for i in (0..m).step_by(4) {
        let mut j = 0;
        if i + 4 <= m {
            while j + WIDE <= n {
                tile::<4, WIDE>(&mut out[i * n + j..], &a[i * k..], &b[j..], k, n);
                j += WIDE;
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

#[inline(always)]
fn tile<const R: usize, const W: usize>(out: &mut [f32], a: &[f32], b: &[f32], k: usize, n: usize) {
    let mut sums = [[0.0f32; W]; R];
    let rows: [&[f32]; R] = std::array::from_fn(|r| &a[r * k..(r + 1) * k]);
    for q in 0..k {
        let b: &[f32; W] = b[q * n..q * n + W].try_into().expect("a slice of W");
        for r in 0..R {
            let x = rows[r][q];
            for w in 0..W {
                sums[r][w] += x * b[w];
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        out[r * n..r * n + W].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
    }
}
