//! The factor of an inverse Hessian: U, upper triangular, with (XᵀX + λI)⁻¹ = UᵀU.
//!
//! Shapes: XᵀX `[n, n]`, U `[n, n]`. λ = damping times the mean of the diagonal. With J the reversal of the indices
//! and D = diag(H)^-1/2, as in `prune/hessian.rs`: J D H D J = L Lᵀ, U = J L⁻¹ J D. An input whose diagonal element
//! is 0 is dead: it gets the mean.
//!
//! On the GPU in f32, 32 columns a step: T = the inverse of the diagonal block's factor, R = T times the block's
//! rows, and RᵀR is taken from all later rows. The same step applied to an identity beside the matrix gives L⁻¹;
//! a column of the identity comes alive when the matrix is done with its own, so both share one memory. Only the
//! 32 x 32 blocks use barriers. A pivot that f32 cannot tell from 0 sets `status`; the results are then of no use.

use super::{Case, groups};
use crate::Rng;
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Matrix, Tensor};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "inverse_factor",
    source: &[wgsl!(include_str!("../../shaders/inverse_factor.wgsl"))],
    reads: 1,
    writes: 4,
};

/// Columns of a step; the shader's SIZE.
const STEP: usize = 32;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n: u32,
    k: u32,
    stride: u32,
    damping: f32,
}

/// Damped inputs of a matrix on a GPU.
pub struct Damped {
    /// Inputs of the matrix.
    pub n: usize,
    gram: Tensor,
    damping: f32,
    /// `[1, 2 n + 1]`: D, then 1 for every input that is alive and 0 for the others, then their mean diagonal.
    pub scales: Tensor,
    /// `[1, 1]`: not 0 when a factorisation or a solve failed.
    pub status: Tensor,
}

impl Damped {
    /// Measures XᵀX `[n, n]`.
    pub fn new(gpu: &Gpu, gram: &Tensor, damping: f32) -> Damped {
        let n = gram.rows();
        assert_eq!(gram.cols(), n, "gram");
        let damped = Damped {
            n,
            gram: gram.clone(),
            damping,
            scales: Tensor::on_gpu(1, 2 * n + 1, gpu.alloc((2 * n + 1) * 4)),
            status: Tensor::on_gpu(1, 1, gpu.alloc(4)),
        };
        let none = gpu.alloc(4);
        let other = gpu.alloc(4);
        damped.launch(gpu, "measure", 0, [&none, &other], [1, 1, 1]);
        damped
    }

    /// D H D `[n, n]`, whose diagonal is 1, for matrix products.
    pub fn scaled(&self, gpu: &Gpu) -> Matrix {
        let stride = self.n.next_multiple_of(8);
        let (m, none) = (gpu.alloc(self.n * stride * 4), gpu.alloc(4));
        let tiles = [groups(stride, 16), groups(self.n, 16), 1];
        self.launch(gpu, "scaled", 0, [&m, &none], tiles);
        Matrix::on_gpu(self.n, self.n, m)
    }

    /// U `[n, n]`.
    pub fn factor(&self, gpu: &Gpu) -> Tensor {
        let n = self.n;
        let (m, r) = (gpu.alloc(n * n * 4), gpu.alloc(STEP * n * 4));
        let all = [groups(n, 16), groups(n, 16), 1];
        self.launch(gpu, "load", 0, [&m, &r], all);
        for k in (0..n).step_by(STEP) {
            let size = STEP.min(n - k);
            self.launch(gpu, "pivots", k, [&m, &r], [1, 1, 1]);
            self.launch(gpu, "eliminate", k, [&m, &r], [groups(n, 64), size as u32, 1]);
            self.launch(gpu, "subtract", k, [&m, &r], [groups(n, 32), groups(n - k, 32), 1]);
        }
        let u = gpu.alloc(n * n * 4);
        self.launch(gpu, "turn", 0, [&m, &u], all);
        Tensor::on_gpu(n, n, u)
    }

    fn launch(
        &self,
        gpu: &Gpu,
        entry: &'static str,
        k: usize,
        [m, r]: [&Buffer; 2],
        groups: [u32; 3],
    ) {
        let stride = self.n.next_multiple_of(8) as u32;
        let params = Params { n: self.n as u32, k: k as u32, stride, damping: self.damping };
        gpu.dispatch(&Dispatch {
            shader: &SHADER,
            entry,
            constants: &[],
            params: bytemuck::bytes_of(&params),
            reads: &[self.gram.gpu()],
            writes: &[self.scales.gpu(), self.status.gpu(), m, r],
            groups,
        });
    }
}

