//! Where numbers live and who computes on them: the CPU or one GPU.
//!
//! A [`Device`] makes three things: [`Tensor`] (f32 activations, `[rows, cols]`), [`Ids`] (u32 indices)
//! and [`Matrix`] (weights, `[out, in]`, in a [`Precision`]). Kernels (`crate::kernels`) are plain functions that take
//! views and give new tensors; nothing is changed in place, so a saved state is a clone of a reference count.
//! Work on the GPU is only recorded; it runs at the next [`Device::read`].

mod blocks;
pub mod gpu;
mod host_matrix;
mod matrix;
mod packed;
mod precision;
mod tensor;

pub use blocks::{Bits, Blocks, CHUNK, PackedBlocks};
pub use host_matrix::{HostMatrix, Layout, PANEL, Stored, reads_halves, widen};
pub use matrix::{Matrix, MatrixData, WeightValues};
pub use packed::{Format, Packed, fits_two_of_four};
pub use precision::Precision;
pub use tensor::{Ids, Tensor, View};

use crate::Result;
use std::rc::Rc;

/// The CPU, or an opened GPU. Cheap to clone.
#[derive(Clone)]
pub enum Device {
    /// wasm simd128 or relaxed SIMD, whichever this build is for, or natively the widest vectors that the machine has.
    Cpu,
    /// Through wgpu.
    Gpu(Rc<gpu::Gpu>),
}

impl Device {
    /// Opens the GPU. Errors: no adapter, or the device could not be created.
    pub async fn open_gpu() -> Result<Device> {
        Ok(Device::Gpu(Rc::new(gpu::Gpu::open().await?)))
    }

    /// "cpu", or "gpu".
    pub fn kind(&self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Gpu(_) => "gpu",
        }
    }

    /// Name for people, e.g. "CPU (wasm simd128)" or "Apple M2 (WebGPU)"; a software adapter is named as such, and so is
    /// arithmetic that is not the reference.
    pub fn label(&self) -> String {
        match self {
            #[cfg(target_feature = "relaxed-simd")]
            Device::Cpu => "CPU (wasm relaxed simd)".into(),
            #[cfg(all(target_arch = "wasm32", not(target_feature = "relaxed-simd")))]
            Device::Cpu => "CPU (wasm simd128)".into(),
            #[cfg(not(target_arch = "wasm32"))]
            Device::Cpu => crate::arithmetic::current().cpu_label(),
            Device::Gpu(gpu) => gpu.label(),
        }
    }

    /// Copies `values` (row-major, rows * cols) to the device.
    pub fn tensor(&self, rows: usize, cols: usize, values: &[f32]) -> Tensor {
        assert_eq!(
            values.len(),
            rows * cols,
            "tensor [{rows}, {cols}] from {} values",
            values.len()
        );
        match self {
            Device::Cpu => Tensor::on_cpu(rows, cols, values.to_vec()),
            Device::Gpu(gpu) => {
                Tensor::on_gpu(rows, cols, gpu.upload(bytemuck::cast_slice(values)))
            }
        }
    }

    /// A zeroed tensor.
    pub fn zeros(&self, rows: usize, cols: usize) -> Tensor {
        self.tensor(rows, cols, &vec![0.0; rows * cols])
    }

    /// Copies u32 indices to the device.
    pub fn ids(&self, values: &[u32]) -> Ids {
        match self {
            Device::Cpu => Ids::on_cpu(values.to_vec()),
            Device::Gpu(gpu) => Ids::on_gpu(values.len(), gpu.upload(bytemuck::cast_slice(values))),
        }
    }

    /// Copies a weight matrix `[rows = outputs, cols = inputs]` to the device, in the precision that it has.
    pub fn matrix(&self, rows: usize, cols: usize, values: WeightValues<'_>) -> Matrix {
        Matrix::upload(self, rows, cols, values)
    }

    /// Runs everything recorded and copies `tensor` back (row-major).
    ///
    /// Errors: whatever the GPU reported since the last read (validation, memory, device loss).
    pub async fn read(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        match self {
            Device::Cpu => Ok(tensor.cpu().to_vec()),
            Device::Gpu(gpu) => {
                let bytes = gpu.read(tensor.gpu(), tensor.rows() * tensor.cols() * 4).await?;
                Ok(bytemuck::pod_collect_to_vec(&bytes))
            }
        }
    }

    /// Runs everything recorded and copies indices back.
    pub async fn read_ids(&self, ids: &Ids) -> Result<Vec<u32>> {
        match self {
            Device::Cpu => Ok(ids.cpu().to_vec()),
            Device::Gpu(gpu) => {
                let bytes = gpu.read(ids.gpu(), ids.len() * 4).await?;
                Ok(bytemuck::pod_collect_to_vec(&bytes))
            }
        }
    }

    /// Runs everything recorded and copies several lists of indices back, one after the other.
    pub async fn read_all_ids(&self, lists: &[Ids]) -> Result<Vec<u32>> {
        match self {
            Device::Cpu => Ok(lists.iter().flat_map(|ids| ids.cpu()).copied().collect()),
            Device::Gpu(gpu) => {
                let buffers: Vec<_> = lists.iter().map(|ids| (ids.gpu(), ids.len() * 4)).collect();
                Ok(bytemuck::pod_collect_to_vec(&gpu.read_all(&buffers).await?))
            }
        }
    }

    /// Runs everything recorded and waits until it is done.
    pub async fn finish(&self) -> Result<()> {
        match self {
            Device::Cpu => Ok(()),
            Device::Gpu(gpu) => gpu.finish().await,
        }
    }
}

/// The GPU that a native test runs on. Where none opens, a developer reads why and the test ends; in CI (the variable
/// `CI` is set) it fails, so that no adapter lost is taken for every kernel tested.
#[doc(hidden)]
#[cfg(not(target_arch = "wasm32"))]
pub fn gpu_for_tests() -> Option<Device> {
    let problem = match pollster::block_on(Device::open_gpu()) {
        Ok(gpu) => return Some(gpu),
        Err(problem) => problem,
    };
    let in_ci = std::env::var("CI").is_ok_and(|value| !["", "0", "false"].contains(&&*value));
    assert!(
        !in_ci,
        "CI has no GPU to test on ({problem}); install libvulkan1 and mesa-vulkan-drivers"
    );
    println!("skipped: {problem}");
    None
}
