//! Linear layer: y = x Wᵀ + bias + residual.
//!
//! Shapes: x `[seq_len, in]`, W `[out, in]` (f32 or f16), bias `[1, out]`, residual and y `[seq_len, out]`.
//! On the GPU three forms compute the same: see `Form`. On the CPU: `cpu_gemm`. A pruned matrix may have a packed form
//! for few rows: `packed`.

use super::blocks;
use super::cpu_gemm::{self, Rows};
use super::packed::{self, FEW_ROWS};
use super::{Case, groups, random};
use crate::Rng;
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Matrix, MatrixData, Packed, Tensor, View};
use bytemuck::{Pod, Zeroable};

/// The text of a shader is its parts one after the other.
macro_rules! shader {
    ($name:literal $(, $part:literal)*) => {
        Shader {
            name: $name,
            source: wgsl!(concat!(
                include_str!("../../shaders/matmul_weights.wgsl"),
                include_str!("../../shaders/matmul_input.wgsl"),
                $(include_str!(concat!("../../shaders/", $part, ".wgsl")),)*
                include_str!("../../shaders/matmul_output.wgsl"),
                include_str!(concat!("../../shaders/", $name, ".wgsl"))
            )),
            reads: 5,
            writes: 1,
        }
    };
}

static DIRECT: Shader = shader!("matmul_direct", "matmul_registers");
static SHARED: Shader = shader!("matmul_shared", "matmul_tiles");
static MATVEC: Shader = shader!("matvec", "matmul_registers");

/// Up to so many rows a real GPU is faster with four at a time than with a tile of 64: on an H100 a tile of 16 rows took
/// 16 times as long as four rows.
const SOME_ROWS: usize = 32;

/// How the GPU computes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Registers only; an invocation computes 8 rows by 8 outputs. Software adapters punish barriers.
    Direct,
    /// Tiles of 64 x 64 through workgroup memory, for real GPUs.
    Shared,
    /// At most four rows, an invocation four outputs.
    MatvecDirect,
    /// Some rows, four at a time, eight neighbours an output.
    MatvecShared,
}

impl Form {
    fn is_matvec(self) -> bool {
        matches!(self, Form::MatvecDirect | Form::MatvecShared)
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    outs: u32,
    depth: u32,
    x_offset: u32,
    x_stride: u32,
    w_stride: u32,
    has_bias: u32,
    has_residual: u32,
}

/// y = x Wᵀ + bias + residual, for x `[seq_len, in]`, w `[out, in]`, bias `[1, out]`, residual `[seq_len, out]`.
pub fn matmul<'a>(
    device: &Device,
    x: impl Into<View<'a>>,
    w: &Matrix,
    bias: Option<&Tensor>,
    residual: Option<&Tensor>,
) -> Tensor {
    let job = Job::new(x.into(), w, bias, residual);
    match (device, job.packed()) {
        (Device::Cpu, _) => job.on_cpu(),
        (Device::Gpu(gpu), Some(packed)) => job.on_gpu_packed(gpu, packed, packed::Form::of(gpu)),
        (Device::Gpu(gpu), None) => job.on_gpu(gpu, job.form(gpu)),
    }
}

/// Checked arguments.
pub(super) struct Job<'a> {
    x: View<'a>,
    w: &'a Matrix,
    bias: Option<&'a Tensor>,
    residual: Option<&'a Tensor>,
}

impl<'a> Job<'a> {
    pub(super) fn new(
        x: View<'a>,
        w: &'a Matrix,
        bias: Option<&'a Tensor>,
        residual: Option<&'a Tensor>,
    ) -> Self {
        assert_eq!(x.cols, w.cols(), "matmul: inputs");
        if let Some(bias) = bias {
            assert_eq!(bias.rows() * bias.cols(), w.rows(), "matmul: bias");
        }
        if let Some(r) = residual {
            assert_eq!((r.rows(), r.cols()), (x.rows, w.rows()), "matmul: residual");
        }
        Self { x, w, bias, residual }
    }

    /// The packed form of the weights, if it is to be used.
    fn packed(&self) -> Option<&Packed> {
        self.w.packed().filter(|_| self.x.rows <= FEW_ROWS)
    }

