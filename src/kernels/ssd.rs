//! State space duality (SSD), the scan of Mamba-2: delta = clamp(softplus(dt + dt_bias), limits); for every head
//! a_t = exp(delta A); H[t] = a_t H[t-1] + delta x (outer) B; y = H.C + D x.
//!
//! Shapes: x, y `[seq_len, n_head * headdim]`, dt `[seq_len, n_head]`, A, D, dt_bias `[1, n_head]`, B and C
//! `[seq_len, n_groups * d_state]` (head h uses group h / (n_head / n_groups)), the state H
//! `[n_head * headdim, d_state]`. Source: Dao & Gu 2024, section 6 and listing 1.
//!
//! Two forms of the same sum. Sequential: token by token, as written. Chunked: within a chunk of Q tokens the
//! recurrence is unrolled into y_i = sum_j<=i (C_i.B_j) exp(cum_i - cum_j) delta_j x_j + exp(cum_i) H.C_i, where cum is the
//! sum of delta A since the chunk began: matrix products that reuse what they load. Q is ours and not the
//! checkpoint's chunk_size: unrolling is exact for every Q, so Q changes only the order of the sums.
//! The clamp is applied in both forms; transformers forgets it when it decodes token by token.

mod cpu;
mod gpu;

use super::{Case, random};
use crate::Rng;
use crate::backend::{Device, Tensor, View};

/// The inputs of one layer's scan.
pub struct Ssd<'a> {
    /// `[seq_len, n_head * headdim]`.
    pub x: View<'a>,
    /// `[seq_len, n_head]`, raw.
    pub dt: View<'a>,
    /// `[1, n_head]`.
    pub dt_bias: &'a Tensor,
    /// `[1, n_head]`: -exp(A_log).
    pub a: &'a Tensor,
    /// `[seq_len, n_groups * d_state]`.
    pub b: View<'a>,
    /// `[seq_len, n_groups * d_state]`.
    pub c: View<'a>,
    /// `[1, n_head]`.
    pub d: &'a Tensor,
    /// Heads, each with one A, D and dt.
    pub n_head: usize,
    /// Columns of x that belong to a head.
    pub headdim: usize,
    /// Groups of heads that share B and C; divides n_head.
    pub n_groups: usize,
    /// Columns of H.
    pub d_state: usize,
    /// Smallest and largest delta; (0, infinity) changes nothing.
    pub dt_limit: (f32, f32),
    /// H before the first token, `[n_head * headdim, d_state]`.
    pub state: &'a Tensor,
}

/// How the sum is ordered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SsdForm {
    /// Token by token.
    Sequential,
    /// Matrix products over chunks of tokens.
    Chunked,
}

impl Ssd<'_> {
    fn check(&self) {
        let (len, rows) = (self.x.rows, self.n_head * self.headdim);
        let grouped = self.n_groups * self.d_state;
        assert!(self.n_groups > 0 && self.n_head.is_multiple_of(self.n_groups), "ssd n_groups");
        assert_eq!(self.x.cols, rows, "ssd x");
        assert_eq!((self.dt.rows, self.dt.cols), (len, self.n_head), "ssd dt");
        assert_eq!((self.b.rows, self.b.cols), (len, grouped), "ssd B");
        assert_eq!((self.c.rows, self.c.cols), (len, grouped), "ssd C");
        for (name, tensor) in [("dt_bias", self.dt_bias), ("A", self.a), ("D", self.d)] {
            assert_eq!(tensor.cols(), self.n_head, "ssd {name}");
        }
        assert_eq!((self.state.rows(), self.state.cols()), (rows, self.d_state), "ssd state");
        assert!(self.dt_limit.0 <= self.dt_limit.1, "ssd dt_limit {:?}", self.dt_limit);
    }
}

/// Runs the chunk from `state` in the faster form; gives y `[seq_len, n_head * headdim]` and the state after it.
pub fn ssd(device: &Device, input: &Ssd<'_>) -> (Tensor, Tensor) {
    // Where the forms cross, measured in wasm and on llvmpipe (24 heads of 64, 128 states).
    let chunked_from = match device {
        Device::Cpu => 16,
        Device::Gpu(_) => 32,
    };
    let form = if input.x.rows < chunked_from { SsdForm::Sequential } else { SsdForm::Chunked };
    ssd_with(device, input, form)
}

