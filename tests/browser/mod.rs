//! What is checked in the browser, in a window and in a dedicated worker alike.

use js_sys::Reflect;
use serde::Deserialize;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use wasm_bindgen_test::console_log;
use whittle::backend::Device;
use whittle::backend::gpu::{Dispatch, Shader};
use whittle::config::ModelConfig;
use whittle::kernels::{cases, largest_difference};
use whittle::models::{Model, NoHooks, Weights};
use whittle::weights::Checkpoint;

/// Whether the global object has a property of this name (`document` in a window only).
pub fn global_has(name: &str) -> bool {
    Reflect::has(&js_sys::global(), &JsValue::from_str(name)).expect("the global is an object")
}

async fn gpu() -> Device {
    let device =
        Device::open_gpu().await.expect("WebGPU; is --enable-unsafe-webgpu in webdriver.json?");
    console_log!("on {}", device.label());
    device
}

/// Every kernel: the browser's WebGPU against the wasm (simd128) form on the same inputs.
pub async fn every_shader_agrees_with_its_cpu_form() {
    let gpu = gpu().await;
    let mut failures = Vec::new();
    for case in cases() {
        let expected = (case.run)(&Device::Cpu);
        let found = (case.run)(&gpu);
        assert_eq!(expected.len(), found.len(), "{}", case.name);
        for (i, (e, f)) in expected.iter().zip(&found).enumerate() {
            match gpu.read(f).await {
                Ok(values) => {
                    let d = largest_difference(&values, e.cpu());
                    if d.is_nan() || d > case.tolerance {
                        failures.push(format!(
                            "{} output {i}: {d:e} > {:e}",
                            case.name, case.tolerance
                        ));
                    }
                }
                Err(e) => failures.push(format!("{}: {e}", case.name)),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

static BROKEN: Shader = Shader {
    name: "broken",
    source: &[
        "@group(0) @binding(0) var<uniform> p: vec4u; @group(0) @binding(1) var<storage, read_write> y: array<f32>;",
        "@compute @workgroup_size(64) fn main() { y[0] = nothing_of_this_name; }",
    ],
    reads: 0,
    writes: 1,
};

/// wgpu on the web drops validation errors unless they are asked for; a caller must never see zeros instead.
pub async fn an_invalid_shader_is_an_error_and_not_zeros() {
    let device = gpu().await;
    let Device::Gpu(gpu) = &device else { unreachable!() };
    let y = gpu.alloc(256);
    gpu.dispatch(&Dispatch {
        shader: &BROKEN,
        entry: "main",
        constants: &[],
        params: &[0; 16],
        reads: &[],
        writes: &[&y],
        groups: [1, 1, 1],
    });
    let error = gpu.read(&y, 4).await.expect_err("the shader does not compile").to_string();
    assert!(error.contains("GPU"), "{error}");
    // The device itself is fine and goes on.
    let x = device.tensor(1, 3, &[1.0, 2.0, 3.0]);
    assert_eq!(device.read(&x).await.expect("the device still works"), [1.0, 2.0, 3.0]);
}

#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    ids: Vec<u32>,
    nll: Vec<f64>,
}

macro_rules! fixture {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../fixtures/models/", $name, "/config.json")).as_slice(),
            include_bytes!(concat!("../fixtures/models/", $name, "/model.safetensors")).as_slice(),
            include_bytes!(concat!("../fixtures/models/", $name, "/expected.json")).as_slice(),
        )
    };
}

/// The wasm CPU backend and WebGPU against transformers; tolerances as in tests/parity.rs.
pub async fn models_equal_transformers() {
    let fixtures = [
        fixture!("mamba-f32"),
        fixture!("mamba2-f32-groups"),
        fixture!("llama-f32-gqa"),
        fixture!("neox-f32-parallel"),
    ];
    let devices = [(Device::Cpu, 1e-5), (gpu().await, 1.1e-4)];
    for (name, config, weights, expected) in fixtures {
        let config = ModelConfig::parse(config).expect(name);
        let files = vec![("model.safetensors".to_string(), weights.to_vec())];
        let weights = Weights::new(Rc::new(Checkpoint::open(files).expect(name)));
        let expected: Expected = serde_json::from_slice(expected).expect(name);
        for (device, tolerance) in &devices {
            let model = Model::load(device, &config, &weights.for_new_device()).expect(name);
            for case in expected.cases.iter().filter(|c| c.ids.len() > 1) {
                let n = case.ids.len();
                let mut state = model.start(device);
                let hidden = model.forward(device, &case.ids[..n - 1], &mut state, &mut NoHooks);
                let values = model.nll(device, &hidden, &device.ids(&case.ids[1..]));
                let values = device.read(&values).await.expect(name);
                let differences = values.chunks_exact(2).zip(&case.nll);
                let sum: f64 = differences.map(|(pair, e)| (f64::from(pair[0]) - e).abs()).sum();
                let mean = sum / (n - 1) as f64;
                assert!(mean <= *tolerance, "{name} on {}, {n} tokens: {mean:e}", device.kind());
            }
        }
    }
}
