//! Models in mapped files: computed where their numbers lie, to the bit as from memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use whittle::backend::{Device, MatrixData, Stored, gpu_for_tests};
use whittle::config::ModelConfig;
use whittle::models::{Model, NoHooks, Weights, linears};
use whittle::session::{Loaded, open};
use whittle::weights::{Bytes, Checkpoint, Dtype, Numbers};

/// Folders of the fixtures with one safetensors file.
fn fixtures() -> Vec<PathBuf> {
    let folders = fs::read_dir("tests/fixtures/models").expect("fixtures");
    let folders = folders.map(|entry| entry.expect("readable").path());
    folders.filter(|folder| folder.join("model.safetensors").exists()).collect()
}

fn mapped(path: &Path) -> Bytes {
    Bytes::map(&File::open(path).expect("there")).expect("a regular file")
}

/// Logits of a few tokens, and the weights they were computed with.
fn run(config: &ModelConfig, bytes: impl Into<Bytes>) -> (Vec<f32>, Weights) {
    let files = vec![("model.safetensors".to_string(), bytes.into())];
    let mut checkpoint = Checkpoint::open(files).expect("sound");
    if config.common.tie_word_embeddings {
        let names = whittle::models::Names::of(config.family);
        let embedding = format!("{}.weight", names.embedding);
        let embedding = whittle::models::stored_name(&embedding, &checkpoint);
        names.heads.iter().for_each(|head| checkpoint.tie(&embedding, head).expect("readable"));
    }
    let weights = Weights::new(Rc::new(checkpoint));
    let model = Model::load(&Device::Cpu, config, &weights).expect("a model");
    let mut state = model.start(&Device::Cpu);
    let hidden = model.forward(&Device::Cpu, &[1, 2, 3, 2], &mut state, &mut NoHooks);
    (model.logits(&Device::Cpu, &hidden).cpu().to_vec(), weights)
}

/// Whether a matrix is computed with where it lies in the file.
fn is_in_place(weights: &Weights, name: &str) -> Option<bool> {
    let matrix = weights.loaded(name)?;
    let MatrixData::Cpu(host) = matrix.data() else { panic!("on the CPU") };
    Some(match host.stored() {
        Stored::F32(numbers) => matches!(numbers, Numbers::Mapped(_)),
        Stored::F16(numbers) => matches!(numbers, Numbers::Mapped(_)),
    })
}

#[test]
fn a_model_of_a_mapped_file_computes_the_same_bits_as_one_in_memory() {
    for folder in fixtures() {
        let path = folder.join("model.safetensors");
        let config = fs::read(folder.join("config.json")).expect("a configuration");
        let config = ModelConfig::parse(&config).expect("sound");
        let (expected, held) = run(&config, fs::read(&path).expect("there"));
        let (found, weights) = run(&config, mapped(&path));
        assert_eq!(found, expected, "{}", folder.display());
        for linear in linears(&config) {
            assert_ne!(is_in_place(&held, &linear.name), Some(true), "{}", linear.name);
            // Parts of a matrix and those that are stored the other way round are copied, and bf16 is widened.
            let is_read =
                matches!(weights.checkpoint().dtype(&linear.name), Some(Dtype::F32 | Dtype::F16));
            let is_whole = !["gpt2", "gpt_neox"].contains(&config.model_type);
            if let Some(is_in_place) = is_in_place(&weights, &linear.name).filter(|_| is_whole) {
                assert_eq!(is_in_place, is_read, "{} of {}", linear.name, folder.display());
            }
        }
    }
}

#[test]
fn numbers_at_an_odd_place_of_a_file_are_copied() {
    let folder = Path::new("tests/fixtures/models/llama-f16-legacy");
    let config = fs::read(folder.join("config.json")).expect("a configuration");
    let config = ModelConfig::parse(&config).expect("sound");
    let bytes = fs::read(folder.join("model.safetensors")).expect("there");
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
    let (header, data) = rest.split_at(usize::try_from(length).expect("short"));
    let shifted = [&(length + 1).to_le_bytes(), header, b" ", data].concat();
    let path = std::env::temp_dir().join(format!("whittle-odd-{}", std::process::id()));
    fs::write(&path, shifted).expect("a folder for temporary files");
    let (found, weights) = run(&config, mapped(&path));
    fs::remove_file(&path).expect("written just now");
    assert_eq!(found, run(&config, bytes).0);
    let name = &linears(&config)[0].name;
    assert_eq!(is_in_place(&weights, name), Some(false));
}

/// A bundled model of which a matrix is loaded by this name.
fn bundled() -> (Loaded, String) {
    let folder = Path::new("models/lm-mamba2");
    let names = ["config.json", "tokenizer.json", "model.safetensors"];
    let files = names.map(|name| (name.to_string(), fs::read(folder.join(name)).expect(name)));
    let loaded = open(files.to_vec()).expect("a bundled model");
    let name = linears(&loaded.config)[0].name.clone();
    (loaded, name)
}

#[test]
fn what_was_loaded_to_check_a_model_is_given_to_the_first_that_computes_on_the_cpu() {
    let (loaded, name) = bundled();
    assert!(loaded.weights_on(&Device::Cpu).loaded(&name).is_some());
    assert!(loaded.weights_on(&Device::Cpu).loaded(&name).is_none(), "it was given away");
}

#[test]
fn what_was_loaded_to_check_a_model_goes_when_a_gpu_computes() {
    let Some(gpu) = gpu_for_tests() else { return };
    let (loaded, name) = bundled();
    assert!(loaded.weights_on(&gpu).loaded(&name).is_none(), "that is the CPU's");
    assert!(loaded.weights_on(&Device::Cpu).loaded(&name).is_none(), "memory is kept for nobody");
}
