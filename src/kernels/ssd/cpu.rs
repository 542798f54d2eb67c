//! The two forms of SSD on the CPU.
//!
//! Sequential works on the state as it lies, [`ROWS`] rows of a head at a time: B and C are loaded once for all of them,
//! and the rows (2 KB at 128 states) stay in the L1 cache over all tokens. Chunked takes head after head and keeps the
//! state of a head transposed, `[d_state, headdim]`, so that everything is a product of row-major matrices.

use super::Ssd;
use crate::backend::Tensor;
use crate::kernels::cpu_gemm::Rows;
use crate::kernels::math;
use crate::kernels::simd::{self, Kernel, Vector};
use crate::kernels::tiles::{Sizes, Strides, add_product};
use crate::threads;

/// Rows of a head the sequential form takes together.
const ROWS: usize = 4;
/// Tokens of a chunk.
const CHUNK: usize = 32;

/// What happens to one head at one token.
#[derive(Clone, Copy)]
struct Step {
    delta: f32,
    /// delta A.
    log_decay: f32,
}

/// The inputs as plain memory, which threads may share.
struct Call<'a> {
    x: Rows<'a>,
    b: Rows<'a>,
    c: Rows<'a>,
    /// `[1, n_head]`
    d: &'a [f32],
    /// `[seq_len, n_head]`
    steps: Vec<Step>,
    n_head: usize,
    headdim: usize,
    n_groups: usize,
    d_state: usize,
    /// `[n_head * headdim, d_state]`
    state: &'a [f32],
}

impl<'a> Call<'a> {
    fn new(s: &Ssd<'a>) -> Self {
        let [x, b, c] = [s.x, s.b, s.c].map(Rows::of);
        let Ssd { n_head, headdim, n_groups, d_state, .. } = *s;
        let steps = simd::widest(
            #[inline(always)]
            || steps(s),
        );
        let (d, state) = (s.d.cpu(), s.state.cpu());
        Self { x, b, c, d, steps, n_head, headdim, n_groups, d_state, state }
    }

    /// Heads that share a B and a C.
    fn heads_of_a_group(&self) -> usize {
        self.n_head / self.n_groups
    }
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

pub(super) fn sequential(s: &Ssd<'_>) -> (Tensor, Tensor) {
    let call = Call::new(s);
    let mut y = vec![0.0; s.x.rows * s.n_head * s.headdim];
    let mut state = call.state.to_vec();
    simd::run(Sequential { call: &call, y: &mut y, state: &mut state });
    finish(s, y, state)
}

struct Sequential<'a> {
    call: &'a Call<'a>,
    y: &'a mut [f32],
    state: &'a mut [f32],
}

impl Kernel for Sequential<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for head in 0..self.call.n_head {
            let p = self.call.headdim;
            let (mut row, end) = (head * p, (head + 1) * p);
            while row + ROWS <= end {
                walk::<V, ROWS>(self.call, head, row, self.state, self.y);
                row += ROWS;
            }
            for row in row..end {
                walk::<V, 1>(self.call, head, row, self.state, self.y);
            }
        }
    }
}

/// All tokens of the rows `row..row + R` of a head.
#[inline(always)]
fn walk<V: Vector, const R: usize>(
    s: &Call<'_>,
    head: usize,
    row: usize,
    state: &mut [f32],
    y: &mut [f32],
) {
    let (n, d_inner) = (s.d_state, s.n_head * s.headdim);
    let group = head / s.heads_of_a_group() * n;
    let skip = s.d[head];
    let h = &mut state[row * n..(row + R) * n];
    for (t, y) in y.chunks_exact_mut(d_inner).enumerate() {
        let step = s.steps[t * s.n_head + head];
        let mut x = [0.0; R];
        x.copy_from_slice(&s.x.values[t * s.x.stride + row..][..R]);
        let b = &s.b.values[t * s.b.stride + group..][..n];
        let c = &s.c.values[t * s.c.stride + group..][..n];
        let sums = advance::<V, R>(h, math::exp(step.log_decay), x.map(|x| step.delta * x), b, c);
        for r in 0..R {
            y[row + r] = skip * x[r] + sums[r];
        }
    }
}

