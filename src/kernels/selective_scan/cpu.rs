//! The scan on the CPU: some channels side by side as lanes of vectors, token after token, their states in the first cache.
//! Threads share out the channels.

use super::Scan;
use crate::backend::Tensor;
use crate::kernels::cpu_gemm::Rows;
use crate::kernels::math;
use crate::kernels::simd::{self, Kernel, Vector};
use crate::threads;
use std::ops::Range;

/// Channels that the CPU form computes side by side, so that their sums stay in registers.
const WIDTH: usize = 16;
/// Some channels side by side: one value of each.
type Block = [f32; WIDTH];

/// The inputs as plain memory, which threads may share; names and shapes as in [`Scan`].
struct Call<'a> {
    u: Rows<'a>,
    dt: Rows<'a>,
    a: &'a [f32],
    b: Rows<'a>,
    c: Rows<'a>,
    d: &'a [f32],
    gate: Option<Rows<'a>>,
    state: &'a [f32],
    d_state: usize,
}

/// y and the state after the last token.
pub(super) fn scan(s: &Scan<'_>) -> (Tensor, Tensor) {
    let [u, dt, b, c] = [s.u, s.dt, s.b, s.c].map(Rows::of);
    let (len, d_inner, d_state) = (u.rows, u.cols, s.a.cols());
    let (a, d, state) = (s.a.cpu(), s.d.cpu(), s.state.cpu());
    let call = Call { u, dt, a, b, c, d, gate: s.gate.map(Rows::of), state, d_state };
    let mut y = vec![0.0; len * d_inner];
    let mut next = vec![0.0; d_inner * d_state];
    let blocks = d_inner.div_ceil(WIDTH);
    // A state's decay is a power, which takes as long as some ten products.
    let count = threads::parts(len * d_inner * d_state * 16, blocks);
    let end = |i: usize| (i * blocks / count * WIDTH).min(d_inner);
    let parts = (0..count).map(|i| end(i)..end(i + 1));
    let columns = threads::columns(&mut y, parts.clone().map(|part| part.len()));
    let mut rest = &mut next[..];
    let parts = parts.zip(columns).map(|(channels, y)| {
        let (state, others) = std::mem::take(&mut rest).split_at_mut(channels.len() * d_state);
        rest = others;
        Part { call: &call, channels, y, state }
    });
    threads::share(parts, simd::run);
    (Tensor::on_cpu(len, d_inner, y), Tensor::on_cpu(d_inner, d_state, next))
}

/// Some channels of all tokens.
struct Part<'a> {
    call: &'a Call<'a>,
    channels: Range<usize>,
    /// Of every token.
    y: Vec<&'a mut [f32]>,
    /// After the last one.
    state: &'a mut [f32],
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let (start, d_state) = (self.channels.start, self.call.d_state);
        let zeros = || vec![[0.0; WIDTH]; d_state];
        let mut block = StateBlock { a: zeros(), h: zeros(), decays: zeros() };
        for first in self.channels.clone().step_by(WIDTH) {
            let part = first..(first + WIDTH).min(self.channels.end);
            block.load(self.call, part.clone());
            scan_block::<V>(self.call, part.clone(), start, &mut block, &mut self.y);
            for (i, state) in self.state[(first - start) * d_state..]
                .chunks_exact_mut(d_state.max(1))
                .take(part.len())
                .enumerate()
            {
                state.iter_mut().zip(&block.h).for_each(|(state, h)| *state = h[i]);
            }
        }
    }
}

/// A log2 e, the states and their decays of some channels, each `[d_state]` blocks.
struct StateBlock {
    a: Vec<Block>,
    h: Vec<Block>,
    decays: Vec<Block>,
}

impl StateBlock {
    fn load(&mut self, input: &Call<'_>, part: Range<usize>) {
        let d_state = self.a.len();
        for (i, channel) in part.enumerate() {
            for n in 0..d_state {
                let at = channel * d_state + n;
                self.a[n][i] = input.a[at] * std::f32::consts::LOG2_E;
                self.h[n][i] = input.state[at];
            }
        }
    }
}

