//! The best values of the kept weights of every row: conjugate gradients with products on the GPU, in f32.
//!
//! With D = diag(H)^-1/2, A = D H D (its diagonal is 1) and v = D⁻¹ w: A_KK y = A_KP v_P, w_K += D y, w_P = 0; the
//! derivation is in `prune/refit.rs`. `rest` holds v_P on the removed and -y on the kept weights, so that the
//! residual is the kept part of A `rest`. A round begins with a residual computed anew.
//!
//! Shapes: w, keep `[rows, n]` (keep: 1, or 0 for what goes), A `[n, n]`, D `[n, ..]`. A workgroup has one row. The
//! number of steps depends on values: every `STEPS` steps what is left is read back, which also bounds a submit.

use super::inverse_factor::{Damped, random_gram};
use super::matmul::matmul;
use super::prune_rows::eliminate;
use super::{Case, random, spread};
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Matrix, Tensor};
use crate::pace::Pace;
use crate::{Result, Rng};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "refit",
    source: &[wgsl!(include_str!("../../shaders/refit.wgsl"))],
    reads: 3,
    writes: 4,
};

/// Steps between two looks at what is left, and looks at most in a round.
const STEPS: usize = 16;
const LOOKS: usize = 7;
/// The squared residual falls by this much in a round; two rounds reach what f32 can hold.
const FALL: f32 = 1e-6;
const ROUNDS: usize = 2;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    n: u32,
    fall: f32,
    unused: u32,
}

/// `w` `[rows, n]` with its kept weights at their best values and the others 0. Errors: cancelled, or the GPU failed.
pub async fn refit(
    device: &Device,
    gpu: &Gpu,
    rows: [&Tensor; 2],
    system: (&Matrix, &Tensor),
    pace: &Pace,
) -> Result<Tensor> {
    let state = State::open(device, gpu, rows, system);
    for _ in 0..ROUNDS {
        state.begin();
        for _ in 0..LOOKS {
            state.steps();
            let norms = device.read(&state.norms).await?;
            pace.breathe().await?;
            if norms.chunks_exact(2).all(|row| row[0] <= row[1]) {
                break;
            }
        }
    }
    Ok(state.close())
}

/// The same with a fixed number of steps and without looking, for tests.
fn refit_blindly(
    device: &Device,
    gpu: &Gpu,
    rows: [&Tensor; 2],
    system: (&Matrix, &Tensor),
) -> Tensor {
    let state = State::open(device, gpu, rows, system);
    for _ in 0..ROUNDS {
        state.begin();
        (0..3).for_each(|_| state.steps());
    }
    state.close()
}

struct State<'a> {
    device: &'a Device,
    gpu: &'a Gpu,
    w: &'a Tensor,
    keep: &'a Tensor,
    a: &'a Matrix,
    scales: &'a Tensor,
    rest: Tensor,
    residual: Tensor,
    direction: Tensor,
    norms: Tensor,
}

impl<'a> State<'a> {
    fn open(
        device: &'a Device,
        gpu: &'a Gpu,
        [w, keep]: [&'a Tensor; 2],
        (a, scales): (&'a Matrix, &'a Tensor),
    ) -> State<'a> {
        let (rows, n) = (w.rows(), w.cols());
        assert_eq!((keep.rows(), keep.cols(), a.cols()), (rows, n, n), "refit");
        let tensor = || Tensor::on_gpu(rows, n, gpu.alloc(rows * n * 4));
        let norms = Tensor::on_gpu(rows, 2, gpu.alloc(rows * 8));
        let (rest, residual, direction) = (tensor(), tensor(), tensor());
        let state = State { device, gpu, w, keep, a, scales, rest, residual, direction, norms };
        state.launch("open", w, state.direction.gpu(), spread((rows * n).div_ceil(64)));
        state
    }

    fn begin(&self) {
        let image = matmul(self.device, &self.rest, self.a, None, None);
        self.launch("begin", &image, self.direction.gpu(), spread(self.w.rows()));
    }