/// U and what was measured, on either device: the CPU form is the plain definition in f64, for tests.
pub fn inverse_factor(device: &Device, gram: &Tensor, damping: f32) -> [Tensor; 2] {
    match device {
        Device::Cpu => on_cpu(gram, damping),
        Device::Gpu(gpu) => {
            let damped = Damped::new(gpu, gram, damping);
            [damped.factor(gpu), damped.scales]
        }
    }
}

fn on_cpu(gram: &Tensor, damping: f32) -> [Tensor; 2] {
    let n = gram.rows();
    let g = |i: usize, j: usize| f64::from(gram.cpu()[i * n + j]);
    let alive: Vec<bool> = (0..n).map(|j| g(j, j) > 0.0).collect();
    let count = alive.iter().filter(|a| **a).count().max(1);
    let mean = (0..n).map(|j| g(j, j)).sum::<f64>() / count as f64;
    let h = |i: usize, j: usize| match (i == j, alive[i]) {
        (true, true) => g(i, i) + f64::from(damping) * mean,
        (true, false) => (1.0 + f64::from(damping)) * mean,
        _ => (g(i, j) + g(j, i)) / 2.0,
    };
    // V upper triangular with H = V Vᵀ, from the last column on; U = V⁻¹.
    let mut v = vec![0.0f64; n * n];
    for j in (0..n).rev() {
        let rest: f64 = (j + 1..n).map(|k| v[j * n + k].powi(2)).sum();
        v[j * n + j] = (h(j, j) - rest).sqrt();
        for i in 0..j {
            let rest: f64 = (j + 1..n).map(|k| v[i * n + k] * v[j * n + k]).sum();
            v[i * n + j] = (h(i, j) - rest) / v[j * n + j];
        }
    }
    let mut u = vec![0.0f64; n * n];
    for j in 0..n {
        for i in (0..=j).rev() {
            let unit = f64::from(u8::from(i == j));
            let rest: f64 = (i + 1..=j).map(|k| v[i * n + k] * u[k * n + j]).sum();
            u[i * n + j] = (unit - rest) / v[i * n + i];
        }
    }
    let mut scales: Vec<f32> = (0..n).map(|j| (1.0 / h(j, j).sqrt()) as f32).collect();
    scales.extend(alive.iter().map(|a| f32::from(u8::from(*a))));
    scales.push(mean as f32);
    let u = u.into_iter().map(|x| x as f32).collect();
    [Tensor::on_cpu(n, n, u), Tensor::on_cpu(1, 2 * n + 1, scales)]
}

/// XᵀX of correlated inputs, the third of them dead, on a device.
pub(super) fn random_gram(device: &Device, rng: &mut Rng, n: usize) -> Tensor {
    let rows = 3 * n + 2;
    let mut x = rng.normals(rows * n, 1.0);
    for row in x.chunks_exact_mut(n) {
        for j in 1..n {
            row[j] += 0.7 * row[j - 1];
        }
        row.iter_mut().skip(2).take(1).for_each(|x| *x = 0.0);
    }
    let mut gram = vec![0.0f32; n * n];
    for row in x.chunks_exact(n) {
        for i in 0..n {
            for j in 0..n {
                gram[i * n + j] += row[i] * row[j] / rows as f32;
            }
        }
    }
    device.tensor(n, n, &gram)
}

/// Around one and two steps of 32 columns, and sizes that no tile divides.
pub fn cases() -> Vec<Case> {
    let case = |n: usize| Case {
        name: format!("inverse_factor {n}x{n}"),
        tolerance: 1e-4,
        why: "f32 against f64; the condition number is some hundreds",
        run: Box::new(move |device| {
            let gram = random_gram(device, &mut Rng::new(61), n);
            inverse_factor(device, &gram, 0.01).into()
        }),
    };
    [1, 2, 31, 32, 33, 64, 70, 131].into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_form_is_the_factor_of_the_inverse() {
        // H = [[4, 2], [2, 3]] (no damping): H⁻¹ = [[3, -2], [-2, 4]] / 8; U_22 = sqrt(4/8 - U_12²) with U_11 = sqrt(3/8).
        let gram = Device::Cpu.tensor(2, 2, &[4.0, 2.0, 2.0, 3.0]);
        let [u, scales] = inverse_factor(&Device::Cpu, &gram, 0.0);
        let (first, off) = ((3.0f32 / 8.0).sqrt(), -2.0 / 8.0 / (3.0f32 / 8.0).sqrt());
        let expected = [first, off, 0.0, (0.5 - off * off).sqrt()];
        assert!(crate::kernels::largest_difference(u.cpu(), &expected) < 1e-6, "{:?}", u.cpu());
        assert!((scales.cpu()[1] - 1.0 / 3.0f32.sqrt()).abs() < 1e-6);
        assert_eq!(scales.cpu()[2..], [1.0, 1.0, 3.5]);
    }
}
