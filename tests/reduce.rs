//! Token reduction inside whole models: the fixtures of every family.
#![cfg(not(target_arch = "wasm32"))]

use pollster::block_on;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use whittle::backend::{Device, Tensor, gpu_for_tests};
use whittle::config::{ModelConfig, WITH_ATTENTION};
use whittle::method::Setting;
use whittle::models::{Model, NoHooks, State, Wanted, Weights};
use whittle::reduce::{LayerTrace, Place, Reducer, abouts, check, controls, place_of, savings};
use whittle::tokenizer::Tokenizer;
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

/// Every method with its defaults and every score, as far as a model can run it.
fn specs(config: &ModelConfig) -> Vec<String> {
    let methods = abouts().into_iter().map(|about| about.id.to_string());
    let scores = [
        "l1",
        "l2",
        "noclip",
        "delta",
        "delta-norm",
        "implicit",
        "row",
        "column",
        "cosine",
        "oracle",
    ];
    let scored = scores.iter().map(|score| format!("evit:score={score}"));
    let more = [
        "utrc:features=keys",
        "tome:features=hidden",
        "stride:schedule=progressive",
        "decimamba:score=delta",
        "surprisal:score=random",
        "evit:fused=on",
        "tome:proportional=on",
        "utrc:q_residual=0.5,proportional=on",
    ];
    methods
        .chain(scored)
        .chain(more.map(String::from))
        .filter(|spec| check(config, &setting(spec)).is_ok())
        .collect()
}

/// A reducer for these tokens; every third is no filler.
fn reducer(device: &Device, config: &ModelConfig, spec: &str, ids: &[u32]) -> Reducer {
    let filler: Vec<bool> = (0..ids.len()).map(|t| t % 3 > 0).collect();
    let reducer = Reducer::new(config, &setting(spec), ids.len()).unwrap().with_salt_of(ids);
    reducer.with_filler(device, Some(&filler)).unwrap()
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
    let context = ids(&fixture.config, TOKENS);
    let mut reducer = reducer(device, &fixture.config, spec, &context);
    let left = reducer.read(device, model, &device.ids(&context));
    let hidden = model.forward_ids(device, &left, &mut state, &mut reducer, Wanted::EveryRow);
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
        for about in abouts().iter().filter(|a| a.families.contains(&fixture.config.family())) {
            let (kept, _, trace) = read(&device, &fixture, &model, &format!("{}:keep=1", about.id));
            assert_eq!(values(&device, &kept), values(&device, &dense), "{}", fixture.name);
            assert!(trace.is_empty());
        }
    }
}

