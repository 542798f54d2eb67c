//! Token reduction inside whole models: the fixtures of every family.
#![cfg(not(target_arch = "wasm32"))]

use pollster::block_on;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use whittle::backend::{Device, Tensor};
use whittle::config::ModelConfig;
use whittle::method::Setting;
use whittle::models::{Model, NoHooks, State, Weights};
use whittle::reduce::{LayerTrace, Reducer, abouts, savings};
use whittle::weights::Checkpoint;

const TOKENS: usize = 90;

struct Fixture {
    name: String,
    config: ModelConfig,
    weights: Weights,
}

fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    let mut folders: Vec<PathBuf> =
        root.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.iter().map(|folder| load(folder)).collect()
}

fn load(folder: &Path) -> Fixture {
    let files = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let files = files.map(|file| (file.display().to_string(), std::fs::read(&file).unwrap()));
    let files = files.collect();
    Fixture {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        config: ModelConfig::parse(&std::fs::read(folder.join("config.json")).unwrap()).unwrap(),
        weights: Weights::new(Rc::new(Checkpoint::open(files).unwrap())),
    }
}

fn ids(config: &ModelConfig, n: usize) -> Vec<u32> {
    (0..n).map(|i| (i * i * 7 + 3 * i + 1) as u32 % config.vocab_size() as u32).collect()
}

fn setting(spec: &str) -> Setting {
    Setting::parse(spec, &abouts()).unwrap().unwrap()
}

fn values(device: &Device, tensor: &Tensor) -> Vec<f32> {
    block_on(device.read(tensor)).unwrap()
}

fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Reads a context under a reduction: hidden rows, the state after it, and what happened.
fn read(
    device: &Device,
    fixture: &Fixture,
    model: &Model,
    spec: &str,
) -> (Tensor, State, Vec<LayerTrace>) {
    let mut state = model.start(device);
    let mut reducer = Reducer::new(&fixture.config, &setting(spec), TOKENS).unwrap();
    let hidden = model.forward(device, &ids(&fixture.config, TOKENS), &mut state, &mut reducer);
    let trace = block_on(reducer.trace(device)).unwrap();
    (hidden, state, trace)
}

#[test]
fn keeping_everything_is_the_dense_model_bit_for_bit() {
    for fixture in fixtures() {
        let device = Device::Cpu;
        let model = Model::load(&device, &fixture.config, &fixture.weights).unwrap();
        let list = ids(&fixture.config, TOKENS);
        let dense = model.forward(&device, &list, &mut model.start(&device), &mut NoHooks);
        let (kept, _, trace) = read(&device, &fixture, &model, "utrc:keep=1");
        assert_eq!(values(&device, &kept), values(&device, &dense), "{}", fixture.name);
        assert!(trace.is_empty());
    }
}

#[test]
fn a_reduced_context_is_as_short_as_planned_and_goes_on_token_by_token_as_in_one_chunk() {
    for fixture in fixtures() {
        let device = Device::Cpu;
        let model = Model::load(&device, &fixture.config, &fixture.weights).unwrap();
        for spec in ["utrc", "random", "stride"] {
            let (hidden, state, trace) = read(&device, &fixture, &model, spec);
            let lengths = savings(&fixture.config, &setting(spec), TOKENS).lengths;
            assert!(!trace.is_empty(), "{} {spec}", fixture.name);
            assert_eq!(hidden.rows(), trace.last().unwrap().kept.len());
            assert!(hidden.rows() <= *lengths.last().unwrap());
            assert_eq!(state.next_position, TOKENS);

            let next = ids(&fixture.config, 5);
            let chunk = model.forward(&device, &next, &mut state.clone(), &mut NoHooks);
            let mut state = state;
            for (i, id) in next.iter().enumerate() {
                let row = model.forward(&device, &[*id], &mut state, &mut NoHooks);
                let d = largest(&values(&device, &row), chunk.view().cpu_row(i));
                // Normed rows are of order 1; scans and products in another order.
                assert!(d < 1e-4, "{} {spec} step {i}: {d}", fixture.name);
            }
        }
    }
}

#[test]
fn cpu_and_gpu_choose_the_same_tokens_in_every_family() {
    let gpu = match block_on(Device::open_gpu()) {
        Ok(gpu) => gpu,
        Err(e) => return println!("skipped: {e}"),
    };
    for fixture in fixtures() {
        let [cpu, gpu] = [&Device::Cpu, &gpu].map(|device| {
            let weights = fixture.weights.for_new_device();
            let model = Model::load(device, &fixture.config, &weights).unwrap();
            let (hidden, _, trace) = read(device, &fixture, &model, "utrc:keep=0.7");
            (values(device, &hidden), trace)
        });
        assert_eq!(cpu.1, gpu.1, "{}", fixture.name);
        let d = largest(&cpu.0, &gpu.0);
        assert!(d < 1e-3, "{}: {d}", fixture.name);
    }
}

#[test]
fn a_reduction_changes_the_state_it_leaves() {
    let fixture = &fixtures()[0];
    let device = Device::Cpu;
    let model = Model::load(&device, &fixture.config, &fixture.weights).unwrap();
    let rows = ["utrc", "stride", "utrc:keep=1"].map(|spec| {
        let (_, mut state, _) = read(&device, fixture, &model, spec);
        values(&device, &model.forward(&device, &[1], &mut state, &mut NoHooks))
    });
    assert!(largest(&rows[0], &rows[2]) > 1e-4);
    assert!(largest(&rows[0], &rows[1]) > 1e-4);
}
