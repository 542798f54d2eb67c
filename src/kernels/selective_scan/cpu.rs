//! The scan on the CPU: some channels side by side as lanes of vectors, token after token, their states in the first cache.

use super::Scan;
use crate::backend::Tensor;
use crate::kernels::math;
use crate::kernels::simd::{Kernel, Vector};
use std::ops::Range;

/// Channels that the CPU form computes side by side, so that their sums stay in registers.
const WIDTH: usize = 16;
/// Some channels side by side: one value of each.
type Block = [f32; WIDTH];

impl Kernel for &Scan<'_> {
    type Output = (Tensor, Tensor);

    #[inline(always)]
    fn run<V: Vector>(self) -> (Tensor, Tensor) {
        let (len, d_inner, d_state) = (self.u.rows, self.u.cols, self.a.cols());
        let mut delta = Vec::with_capacity(len * d_inner);
        for t in 0..len {
            delta.extend(self.dt.cpu_row(t).iter().map(|&dt| math::softplus(dt)));
        }
        let mut y = vec![0.0; len * d_inner];
        let mut state = vec![0.0; d_inner * d_state];
        let mut block = StateBlock {
            a: vec![[0.0; WIDTH]; d_state],
            h: vec![[0.0; WIDTH]; d_state],
            decays: vec![[0.0; WIDTH]; d_state],
        };
        for first in (0..d_inner).step_by(WIDTH) {
            let part = first..(first + WIDTH).min(d_inner);
            block.load(self, part.clone());
            scan_block::<V>(self, part.clone(), &delta, &mut block, &mut y);
            for (i, channel) in part.enumerate() {
                for n in 0..d_state {
                    state[channel * d_state + n] = block.h[n][i];
                }
            }
        }
        for (t, y) in y.chunks_exact_mut(d_inner).enumerate() {
            let skipped = self.d.cpu().iter().zip(self.u.cpu_row(t));
            y.iter_mut().zip(skipped).for_each(|(y, (d, u))| *y += d * u);
            if let Some(z) = &self.gate {
                y.iter_mut().zip(z.cpu_row(t)).for_each(|(y, &z)| *y *= math::silu(z));
            }
        }
        (Tensor::on_cpu(len, d_inner, y), Tensor::on_cpu(d_inner, d_state, state))
    }
}

/// A log2 e, the states and their decays of some channels, each `[d_state]` blocks.
struct StateBlock {
    a: Vec<Block>,
    h: Vec<Block>,
    decays: Vec<Block>,
}

impl StateBlock {
    fn load(&mut self, input: &Scan<'_>, part: Range<usize>) {
        let d_state = self.a.len();
        for (i, channel) in part.enumerate() {
            for n in 0..d_state {
                let at = channel * d_state + n;
                self.a[n][i] = input.a.cpu()[at] * std::f32::consts::LOG2_E;
                self.h[n][i] = input.state.cpu()[at];
            }
        }
    }
}

/// The values of the channels `part`; lanes past its end are zeros.
#[inline(always)]
fn channels(row: &[f32], part: &Range<usize>) -> Block {
    let mut block = [0.0; WIDTH];
    match <&Block>::try_from(&row[part.clone()]) {
        Ok(whole) => block = *whole,
        Err(_) => block[..part.len()].copy_from_slice(&row[part.clone()]),
    }
    block
}

/// C.h for all tokens of the channels `part`; lanes past its end compute on leftovers that nobody reads.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn scan_block<V: Vector>(
    input: &Scan<'_>,
    part: Range<usize>,
    delta: &[f32],
    block: &mut StateBlock,
    y: &mut [f32],
) {
    let d_inner = input.u.cols;
    // WIDTH / LANES vectors cover a block; of a register for each of them, the others are not used.
    const MOST: usize = WIDTH / 4;
    for t in 0..input.u.rows {
        let u = channels(input.u.cpu_row(t), &part);
        let delta = channels(&delta[t * d_inner..(t + 1) * d_inner], &part);
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
        let (b, c) = (input.b.cpu_row(t), input.c.cpu_row(t));
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
        let row = &mut y[t * d_inner..][part.clone()];
        match <&mut Block>::try_from(&mut *row) {
            Ok(whole) => *whole = out,
            Err(_) => row.copy_from_slice(&out[..part.len()]),
        }
    }
}