    fn on_cpu(&self) -> Tensor {
        let (rows, outs) = (self.x.rows, self.w.rows());
        let MatrixData::Cpu(host) = self.w.data() else {
            panic!("matmul: the weights are on a GPU");
        };
        let mut y = match self.residual {
            Some(residual) => residual.cpu().to_vec(),
            None => vec![0.0; rows * outs],
        };
        if let Some(bias) = self.bias {
            for row in y.chunks_exact_mut(outs.max(1)) {
                row.iter_mut().zip(bias.cpu()).for_each(|(y, b)| *y += b);
            }
        }
        let blocks = self.w.blocks().filter(|_| rows <= FEW_ROWS);
        match (blocks, self.packed()) {
            (Some(blocks), _) => blocks::accumulate(Rows::of(self.x), blocks, &mut y),
            (None, Some(packed)) => packed::accumulate(Rows::of(self.x), packed, &mut y),
            (None, None) => cpu_gemm::accumulate(Rows::of(self.x), host, 0..outs, &mut y),
        }
        Tensor::on_cpu(rows, outs, y)
    }

    fn form(&self, gpu: &Gpu) -> Form {
        match (self.x.rows, gpu.is_software()) {
            (..=FEW_ROWS, true) => Form::MatvecDirect,
            (_, true) => Form::Direct,
            (..=SOME_ROWS, false) => Form::MatvecShared,
            (_, false) => Form::Shared,
        }
    }

    fn params(&self) -> Params {
        let x = self.x;
        Params {
            rows: x.rows as u32,
            outs: self.w.rows() as u32,
            depth: x.cols as u32,
            x_offset: x.offset() as u32,
            x_stride: x.stride() as u32,
            w_stride: self.w.row_stride() as u32,
            has_bias: self.bias.is_some().into(),
            has_residual: self.residual.is_some().into(),
        }
    }

    fn on_gpu(&self, gpu: &Gpu, form: Form) -> Tensor {
        let (x, rows, outs) = (self.x, self.x.rows, self.w.rows());
        let y = gpu.alloc(rows * outs * 4);
        let (weights, f16) = weight_constants(self.w);
        let buffer = x.tensor.gpu();
        let params = self.params();
        let (shader, entry, groups) = match form {
            Form::Direct => (&DIRECT, "main", [groups(outs, 16 * 8), groups(rows, 8), 1]),
            Form::Shared => (&SHARED, "main", [groups(outs, 64), groups(rows, 64), 1]),
            Form::MatvecDirect => (&MATVEC, "direct", [groups(outs, 16 * 4), 1, 1]),
            Form::MatvecShared => {
                (&MATVEC, "shared_rows", [groups(outs, 8), groups(rows, FEW_ROWS), 1])
            }
        };
        let vectors = ("X_VECTORS", f64::from(u8::from(reads_vectors(x))));
        let constants = [f16, vectors, ("ROWS", rows.min(FEW_ROWS) as f64)];
        gpu.dispatch(&Dispatch {
            shader,
            entry,
            // Only the matvec has ROWS.
            constants: if form.is_matvec() { &constants } else { &constants[..2] },
            params: bytemuck::bytes_of(&params),
            reads: &[
                weights,
                buffer,
                buffer,
                self.bias.map_or(buffer, Tensor::gpu),
                self.residual.map_or(buffer, Tensor::gpu),
            ],
            writes: &[&y],
            groups,
        });
        Tensor::on_gpu(rows, outs, y)
    }

    pub(super) fn on_gpu_packed(&self, gpu: &Gpu, w: &Packed, form: packed::Form) -> Tensor {
        let (x, rows, outs) = (self.x, self.x.rows, self.w.rows());
        let y = gpu.alloc(rows * outs * 4);
        let buffer = x.tensor.gpu();
        let params = Params { w_stride: packed::first_value(w) as u32, ..self.params() };
        let vectors = ("X_VECTORS", f64::from(u8::from(reads_vectors(x))));
        let dispatch = Dispatch {
            shader: &MATVEC,
            entry: "",
            constants: &[w.precision.constant(), vectors, ("ROWS", rows as f64)],
            params: bytemuck::bytes_of(&params),
            reads: &[
                w.words().gpu(),
                buffer,
                buffer,
                self.bias.map_or(buffer, Tensor::gpu),
                self.residual.map_or(buffer, Tensor::gpu),
            ],
            writes: &[&y],
            groups: [1; 3],
        };
        form.run(gpu, w, dispatch);
        Tensor::on_gpu(rows, outs, y)
    }
}

/// Whether the shaders may read the view as vectors: every row starts on one, and eights divide it.
pub(super) fn reads_vectors(x: View<'_>) -> bool {
    x.offset().is_multiple_of(4) && x.stride().is_multiple_of(4) && x.cols.is_multiple_of(8)
}

