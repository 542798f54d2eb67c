//! The GPU's f32 against the CPU's f64, on whatever adapter is there.

use super::*;
use crate::backend::{Device, gpu_for_tests};
use crate::config::ModelConfig;
use crate::models::{Model, Weights, linears};
use crate::prune::device::DeviceInputs;
use crate::prune::{Calibration, Pruned, Solvers, Subject, Task};
use crate::weights::Checkpoint;
use std::path::Path;

/// Prunes on the GPU; the outcome is part of it.
fn on_gpu(gpu: &Device, layer: &Layer, spec: &str) -> (Outcome, Vec<f32>) {
    let (setting, n) = (setting(spec), layer.n);
    let gram: Vec<f32> = layer.gram.iter().map(|x| *x as f32).collect();
    let gram = gpu.tensor(n, n, &gram);
    let inputs = DeviceInputs::new(gpu, Solvers::AllGpus, &gram, setting.number("damping"));
    let inputs = inputs.expect("enough inputs for a GPU");
    let mut weights = layer.weights.clone();
    let pace = Pace::default();
    let job =
        MatrixJob { weights: &mut weights, blocks: &mut None, setting: &setting, pace: &pace };
    let form = by_matrix(&setting).device_form(&setting).expect("a form for the GPU");
    let outcome = block_on(form.on_device(job, &inputs)).unwrap();
    (outcome, weights)
}

/// Whether a GPU solves for the weights of a matrix with so many inputs.
fn has_device_form(spec: &str, cols: usize) -> bool {
    let setting = setting(spec);
    let Some(method) = method_of(&setting).unwrap().by_matrix() else { return false };
    let solves = method.needs(&setting, cols) >= Needs::Factor;
    solves && cols > 128 && method.device_form(&setting).is_some()
}

/// The specs of the methods that solve systems.
fn solving(pattern: &str) -> Vec<String> {
    specs(pattern).into_iter().filter(|s| has_device_form(s, 150)).collect()
}

#[test]
fn the_gpu_takes_the_weights_that_the_cpu_takes_and_gives_the_others_the_same_values() {
    let Some(gpu) = gpu_for_tests() else { return };
    let patterns = ["sparsity=0.5", "sparsity=0.8", "pattern=2:4", "pattern=4:8", "pattern=1:4"];
    // 149 leaves 2:4 a last group of one input, which has no quota.
    let cases = patterns.map(|p| (150, p)).into_iter().chain([(149, "pattern=2:4")]);
    for (n, pattern) in cases {
        let rows = 40;
        let mut case = layer(rows, n, 600, 71);
        case.gram.iter_mut().for_each(|x| *x = f64::from(*x as f32)); // what both are given
        for spec in solving(pattern) {
            let expected = pruned(&case, &spec);
            let (outcome, found) = on_gpu(&gpu, &case, &spec);
            assert_eq!(outcome, Outcome::Done, "{spec}");
            let mut others = 0;
            for (e, f) in expected.chunks(n).zip(found.chunks(n)) {
                if zeros(e) != zeros(f) {
                    others += 1; // a near tie; what comes after it in the row differs
                    continue;
                }
                let largest = e.iter().fold(0.0f32, |m, w| m.max(w.abs()));
                let d = e.iter().zip(f).map(|(e, f)| (e - f).abs()).fold(0.0, f32::max) / largest;
                assert!(d < 1e-3, "{spec}: {d:e}");
            }
            assert!(others <= 1, "{spec}: {others} of {rows} masks differ");
        }
    }
}

#[test]
fn a_system_that_f32_cannot_hold_is_left_to_the_cpu() {
    let Some(gpu) = gpu_for_tests() else { return };
    // Fewer tokens than inputs and no damping: no inverse exists.
    let case = layer(4, 150, 20, 72);
    for spec in ["sparsegpt:damping=0", "mrp:damping=0", "mrp:damping=0,block=64"] {
        assert_eq!(on_gpu(&gpu, &case, spec).0, Outcome::NotPositive, "{spec}");
    }
}

#[test]
fn inputs_that_are_never_used_lose_their_weights_on_the_gpu_too() {
    let Some(gpu) = gpu_for_tests() else { return };
    let (n, dead) = (150, [3, 77, 149]);
    let mut case = layer(4, n, 600, 73);
    case.x.chunks_mut(n).for_each(|row| dead.iter().for_each(|&j| row[j] = 0.0));
    case.gram = gram_of(&case.x, n);
    for spec in ["sparsegpt", "mrp", "mrp:block=64", "magnitude:refit=row"] {
        let (outcome, after) = on_gpu(&gpu, &case, spec);
        assert_eq!(outcome, Outcome::Done, "{spec}");
        for row in after.chunks(n) {
            assert!(dead.iter().all(|&j| row[j] == 0.0), "{spec}");
            assert_eq!(zeros(row).iter().filter(|z| **z).count(), n / 2, "{spec}");
        }
    }
}

/// lm-mamba2 on a device.
struct Bundled {
    device: Device,
    config: ModelConfig,
    weights: Weights,
    dense: Model,
}