/// h = decay h + drive (outer) b for R rows `[R, n]`; gives h.c. b and c: `[n]`.
#[inline(always)]
fn advance<V: Vector, const R: usize>(
    h: &mut [f32],
    decay: f32,
    drive: [f32; R],
    b: &[f32],
    c: &[f32],
) -> [f32; R] {
    let n = b.len();
    assert!(h.len() == R * n && c.len() == n, "rows of a state");
    let whole = n / V::LANES * V::LANES;
    let decays = V::splat(decay);
    let mut sums = [V::splat(0.0); R];
    let mut i = 0;
    while i < whole {
        // SAFETY: i + LANES <= n; b, c and every row of h have n values (asserted).
        unsafe {
            let (b, c) = (V::load(b.as_ptr().add(i)), V::load(c.as_ptr().add(i)));
            for r in 0..R {
                let at = h.as_mut_ptr().add(r * n + i);
                let next = decays.times(V::load(at)).fused(V::splat(drive[r]), b);
                next.store(at);
                sums[r] = sums[r].fused(next, c);
            }
        }
        i += V::LANES;
    }
    let mut totals = [0.0; R];
    for r in 0..R {
        totals[r] = sums[r].sum();
        for i in whole..n {
            let h = &mut h[r * n + i];
            *h = decay * *h + drive[r] * b[i];
            totals[r] += *h * c[i];
        }
    }
    totals
}

/// `[rows, cols]` to `[cols, rows]`.
fn transpose(values: &[f32], cols: usize, out: &mut [f32]) {
    let rows = values.len() / cols;
    for (i, row) in values.chunks_exact(cols).enumerate() {
        for (j, v) in row.iter().enumerate() {
            out[j * rows + i] = *v;
        }
    }
}

/// Listing 1, head after head and chunk after chunk, so that no state but the running one is kept. Threads share heads.
#[inline(never)]
pub(super) fn chunked(s: &Ssd<'_>) -> (Tensor, Tensor) {
    let call = Call::new(s);
    let (p, n, d_inner) = (s.headdim, s.d_state, s.n_head * s.headdim);
    let chunks = s.x.rows.div_ceil(CHUNK);
    let scores = in_order(chunks * s.n_groups, |i| {
        let mut scores = vec![0.0; CHUNK * CHUNK];
        let (chunk, group) = (i / call.n_groups, i % call.n_groups);
        simd::run(Scores { call: &call, chunk, group, scores: &mut scores });
        scores
    });
    let mut y = vec![0.0; s.x.rows * d_inner];
    let mut state = vec![0.0; d_inner * n];
    let columns = threads::columns(&mut y, (0..s.n_head).map(|_| p));
    let heads = columns.into_iter().zip(state.chunks_mut((p * n).max(1))).enumerate();
    threads::share(heads, |(head, (rows, state))| {
        let mut out = vec![0.0; call.x.rows * p + p * n];
        let (y, h) = out.split_at_mut(call.x.rows * p);
        transpose(&call.state[head * p * n..(head + 1) * p * n], n, h);
        simd::run(Head { call: &call, head, scores: &scores, y, h });
        transpose(h, p, state);
        rows.into_iter().zip(y.chunks_exact(p)).for_each(|(to, row)| to.copy_from_slice(row));
    });
    finish(s, y, state)
}

/// The result of every item, in their order.
fn in_order(items: usize, work: impl Fn(usize) -> Vec<f32> + Sync) -> Vec<Vec<f32>> {
    let mut results = vec![Vec::new(); items];
    for (i, result) in threads::share(0..items, |i| (i, work(i))) {
        results[i] = result;
    }
    results
}

/// C B^T of one chunk of one group, `[CHUNK, CHUNK]`.
struct Scores<'a> {
    call: &'a Call<'a>,
    chunk: usize,
    group: usize,
    scores: &'a mut [f32],
}

