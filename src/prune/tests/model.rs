//! Pruning of whole models: the small random ones under tests/fixtures.

use super::*;
use crate::Error;
use crate::backend::{Device, Format, View, reads_halves};
use crate::config::ModelConfig;
use crate::kernels::rows::copy;
use crate::models::{Edit, Execution, Hooks, Model, NoHooks, Weights, linears};
use crate::prune::{Calibration, Pruned, Subject, prune};
use crate::weights::Checkpoint;
use std::collections::HashMap;
use std::path::Path;

pub const MODELS: [&str; 4] =
    ["mamba-f32", "mamba2-f32-groups", "llama-f32-gqa", "neox-f32-parallel"];

pub struct Loaded {
    pub config: ModelConfig,
    pub json: Vec<u8>,
    pub weights: Weights,
    pub model: Model,
}

pub fn load(name: &str) -> Loaded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name);
    let read = |file: &str| std::fs::read(folder.join(file)).expect(file);
    let json = read("config.json");
    let config = ModelConfig::parse(&json).unwrap();
    let file = ("model.safetensors".to_string(), read("model.safetensors"));
    let weights = Weights::new(Rc::new(Checkpoint::open(vec![file]).unwrap()));
    let model = Model::load(&Device::Cpu, &config, &weights).unwrap();
    Loaded { config, json, weights, model }
}

pub fn sequences(n: usize, length: usize, vocab_size: usize) -> Vec<Vec<u32>> {
    let mut rng = Rng::new(3);
    (0..n).map(|_| (0..length).map(|_| rng.below(vocab_size) as u32).collect()).collect()
}

impl Loaded {
    pub fn prune(&self, spec: &str, cache: &mut Option<Calibration>) -> crate::Result<Pruned> {
        self.prune_at(spec, cache, &Pace::default(), &mut |_, _| {})
    }

    fn prune_at(
        &self,
        spec: &str,
        cache: &mut Option<Calibration>,
        pace: &Pace,
        progress: &mut dyn FnMut(usize, usize),
    ) -> crate::Result<Pruned> {
        let subject = Subject {
            device: &Device::Cpu,
            config: &self.config,
            weights: &self.weights,
            dense: &self.model,
        };
        let sequences = sequences(4, 40, self.config.vocab_size());
        block_on(prune(&subject, &sequences, &setting(spec), cache, pace, progress))
    }
}

/// Keeps what every matrix is fed, and is done after so many if it is told.
#[derive(Default)]
struct Keep(Vec<(String, Vec<f32>)>, Option<usize>);

impl Hooks for Keep {
    fn linear_input(&mut self, device: &Device, weight: &str, x: View<'_>) {
        self.0.push((weight.to_string(), copy(device, x).cpu().to_vec()));
    }

    fn is_done(&self) -> bool {
        self.1 == Some(self.0.len())
    }
}

#[test]
fn layer_by_layer_the_inputs_are_those_of_the_whole_model() {
    for name in MODELS {
        let Loaded { config, model, .. } = load(name);
        let ids = &sequences(1, 40, config.vocab_size())[0];
        let device = Device::Cpu;
        let (mut whole, mut layers) = (Keep::default(), Keep::default());
        model.forward(&device, ids, &mut model.start(&device), &mut whole);
        let mut x = model.embed(&device, ids);
        for layer in 0..config.n_layer() {
            x = model.run_layer(&device, layer, x, &mut layers);
        }
        assert_eq!(whole.0, layers.0, "{name}");
    }
}

#[test]
fn a_layer_that_is_cut_short_has_shown_all_inputs() {
    for name in MODELS {
        let Loaded { config, model, .. } = load(name);
        let device = Device::Cpu;
        let x = model.embed(&device, &sequences(1, 40, config.vocab_size())[0]);
        let mut whole = Keep::default();
        let end = model.run_layer(&device, 0, x.clone(), &mut whole);
        let mut short = Keep(Vec::new(), Some(whole.0.len()));
        let stopped = model.run_layer(&device, 0, x, &mut short);
        assert_eq!(whole.0, short.0, "{name}");
        assert_ne!(end.cpu(), stopped.cpu(), "{name} computed what nobody wanted");
    }
}

#[test]
fn a_layer_that_is_loaded_anew_computes_with_its_edits() {
    for name in MODELS {
        let Loaded { config, weights, mut model, .. } = load(name);
        let first = linears(&config).remove(0);
        let zero = Edit::new(&[first.rows, first.cols], vec![0.0; first.rows * first.cols]);
        let edited = weights.with_edits([(first.name, zero)].into());
        let device = Device::Cpu;
        let ids = &sequences(1, 20, config.vocab_size())[0];
        let expected = Model::load(&device, &config, &edited).unwrap();
        model.reload_layer(&device, &edited, 0).unwrap();
        let run =
            |m: &Model| m.forward(&device, ids, &mut m.start(&device), &mut NoHooks).cpu().to_vec();
        assert_eq!(run(&model), run(&expected), "{name}");
    }
}

