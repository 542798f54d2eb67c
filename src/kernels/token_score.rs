//! One number a token: how much its mixer output matters.
//!
//! clip: mean_j max(0, y[t, j]); l1: mean_j |y[t, j]|; l2: sqrt(mean_j y[t, j]^2); no clip: mean_j y[t, j].
//! Shapes: y `[seq_len, d]`, scores `[seq_len, 1]`. Source: arXiv 2410.14725, equation 5 (clip) and table 3.
//! Both forms add the same 16 partial sums in the same order and scale by a factor made on the host, so that clip,
//! l1 and no clip give the same bits on every device and ties break alike.

use super::{Case, groups, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Tensor, View};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "token_score",
    source: &[wgsl!(include_str!("../../shaders/token_score.wgsl"))],
    reads: 1,
    writes: 1,
};

const LANES: usize = 16;

/// How a row becomes one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Score {
    /// mean_j max(0, y[j]), UTRC's own.
    Clip,
    /// mean_j |y[j]|
    L1,
    /// sqrt(mean_j y[j]^2)
    L2,
    /// mean_j y[j]
    NoClip,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    y_offset: u32,
    y_stride: u32,
    score: u32,
    scale: f32,
}

/// Scores every row of `y` `[seq_len, d]`; gives `[seq_len, 1]`.
pub fn token_score<'a>(device: &Device, y: impl Into<View<'a>>, score: Score) -> Tensor {
    let y = y.into();
    let scale = 1.0 / y.cols as f32;
    match device {
        Device::Cpu => {
            let rows = (0..y.rows).map(|t| of_row(y.cpu_row(t), score, scale)).collect();
            Tensor::on_cpu(y.rows, 1, rows)
        }
        Device::Gpu(gpu) => on_gpu(gpu, y, score, scale),
    }
}

fn of_row(row: &[f32], score: Score, scale: f32) -> f32 {
    match score {
        Score::Clip => sum(row, |v| v.max(0.0)) * scale,
        Score::L1 => sum(row, f32::abs) * scale,
        Score::L2 => (sum(row, |v| v * v) * scale).sqrt(),
        Score::NoClip => sum(row, |v| v) * scale,
    }
}

fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut partial = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        partial.iter_mut().zip(chunk).for_each(|(p, &v)| *p += f(v));
    }
    partial.iter_mut().zip(rest).for_each(|(p, &v)| *p += f(v));
    partial.iter().fold(0.0, |total, p| total + p)
}

fn on_gpu(gpu: &Gpu, y: View<'_>, score: Score, scale: f32) -> Tensor {
    let scores = gpu.alloc(y.rows * 4);
    let params = Params {
        rows: y.rows as u32,
        cols: y.cols as u32,
        y_offset: y.offset() as u32,
        y_stride: y.stride() as u32,
        score: score as u32,
        scale,
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[y.tensor.gpu()],
        writes: &[&scores],
        groups: [groups(y.rows, 4), 1, 1],
    });
    Tensor::on_gpu(y.rows, 1, scores)
}

/// Sizes 1, around the tile of 16 lanes and 4 rows, and one that divides nothing; one case on a view.
pub fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (3, 15), (4, 16), (5, 17), (7, 130)];
    let scores = [Score::Clip, Score::L1, Score::L2, Score::NoClip];
    let all = move |device: &Device, y: View<'_>| {
        scores.iter().map(|&score| token_score(device, y, score)).collect()
    };
    let case = |name: String, seed, rows, cols, view: fn(&Tensor) -> View<'_>| Case {
        name,
        tolerance: 1e-6,
        why: "the same sums in the same order; the square root of l2 may round otherwise",
        run: Box::new(move |device| {
            let y = random(device, &mut Rng::new(seed), rows, cols);
            all(device, view(&y))
        }),
    };
    let mut cases: Vec<Case> = sizes
        .into_iter()
        .map(|(rows, cols)| case(format!("token_score {rows}x{cols}"), 1, rows, cols, Tensor::view))
        .collect();
    let columns: fn(&Tensor) -> View<'_> = |y| y.columns(3, 17);
    cases.push(case("token_score of columns 3..20 of 5x33".into(), 2, 5, 33, columns));
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_match_their_equations_in_f64() {
        let (rows, cols) = (5, 37);
        let y = random(&Device::Cpu, &mut Rng::new(3), rows, cols);
        let naive = |t: usize, f: fn(f64) -> f64| {
            let row = &y.cpu()[t * cols..(t + 1) * cols];
            row.iter().map(|&v| f(f64::from(v))).sum::<f64>() / cols as f64
        };
        for t in 0..rows {
            let expected = [
                naive(t, |v| if v > 0.0 { v } else { 0.0 }),
                naive(t, |v| if v < 0.0 { -v } else { v }),
                naive(t, |v| v * v).sqrt(),
                naive(t, |v| v),
            ];
            let scores = [Score::Clip, Score::L1, Score::L2, Score::NoClip];
            for (score, expected) in scores.into_iter().zip(expected) {
                let found = f64::from(token_score(&Device::Cpu, &y, score).cpu()[t]);
                assert!((found - expected).abs() < 1e-6, "{score:?} {found} {expected}");
            }
        }
    }
}
