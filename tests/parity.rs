//! Every architecture against Hugging Face transformers, which nobody here wrote (tests/fixtures, made by
//! training/make_fixtures.py), and against itself: chunks, single steps and forks give what the whole gives.
#![cfg(not(target_arch = "wasm32"))]

use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use whittle::backend::{Device, gpu_for_tests};
use whittle::config::ModelConfig;
use whittle::models::{Model, NoHooks, Weights, stored_name, tensors};
use whittle::weights::Checkpoint;

/// Mean and largest |difference| in nats a token that the CPU may show against transformers in float32.
const CPU_MEAN: f64 = 1e-5;
const CPU_MAX: f64 = 1e-3;
/// Mean of the GPU against the CPU: other orders of addition and other exp, sin and cos.
const GPU_MEAN: f64 = 1e-4;

#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    ids: Vec<u32>,
    nll: Vec<f64>,
    logits_last: Vec<f32>,
}

struct Fixture {
    name: String,
    config: ModelConfig,
    weights: Weights,
    cases: Vec<Case>,
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn open(folder: &Path) -> Fixture {
    let list = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let weights: Vec<PathBuf> =
        list.filter(|p| p.to_string_lossy().contains(".safetensors")).collect();
    let file = |p: &PathBuf| (p.file_name().unwrap().to_string_lossy().into_owned(), read(p));
    let checkpoint = Checkpoint::open(weights.iter().map(file).collect()).unwrap();
    let expected: Expected = serde_json::from_slice(&read(&folder.join("expected.json"))).unwrap();
    Fixture {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        config: ModelConfig::parse(&read(&folder.join("config.json"))).unwrap(),
        weights: Weights::new(Rc::new(checkpoint)),
        cases: expected.cases,
    }
}

fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let found: Vec<Fixture> = folders.iter().filter(|f| f.is_dir()).map(|f| open(f)).collect();
    assert_eq!(found.len(), 28, "one fixture for each folder that make_fixtures.py writes");
    found
}

/// Nats of every token after the first, running the ids in pieces of these lengths (the last repeats).
fn nll_in_pieces(device: &Device, model: &Model, ids: &[u32], lengths: &[usize]) -> Vec<f64> {
    let mut state = model.start(device);
    let (mut out, mut at, mut piece) = (Vec::new(), 0, 0);
    while at + 1 < ids.len() {
        let end = (at + lengths[piece.min(lengths.len() - 1)]).min(ids.len() - 1);
        // A fork that goes another way must leave the original alone.
        let mut fork = state.clone();
        model.forward(device, &ids[..1], &mut fork, &mut NoHooks);
        let hidden = model.forward(device, &ids[at..end], &mut state, &mut NoHooks);
        let values = model.nll(device, &hidden, &device.ids(&ids[at + 1..end + 1]));
        let values = pollster::block_on(device.read(&values)).unwrap();
        out.extend(values.chunks_exact(2).map(|pair| f64::from(pair[0])));
        (at, piece) = (end, piece + 1);
    }
    out
}

fn differences(a: &[f64], b: &[f64]) -> (f64, f64) {
    assert_eq!(a.len(), b.len());
    let all: Vec<f64> = a.iter().zip(b).map(|(x, y)| (x - y).abs()).collect();
    let largest = all.iter().fold(0.0, |m: f64, d| if d.is_nan() { f64::NAN } else { m.max(*d) });
    (all.iter().sum::<f64>() / all.len().max(1) as f64, largest)
}

#[test]
fn nll_and_logits_equal_those_of_transformers() {
    for fixture in fixtures() {
        let model = Model::load(&Device::Cpu, &fixture.config, &fixture.weights).unwrap();
        for case in &fixture.cases {
            let found = nll_in_pieces(&Device::Cpu, &model, &case.ids, &[4096]);
            let (mean, max) = differences(&found, &case.nll);
            let label = format!(
                "{} of {} tokens: mean {mean:e}, max {max:e}",
                fixture.name,
                case.ids.len()
            );
            println!("{label}");
            assert!(mean <= CPU_MEAN && max <= CPU_MAX, "{label}");
            let mut state = model.start(&Device::Cpu);
            let hidden = model.forward(&Device::Cpu, &case.ids, &mut state, &mut NoHooks);
            let logits = model.logits(&Device::Cpu, hidden.row_range(hidden.rows() - 1, 1));
            let worst = logits.cpu().iter().zip(&case.logits_last).map(|(a, b)| (a - b).abs());
            let worst = worst.fold(0.0, f32::max);
            assert!(worst <= 1e-3, "{label}: logits differ by {worst:e}");
        }
    }
}