/// The values of the channels `part`; lanes past its end are zeros.
#[inline(always)]
fn channels(row: &[f32], part: &Range<usize>) -> Block {
    let row = &row[part.clone()];
    #[cfg(target_arch = "wasm32")]
    {
        let mut block = [0.0; WIDTH];
        block[..row.len()].copy_from_slice(row);
        block
    }
    // Not by a copy of either length, which would be a call.
    #[cfg(not(target_arch = "wasm32"))]
    {
        let other = |i: usize| row.get(i).copied().unwrap_or(0.0);
        std::array::from_fn(|i| if row.len() == WIDTH { row[i] } else { other(i) })
    }
}

/// In the page a loop behind a call: written out for a block it is more to load.
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
#[cfg_attr(target_arch = "wasm32", inline(never))]
fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
    for value in values {
        *value = f(*value);
    }
}

/// y of all tokens of the channels `part`, in columns from `start` on; lanes past its end compute on leftovers that nobody
/// reads.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn scan_block<V: Vector>(
    input: &Call<'_>,
    part: Range<usize>,
    start: usize,
    block: &mut StateBlock,
    y: &mut [&mut [f32]],
) {
    // WIDTH / LANES vectors cover a block; of a register for each of them, the others are not used.
    const MOST: usize = WIDTH / 4;
    let d = channels(input.d, &part);
    for (t, y) in y.iter_mut().enumerate() {
        let u = channels(input.u.row(t), &part);
        let mut delta = channels(input.dt.row(t), &part);
        each(&mut delta, math::softplus);
        // In a loop of its own: the constants of the polynomial and the sums together are more than the registers hold.
        for n in 0..block.a.len() {
            for i in (0..WIDTH).step_by(V::LANES) {
                // SAFETY: i + LANES <= WIDTH, the length of a block.
                unsafe {
                    let exponent =
                        V::load(delta.as_ptr().add(i)).times(V::load(block.a[n].as_ptr().add(i)));
                    math::exp2_lanes(exponent).store(block.decays[n].as_mut_ptr().add(i));
                }
            }
        }
        let (b, c) = (input.b.row(t), input.c.row(t));
        let mut drive = [V::splat(0.0); MOST];
        let mut sum = [V::splat(0.0); MOST];
        for i in 0..WIDTH / V::LANES {
            // SAFETY: as above.
            unsafe {
                let at = i * V::LANES;
                drive[i] = V::load(delta.as_ptr().add(at)).times(V::load(u.as_ptr().add(at)));
            }
        }
        for n in 0..block.h.len() {
            let (b, c) = (V::splat(b[n]), V::splat(c[n]));
            for i in 0..WIDTH / V::LANES {
                // SAFETY: as above.
                unsafe {
                    let h = block.h[n].as_mut_ptr().add(i * V::LANES);
                    let decay = V::load(block.decays[n].as_ptr().add(i * V::LANES));
                    let next = decay.times(V::load(h)).fused(drive[i], b);
                    next.store(h);
                    sum[i] = sum[i].fused(next, c);
                }
            }
        }
        let mut out = [0.0; WIDTH];
        for i in 0..WIDTH / V::LANES {
            // SAFETY: as above.
            unsafe { sum[i].store(out.as_mut_ptr().add(i * V::LANES)) };
        }
        for i in 0..WIDTH {
            out[i] += d[i] * u[i];
        }
        if let Some(z) = &input.gate {
            let mut z = channels(z.row(t), &part);
            each(&mut z, math::silu);
            for i in 0..WIDTH {
                out[i] *= z[i];
            }
        }
        let y = &mut y[part.start - start..part.end - start];
        for (y, out) in y.iter_mut().zip(out) {
            *y = out;
        }
    }
}