#[test]
fn every_method_prunes_every_architecture() {
    for name in MODELS {
        let loaded = load(name);
        let chosen: Vec<_> = linears(&loaded.config).into_iter().filter(|l| l.by_default).collect();
        for method in METHODS.iter().filter_map(|m| m.by_matrix()) {
            let id = method.about().id;
            let mut heard = Vec::new();
            let mut progress = |done: usize, all: usize| heard.push((done, all));
            let pruned = loaded.prune_at(id, &mut None, &Pace::default(), &mut progress).unwrap();
            assert_eq!(heard.last(), Some(&(chosen.len(), chosen.len())), "{name} {id}");
            assert!(heard.is_sorted(), "{name} {id}: {heard:?}");
            assert_eq!(pruned.edits.len(), chosen.len(), "{name} {id}");
            for (report, linear) in pruned.report.iter().zip(&chosen) {
                assert_eq!(report.name, linear.name, "{name} {id}");
                if only_zeroes(method) {
                    let exact = (linear.cols as f64 / 2.0).round() / linear.cols as f64;
                    assert!((report.achieved - exact).abs() < 1e-12, "{name} {id}: {report:?}");
                }
                assert!(report.error > 0.0 && report.held_out_error > Some(0.0), "{report:?}");
                let has_hessian = ["sparsegpt", "mrp", "gptq"].contains(&id);
                assert_eq!(report.damping, has_hessian.then_some(0.01), "{name} {id}");
            }
        }
    }
}

#[test]
fn statistics_are_sums_over_all_sequences_but_the_last() {
    for name in MODELS {
        let loaded = load(name);
        let device = Device::Cpu;
        let mut fed: HashMap<String, Vec<f64>> = HashMap::new();
        for ids in &sequences(4, 40, loaded.config.vocab_size())[..3] {
            let mut keep = Keep::default();
            loaded.model.forward(&device, ids, &mut loaded.model.start(&device), &mut keep);
            for (weight, x) in keep.0 {
                fed.entry(weight).or_default().extend(f64s(&x));
            }
        }
        for spec in ["wanda", "sparsegpt:inputs=dense"] {
            let found = loaded.prune(spec, &mut None).unwrap();
            for linear in linears(&loaded.config).iter().filter(|l| l.by_default) {
                let n = linear.cols;
                let weights = loaded.weights.values(&linear.name, &[linear.rows, n]).unwrap();
                let x = fed[&linear.name].clone();
                let expected = pruned(&Layer { n, weights, gram: gram_of(&x, n), x }, spec);
                let found = &found.edits[&linear.name].values;
                assert_eq!(zeros(found), zeros(&expected), "{name} {spec} {}", linear.name);
                let d = crate::kernels::largest_difference(found, &expected);
                assert!(d < 1e-4, "{name} {spec} {}: {d:e}", linear.name);
            }
        }
    }
}

#[test]
fn sensitivity_moves_ratios_by_ten_points_at_most_and_keeps_their_mean() {
    for name in MODELS {
        let loaded = load(name);
        // Rows of one group (q, k, v) take different ways at different ratios.
        for spec in ["wanda", "mrp:sparsity=0.6", "sparsegpt:threshold=block", "mrp:sparsity=0.45"]
        {
            let mark = if spec.contains(':') { ',' } else { ':' };
            let wanted = setting(spec).number("sparsity");
            let spec = format!("{spec}{mark}ratios=sensitivity");
            let report = loaded.prune(&spec, &mut None).unwrap().report;
            let size = |m: &crate::prune::MatrixReport| (m.rows * m.cols) as f64;
            let all: f64 = report.iter().map(size).sum();
            let mean = report.iter().map(|m| size(m) * m.requested).sum::<f64>() / all;
            assert!((mean - wanted).abs() < 1e-12, "{name} {spec}: {mean}");
            assert!(report.iter().any(|m| m.requested != wanted), "{name} {spec}");
            for m in &report {
                assert!((m.requested - wanted).abs() < 0.1 + 1e-12, "{name} {spec}: {m:?}");
                // A row loses whole weights; with a shared threshold the matrix does.
                assert!((m.achieved - m.requested).abs() <= 0.5 / m.cols as f64 + 1e-12, "{m:?}");
            }
        }
    }
}

