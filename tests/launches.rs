//! How many kernels a GPU is asked to start for one decoded token: a real GPU works for a few microseconds in each and
//! waits about as long for the next (docs/gpu.md), so this number is what decoding takes.
#![cfg(not(target_arch = "wasm32"))]

#[path = "../benches/gpu/shapes.rs"]
mod shapes;

use whittle::backend::{Device, gpu_for_tests};
use whittle::config::{Mixer, ModelConfig};
use whittle::kernels::{greedy::greedy, largest_difference};
use whittle::models::{Model, NoHooks};

/// Tokens read together, and then one after the other.
const READ: usize = 5;
const DECODED: usize = 12;

/// Launches of a decoded token, by what a layer has to wait for.
fn launches(config: &ModelConfig) -> usize {
    let of_mixer = |mixer: &Mixer| match mixer {
        // Norm, in_proj and convolution; x_proj; dt_proj; scan; out_proj with the residual.
        Mixer::Mamba(_) => 5,
        // Norm, in_proj and convolution; SSD; gated norm; out_proj with the residual.
        Mixer::Mamba2(_) => 4,
        // Norm, q, k and v; rotation and memory; attention; output with the residual.
        Mixer::Attention(_) => 4,
    };
    // Norm, gate and up; down with the residual.
    let of_layer = |mixer, has_mlp: bool| of_mixer(mixer) + 2 * usize::from(has_mlp);
    let layers = config.layers.iter().map(|layer| of_layer(&layer.mixer, layer.mlp.is_some()));
    // The embedding and the last norm.
    layers.sum::<usize>() + 2
}

#[test]
fn a_decoded_token_takes_few_launches_and_is_that_of_the_cpu() {
    let Some(device) = gpu_for_tests() else { return };
    let Device::Gpu(gpu) = &device else { unreachable!() };
    gpu.pass_for_hardware();
    for shape in shapes::shapes(true) {
        let (config, weights) = (shape.parse(), shape.weights());
        let on_gpu = Model::load(&device, &config, &weights).unwrap();
        let on_cpu = Model::load(&Device::Cpu, &config, &weights.for_new_device()).unwrap();
        let (mut state, mut expected) = (on_gpu.start(&device), on_cpu.start(&Device::Cpu));
        let prompt: Vec<u32> = (0..READ as u32).collect();
        on_gpu.forward(&device, &prompt, &mut state, &mut NoHooks);
        on_cpu.forward(&Device::Cpu, &prompt, &mut expected, &mut NoHooks);
        let attends = config.layers.iter().filter(|l| matches!(l.mixer, Mixer::Attention(_)));
        let (most, attends) = (launches(&config), attends.count());
        let mut moves = 0;
        for token in 0..DECODED as u32 {
            let before = gpu.dispatches();
            let found = on_gpu.forward(&device, &[token], &mut state, &mut NoHooks);
            let count = (gpu.dispatches() - before) as usize;
            // Full memory of a layer is moved: its keys and its values.
            let is_move = count > most;
            moves += usize::from(is_move);
            let most = most + if is_move { 2 * attends } else { 0 };
            assert!(count <= most, "{}: {count} launches for a token, not {most}", shape.name);
            let found = pollster::block_on(device.read(&found)).unwrap();
            let expected = on_cpu.forward(&Device::Cpu, &[token], &mut expected, &mut NoHooks);
            let difference = largest_difference(&found, expected.cpu());
            // Rows of unit size through two layers; other orders of addition and another exp.
            assert!(difference < 1e-4, "{}: token {token} differs by {difference}", shape.name);
        }
        // Memory doubles: 6 to 17 rows fill at most the first, the second and twice the second.
        assert!(moves <= 3, "{}: moved at {moves} of {DECODED} tokens", shape.name);
    }
}

/// What a user waits for after loading: no pipeline is made then. The lengths are none that were rehearsed.
#[test]
fn a_loaded_model_has_the_pipelines_of_prompts_and_tokens() {
    for shape in shapes::shapes(true) {
        // One device each: what one model has made the next one would find.
        let Some(device) = gpu_for_tests() else { return };
        let Device::Gpu(gpu) = &device else { unreachable!() };
        gpu.pass_for_hardware();
        let config = shape.parse();
        let model = Model::load(&device, &config, &shape.weights()).unwrap();
        let made = gpu.pipelines();
        assert_eq!((gpu.dispatches(), gpu.submits()), (0, 0), "{}: it only rehearses", shape.name);
        assert!(made > 10, "{}: {made} pipelines", shape.name);
        for n in [4, 7, 16, 33, 64, 257] {
            let prompt: Vec<u32> = (0..n).map(|i| i % 200).collect();
            let mut state = model.start(&device);
            let hidden = model.forward(&device, &prompt, &mut state, &mut NoHooks);
            model.nll(&device, &hidden, &device.ids(&prompt));
            for token in 0..3 {
                let hidden = model.forward(&device, &[token], &mut state, &mut NoHooks);
                let id = greedy(&device, &model.logits(&device, &hidden));
                pollster::block_on(device.read_ids(&id)).unwrap();
            }
            assert_eq!(gpu.pipelines(), made, "{}: after a prompt of {n}", shape.name);
        }
    }
}

#[test]
fn a_program_on_the_cpu_makes_no_pipeline_before_it_is_needed() {
    let Some(device) = gpu_for_tests() else { return };
    let Device::Gpu(gpu) = &device else { unreachable!() };
    if !gpu.is_software() {
        return println!("skipped: a real GPU");
    }
    let shape = &shapes::shapes(true)[0];
    Model::load(&device, &shape.parse(), &shape.weights()).unwrap();
    assert_eq!(gpu.pipelines(), 0);
}
