//! One number a token from what enters an SSM's scan.
//!
//! delta: mean_h Delta[t, h], with Delta = clamp(softplus(dt + dt_bias), limits).
//! delta norm: sqrt(sum_h Delta[t, h]^2).
//! implicit: mean_{h,i} |C[last, g] . B[t, g]| Delta[t, h] |x[t, h, i]|, head h in group g: what token t gives to the
//! output of the last token (the implicit attention of Ali et al. 2024, arXiv 2403.01590), without the decay between
//! the two. Shapes: x `[seq_len, n_head * headdim]`, dt `[seq_len, n_head]`, B and C `[seq_len, n_groups * d_state]`,
//! scores `[seq_len, 1]`. Mamba-1 is n_head = d_inner, headdim = 1, n_groups = 1.
//! Sources: mean Delta as in MTR (arXiv 2507.14042), its norm as in DeciMamba's released code (arXiv 2406.14528); no decay
//! as in arXiv 2603.00198.

use super::{Case, groups, math, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "token_ssm",
    source: &[wgsl!(include_str!("../../shaders/token_ssm.wgsl"))],
    reads: 5,
    writes: 1,
};

const LANES: usize = 16;

/// Which number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SsmScore {
    /// Mean step size of the token over the heads.
    Delta,
    /// Its implicit attention from the last token, without decay.
    Implicit,
    /// L2 norm of its step sizes over the heads.
    DeltaNorm,
}

/// What enters a scan.
#[derive(Clone, Copy)]
pub struct SsmInputs<'a> {
    /// `[seq_len, n_head * headdim]`
    pub x: View<'a>,
    /// `[seq_len, n_head]`, before the bias and softplus.
    pub dt: View<'a>,
    /// -exp(A_log): `[1, n_head]`, or `[n_head, d_state]` in Mamba-1. No score here looks at it.
    pub a: &'a Tensor,
    /// `[1, n_head]`; absent where `dt` already has it.
    pub dt_bias: Option<&'a Tensor>,
    /// `[seq_len, n_groups * d_state]`
    pub b: View<'a>,
    /// `[seq_len, n_groups * d_state]`
    pub c: View<'a>,
    /// Heads; d_inner in Mamba-1.
    pub n_head: usize,
    /// Columns of x that belong to a head; 1 in Mamba-1.
    pub headdim: usize,
    /// Groups of heads that share B and C; 1 in Mamba-1.
    pub n_groups: usize,
    /// Smallest and largest Delta; (0, infinity) changes nothing.
    pub dt_limit: (f32, f32),
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    n_head: u32,
    headdim: u32,
    group: u32,
    d_state: u32,
    mode: u32,
    has_bias: u32,
    low: f32,
    high: f32,
    scale: f32,
    x_offset: u32,
    x_stride: u32,
    dt_offset: u32,
    dt_stride: u32,
    b_offset: u32,
    b_stride: u32,
    c_offset: u32,
}

