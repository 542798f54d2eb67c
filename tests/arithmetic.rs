//! bf16 and f16 arithmetic on whole models beside the reference in f32, and `--arithmetic` as a person meets it.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;
use whittle::arithmetic::{self, Arithmetic};
use whittle::backend::{Device, gpu_for_tests};
use whittle::config::ModelConfig;
use whittle::models::{Model, NoHooks, Weights};
use whittle::tokenizer::Tokenizer;
use whittle::weights::Checkpoint;

const MODELS: [(&str, &str); 9] = [
    ("lm-llama", "calibration.txt"),
    ("lm-mamba", "calibration.txt"),
    ("lm-mamba2", "calibration.txt"),
    ("recall-llama", "recall_calibration.txt"),
    ("recall-mamba", "recall_calibration.txt"),
    ("recall-mamba2", "recall_calibration.txt"),
    ("copy-llama", "copy_calibration.txt"),
    ("copy-mamba", "copy_calibration.txt"),
    ("copy-mamba2", "copy_calibration.txt"),
];

/// Tokens of a text that are scored.
const TOKENS: usize = 400;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

/// Whether the processor can run these; says so where it cannot.
fn can_run() -> bool {
    if !arithmetic::has_bf16() {
        println!("skipped: this processor has no AVX512_BF16");
    }
    arithmetic::has_bf16()
}

#[test]
fn whole_models_stay_beside_the_reference() {
    if can_run() {
        // Neighbours in bf16 are up to 2^-7 of their size apart, so that a factor moves by up to 2^-8 of its own, to either side.
        // In sums of many products most of that cancels, layers add it up again: a token's nats may move by as large a
        // share on average, their mean over the tokens by half of it.
        beside_the_reference(&Device::Cpu, Arithmetic::Bf16, &MODELS, 1.0 / 256.0);
    }
}

#[test]
fn whole_models_in_f16_stay_beside_the_reference() {
    let Some(device) = gpu_for_tests() else { return };
    let Device::Gpu(gpu) = &device else { return };
    if !gpu.has_f16() {
        println!("skipped: {} has no f16", gpu.label());
        return;
    }
    // A factor moves by up to 2^-11 of its size, and so does a sum of 16 with each of its products.
    beside_the_reference(&device, Arithmetic::F16, &MODELS[..3], 1.0 / 1024.0);
}

/// Whether the nats of tokens under another arithmetic stay within a share of those in f32 on average, and their mean within
/// half of it.
fn beside_the_reference(device: &Device, under: Arithmetic, of: &[(&str, &str)], share: f64) {
    for (name, text) in of {
        let read = |file: &str| std::fs::read(models().join(name).join(file)).unwrap();
        let config = ModelConfig::parse(&read("config.json")).unwrap();
        let tokenizer = Tokenizer::parse(&read("tokenizer.json")).unwrap();
        let files = vec![("model.safetensors".into(), read("model.safetensors"))];
        let weights = Weights::new(Rc::new(Checkpoint::open(files).unwrap()));
        let model = Model::load(device, &config, &weights).unwrap();
        let text = std::fs::read_to_string(models().join("eval").join(text)).unwrap();
        let text = text.get(..8 * TOKENS).unwrap_or(&text);
        let ids = &tokenizer.encode(text).unwrap()[..];
        let ids = &ids[..ids.len().min(TOKENS + 1)];
        let nats = |under: Arithmetic| -> Vec<f64> {
            arithmetic::set(under).unwrap();
            let mut state = model.start(device);
            let (context, targets) = (&ids[..ids.len() - 1], device.ids(&ids[1..]));
            let hidden = model.forward(device, context, &mut state, &mut NoHooks);
            let found = model.nll(device, &hidden, &targets);
            arithmetic::set(Arithmetic::F32).unwrap();
            let found = pollster::block_on(device.read(&found)).unwrap();
            found.chunks_exact(2).map(|pair| f64::from(pair[0])).collect()
        };
        let [exact, rounded] = [Arithmetic::F32, under].map(nats);
        let n = exact.len() as f64;
        let mean = |of: &dyn Fn(f64, f64) -> f64| {
            exact.iter().zip(&rounded).map(|(e, r)| of(*e, *r)).sum::<f64>() / n
        };
        let (apart, shift) = (mean(&|e, r| (r - e).abs()), mean(&|e, r| r - e));
        println!(
            "{name}: {n} tokens, {:.4} nats, each moves by {apart:.5}, their mean by {shift:.5}",
            mean(&|e, _| e)
        );
        assert!(apart > 0.0, "{name}: {under:?} was not used");
        let most = mean(&|e, _| e) * share;
        assert!(apart < most, "{name}: {apart} of at most {most}");
        assert!(shift.abs() < most / 2.0, "{name}: {shift} of at most {}", most / 2.0);
    }
}