#[test]
fn a_reduced_context_is_as_short_as_planned_and_goes_on_token_by_token_as_in_one_chunk() {
    for fixture in fixtures() {
        let device = Device::Cpu;
        let model = Model::load(&device, &fixture.config, &fixture.weights).unwrap();
        for spec in specs(&fixture.config) {
            let (hidden, state, trace) = read(&device, &fixture, &model, &spec);
            let lengths = savings(&fixture.config, &setting(&spec), TOKENS).unwrap().lengths;
            assert!(!trace.is_empty(), "{} {spec}", fixture.name);
            assert_eq!(hidden.rows(), trace.last().unwrap().kept.len());
            assert!(hidden.rows() <= *lengths.last().unwrap());
            // A text that is shortened before it is read has its own positions.
            let read =
                if place_of(&setting(&spec)) == Place::Input { hidden.rows() } else { TOKENS };
            assert_eq!(state.next_position, read);

            let next = ids(&fixture.config, 5);
            let chunk = model.forward(&device, &next, &mut state.clone(), &mut NoHooks);
            let mut halves = state.clone();
            let first = model.forward(&device, &next[..2], &mut halves, &mut NoHooks);
            let second = model.forward(&device, &next[2..], &mut halves, &mut NoHooks);
            let split = [values(&device, &first), values(&device, &second)].concat();
            let d = largest(&split, &values(&device, &chunk));
            assert!(d < 1e-4, "{} {spec} in two chunks: {d}", fixture.name);
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
    let Some(gpu) = gpu_for_tests() else { return };
    for fixture in fixtures() {
        let [cpu, gpu] = [&Device::Cpu, &gpu].map(|device| {
            let weights = fixture.weights.for_new_device();
            let model = Model::load(device, &fixture.config, &weights).unwrap();
            let (hidden, _, trace) = read(device, &fixture, &model, "utrc:keep=0.7");
            (values(device, &hidden), trace)
        });
        assert_eq!(cpu.1.len(), gpu.1.len());
        for (c, g) in cpu.1.iter().zip(&gpu.1) {
            let choice = |t: &LayerTrace| (t.kept.clone(), t.pruned.clone(), t.merged.clone());
            assert_eq!(choice(c), choice(g), "{} after layer {}", fixture.name, c.layer);
            assert!(largest(&c.scores, &g.scores) < 1e-3, "{} scores", fixture.name);
        }
        let d = largest(&cpu.0, &gpu.0);
        assert!(d < 1e-3, "{}: {d}", fixture.name);
    }
}

#[test]
fn v9_a_scored_token_changes_no_choice_and_no_earlier_row_bit_for_bit() {
    let mut devices = vec![Device::Cpu];
    devices.extend(gpu_for_tests());
    let (scored, changed) = (12, 7);
    for device in devices {
        for fixture in fixtures() {
            let weights = fixture.weights.for_new_device();
            let model = Model::load(&device, &fixture.config, &weights).unwrap();
            for spec in ["utrc", "tome", "evit:score=l2", "random", "utrc-released", "surprisal"] {
                let vocab = fixture.config.vocab_size() as u32;
                let run = |shift: u32| {
                    let (last, mut state, trace) = read(&device, &fixture, &model, spec);
                    let mut target = ids(&fixture.config, scored);
                    target[changed] = (target[changed] + shift) % vocab;
                    let rows = model.forward(&device, &target, &mut state, &mut NoHooks);
                    (values(&device, &last), values(&device, &rows), trace)
                };
                let (a, b) = (run(0), run(1));
                let d = fixture.config.d_model();
                assert_eq!((&a.0, &a.2), (&b.0, &b.2), "{} {spec}", fixture.name);
                // Row i predicts the token after it: the rows before the changed one are the same bits.
                assert_eq!(a.1[..changed * d], b.1[..changed * d], "{} {spec}", fixture.name);
                assert_ne!(a.1[changed * d..], b.1[changed * d..], "{} {spec}", fixture.name);
            }
        }
    }
}

/// A bundled model, and text of its own kind.
fn bundled(name: &str) -> (Fixture, Vec<u32>) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let json = std::fs::read(models.join(name).join("tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::parse(&json).unwrap();
    let task = name.split('-').next().filter(|task| *task != "lm");
    let file = task.map_or("calibration.txt".into(), |task| format!("{task}_calibration.txt"));
    let text = std::fs::read_to_string(models.join("eval").join(file)).unwrap();
    let mut ids = tokenizer.encode(&text[..4000]).unwrap();
    ids.truncate(if task.is_some() { 160 } else { 300 });
    let mut fixture = load(&models.join(name));
    fixture.name = name.to_string();
    (fixture, ids)
}

#[test]
fn cpu_and_gpu_choose_the_same_tokens_on_the_bundled_models_but_for_near_ties() {
    let Some(gpu) = gpu_for_tests() else { return };
    let mut failures = Vec::new();
    let index = include_str!("../models/index.json");
    let index: serde_json::Value = serde_json::from_str(index).unwrap();
    for name in index["models"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()) {
        let (fixture, list) = bundled(name);
        let models = [&Device::Cpu, &gpu].map(|device| {
            let weights = fixture.weights.for_new_device();
            (device, Model::load(device, &fixture.config, &weights).unwrap())
        });
        for spec in specs(&fixture.config) {
            let [cpu, gpu] = models.each_ref().map(|(device, model)| {
                let mut reducer = reducer(device, &fixture.config, &spec, &list);
                let left = reducer.read(device, model, &device.ids(&list));
                model.forward_ids(
                    device,
                    &left,
                    &mut model.start(device),
                    &mut reducer,
                    Wanted::EveryRow,
                );
                block_on(reducer.trace(device)).unwrap()
            });
            assert!(!cpu.is_empty(), "{name} {spec}");
            let (mut swaps, mut removed) = (0, 0);
            for (c, g) in cpu.iter().zip(&gpu) {
                removed += c.pruned.len() + c.merged.len();
                swaps += c.kept.iter().filter(|t| !g.kept.contains(t)).count();
            }
            println!("{name} {spec}: {swaps} swaps among {removed} tokens that went");
            // A near tie falls either way and may draw others after it: one in a hundred, and one of a short text.
            let accepted = removed.div_ceil(100);
            if swaps > accepted {
                failures.push(format!("{name} {spec}: {swaps} swaps of {removed}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn proportional_attention_changes_nothing_where_nothing_is_merged_and_something_where_it_is() {
    let attends = |f: &Fixture| WITH_ATTENTION.contains(&f.config.family());
    let mut devices = vec![Device::Cpu];
    devices.extend(gpu_for_tests());
    for fixture in fixtures().into_iter().filter(attends) {
        let [dropped, folded] = ["evit", "utrc"].map(|method| {
            let on_each = devices.iter().map(|device| {
                let weights = fixture.weights.for_new_device();
                let model = Model::load(device, &fixture.config, &weights).unwrap();
                [":keep=0.7", ":keep=0.7,proportional=on"].map(|knobs| {
                    let (hidden, mut state, _) =
                        read(device, &fixture, &model, &format!("{method}{knobs}"));
                    // What is decoded later weighs the merged tokens too.
                    let next = model.forward(device, &[1], &mut state, &mut NoHooks);
                    [values(device, &hidden), values(device, &next)].concat()
                })
            });
            on_each.collect::<Vec<_>>()
        });
        for [off, on] in &dropped {
            assert_eq!(off, on, "{}", fixture.name);
        }
        for [off, on] in &folded {
            assert!(largest(off, on) > 1e-3, "{}", fixture.name);
        }
        if let [cpu, gpu] = &folded[..] {
            let [off, on] = [0, 1].map(|i| largest(&cpu[i], &gpu[i]));
            // As without it: normed rows of order 1 after a few layers of other sums.
            assert!(off < 1e-3 && on < 1e-3, "{}: {off} {on}", fixture.name);
        }
    }
}

#[test]
fn a_model_without_attention_refuses_to_weigh_it() {
    let is_mamba = |f: &Fixture| f.config.family() == "mamba";
    let fixture = fixtures().into_iter().find(is_mamba).unwrap();
    let error = check(&fixture.config, &setting("tome:proportional=on")).unwrap_err().to_string();
    assert!(error.contains("proportional") && error.contains("llama"), "{error}");
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

/// The `mamba-f32` fixture under a reduction: which positions stayed, and the last row.
fn of_mamba_f32(spec: &str) -> (Vec<u32>, Vec<f32>) {
    let fixture = fixtures().into_iter().find(|f| f.name == "mamba-f32").unwrap();
    let model = Model::load(&Device::Cpu, &fixture.config, &fixture.weights).unwrap();
    let (hidden, _, trace) = read(&Device::Cpu, &fixture, &model, spec);
    (trace[0].kept.clone(), hidden.view().cpu_row(hidden.rows() - 1).to_vec())
}

fn assert_first(found: &[f32], expected: [f32; 6]) {
    // transformers gave five digits; sums in another order.
    assert!(largest(&found[..6], &expected) < 1e-4, "{:?} is not {expected:?}", &found[..6]);
}

#[test]
fn a_token_cut_before_the_scan_is_one_whose_step_is_zero() {
    // transformers 5.23 on the same ids: Delta of the 32 tokens of lowest norm set to 0 in the scan of layer 0, which lets
    // the state pass by, and their rows left out behind that layer.
    let (kept, last) = of_mamba_f32("decimamba:keep=0.64,layers=0");
    let expected = [
        0, 2, 3, 4, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 22, 24, 25, 26, 27, 30, 33, 34, 35, 36,
        39, 40, 43, 45, 48, 50, 51, 53, 54, 55, 56, 57, 58, 60, 62, 63, 64, 65, 69, 71, 72, 73, 74,
        75, 76, 77, 78, 79, 83, 85, 86, 87, 88, 89,
    ];
    assert_eq!(kept, expected);
    assert_first(&last, [0.84205, 1.08308, -0.93259, -0.18239, -0.20834, 0.83769]);
}

#[test]
fn surprisal_leaves_out_what_transformers_finds_least_surprising() {
    // transformers 5.23: -log p of every token, the 32 lowest between the guards left out, the rest read as a text.
    let (kept, last) = of_mamba_f32("surprisal:keep=0.64");
    let expected = [
        0, 1, 2, 4, 5, 6, 7, 8, 9, 11, 12, 13, 19, 20, 22, 23, 24, 25, 27, 28, 29, 31, 32, 34, 39,
        40, 41, 43, 44, 45, 47, 49, 50, 51, 52, 54, 56, 60, 63, 64, 65, 66, 68, 69, 70, 71, 72, 73,
        74, 80, 81, 82, 83, 84, 86, 87, 88, 89,
    ];
    assert_eq!(kept, expected);
    assert_first(&last, [-1.44144, 0.48934, 0.96447, 1.98804, -0.32855, 0.98296]);
    // The control leaves out the 32 that surprise most: nobody goes in both.
    let (control, _) = of_mamba_f32("surprisal:keep=0.64,score=expected");
    assert!((0..90).all(|t| kept.contains(&t) || control.contains(&t)));
}

#[test]
fn what_a_cut_before_the_scan_saves_in_its_layer_is_counted_and_scoring_the_input_is_not_free() {
    for (fixture, spec, cheaper) in fixtures()
        .iter()
        .flat_map(|f| [(f, "decimamba:keep=0.7", true), (f, "surprisal:keep=0.7", false)])
    {
        let setting = setting(spec);
        // In a hybrid the controls choose among layers that this method cannot cut.
        if check(&fixture.config, &setting).is_err() || fixture.name.starts_with("granite") {
            continue;
        }
        let saved = savings(&fixture.config, &setting, TOKENS).unwrap();
        let control = savings(&fixture.config, &setting_of_control(spec), TOKENS).unwrap();
        assert_eq!(saved.lengths, control.lengths, "{} {spec}", fixture.name);
        assert_eq!(saved.total > control.total, cheaper, "{} {spec}", fixture.name);
        assert!(cheaper || saved.total < 0.0, "a whole reading costs more than is saved");
    }
}

/// What takes out as many tokens at the same places and looks at nothing.
fn setting_of_control(spec: &str) -> Setting {
    controls(&setting(spec), false).remove(0).1
}