impl SsmInputs<'_> {
    fn check(&self) {
        let rows = self.x.rows;
        assert!(self.n_groups > 0 && self.n_head.is_multiple_of(self.n_groups), "token_ssm groups");
        assert_eq!(self.x.cols, self.n_head * self.headdim, "token_ssm x");
        assert_eq!((self.dt.rows, self.dt.cols), (rows, self.n_head), "token_ssm dt");
        assert_eq!((self.b.rows, self.c.rows), (rows, rows), "token_ssm rows of B and C");
        assert_eq!(self.b.cols, self.c.cols, "token_ssm columns of B and C");
        assert!(self.b.cols.is_multiple_of(self.n_groups), "token_ssm columns of B");
        assert!(self.dt_bias.is_none_or(|bias| bias.cols() == self.n_head), "token_ssm dt_bias");
    }

    fn scale(&self, score: SsmScore) -> f32 {
        match score {
            SsmScore::Delta => 1.0 / self.n_head as f32,
            SsmScore::Implicit => 1.0 / (self.n_head * self.headdim) as f32,
            SsmScore::DeltaNorm => 1.0,
        }
    }

    fn row(&self, t: usize, score: SsmScore) -> f32 {
        let (dt, x) = (self.dt.cpu_row(t), self.x.cpu_row(t));
        let weights = match score {
            SsmScore::Delta | SsmScore::DeltaNorm => Vec::new(),
            SsmScore::Implicit => self.weights(t),
        };
        let per_group = self.n_head / self.n_groups;
        let mut partial = [0.0; LANES];
        for (h, &raw) in dt.iter().enumerate() {
            let raw = raw + self.dt_bias.map_or(0.0, |bias| bias.cpu()[h]);
            let delta = math::softplus(raw).clamp(self.dt_limit.0, self.dt_limit.1);
            partial[h % LANES] += match score {
                SsmScore::Delta => delta,
                SsmScore::DeltaNorm => delta * delta,
                SsmScore::Implicit => {
                    let head = &x[h * self.headdim..][..self.headdim];
                    let size = head.iter().fold(0.0, |sum, v| sum + v.abs());
                    weights[h / per_group] * delta * size
                }
            };
        }
        let total = partial.iter().fold(0.0, |total, p| total + p) * self.scale(score);
        if score == SsmScore::DeltaNorm { total.sqrt() } else { total }
    }

    /// |C[last] . B[t]| of every group.
    fn weights(&self, t: usize) -> Vec<f32> {
        let d_state = self.b.cols / self.n_groups;
        let pairs = self.c.cpu_row(self.c.rows - 1).chunks_exact(d_state);
        let pairs = pairs.zip(self.b.cpu_row(t).chunks_exact(d_state));
        pairs.map(|(c, b)| c.iter().zip(b).fold(0.0, |s: f32, (c, b)| s + c * b).abs()).collect()
    }
}

/// Scores every token; gives `[seq_len, 1]`.
pub fn token_ssm(device: &Device, inputs: &SsmInputs<'_>, score: SsmScore) -> Tensor {
    inputs.check();
    let rows = inputs.x.rows;
    match device {
        Device::Cpu => Tensor::on_cpu(rows, 1, (0..rows).map(|t| inputs.row(t, score)).collect()),
        Device::Gpu(gpu) => on_gpu(gpu, inputs, score),
    }
}

fn on_gpu(gpu: &Gpu, s: &SsmInputs<'_>, score: SsmScore) -> Tensor {
    let scores = gpu.alloc(s.x.rows * 4);
    let last = s.c.rows - 1;
    let params = Params {
        rows: s.x.rows as u32,
        n_head: s.n_head as u32,
        headdim: s.headdim as u32,
        group: (s.n_head / s.n_groups) as u32,
        d_state: (s.b.cols / s.n_groups) as u32,
        mode: score as u32,
        has_bias: s.dt_bias.is_some().into(),
        low: s.dt_limit.0,
        // A shader need not know infinity.
        high: s.dt_limit.1.min(f32::MAX),
        scale: s.scale(score),
        x_offset: s.x.offset() as u32,
        x_stride: s.x.stride() as u32,
        dt_offset: s.dt.offset() as u32,
        dt_stride: s.dt.stride() as u32,
        b_offset: s.b.offset() as u32,
        b_stride: s.b.stride() as u32,
        c_offset: (s.c.offset() + last * s.c.stride()) as u32,
    };
    let bias = s.dt_bias.unwrap_or(s.dt.tensor);
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[
            s.x.tensor.gpu(),
            s.dt.tensor.gpu(),
            bias.gpu(),
            s.b.tensor.gpu(),
            s.c.tensor.gpu(),
        ],
        writes: &[&scores],
        groups: [groups(s.x.rows, 4), 1, 1],
    });
    Tensor::on_gpu(s.x.rows, 1, scores)
}