impl Kernel for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Call { b, c, d_state: n, .. } = *self.call;
        let first = self.chunk * CHUNK;
        let rows = CHUNK.min(c.rows - first);
        let mut transposed = vec![0.0; n * CHUNK];
        for i in 0..rows {
            let row = &b.values[(first + i) * b.stride + self.group * n..][..n];
            transposed[i..].iter_mut().step_by(CHUNK).zip(row).for_each(|(to, from)| *to = *from);
        }
        let left = &c.values[first * c.stride + self.group * n..];
        let sizes = Sizes { rows, inner: n, cols: CHUNK };
        let strides = Strides { row: c.stride, col: 1 };
        add_product::<V>((self.scores, CHUNK), (left, strides), (&transposed, CHUNK), sizes);
    }
}

/// All tokens of one head.
struct Head<'a> {
    call: &'a Call<'a>,
    head: usize,
    /// Of every chunk and group.
    scores: &'a [Vec<f32>],
    /// Zeros, `[seq_len, headdim]`.
    y: &'a mut [f32],
    /// The state before and, then, after, `[d_state, headdim]`.
    h: &'a mut [f32],
}

impl Kernel for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        for chunk in 0..self.call.x.rows.div_ceil(CHUNK) {
            self.chunk::<V>(chunk);
        }
    }
}

impl Head<'_> {
    #[inline(always)]
    fn chunk<V: Vector>(&mut self, chunk: usize) {
        let Call { x, b, c, n_groups, n_head, headdim: p, d_state: n, .. } = *self.call;
        let first = chunk * CHUNK;
        let rows = CHUNK.min(x.rows - first);
        let group = self.head / self.call.heads_of_a_group();
        let (mut cum, mut delta) = ([0.0f32; CHUNK], [0.0f32; CHUNK]);
        let mut sum = 0.0;
        for i in 0..rows {
            let step = self.call.steps[(first + i) * n_head + self.head];
            sum += step.log_decay;
            (cum[i], delta[i]) = (sum, step.delta);
        }
        // y = exp(cum) C.H + D x + M x
        let y = &mut self.y[first * p..(first + rows) * p];
        let strides = |rows: Rows<'_>| Strides { row: rows.stride, col: 1 };
        let left = (&c.values[first * c.stride + group * n..], strides(c));
        add_product::<V>((y, p), left, (self.h, p), Sizes { rows, inner: n, cols: p });
        let mut weighed = vec![0.0; rows * p];
        for i in 0..rows {
            let x = &x.values[(first + i) * x.stride + self.head * p..][..p];
            let (here, skip) = (math::exp(cum[i]), self.call.d[self.head]);
            let y = y[i * p..(i + 1) * p].iter_mut().zip(x);
            y.for_each(|(y, x)| *y = here * *y + skip * x);
            let to_end = math::exp(sum - cum[i]) * delta[i];
            let weighed = weighed[i * p..(i + 1) * p].iter_mut().zip(x);
            weighed.for_each(|(out, x)| *out = to_end * x);
        }
        let m = decayed(&self.scores[chunk * n_groups + group], &cum, &delta);
        let right = (&x.values[first * x.stride + self.head * p..], x.stride);
        let left = (&m[..], Strides { row: CHUNK, col: 1 });
        add_product::<V>((y, p), left, right, Sizes { rows, inner: rows, cols: p });
        // H = exp(whole) H + B^T (delta x, decayed to the end)
        let whole = math::exp(sum);
        self.h.iter_mut().for_each(|h| *h *= whole);
        let left = (&b.values[first * b.stride + group * n..], Strides { row: 1, col: b.stride });
        add_product::<V>((self.h, p), left, (&weighed, p), Sizes { rows: n, inner: rows, cols: p });
    }
}

/// M of a head from the scores of its group: exp(cum_i - cum_j) delta_j C_i.B_j on and below the diagonal, else 0.
#[inline(always)]
fn decayed(scores: &[f32], cum: &[f32; CHUNK], delta: &[f32; CHUNK]) -> [f32; CHUNK * CHUNK] {
    let mut m = [0.0; CHUNK * CHUNK];
    for i in 0..CHUNK {
        let row = m[i * CHUNK..(i + 1) * CHUNK].iter_mut().zip(&scores[i * CHUNK..]);
        let row = row.zip(cum).zip(delta).take(i + 1);
        row.for_each(|(((m, score), cum_j), delta)| *m = score * math::exp(cum[i] - cum_j) * delta);
    }
    m
}