impl Bundled {
    fn load(device: &Device) -> Bundled {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/lm-mamba2");
        let read = |file: &str| std::fs::read(folder.join(file)).expect(file);
        let config = ModelConfig::parse(&read("config.json")).unwrap();
        let file = ("model.safetensors".to_string(), read("model.safetensors"));
        let weights = Weights::new(Rc::new(Checkpoint::open(vec![file]).unwrap()));
        let dense = Model::load(device, &config, &weights).unwrap();
        Bundled { device: device.clone(), config, weights, dense }
    }

    /// As a real GPU would: only the kind of adapter is not asked for.
    fn prune(&self, spec: &str, tokens: usize, cache: &mut Option<Calibration>) -> Pruned {
        let Bundled { device, config, weights, dense } = self;
        let mut rng = Rng::new(9);
        let mut sequence = || (0..tokens).map(|_| rng.below(config.vocab_size()) as u32).collect();
        let sequences: Vec<Vec<u32>> = (0..4).map(|_| sequence()).collect();
        let setting = setting(spec);
        let task = Task {
            subject: Subject { device, config, weights, dense },
            sequences: &sequences,
            setting: &setting,
            cache,
            solvers: Solvers::AllGpus,
            pace: &Pace::default(),
            progress: &mut |_, _| {},
        };
        block_on(method_of(&setting).unwrap().prune(task)).expect(spec)
    }
}

#[test]
fn a_bundled_model_is_pruned_alike_on_both_devices() {
    let Some(gpu) = gpu_for_tests() else { return };
    let [cpu, gpu] = [&Device::Cpu, &gpu].map(Bundled::load);
    let wide = linears(&cpu.config).iter().filter(|l| l.by_default && l.cols > 128).count();
    for spec in ["sparsegpt:inputs=dense", "mrp:inputs=dense", "mrp:inputs=dense,block=64"] {
        let expected = cpu.prune(spec, 100, &mut None);
        let found = gpu.prune(spec, 100, &mut None);
        assert!(expected.report.iter().all(|r| !r.on_gpu), "{spec}");
        assert_eq!(found.report.iter().filter(|r| r.on_gpu).count(), wide, "{spec}");
        for (e, f) in expected.report.iter().zip(&found.report) {
            assert_eq!(e.achieved, f.achieved, "{spec} {}", e.name);
            assert_eq!(f.damping, Some(0.01), "{spec} {}", e.name);
            // The forward passes differ in f32 too, so masks differ in near ties.
            let (a, b) = (&expected.edits[&e.name].values, &found.edits[&e.name].values);
            let others = zeros(a).iter().zip(zeros(b)).filter(|(a, b)| **a != *b).count();
            assert!(others * 500 <= a.len(), "{spec} {}: {others} of {}", e.name, a.len());
            assert!((e.error / f.error - 1.0).abs() < 5e-3, "{spec} {e:?} {f:?}");
        }
    }
}

/// Every method with every pattern, threshold and unit, on one layer where it can be asked for.
fn every_spec() -> Vec<String> {
    let patterns = ["sparsity=0.5", "sparsity=0.8", "pattern=2:4", "pattern=4:8", "pattern=1:4"];
    let by_matrix = patterns.into_iter().flat_map(specs).chain(shared_specs(0.5));
    let quantised = ["rtn:bits=8", "gptq:bits=8", "gptq:bits=8,sparsity=0.5"].map(String::from);
    let by_matrix = by_matrix.chain(quantised);
    let by_matrix = by_matrix.map(|spec| format!("{spec},layers=0,inputs=dense"));
    let units = ["channels", "heads", "states", "layers"];
    by_matrix.chain(units.map(|unit| format!("structured:unit={unit}"))).collect()
}

#[test]
fn every_method_and_pattern_passes_the_door_of_a_real_gpu() {
    let Some(gpu) = gpu_for_tests() else { return };
    let [cpu, gpu] = [&Device::Cpu, &gpu].map(Bundled::load);
    let [mut of_cpu, mut of_gpu] = [None, None];
    let mut solved = 0;
    for spec in every_spec() {
        let expected = cpu.prune(&spec, 20, &mut of_cpu);
        let found = gpu.prune(&spec, 20, &mut of_gpu);
        assert_eq!(expected.report.len(), found.report.len(), "{spec}");
        for (e, f) in expected.report.iter().zip(&found.report) {
            assert_eq!(f.on_gpu, has_device_form(&spec, f.cols), "{spec} {}", f.name);
            assert_eq!((&e.name, e.left), (&f.name, f.left), "{spec}");
            // Rounding gives zeros of its own, which near ties move.
            let zeros = (e.achieved - f.achieved).abs();
            assert!(zeros < if spec.contains("bits") { 1e-3 } else { 1e-12 }, "{spec} {e:?} {f:?}");
            // Sixty tokens leave near ties; a method that took the wrong inputs would be far off.
            assert!((e.error - f.error).abs() < 0.02, "{spec} {e:?} {f:?}");
            solved += usize::from(f.on_gpu);
        }
        assert_eq!(expected.smaller.is_some(), found.smaller.is_some(), "{spec}");
    }
    assert!(solved > 20, "{solved} matrices were solved on the GPU");
}