#[test]
fn the_listed_tensors_are_those_that_transformers_stores() {
    for fixture in fixtures() {
        let checkpoint = fixture.weights.checkpoint();
        let mut stored: Vec<(&str, &[usize])> =
            checkpoint.names().map(|name| (name, checkpoint.shape(name).unwrap())).collect();
        let mut listed = tensors(&fixture.config);
        for tensor in &mut listed {
            tensor.name = stored_name(&tensor.name, checkpoint);
            // One head has two names in the wild.
            if !checkpoint.has(&tensor.name) && tensor.name == "embed_out.weight" {
                tensor.name = "lm_head.weight".into();
            }
        }
        let mut listed: Vec<(&str, &[usize])> =
            listed.iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
        stored.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, stored, "{}", fixture.name);
    }
}

#[test]
fn pieces_and_single_steps_equal_the_whole() {
    for fixture in fixtures() {
        let model = Model::load(&Device::Cpu, &fixture.config, &fixture.weights).unwrap();
        let case = fixture.cases.last().unwrap();
        let whole = nll_in_pieces(&Device::Cpu, &model, &case.ids, &[4096]);
        for lengths in [&[1][..], &[7, 1, 50, 3], &[2, 64]] {
            let (mean, max) =
                differences(&nll_in_pieces(&Device::Cpu, &model, &case.ids, lengths), &whole);
            assert!(
                mean <= CPU_MEAN && max <= CPU_MAX,
                "{} in {lengths:?}: {mean:e}, {max:e}",
                fixture.name
            );
        }
    }
}

#[test]
fn the_last_piece_is_the_same_where_layers_let_go_of_their_memory() {
    let devices = [Some(Device::Cpu), gpu_for_tests()];
    for device in devices.iter().flatten() {
        for fixture in fixtures() {
            let model = Model::load(device, &fixture.config, &fixture.weights.for_new_device());
            let model = model.unwrap();
            let (first, last) = fixture.cases.last().unwrap().ids.split_at(5);
            let mut state = model.start(device);
            model.forward(device, first, &mut state, &mut NoHooks);
            let used_up = model.forward_last(device, last, state.clone(), &mut NoHooks);
            let moved_on = model.forward(device, last, &mut state, &mut NoHooks);
            let [a, b] = [used_up, moved_on].map(|x| pollster::block_on(device.read(&x)).unwrap());
            assert_eq!(a, b, "{}", fixture.name);
        }
    }
}

#[test]
fn the_gpu_agrees_with_the_cpu_in_one_submit() {
    let Some(gpu) = gpu_for_tests() else { return };
    agrees_with_the_cpu(&gpu);
    let Device::Gpu(opened) = &gpu else { unreachable!() };
    opened.pass_for_hardware();
    agrees_with_the_cpu(&gpu);
}

fn agrees_with_the_cpu(gpu: &Device) {
    let Device::Gpu(opened) = gpu else { unreachable!() };
    for fixture in fixtures() {
        let cpu_model = Model::load(&Device::Cpu, &fixture.config, &fixture.weights).unwrap();
        let gpu_model =
            Model::load(gpu, &fixture.config, &fixture.weights.for_new_device()).unwrap();
        let case = fixture.cases.last().unwrap();
        let expected = nll_in_pieces(&Device::Cpu, &cpu_model, &case.ids, &[4096]);
        for lengths in [&[4096][..], &[5, 1, 1, 40]] {
            let (mean, max) =
                differences(&nll_in_pieces(gpu, &gpu_model, &case.ids, lengths), &expected);
            assert!(
                mean <= GPU_MEAN && max <= CPU_MAX,
                "{} in {lengths:?}: {mean:e}, {max:e}",
                fixture.name
            );
        }
        let before = opened.submits();
        nll_in_pieces(gpu, &gpu_model, &case.ids, &[4096]);
        assert_eq!(opened.submits() - before, 1, "{}: submits for one window", fixture.name);
    }
}
