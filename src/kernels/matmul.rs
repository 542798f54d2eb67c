//! Linear layer: y = x Wᵀ + bias + residual.
//!
//! Shapes: x `[seq_len, in]`, W `[out, in]` (f32 or f16), bias `[1, out]`, residual and y `[seq_len, out]`.
//! On the GPU several forms compute the same (`MatmulForm`); which of them a card is given for many rows, `probe` finds
//! out. On the CPU: `cpu_gemm`. A pruned matrix may have a packed form for few rows: `packed`.

mod cases;
pub(super) mod parts;
#[cfg(not(target_arch = "wasm32"))]
mod probe;

pub use cases::cases;
#[cfg(not(target_arch = "wasm32"))]
pub use probe::{Timing, chosen, probe, take};

use super::blocks;
use super::cpu_gemm::{self, Rows};
use super::groups;
use super::packed::{self, FEW_ROWS};
#[cfg(not(target_arch = "wasm32"))]
use crate::arithmetic::{self, Arithmetic};
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader};
use crate::backend::{Bits, CHUNK, Device, Matrix, MatrixData, Packed, PackedBlocks, Tensor, View};
use crate::threads;
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

macro_rules! shader {
    ($id:literal, $($part:ident),*) => {
        Shader { name: $id, source: &[$(parts::$part),*], reads: 5, writes: 1 }
    };
}

#[cfg(not(target_arch = "wasm32"))]
macro_rules! in_f16 {
    ($id:literal, $weights:ident) => {
        shader!($id, ENABLE_F16, $weights, INPUT, SHAPE_F16, TILES, TILE_SUMS_F16, OUTPUT, SHARED)
    };
}

/// The shaders for one way to store the weights.
struct Shaders {
    direct: Shader,
    shared: Shader,
    #[cfg(not(target_arch = "wasm32"))]
    shared_f16: Shader,
    matvec: Shader,
}

static DENSE: Shaders = Shaders {
    direct: shader!("matmul_direct", WEIGHTS, INPUT, REGISTERS, OUTPUT, DIRECT),
    shared: shader!("matmul_shared", WEIGHTS, INPUT, SHAPE, TILES, TILE_SUMS, OUTPUT, SHARED),
    #[cfg(not(target_arch = "wasm32"))]
    shared_f16: in_f16!("matmul_shared_f16", WEIGHTS),
    matvec: shader!("matvec", WEIGHTS, INPUT, REGISTERS, OUTPUT, MATVEC),
};
static BLOCKS: Shaders = Shaders {
    direct: shader!("matmul_direct_blocks", BLOCKS_WEIGHTS, INPUT, REGISTERS, OUTPUT, DIRECT),
    shared: shader!(
        "matmul_shared_blocks",
        BLOCKS_WEIGHTS,
        INPUT,
        SHAPE,
        TILES,
        TILE_SUMS,
        OUTPUT,
        SHARED
    ),
    #[cfg(not(target_arch = "wasm32"))]
    shared_f16: in_f16!("matmul_shared_blocks_f16", BLOCKS_WEIGHTS),
    matvec: shader!("matvec_blocks", BLOCKS_WEIGHTS, INPUT, REGISTERS, OUTPUT, MATVEC),
};

/// Up to so many rows a real GPU is faster with four at a time than with a tile of 64: on an H100 a tile of 16 rows took
/// 16 times as long as four rows.
const SOME_ROWS: usize = 32;

/// How the GPU computes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MatmulForm {
    /// Registers only; an invocation computes 8 rows by 8 outputs. Software adapters punish barriers.
    Direct,
    /// Tiles through workgroup memory, for real GPUs; a workgroup has so many invocations along rows and along outputs,
    /// and each computes 8 by 8.
    Tiles(usize, usize),
    /// The same in f16, where somebody chose that arithmetic.
    #[cfg(not(target_arch = "wasm32"))]
    TilesF16(usize, usize),
    /// At most four rows, an invocation four outputs.
    MatvecDirect,
    /// Some rows, four at a time, eight neighbours an output.
    MatvecShared,
}