#[test]
fn owl_keeps_the_mean_of_the_layers_and_gives_a_layer_one_ratio() {
    for name in MODELS {
        let loaded = load(name);
        let report = loaded.prune("wanda:sparsity=0.6,ratios=owl", &mut None).unwrap().report;
        let mut of_layers: Vec<(usize, f64)> = Vec::new();
        for (linear, m) in linears(&loaded.config).iter().filter(|l| l.by_default).zip(&report) {
            assert_eq!(linear.name, m.name);
            match of_layers.iter().find(|(layer, _)| *layer == linear.layer) {
                Some((_, ratio)) => assert_eq!(*ratio, m.requested, "{name} {}", m.name),
                None => of_layers.push((linear.layer, m.requested)),
            }
        }
        let mean = of_layers.iter().map(|(_, r)| r).sum::<f64>() / of_layers.len() as f64;
        assert!((mean - 0.6).abs() < 1e-12, "{name}: {of_layers:?}");
        let widths = of_layers.iter().map(|(_, r)| r);
        let spread =
            widths.clone().fold(0.0f64, |a, b| a.max(*b)) - widths.fold(1.0f64, |a, b| a.min(*b));
        assert!((spread - 0.16).abs() < 1e-9 || spread == 0.0, "{name}: {of_layers:?}");
    }
}

