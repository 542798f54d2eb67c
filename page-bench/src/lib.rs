//! Kernels as wasm exports: page.mjs times them (see page-bench/run.mjs).
#![cfg(target_arch = "wasm32")]

use wasm_bindgen::prelude::*;
use whittle::backend::{Device, Matrix, Tensor, WeightValues};
use whittle::kernels::matmul::matmul;
use whittle::kernels::selective_scan::{Example, selective_scan, selective_scan_barrier};

/// One linear layer y = x Wᵀ with its weights on a device.
#[wasm_bindgen]
pub struct Gemm {
    device: Device,
    w: Matrix,
}

#[wasm_bindgen]
impl Gemm {
    /// w is `[outs, depth]`; `backend` is "cpu" or "gpu".
    pub async fn open(
        backend: String,
        outs: usize,
        depth: usize,
        w: Vec<f32>,
    ) -> Result<Gemm, JsError> {
        console_error_panic_hook::set_once();
        let device = match backend.as_str() {
            "cpu" => Device::Cpu,
            "gpu" => Device::open_gpu().await?,
            other => return Err(JsError::new(&format!("backend {other:?}; expected cpu or gpu"))),
        };
        let w = device.matrix(outs, depth, WeightValues::F32(&w));
        Ok(Gemm { device, w })
    }

    /// The device's name for people.
    pub fn label(&self) -> String {
        self.device.label()
    }

    /// Brings x `[rows, depth]` to the device, computes y `[rows, outs]` and reads it back.
    pub async fn run(&self, x: Vec<f32>) -> Result<Vec<f32>, JsError> {
        let depth = self.w.cols();
        let x = self.device.tensor(x.len() / depth, depth, &x);
        let y = matmul(&self.device, &x, &self.w, None, None);
        Ok(self.device.read(&y).await?)
    }
}

/// The selective scan of Mamba-1 with its inputs on the GPU. `form` is "registers" (the one models use) or "barriers"
/// (a thread a state).
#[wasm_bindgen]
pub struct Scan {
    device: Device,
    example: Example,
}

#[wasm_bindgen]
impl Scan {
    /// Seeded inputs: u, dt, z `[seq_len, d_inner]`, B, C `[seq_len, d_state]`. Errors: no GPU.
    pub async fn open(seq_len: usize, d_inner: usize, d_state: usize) -> Result<Scan, JsError> {
        console_error_panic_hook::set_once();
        let device = Device::open_gpu().await?;
        let example = Example::new(&device, 1, seq_len, d_inner, d_state);
        Ok(Scan { device, example })
    }

    /// The adapter's name for people.
    pub fn label(&self) -> String {
        self.device.label()
    }

    /// Computes one scan and waits for it.
    pub async fn run(&self, form: String) -> Result<(), JsError> {
        self.scan(&form)?;
        Ok(self.device.finish().await?)
    }

    /// y `[seq_len, d_inner]` of one scan.
    pub async fn output(&self, form: String) -> Result<Vec<f32>, JsError> {
        let y = self.scan(&form)?;
        Ok(self.device.read(&y).await?)
    }

    fn scan(&self, form: &str) -> Result<Tensor, JsError> {
        let input = self.example.scan();
        let (y, _state) = match (form, &self.device) {
            ("registers", device) => selective_scan(device, &input),
            ("barriers", Device::Gpu(gpu)) => selective_scan_barrier(gpu, &input),
            _ => {
                let label = self.device.label();
                let found = format!("form {form:?} on {label}; expected registers or barriers");
                return Err(JsError::new(&found));
            }
        };
        Ok(y)
    }
}