/// [`ssd`] in the form that is asked for.
pub fn ssd_with(device: &Device, input: &Ssd<'_>, form: SsdForm) -> (Tensor, Tensor) {
    input.check();
    match (device, form) {
        (Device::Cpu, SsdForm::Sequential) => cpu::sequential(input),
        (Device::Cpu, SsdForm::Chunked) => cpu::chunked(input),
        (Device::Gpu(gpu), form) => gpu::on_gpu(gpu, input, form),
    }
}

/// Sizes of an example layer.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub seq_len: usize,
    pub n_head: usize,
    pub headdim: usize,
    pub n_groups: usize,
    pub d_state: usize,
}

/// Tensors of a layer as a model makes them: x, B and C are columns of one tensor.
#[doc(hidden)]
pub struct Example {
    sizes: Sizes,
    xbc: Tensor,
    dt: Tensor,
    heads: [Tensor; 3],
    state: Tensor,
}

impl Example {
    pub fn new(device: &Device, seed: u64, sizes: Sizes) -> Self {
        let Sizes { seq_len, n_head, headdim, n_groups, d_state } = sizes;
        let mut rng = Rng::new(seed);
        let rows = n_head * headdim;
        // A from -1 to -16 is how Mamba-2 starts.
        let a: Vec<f32> = (0..n_head).map(|_| -1.0 - 15.0 * rng.uniform()).collect();
        let bias: Vec<f32> = (0..n_head).map(|_| -4.0 + 2.0 * rng.uniform()).collect();
        let (a, bias) = (device.tensor(1, n_head, &a), device.tensor(1, n_head, &bias));
        Self {
            sizes,
            xbc: random(device, &mut rng, seq_len, 1 + rows + 2 * n_groups * d_state),
            dt: random(device, &mut rng, seq_len, n_head + 2),
            heads: [bias, a, random(device, &mut rng, 1, n_head)],
            state: random(device, &mut rng, rows, d_state),
        }
    }

    pub fn ssd(&self) -> Ssd<'_> {
        let Sizes { n_head, headdim, n_groups, d_state, .. } = self.sizes;
        let [dt_bias, a, d] = &self.heads;
        let grouped = n_groups * d_state;
        Ssd {
            x: self.xbc.columns(1, n_head * headdim),
            dt: self.dt.columns(2, n_head),
            dt_bias,
            a,
            b: self.xbc.columns(1 + n_head * headdim, grouped),
            c: self.xbc.columns(1 + n_head * headdim + grouped, grouped),
            d,
            n_head,
            headdim,
            n_groups,
            d_state,
            dt_limit: (0.0, f32::INFINITY),
            state: &self.state,
        }
    }
}

/// One of each, single tokens, around the chunk of 64 and every tile, several groups, a limit that bites; views throughout.
pub fn cases() -> Vec<Case> {
    let why = "sums of up to 64 states and tokens in another order; decays by an exp2 within 3 + 2|x| ulp (WGSL)";
    // seq_len, n_head, headdim, n_groups, d_state
    let sizes = [
        [1, 1, 1, 1, 1],
        [1, 4, 6, 2, 15],
        [1, 3, 64, 1, 128],
        [1, 2, 5, 1, 33],
        [2, 3, 4, 1, 15],
        [3, 2, 5, 2, 16],
        [63, 2, 3, 1, 17],
        [64, 9, 8, 1, 33],
        [65, 6, 10, 2, 12],
        [130, 20, 21, 2, 7],
        [129, 2, 64, 1, 64],
        [70, 2, 16, 2, 130],
    ];
    let mut cases = Vec::new();
    for [seq_len, n_head, headdim, n_groups, d_state] in sizes {
        let sizes = Sizes { seq_len, n_head, headdim, n_groups, d_state };
        for form in [SsdForm::Sequential, SsdForm::Chunked] {
            for dt_limit in [(0.0, f32::INFINITY), (0.02, 0.15)] {
                cases.push(Case {
                    name: format!("ssd {form:?} {sizes:?} limit {dt_limit:?}"),
                    tolerance: 5e-5,
                    why,
                    run: Box::new(move |device| {
                        let example = Example::new(device, 1, sizes);
                        let input = Ssd { dt_limit, ..example.ssd() };
                        let (y, state) = ssd_with(device, &input, form);
                        vec![y, state]
                    }),
                });
            }
        }
    }
    cases
}

#[cfg(test)]
mod tests;