#[test]
fn only_the_chosen_matrices_and_layers_are_pruned() {
    let names = |name: &str, spec: &str| -> Vec<String> {
        load(name).prune(spec, &mut None).unwrap().report.into_iter().map(|m| m.name).collect()
    };
    let mamba = names("mamba-f32", "wanda:matrices=no-x_proj");
    assert!(mamba.iter().all(|n| n.contains("in_proj") || n.contains("out_proj")), "{mamba:?}");
    assert!(names("mamba-f32", "wanda").iter().any(|n| n.contains("x_proj")));
    let narrow = |spec| names("mamba-f32", spec).iter().any(|n| n.contains("dt_proj"));
    assert!(narrow("wanda:matrices=all") && !narrow("wanda"));
    for spec in ["wanda:layers=1", "mrp:layers=1"] {
        let one = names("llama-f32-gqa", spec);
        assert!(!one.is_empty() && one.iter().all(|n| n.contains("layers.1.")), "{one:?}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let loaded = load("llama-f32-gqa");
    for (spec, part) in [
        ("mrp:mask=M", "a pattern such as 2:4"),
        ("wanda:pattern=2:4,threshold=layer", "threshold"),
        ("sparsegpt:pattern=4:8,ratios=sensitivity", "ratios"),
        ("wanda:layers=0+2", "layers 0 to 1"),
        ("mrp:block=64,swaps=10", "block=row"),
    ] {
        let error = loaded.prune(spec, &mut None).err().unwrap().to_string();
        assert!(error.contains(part), "{spec}: {error}");
    }
    for spec in ["wanda:layers=0+1", "mrp:block=row,swaps=10", "mrp:block=64"] {
        assert!(loaded.prune(spec, &mut None).is_ok(), "{spec}");
    }
}

#[test]
fn fewer_calibration_tokens_than_inputs_are_said() {
    let loaded = load("llama-f32-gqa");
    let widest = linears(&loaded.config).iter().map(|l| l.cols).max().unwrap();
    let mut cache = None;
    for (tokens, warns) in [(widest - 1, true), (widest, false)] {
        // One sequence that counts, one that is held out.
        let sequences = sequences(2, tokens, loaded.config.vocab_size());
        let mut warning = |spec: &str| {
            let Loaded { config, weights, model, .. } = &loaded;
            let subject = Subject { device: &Device::Cpu, config, weights, dense: model };
            let (pace, quiet) = (Pace::default(), &mut |_: usize, _: usize| {});
            let setting = setting(spec);
            let work = prune(&subject, &sequences, &setting, &mut cache, &pace, quiet);
            block_on(work).unwrap().warning
        };
        for spec in ["mrp", "sparsegpt", "gptq", "magnitude:refit=row", "structured"] {
            let text = warning(spec);
            assert_eq!(text.is_some(), warns, "{spec} {tokens}: {text:?}");
            let said = |text: &String| text.contains(&format!("{tokens} tokens"));
            assert!(text.as_ref().is_none_or(said), "{text:?}");
        }
        assert_eq!(warning("wanda"), None, "it needs no H");
        assert_eq!(warning("rtn"), None);
    }
}

#[test]
fn nothing_removed_is_the_dense_model() {
    let loaded = load("mamba2-f32-groups");
    for spec in specs("sparsity=0") {
        let pruned = loaded.prune(&spec, &mut None).unwrap();
        for linear in linears(&loaded.config) {
            let shape = [linear.rows, linear.cols];
            let dense = loaded.weights.values(&linear.name, &shape).unwrap();
            assert_eq!(pruned.edits[&linear.name].values, dense, "{spec} {}", linear.name);
        }
    }
}

#[test]
fn kept_statistics_change_nothing() {
    let loaded = load("llama-f32-gqa");
    let mut cache = None;
    // Each spec finds what the one before left: the same statistic, another one, more matrices.
    for spec in [
        "wanda",
        "wanda:sparsity=0.7",
        "mrp:inputs=dense",
        "sparsegpt:inputs=dense,pattern=2:4",
        "ria",
        "wanda:matrices=all",
        "wanda:layers=1",
        "sparsegpt",
        // Nothing of the first layer, then all of it, then what is kept of it.
        "mrp:layers=1",
        "mrp",
        "mrp:sparsity=0.7",
        "sparsegpt:inputs=dense",
        "mrp:sparsity=0.6",
    ] {
        let cold = loaded.prune(spec, &mut None).unwrap();
        let warm = loaded.prune(spec, &mut cache).unwrap();
        assert_eq!(cold.edits, warm.edits, "{spec}");
        assert!(cache.is_some(), "{spec}");
    }
}

#[test]
fn inputs_of_pruned_layers_differ_from_the_second_layer_on() {
    let loaded = load("llama-f32-gqa");
    let dense = loaded.prune("mrp:inputs=dense", &mut None).unwrap();
    let pruned = loaded.prune("mrp:inputs=pruned", &mut None).unwrap();
    for linear in linears(&loaded.config) {
        let same = dense.edits[&linear.name] == pruned.edits[&linear.name];
        assert_eq!(same, linear.layer == 0, "{}", linear.name);
    }
}

#[test]
fn a_cancelled_pruning_stops() {
    let loaded = load("mamba-f32");
    for method in METHODS.iter().filter_map(|m| m.by_matrix()) {
        let pace = Pace::default();
        // Cancelled while the second matrix is on.
        let mut progress = |done: usize, _: usize| {
            if done == 1 {
                pace.cancel();
            }
        };
        let result = loaded.prune_at(method.about().id, &mut None, &pace, &mut progress);
        assert!(matches!(result, Err(Error::Cancelled)), "{}", method.about().id);
    }
}

#[test]
fn packed_models_decode_what_the_dense_ones_do_and_read_the_context_with_the_same_weights() {
    let device = Device::Cpu;
    for name in MODELS {
        let loaded = load(name);
        for (spec, format) in [
            ("magnitude:pattern=2:4", Some(Format::TwoOfFour)),
            ("magnitude:pattern=1:4", Some(Format::TwoOfFour)),
            // The bitmask is faster only where f32 is read by vectors.
            ("magnitude:sparsity=0.7", reads_halves().then_some(Format::Bitmask)),
            ("magnitude:sparsity=0.2", None),
        ] {
            let pruned = loaded.prune(spec, &mut None).unwrap();
            let names: Vec<String> = pruned.edits.keys().cloned().collect();
            let weights =
                |execution| loaded.weights.with_edits(pruned.edits.clone()).executed(execution);
            let (dense, packed) = (weights(Execution::Dense), weights(Execution::Packed));
            let models =
                [&dense, &packed].map(|w| Model::load(&device, &loaded.config, w).unwrap());
            for matrix in &names {
                let format_of = |w: &Weights| {
                    w.loaded(matrix).expect("it was loaded").packed().map(|p| p.format)
                };
                assert_eq!(format_of(&dense), None, "{name} {matrix}");
                assert_eq!(format_of(&packed), format, "{name} {spec} {matrix}");
            }
            let mut states = [0, 1].map(|i| models[i].start(&device));
            let tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
            let mut run = |ids: &[u32]| {
                let [a, b] =
                    [0, 1].map(|i| models[i].forward(&device, ids, &mut states[i], &mut NoHooks));
                (a.cpu().to_vec(), b.cpu().to_vec())
            };
            let (a, b) = run(&tokens);
            assert_eq!(a, b, "{name} {spec}: the context");
            for id in [2, 7, 1] {
                let (a, b) = run(&[id]);
                let d = crate::kernels::largest_difference(&a, &b);
                // Sums in another order, through every layer; parity with transformers allows as much.
                assert!(d < 1e-4, "{name} {spec}: {d}");
            }
        }
    }
}