/// Calls `f` with random inputs of (rows, n_head, headdim, n_groups, d_state), all on views of one tensor.
fn with_random<R>(
    device: &Device,
    [rows, n_head, headdim, n_groups, d_state]: [usize; 5],
    f: impl FnOnce(&SsmInputs<'_>) -> R,
) -> R {
    let mut rng = Rng::new(4);
    let (inner, states) = (n_head * headdim, n_groups * d_state);
    let all = random(device, &mut rng, rows, 3 + inner + n_head + 2 * states);
    let bias = random(device, &mut rng, 1, n_head);
    let a = device.zeros(1, n_head);
    f(&SsmInputs {
        x: all.columns(3, inner),
        dt: all.columns(3 + inner, n_head),
        a: &a,
        dt_bias: (headdim > 1).then_some(&bias),
        b: all.columns(3 + inner + n_head, states),
        c: all.columns(3 + inner + n_head + states, states),
        n_head,
        headdim,
        n_groups,
        dt_limit: if headdim > 1 { (0.05, 1.5) } else { (0.0, f32::INFINITY) },
    })
}

/// Sizes 1, around the 16 lanes and 4 rows, several groups, and one that divides nothing; all on views.
pub fn cases() -> Vec<Case> {
    let shapes =
        [[1, 1, 1, 1, 1], [3, 15, 1, 1, 4], [4, 16, 2, 2, 3], [5, 18, 1, 3, 16], [9, 34, 5, 2, 7]];
    let case = |shape: [usize; 5]| Case {
        name: format!("token_ssm [rows, heads, headdim, groups, states] {shape:?}"),
        tolerance: 2e-6,
        why: "the same sums in the same order; exp and the root differ by a few units in the last place",
        run: Box::new(move |device| {
            with_random(device, shape, |inputs| {
                let score = |score| token_ssm(device, inputs, score);
                [SsmScore::Delta, SsmScore::Implicit, SsmScore::DeltaNorm].map(score).to_vec()
            })
        }),
    };
    shapes.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scores_match_their_equations_in_f64() {
        for shape in [[7, 13, 1, 1, 5], [7, 6, 3, 2, 5]] {
            with_random(&Device::Cpu, shape, |s| {
                let [rows, n_head, headdim, n_groups, d_state] = shape;
                let kinds = [SsmScore::Delta, SsmScore::Implicit, SsmScore::DeltaNorm];
                let found = kinds.map(|k| token_ssm(&Device::Cpu, s, k));
                for t in 0..rows {
                    let (mut delta_sum, mut squares, mut implicit) = (0.0, 0.0, 0.0);
                    for h in 0..n_head {
                        let bias = s.dt_bias.map_or(0.0, |b| f64::from(b.cpu()[h]));
                        let raw = f64::from(s.dt.cpu_row(t)[h]) + bias;
                        let (low, high) = (f64::from(s.dt_limit.0), f64::from(s.dt_limit.1));
                        let delta = raw.exp().ln_1p().max(low).min(high);
                        delta_sum += delta;
                        squares += delta * delta;
                        let g = h * n_groups / n_head;
                        let dot: f64 = (g * d_state..(g + 1) * d_state)
                            .map(|j| {
                                f64::from(s.c.cpu_row(rows - 1)[j]) * f64::from(s.b.cpu_row(t)[j])
                            })
                            .sum();
                        for i in 0..headdim {
                            implicit +=
                                (dot * delta * f64::from(s.x.cpu_row(t)[h * headdim + i])).abs();
                        }
                    }
                    let mean = delta_sum / n_head as f64;
                    let expected = [mean, implicit / (n_head * headdim) as f64, squares.sqrt()];
                    for (found, expected) in found.iter().zip(expected) {
                        assert!(
                            (f64::from(found.cpu()[t]) - expected).abs() < 2e-6 * expected.max(1.0)
                        );
                    }
                }
            });
        }
    }
}