    fn steps(&self) {
        for _ in 0..STEPS {
            let image = matmul(self.device, &self.direction, self.a, None, None);
            self.launch("step_on", &image, self.direction.gpu(), spread(self.w.rows()));
        }
    }

    fn close(&self) -> Tensor {
        let (rows, n) = (self.w.rows(), self.w.cols());
        let out = self.gpu.alloc(rows * n * 4);
        self.launch("close", self.w, &out, spread((rows * n).div_ceil(64)));
        Tensor::on_gpu(rows, n, out)
    }

    fn launch(&self, entry: &'static str, image: &Tensor, direction: &Buffer, groups: [u32; 3]) {
        let (rows, n) = (self.keep.rows() as u32, self.keep.cols() as u32);
        self.gpu.dispatch(&Dispatch {
            shader: &SHADER,
            entry,
            constants: &[],
            params: bytemuck::bytes_of(&Params { rows, n, fall: FALL, unused: 0 }),
            reads: &[image.gpu(), self.keep.gpu(), self.scales.gpu()],
            writes: &[self.rest.gpu(), self.residual.gpu(), direction, self.norms.gpu()],
            groups,
        });
    }
}

/// By elimination in f64, for tests.
fn on_cpu(gram: &Tensor, w: &Tensor, keep: &Tensor) -> Tensor {
    let (rows, n) = (w.rows(), w.cols());
    let g = |i: usize, j: usize| f64::from(gram.cpu()[i * n + j]);
    let alive = (0..n).filter(|&j| g(j, j) > 0.0).count().max(1);
    let mean = (0..n).map(|j| g(j, j)).sum::<f64>() / alive as f64;
    let h = |i: usize, j: usize| match (i == j, g(i, i) > 0.0) {
        (true, true) => g(i, i) + f64::from(0.01f32) * mean,
        (true, false) => 1.01 * mean,
        _ => (g(i, j) + g(j, i)) / 2.0,
    };
    let mut out = vec![0.0f32; rows * n];
    for r in 0..rows {
        let w = |j: usize| f64::from(w.cpu()[r * n + j]);
        let is_kept = |j: &usize| keep.cpu()[r * n + j] > 0.0;
        let kept: Vec<usize> = (0..n).filter(is_kept).collect();
        let pull = |i: usize| (0..n).filter(|j| !is_kept(j)).map(|j| h(i, j) * w(j)).sum::<f64>();
        let mut a: Vec<Vec<f64>> = kept
            .iter()
            .map(|&i| kept.iter().map(|&j| h(i, j)).chain([pull(i)]).collect())
            .collect();
        let change = eliminate(&mut a);
        for (&j, d) in kept.iter().zip(change) {
            out[r * n + j] = (w(j) + d) as f32;
        }
    }
    Tensor::on_cpu(rows, n, out)
}

/// Around the 64 lanes of a row; a row that keeps all, and one that keeps nothing.
pub fn cases() -> Vec<Case> {
    let case = |(rows, n): (usize, usize)| Case {
        name: format!("refit {rows}x{n}"),
        tolerance: 2e-4,
        why: "conjugate gradients in f32 against elimination in f64",
        run: Box::new(move |device| {
            let mut rng = Rng::new(63);
            let gram = random_gram(device, &mut rng, n);
            let w = random(device, &mut rng, rows, n);
            let keep = (0..rows * n).map(|i| match i / n {
                1 => 1.0,
                2 => 0.0,
                _ => f32::from(u8::from(rng.uniform() < 0.5)),
            });
            let keep = device.tensor(rows, n, &keep.collect::<Vec<f32>>());
            vec![match device {
                Device::Cpu => on_cpu(&gram, &w, &keep),
                Device::Gpu(gpu) => {
                    let damped = Damped::new(gpu, &gram, 0.01);
                    let system = (&damped.scaled(gpu), &damped.scales);
                    refit_blindly(device, gpu, [&w, &keep], system)
                }
            }]
        }),
    };
    [(1, 1), (3, 7), (5, 63), (4, 64), (9, 65), (3, 130)].into_iter().map(case).collect()
}
