//! Weight matrices `[rows = outputs, cols = inputs]`.
//!
//! On the GPU every row is padded with zeros to [`Matrix::row_stride`] elements (a multiple of 8), so that a row
//! starts on 16 bytes in f32 and in f16 (two values in one u32, low half first); shader-f16 is not needed.

use super::Device;
use super::blocks::{Blocks, PackedBlocks};
use super::gpu::Buffer;
#[cfg(not(target_arch = "wasm32"))]
use super::host_matrix::Stored;
use super::host_matrix::{HostMatrix, reads_halves};
use super::packed::{Format, Packed, fits_two_of_four};
use super::precision::Precision;
use crate::weights::Dtype;
use half::f16;
use std::rc::Rc;

/// Values of a weight matrix as a checkpoint gives them, row-major.
#[derive(Clone, Copy)]
pub enum WeightValues<'a> {
    /// Also of a checkpoint in bf16, which f16 cannot hold.
    F32(&'a [f32]),
    /// Stays f16 on the device.
    F16(&'a [f16]),
}

/// A weight matrix on a device. Cloning shares the memory.
#[derive(Clone)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    data: MatrixData,
    packed: Option<Packed>,
}

/// How the values are stored.
#[derive(Clone)]
pub enum MatrixData {
    /// Laid out for this machine's kernel.
    Cpu(Rc<HostMatrix>),
    /// Rows padded to [`Matrix::row_stride`].
    Gpu(Precision, Buffer),
    /// Whole numbers with scales, on either.
    Blocks(PackedBlocks),
}

impl WeightValues<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F16(v) => v.len(),
        }
    }

    fn to_f32(self) -> Vec<f32> {
        match self {
            Self::F32(v) => v.to_vec(),
            Self::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
        }
    }
}

impl Matrix {
    pub(super) fn upload(
        device: &Device,
        rows: usize,
        cols: usize,
        values: WeightValues<'_>,
    ) -> Self {
        assert_eq!(values.len(), rows * cols, "matrix [{rows}, {cols}]");
        let data = match (device, values) {
            (Device::Cpu, _) => MatrixData::Cpu(Rc::new(HostMatrix::new(rows, cols, values))),
            (Device::Gpu(gpu), WeightValues::F32(v)) => {
                let padded = pad_rows(v, rows, cols, 0.0);
                MatrixData::Gpu(Precision::F32, gpu.upload(bytemuck::cast_slice(&padded)))
            }
            (Device::Gpu(gpu), WeightValues::F16(v)) => {
                let padded = pad_rows(v, rows, cols, f16::ZERO);
                MatrixData::Gpu(Precision::F16, gpu.upload(bytemuck::cast_slice(&padded)))
            }
        };
        Self { rows, cols, data, packed: None }
    }

    /// Row-major values on the CPU, where they lie.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn in_place(rows: usize, cols: usize, values: Stored) -> Self {
        let host = HostMatrix::in_place(rows, cols, values);
        Self { rows, cols, data: MatrixData::Cpu(Rc::new(host)), packed: None }
    }

    /// Adds a packed form for products with few rows, where the zeros of `values`, those of this matrix, are worth it.
    /// The dense form stays: products with many rows need it.
    pub fn pack(self, device: &Device, values: WeightValues<'_>) -> Self {
        let floats = values.to_f32();
        let zeros = floats.iter().filter(|x| x.to_bits() == 0).count() as f64;
        // The packed kernels of wasm read f32 alone.
        let values = match (device, values) {
            (Device::Cpu, WeightValues::F16(_)) if !reads_halves() => WeightValues::F32(&floats),
            _ => values,
        };
        let enough = |share: f64| zeros >= share * floats.len() as f64;
        let format = if matches!(device, Device::Gpu(_)) {
            // Neither form was faster, on a software adapter or on an H100 (docs/gpu.md): unpacking costs more than the
            // bytes it saves.
            None
        } else if fits_two_of_four(self.cols, &floats) {
            Some(Format::TwoOfFour)
        } else {
            break_even(device, values).filter(|s| enough(*s)).map(|_| Format::Bitmask)
        };
        self.pack_as(device, format, values)
    }

    /// Adds a packed form, whether it is worth it or not (measurements); `None`, and values that do not fit: none.
    pub fn pack_as(
        self,
        device: &Device,
        format: Option<Format>,
        values: WeightValues<'_>,
    ) -> Self {
        let pack = |format| Packed::new(device, format, self.rows, self.cols, values);
        Self { packed: format.and_then(pack), ..self }
    }

    /// Whole numbers with scales, of a checkpoint that stores `dtype`. There is no dense form beside them.
    pub fn quantised(device: &Device, blocks: &Blocks, dtype: Dtype) -> Self {
        let data = MatrixData::Blocks(PackedBlocks::new(device, blocks, dtype));
        Self { rows: blocks.rows, cols: blocks.cols, data, packed: None }
    }

    /// The quantised form, if it has that.
    pub fn blocks(&self) -> Option<&PackedBlocks> {
        match &self.data {
            MatrixData::Blocks(blocks) => Some(blocks),
            _ => None,
        }
    }

    /// Bytes that a decoded token reads of it.
    pub fn bytes_per_token(&self) -> usize {
        self.packed.as_ref().map_or_else(|| self.bytes(), Packed::bytes)
    }

    /// The form without zeros for products with few rows, if there is one.
    pub fn packed(&self) -> Option<&Packed> {
        self.packed.as_ref()
    }

    /// f32 values that a kernel wrote, rows padded with zeros to [`Matrix::row_stride`].
    pub fn on_gpu(rows: usize, cols: usize, padded: Buffer) -> Self {
        Self { rows, cols, data: MatrixData::Gpu(Precision::F32, padded), packed: None }
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Elements from one row to the next on the GPU.
    pub fn row_stride(&self) -> usize {
        self.cols.next_multiple_of(8)
    }

    /// The values.
    pub fn data(&self) -> &MatrixData {
        &self.data
    }

    /// Bytes that the values take on the device, without a packed form.
    pub fn bytes(&self) -> usize {
        match &self.data {
            MatrixData::Cpu(host) => host.bytes(),
            MatrixData::Gpu(precision, _) => self.rows * self.row_stride() * precision.bytes(),
            MatrixData::Blocks(blocks) => blocks.bytes(),
        }
    }
}

/// Least share of zeros from which the bitmask is faster than the dense form of equal precision: docs/pruning.md, Sparse
/// execution. `None` where it is not, because unpacking costs more than reading.
fn break_even(device: &Device, values: WeightValues<'_>) -> Option<f64> {
    match (device, values) {
        (Device::Cpu, WeightValues::F32(_)) if reads_halves() => Some(0.6),
        _ => None,
    }
}

fn pad_rows<T: Copy>(values: &[T], rows: usize, cols: usize, zero: T) -> Vec<T> {
    let stride = cols.next_multiple_of(8);
    let mut padded = vec![zero; rows * stride];
    for (to, from) in padded.chunks_mut(stride).zip(values.chunks(cols)) {
        to[..cols].copy_from_slice(from);
    }
    padded
}
