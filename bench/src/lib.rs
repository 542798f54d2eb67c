//! Kernels as wasm exports: gemm.html times them beside onnxruntime-web in the same page (see bench/gemm.mjs).
#![cfg(target_arch = "wasm32")]

use wasm_bindgen::prelude::*;
use whittle::backend::{Device, Matrix, Tensor, WeightValues};
use whittle::kernels::matmul::matmul;

/// One linear layer y = x Wᵀ with its operands on a device.
#[wasm_bindgen]
pub struct Gemm {
    device: Device,
    x: Tensor,
    w: Matrix,
}

#[wasm_bindgen]
impl Gemm {
    /// x is `[rows, depth]`, w `[outs, depth]`; `backend` is "cpu" or "gpu".
    pub async fn open(
        backend: String,
        rows: usize,
        outs: usize,
        depth: usize,
        x: Vec<f32>,
        w: Vec<f32>,
    ) -> Result<Gemm, JsError> {
        console_error_panic_hook::set_once();
        let device = match backend.as_str() {
            "cpu" => Device::Cpu,
            "gpu" => Device::open_gpu().await?,
            other => return Err(JsError::new(&format!("backend {other:?}; expected cpu or gpu"))),
        };
        let x = device.tensor(rows, depth, &x);
        let w = device.matrix(outs, depth, WeightValues::F32(&w));
        Ok(Gemm { device, x, w })
    }

    /// The device's name for people.
    pub fn label(&self) -> String {
        self.device.label()
    }

    /// Computes y `[rows, outs]` and reads it back.
    pub async fn run(&self) -> Result<Vec<f32>, JsError> {
        let y = matmul(&self.device, &self.x, &self.w, None, None);
        Ok(self.device.read(&y).await?)
    }
}
