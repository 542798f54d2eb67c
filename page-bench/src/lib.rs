//! Kernels as wasm exports: page.mjs times them (see page-bench/run.mjs).
#![cfg(target_arch = "wasm32")]

use half::f16;
use wasm_bindgen::prelude::*;
use whittle::Rng;
use whittle::backend::{Bits, Blocks, Device, Matrix, Tensor, WeightValues};
use whittle::kernels::matmul::matmul;
use whittle::kernels::selective_scan::{Example, selective_scan, selective_scan_barrier};
use whittle::weights::Dtype;

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

/// More than the last level cache of common machines.
const SET_BYTES: usize = 80 << 20;

/// One row times W (decoding) on the CPU, W as whole numbers with scales and as the same values in f32. Each has copies of
/// its own and a call walks over all of them, so that no weight waits in a cache for its turn.
#[wasm_bindgen]
pub struct Decode {
    x: Tensor,
    forms: [Vec<Matrix>; 2],
}

#[wasm_bindgen]
impl Decode {
    /// Where it runs.
    pub fn label(&self) -> String {
        Device::Cpu.label()
    }

    /// Seeded W `[outs, depth]` of `bits` 4 or 8, a scale for every `group` inputs. Errors: other bits.
    pub fn open(outs: usize, depth: usize, bits: usize, group: usize) -> Result<Decode, JsError> {
        console_error_panic_hook::set_once();
        let bytes = outs * depth * bits / 8;
        let bits = match bits {
            4 => Bits::Four,
            8 => Bits::Eight,
            other => return Err(JsError::new(&format!("{other} bits; expected 4 or 8"))),
        };
        let mut rng = Rng::new(1);
        let most = usize::from(bits.most()) + 1;
        let mut code = || (rng.below(most) as i32 - most as i32 / 2) as i8;
        let codes = (0..outs * depth).map(|_| code()).collect();
        let scales = vec![f16::from_f32(0.01); outs * depth.div_ceil(group)];
        let (rows, cols, zeros) = (outs, depth, Vec::new());
        let blocks = Blocks { rows, cols, bits, group, codes, scales, zeros };
        let values = blocks.to_f32();
        let device = Device::Cpu;
        let dense = || device.matrix(outs, depth, WeightValues::F32(&values));
        let copies = |bytes: usize| SET_BYTES.div_ceil(bytes);
        let quantised = |_| Matrix::quantised(&device, &blocks, Dtype::F32);
        let whole: Vec<Matrix> = (0..copies(bytes)).map(quantised).collect();
        let floats = (0..copies(outs * depth * 4)).map(|_| dense()).collect();
        let x = device.tensor(1, depth, &rng.normals(depth, 1.0));
        Ok(Decode { x, forms: [whole, floats] })
    }

    /// How many products a call of [`Decode::run`] computes.
    pub fn products(&self, form: usize) -> usize {
        self.forms[form].len()
    }

    /// Computes a product with every copy; `form` 0 is the whole numbers, 1 is f32.
    pub fn run(&self, form: usize) {
        for w in &self.forms[form] {
            std::hint::black_box(matmul(&Device::Cpu, &self.x, w, None, None));
        }
    }

    /// y `[outs]` of one product.
    pub async fn output(&self, form: usize) -> Result<Vec<f32>, JsError> {
        let device = Device::Cpu;
        let y = matmul(&device, &self.x, &self.forms[form][0], None, None);
        Ok(device.read(&y).await?)
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