/// The buffer of a matrix on the GPU and the constant that tells the shader its type.
pub(super) fn weight_constants(w: &Matrix) -> (&Buffer, (&'static str, f64)) {
    match w.data() {
        MatrixData::Gpu(precision, buffer) => (buffer, precision.constant()),
        MatrixData::Cpu(_) => panic!("CPU weights were given to a GPU kernel"),
    }
}

/// Every form at sizes 1, around its tiles and at one that divides nothing; f32 and f16; a view with offset.
pub fn cases() -> Vec<Case> {
    use Form::{Direct, MatvecDirect, MatvecShared, Shared};
    let tiles = [(1, 1, 1), (7, 7, 7), (8, 8, 8), (9, 9, 9), (63, 65, 15), (65, 63, 17)];
    let odd = [(64, 64, 16), (33, 267, 130)];
    let rows = [(1, 1, 1), (1, 63, 8), (2, 64, 9), (3, 65, 63), (4, 7, 64), (4, 9, 130)];
    let mut cases = Vec::new();
    for form in [Direct, Shared] {
        let sizes = tiles.iter().chain(&odd);
        cases.extend(sizes.map(|&size| case(Some(form), size, Extras::of(size))));
    }
    for form in [MatvecDirect, MatvecShared] {
        cases.extend(rows.iter().map(|&size| case(Some(form), size, Extras::of(size))));
    }
    for size in [(5, 9, 64), (31, 17, 72), (32, 24, 9)] {
        cases.push(case(Some(MatvecShared), size, Extras::of(size)));
    }
    cases.push(case(None, (1, 40, 24), Extras::default()));
    // Over the blocks of the CPU form: 64 rows, 768 inputs.
    cases.push(case(None, (69, 17, 777), Extras::default()));
    cases.push(case(None, (5, 12, 36), Extras { bias: true, residual: true, half: false }));
    cases
}

#[derive(Clone, Copy, Default)]
struct Extras {
    bias: bool,
    residual: bool,
    half: bool,
}

impl Extras {
    /// Spreads the eight combinations over the sizes.
    fn of((rows, outs, depth): (usize, usize, usize)) -> Self {
        let pick = rows + outs / 2 + depth / 3;
        Self { bias: pick % 2 == 0, residual: pick % 3 == 0, half: (pick / 2) % 2 == 0 }
    }
}

/// One case; `None` is the form the adapter gets. Columns 4.. of a wider tensor are read when depth is a multiple
/// of 4 (as vectors), columns 3.. otherwise (one by one).
fn case(form: Option<Form>, (rows, outs, depth): (usize, usize, usize), extras: Extras) -> Case {
    let name = form.map_or("chosen".into(), |form| format!("{form:?}"));
    let kind = if extras.half { "f16" } else { "f32" };
    Case {
        name: format!("matmul {name} {rows}x{depth} by {kind} {outs}x{depth}"),
        tolerance: if depth > 130 { 2e-4 } else { 5e-5 },
        why: "sums of up to 130 (one: 777) products of normals in another order",
        run: Box::new(move |device| {
            let mut rng = Rng::new(5);
            let offset = if depth % 4 == 0 { 4 } else { 3 };
            let x = random(device, &mut rng, rows, depth + 2 * offset);
            let w = super::embedding::random_matrix(device, &mut rng, outs, depth, extras.half);
            let bias = extras.bias.then(|| random(device, &mut rng, 1, outs));
            let residual = extras.residual.then(|| random(device, &mut rng, rows, outs));
            let x = x.columns(offset, depth);
            let job = Job::new(x, &w, bias.as_ref(), residual.as_ref());
            vec![match (device, form) {
                (Device::Gpu(gpu), Some(form)) => job.on_gpu(gpu, form),
                _ => matmul(device, x, &w, bias.as_ref(), residual.as_ref()),
            }]
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::WeightValues;

    #[test]
    fn the_cpu_form_is_the_equation() {
        let mut rng = Rng::new(11);
        let (rows, outs, depth) = (5, 13, 37);
        let values = [rows * depth, outs * depth, outs, rows * outs].map(|n| rng.normals(n, 1.0));
        let [x, w, bias, residual] = &values;
        let mut expected = Vec::new();
        for t in 0..rows {
            for o in 0..outs {
                let mut sum = f64::from(bias[o]) + f64::from(residual[t * outs + o]);
                for i in 0..depth {
                    sum += f64::from(x[t * depth + i]) * f64::from(w[o * depth + i]);
                }
                expected.push(sum as f32);
            }
        }
        let device = Device::Cpu;
        let found = matmul(
            &device,
            &device.tensor(rows, depth, x),
            &device.matrix(outs, depth, WeightValues::F32(w)),
            Some(&device.tensor(1, outs, bias)),
            Some(&device.tensor(rows, outs, residual)),
        );
        assert!(crate::kernels::largest_difference(found.cpu(), &expected) < 1e-5);
    }
}