/// Forms for many rows, of which a real GPU is given one: the first, unless a probe says another, which no page makes. With
/// names for people.
const MANY_ROWS: &[(MatmulForm, &str)] = &[
    (MatmulForm::Tiles(8, 8), "products in tiles of 64 x 64"),
    #[cfg(not(target_arch = "wasm32"))]
    (MatmulForm::Tiles(8, 16), "products in tiles of 64 x 128"),
    #[cfg(not(target_arch = "wasm32"))]
    (MatmulForm::Tiles(16, 16), "products in tiles of 128 x 128"),
    (MatmulForm::Direct, "products without tiles"),
];

impl MatmulForm {
    fn is_matvec(self) -> bool {
        matches!(self, MatmulForm::MatvecDirect | MatmulForm::MatvecShared)
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
    w_codes: u32,
    w_zeros: u32,
    w_groups: u32,
    w_group: u32,
}

/// Weights as the shaders read them.
struct Stored<'a> {
    shaders: &'static Shaders,
    buffer: &'a Buffer,
    constants: Vec<(&'static str, f64)>,
    /// With where the weights lie.
    params: Params,
}

/// y = x Wᵀ + bias + residual, for x `[seq_len, in]`, w `[out, in]`, bias `[1, out]`, residual `[seq_len, out]`.
pub fn matmul<'a>(
    device: &Device,
    x: impl Into<View<'a>>,
    w: &Matrix,
    bias: Option<&Tensor>,
    residual: Option<&Tensor>,
) -> Tensor {
    let job = MatmulJob::new(x.into(), w, bias, residual);
    let Device::Gpu(gpu) = device else { return job.on_cpu() };
    let form = job.form(gpu);
    match (w.blocks(), job.packed()) {
        (Some(blocks), _) => job.on_gpu_blocks(gpu, form, blocks),
        // `Matrix::pack` packs nothing for a GPU; native measurements do.
        (None, Some(packed)) if cfg!(not(target_arch = "wasm32")) => {
            job.on_gpu_packed(gpu, packed, packed::PackedForm::of(gpu))
        }
        _ => job.on_gpu(gpu, form),
    }
}

/// Checked arguments.
pub(super) struct MatmulJob<'a> {
    x: View<'a>,
    w: &'a Matrix,
    bias: Option<&'a Tensor>,
    residual: Option<&'a Tensor>,
}