fn whittle(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_whittle");
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const RUN: &str =
    "run --model recall-mamba --eval recall:level=hard,n=16,controls=0 --reduce random --tokens 3";

fn run(more: &str) -> Output {
    whittle(&format!("{RUN} {more}").split_whitespace().collect::<Vec<_>>())
}

#[test]
fn every_output_names_the_arithmetic_and_verify_keeps_to_it() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("arithmetic");
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let refused = run("--arithmetic bf16 --backend gpu");
    assert_eq!(refused.status.code(), Some(2));
    let text = words(&refused.stderr);
    assert!(text.lines().count() == 1 && text.contains("--backend cpu"), "{text}");
    let refused = run("--arithmetic f16 --backend cpu");
    assert_eq!(refused.status.code(), Some(2));
    let text = words(&refused.stderr);
    assert!(text.lines().count() == 1 && text.contains("--backend gpu"), "{text}");
    let found = run("--arithmetic bf16 --json");
    if !can_run() {
        let text = words(&found.stderr);
        assert_eq!(found.status.code(), Some(2), "{text}");
        assert!(text.lines().count() == 1 && text.contains("AVX512_BF16"), "{text}");
        return;
    }
    let json: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(json["arithmetic"], "bf16");
    assert!(json["backend"].as_str().unwrap().contains("bf16 products"), "{}", json["backend"]);
    std::fs::write(file("run.json"), &found.stdout).unwrap();
    // Under the same arithmetic the same; under the other it says what differs before it compares.
    let verified = whittle(&["verify", &file("run.json")]);
    let text = words(&verified.stdout) + &words(&verified.stderr);
    assert_eq!(verified.status.code(), Some(0), "{text}");
    assert!(text.contains("bf16 products"), "{text}");
    let verified = whittle(&["verify", &file("run.json"), "--arithmetic", "f32"]);
    let text = words(&verified.stdout) + &words(&verified.stderr);
    assert!(text.contains("are of bf16 arithmetic and are run again in f32"), "{text}");
    assert!(words(&run("--arithmetic bf16").stdout).contains("bf16 products"));
    let table = words(&run("--arithmetic bf16 --markdown").stdout);
    assert!(table.contains("in bf16, not in f32"), "{table}");
    let reference: Value = serde_json::from_slice(&run("--backend cpu --json").stdout).unwrap();
    assert_eq!(reference["arithmetic"], "f32");
    assert_eq!(reference["backend"], "CPU (native)");
}

#[test]
fn a_run_in_f16_on_a_gpu_names_it_and_verify_keeps_to_it() {
    match gpu_for_tests() {
        Some(Device::Gpu(gpu)) if gpu.has_f16() => {}
        _ => return,
    }
    let found = run("--arithmetic f16 --json");
    assert_eq!(found.status.code(), Some(0), "{}", words(&found.stderr));
    let json: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(json["arithmetic"], "f16");
    let backend = json["backend"].as_str().unwrap();
    assert!(backend.contains("f16 products") && !backend.starts_with("CPU"), "{backend}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("arithmetic-f16");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("run.json").to_string_lossy().into_owned();
    std::fs::write(&file, &found.stdout).unwrap();
    let verified = whittle(&["verify", &file]);
    let text = words(&verified.stdout) + &words(&verified.stderr);
    assert_eq!(verified.status.code(), Some(0), "{text}");
    assert!(text.contains("f16 products"), "{text}");
}

#[test]
fn a_file_of_points_is_of_one_arithmetic() {
    if !can_run() {
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("arithmetic-points");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let name = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (grid, out) = (name("grid.toml"), name("points.jsonl"));
    std::fs::write(&grid, "models = [\"recall-mamba2\"]\neval = [\"recall:n=8\"]\n").unwrap();
    let sweep = |more: &[&str]| whittle(&[&["sweep", &grid, "--out", &out], more].concat());
    let first = sweep(&["--arithmetic", "bf16"]);
    assert!(first.status.success(), "{}", words(&first.stderr));
    let table = words(&whittle(&["sweep", "table", &out]).stdout);
    assert!(table.contains("(bf16 arithmetic)"), "{table}");
    let second = sweep(&[]);
    let text = words(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{text}");
    assert!(text.contains("bf16 products") && text.contains("name another file"), "{text}");
}