impl<'a> MatmulJob<'a> {
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
        let (residual, bias) = (self.residual.map(Tensor::cpu), self.bias.map(Tensor::cpu));
        let start = |range: Range<usize>, y: &mut [f32]| {
            if let Some(residual) = residual {
                y.copy_from_slice(&residual[range.start * outs..range.end * outs]);
            }
            if let Some(bias) = bias {
                for row in y.chunks_exact_mut(outs.max(1)) {
                    row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                }
            }
        };
        let has_start = residual.is_some() || bias.is_some();
        let x = Rows::of(self.x);
        let add = |add: &dyn Fn(&mut [f32])| {
            let mut y = threads::rows(rows, outs, start);
            add(&mut y);
            y
        };
        let y = match (self.w.data(), self.packed()) {
            (_, Some(packed)) => add(&|y| packed::accumulate(x, packed, y)),
            (MatrixData::Cpu(w), _) => cpu_gemm::product_from(x, w, has_start.then_some(start)),
            (MatrixData::Blocks(w), _) => add(&|y| blocks::accumulate(x, w, y)),
            (MatrixData::Gpu(..), _) => panic!("matmul: the weights are on a GPU"),
        };
        Tensor::on_cpu(rows, outs, y)
    }

    fn form(&self, gpu: &Gpu) -> MatmulForm {
        #[cfg(not(target_arch = "wasm32"))]
        if arithmetic::current() == Arithmetic::F16 && self.x.rows > SOME_ROWS {
            return match MANY_ROWS[gpu.choice().0].0 {
                MatmulForm::Tiles(down, across) => MatmulForm::TilesF16(down, across),
                _ => MatmulForm::TilesF16(8, 8),
            };
        }
        match (self.x.rows, gpu.is_software()) {
            (..=FEW_ROWS, true) => MatmulForm::MatvecDirect,
            (_, true) => MatmulForm::Direct,
            (..=SOME_ROWS, false) => MatmulForm::MatvecShared,
            (_, false) => MANY_ROWS[gpu.choice().0].0,
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
            w_codes: 0,
            w_zeros: 0,
            w_groups: 0,
            w_group: 0,
        }
    }

    fn on_gpu(&self, gpu: &Gpu, form: MatmulForm) -> Tensor {
        let (buffer, f16) = weight_constants(self.w);
        let constants = vec![f16];
        self.launch(gpu, form, Stored { shaders: &DENSE, buffer, constants, params: self.params() })
    }

    /// The same product from whole numbers with scales, in any form.
    fn on_gpu_blocks(&self, gpu: &Gpu, form: MatmulForm, w: &PackedBlocks) -> Tensor {
        let stride = w.chunks() * CHUNK;
        let params = Params {
            w_stride: stride as u32,
            w_codes: w.codes_at() as u32,
            w_zeros: w.zeros_at() as u32,
            w_groups: w.groups() as u32,
            // One group reaches over the padding too.
            w_group: if w.groups() == 1 { stride } else { w.group } as u32,
            ..self.params()
        };
        let on = |is: bool| f64::from(u8::from(is));
        let mut constants =
            vec![("FOUR_BITS", on(w.bits == Bits::Four)), ("ZEROS", on(w.has_zeros))];
        if !form.is_matvec() {
            constants.push(("DROPPED", f64::from(blocks::dropped_bits(w.dtype))));
        }
        let buffer = w.words().gpu();
        self.launch(gpu, form, Stored { shaders: &BLOCKS, buffer, constants, params })
    }

    fn launch(&self, gpu: &Gpu, form: MatmulForm, w: Stored<'_>) -> Tensor {
        let (x, rows, outs) = (self.x, self.x.rows, self.w.rows());
        let y = gpu.alloc(rows * outs * 4);
        let buffer = x.tensor.gpu();
        let Shaders { direct, shared, matvec, .. } = w.shaders;
        let (shader, entry, groups) = match form {
            MatmulForm::Direct => (direct, "main", [groups(outs, 16 * 8), groups(rows, 8), 1]),
            MatmulForm::Tiles(down, across) => {
                (shared, "main", [groups(outs, 8 * across), groups(rows, 8 * down), 1])
            }
            #[cfg(not(target_arch = "wasm32"))]
            MatmulForm::TilesF16(down, across) => (
                &w.shaders.shared_f16,
                "main",
                [groups(outs, 8 * across), groups(rows, 8 * down), 1],
            ),
            MatmulForm::MatvecDirect => (matvec, "direct", [groups(outs, 16 * 4), 1, 1]),
            MatmulForm::MatvecShared => {
                (matvec, "shared_rows", [groups(outs, 8), groups(rows, FEW_ROWS), 1])
            }
        };
        let mut constants = w.constants;
        constants.push(("X_VECTORS", f64::from(u8::from(reads_vectors(x)))));
        if form.is_matvec() {
            constants.push(("ROWS", rows.min(FEW_ROWS) as f64));
        }
        #[cfg(not(target_arch = "wasm32"))]
        if let MatmulForm::Tiles(down, across) | MatmulForm::TilesF16(down, across) = form {
            constants.extend([("DOWN", down as f64), ("ACROSS", across as f64)]);
        }
        gpu.dispatch(&Dispatch {
            shader,
            entry,
            constants: &constants,
            params: bytemuck::bytes_of(&w.params),
            reads: &[
                w.buffer,
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

    pub(super) fn on_gpu_packed(&self, gpu: &Gpu, w: &Packed, form: packed::PackedForm) -> Tensor {
        let (x, rows, outs) = (self.x, self.x.rows, self.w.rows());
        let y = gpu.alloc(rows * outs * 4);
        let buffer = x.tensor.gpu();
        let params = Params { w_stride: packed::first_value(w) as u32, ..self.params() };
        let vectors = ("X_VECTORS", f64::from(u8::from(reads_vectors(x))));
        let dispatch = Dispatch {
            shader: &DENSE.matvec,
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
        MatrixData::Blocks(_) => panic!("quantised weights were given to a dense kernel"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
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
