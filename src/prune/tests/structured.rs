//! What structured pruning must keep: the optimum for a shared set, shapes, and a model that runs.

use super::model::{MODELS, load, sequences};
use super::*;
use crate::backend::Device;
use crate::config::{Mixer, ModelConfig};
use crate::kernels::largest_difference;
use crate::kernels::rows::copy;
use crate::models::{Edit, Edits, Hooks, LayerOutput, Model, NoHooks, Reduced, Weights, linears};
use crate::prune::units::{Units, quota};
use crate::prune::{MatrixReport, Pruned, Smaller, Subject, on_paper, shared, states, zeros};

/// Every unit that a model has.
fn units_of(config: &ModelConfig) -> Vec<&'static str> {
    let has = |unit: &&str| *unit == "layers" || Units::of(config, unit).is_ok();
    ["channels", "heads", "states", "layers"].into_iter().filter(has).collect()
}

fn small(weights: &Weights, pruned: &Pruned) -> (ModelConfig, Model) {
    let Smaller { config, layers, .. } = pruned.smaller.as_ref().expect("a smaller model");
    let weights = weights.with_edits(pruned.edits.clone()).with_layers(layers);
    (config.clone(), Model::load(&Device::Cpu, config, &weights).expect("its shapes fit"))
}

fn run(model: &Model, chunks: &[&[u32]]) -> Vec<f32> {
    let mut state = model.start(&Device::Cpu);
    let rows = chunks
        .iter()
        .map(|c| model.forward(&Device::Cpu, c, &mut state, &mut NoHooks).cpu().to_vec());
    rows.flatten().collect()
}

/// A x = b by elimination with row exchanges: nothing of the code under test.
fn eliminate(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|&x, &y| a[x][i].abs().total_cmp(&a[y][i].abs())).unwrap();
        a.swap(i, pivot);
        b.swap(i, pivot);
        for r in i + 1..n {
            let f = a[r][i] / a[i][i];
            let above = a[i].clone();
            a[r].iter_mut().zip(&above).for_each(|(x, y)| *x -= f * y);
            b[r] -= f * b[i];
        }
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|c| a[i][c] * b[c]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    b
}

#[test]
fn the_shared_set_gives_the_least_squares_of_the_kept_columns() {
    for (n, width, tokens, damping) in [(24, 1, 80, 0.01), (24, 3, 80, 0.0), (40, 4, 20, 0.01)] {
        let layer = layer(5, n, tokens, n as u64 + width as u64);
        let h = hessian(&layer.gram, n, damping);
        let removed: Vec<bool> = (0..n).map(|j| [0, 2, 3, 7].contains(&(j / width))).collect();
        let before = f64s(&layer.weights);
        let mut after = before.clone();
        let pace = Pace::default();
        assert!(block_on(shared::refit(&mut after, &removed, &h, &pace)).unwrap());
        let kept: Vec<usize> = (0..n).filter(|&j| !removed[j]).collect();
        for (w, found) in before.chunks(n).zip(after.chunks(n)) {
            // Minimum of (w' - w) H (w' - w) over w' on K: H_KK w'_K = H_K: w
            let a = kept.iter().map(|&i| kept.iter().map(|&j| h.h[i * n + j]).collect()).collect();
            let b = kept.iter().map(|&i| (0..n).map(|j| h.h[i * n + j] * w[j]).sum()).collect();
            let best = eliminate(a, b);
            for (&j, best) in kept.iter().zip(&best) {
                assert!((found[j] - best).abs() < 1e-8, "{n} {width}: {} {best}", found[j]);
            }
            assert!((0..n).all(|j| !removed[j] || found[j] == 0.0));
        }
    }
}

#[test]
fn the_score_of_a_unit_is_the_loss_when_it_goes_alone() {
    let (n, width) = (24, 3);
    let layer = layer(5, n, 80, 6);
    let h = hessian(&layer.gram, n, 0.01);
    let before = f64s(&layer.weights);
    let pace = Pace::default();
    let losses = block_on(shared::losses(&before, width, &h, &pace)).unwrap().unwrap();
    for (unit, loss) in losses.iter().enumerate() {
        let removed: Vec<bool> = (0..n).map(|j| j / width == unit).collect();
        let mut after = before.clone();
        block_on(shared::refit(&mut after, &removed, &h, &pace)).unwrap();
        let change: Vec<f64> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
        let found: f64 = change.chunks(n).map(|d| h.loss(d) / 2.0).sum();
        assert!((found / loss - 1.0).abs() < 1e-9, "{unit}: {found} {loss}");
    }
}

#[test]
fn nothing_removed_is_the_same_model_bit_for_bit() {
    for name in
        MODELS.into_iter().chain(["mamba-bf16-odd", "mamba2-bf16-limit", "llama-f16-legacy"])
    {
        let loaded = load(name);
        let ids = &sequences(1, 30, loaded.config.vocab_size())[0];
        for unit in units_of(&loaded.config) {
            let pruned =
                loaded.prune(&format!("structured:unit={unit},share=0"), &mut None).unwrap();
            let (config, model) = small(&loaded.weights, &pruned);
            assert_eq!(config, loaded.config, "{name} {unit}");
            assert_eq!(run(&model, &[ids]), run(&loaded.model, &[ids]), "{name} {unit}");
        }
    }
}

#[test]
fn units_that_nobody_reads_go_first_and_without_a_trace() {
    for (name, unit) in [
        ("mamba-f32", "channels"),
        ("llama-f32-gqa", "channels"),
        ("llama-f32-gqa", "heads"),
        ("neox-f32-parallel", "channels"),
    ] {
        let mut loaded = load(name);
        let units = Units::of(&loaded.config, unit).unwrap();
        let unread: Vec<bool> = (0..units.count).map(|u| u % 3 == 1).collect();
        let mut zeroed = Edits::new();
        for layer in 0..loaded.config.n_layer() {
            for part in units.parts.iter().filter(|p| p.reads) {
                let name = units.name(layer, part);
                let mut values = loaded.weights.values(&name, &part.shape).unwrap();
                let cols = part.shape[1];
                let width = cols / units.count;
                (0..values.len())
                    .filter(|i| unread[i % cols / width])
                    .for_each(|i| values[i] = 0.0);
                zeroed.insert(name, Edit::new(&part.shape, values));
            }
        }
        loaded.weights = loaded.weights.with_edits(zeroed.clone());
        loaded.model = Model::load(&Device::Cpu, &loaded.config, &loaded.weights).unwrap();
        let gone = unread.iter().filter(|u| **u).count();
        let share = gone as f64 / units.count as f64;
        let mut pruned =
            loaded.prune(&format!("structured:unit={unit},share={share}"), &mut None).unwrap();
        zeroed.extend(std::mem::take(&mut pruned.edits));
        pruned.edits = zeroed;
        let (_, model) = small(&loaded.weights, &pruned);
        let ids = &sequences(1, 30, loaded.config.vocab_size())[0];
        let d = largest_difference(&run(&model, &[ids]), &run(&loaded.model, &[ids]));
        // The same sums without zeros between them, in another order.
        assert!(d < 1e-5, "{name} {unit}: {d:e}");
        assert!(pruned.report.iter().all(|r| r.error < 1e-12), "{name} {unit}");
    }
}

#[test]
fn state_columns_that_nothing_is_written_to_go_first_and_without_a_trace() {
    for name in ["mamba2-f32-groups", "mamba2-bf16-limit"] {
        let mut loaded = load(name);
        let Mixer::Mamba2(c) = loaded.config.layers[0].mixer.clone() else { panic!("{name}") };
        let units = Units::of(&loaded.config, "states").unwrap();
        let mut zeroed = Edits::new();
        for layer in 0..loaded.config.n_layer() {
            for part in units.parts.iter().filter(|p| p.name.contains("conv1d")) {
                let name = units.name(layer, part);
                let mut values = loaded.weights.values(&name, &part.shape).unwrap();
                let size = values.len() / part.shape[0];
                for (row, values) in values.chunks_mut(size).enumerate().skip(c.d_inner) {
                    let column = row - c.d_inner;
                    if column < units.count && column % c.d_state % 2 == 1 {
                        values.fill(0.0); // B is SiLU(0) = 0
                    }
                }
                zeroed.insert(name, Edit::new(&part.shape, values));
            }
        }
        loaded.weights = loaded.weights.with_edits(zeroed.clone());
        loaded.model = Model::load(&Device::Cpu, &loaded.config, &loaded.weights).unwrap();
        let share = (c.d_state / 2) as f64 / c.d_state as f64;
        let spec = format!("structured:unit=states,share={share}");
        let mut pruned = loaded.prune(&spec, &mut None).unwrap();
        zeroed.extend(std::mem::take(&mut pruned.edits));
        pruned.edits = zeroed;
        let (config, model) = small(&loaded.weights, &pruned);
        let Mixer::Mamba2(after) = &config.layers[0].mixer else { panic!("{name}") };
        assert_eq!(after.d_state, c.d_state - c.d_state / 2, "{name}");
        let ids = &sequences(1, 30, loaded.config.vocab_size())[0];
        let d = largest_difference(&run(&model, &[ids]), &run(&loaded.model, &[ids]));
        // The same sums without zeros between them, in another order.
        assert!(d < 1e-5, "{name}: {d:e}");
    }
}

/// What the scan of a layer puts out: y before the gate.
#[derive(Default)]
struct Output(Vec<f32>);

impl Hooks for Output {
    fn wants_layer(&self, _: usize, _: usize) -> bool {
        true
    }

    fn reduce(&mut self, device: &Device, output: LayerOutput<'_>) -> Option<Reduced> {
        self.0 = copy(device, output.mixer.view()).cpu().to_vec();
        None
    }
}

/// Tensors of layer 0 without which nothing reads a state column: (name, shape, first row of C).
fn readouts(config: &ModelConfig) -> Vec<(String, Vec<usize>, usize)> {
    let parts = match &config.layers[0].mixer {
        Mixer::Mamba(c) => {
            let rows = c.dt_rank + 2 * c.d_state;
            vec![("x_proj.weight", vec![rows, c.d_inner], c.dt_rank + c.d_state)]
        }
        Mixer::Mamba2(c) => {
            // C is made by a convolution and SiLU, and SiLU(0) = 0.
            let first = c.d_inner + c.n_groups * c.d_state;
            let bias = c.use_conv_bias.then(|| ("conv1d.bias", vec![c.conv_dim()], first));
            let weight = ("conv1d.weight", vec![c.conv_dim(), 1, c.d_conv], first);
            [weight].into_iter().chain(bias).collect()
        }
        _ => panic!("a Mamba"),
    };
    let named = |(part, shape, first)| (format!("backbone.layers.0.mixer.{part}"), shape, first);
    parts.into_iter().map(named).collect()
}

#[test]
fn ghost_is_the_output_error_of_really_dropping_the_column() {
    let device = Device::Cpu;
    for name in ["mamba-f32", "mamba2-f32-groups", "mamba2-bf16-limit"] {
        let loaded = load(name);
        let rows = loaded.model.embed(&device, &sequences(1, 40, loaded.config.vocab_size())[0]);
        let subject = Subject {
            device: &device,
            config: &loaded.config,
            weights: &loaded.weights,
            dense: &loaded.model,
        };
        let pace = Pace::default();
        let scores = states::by("ghost", 1, &subject, 0, [&rows].into_iter(), &pace);
        let scores = block_on(scores).unwrap();
        assert_eq!(scores.len(), Units::of(&loaded.config, "states").unwrap().count, "{name}");
        let output = |model: &Model| {
            let mut output = Output::default();
            model.run_layer(&device, 0, rows.clone(), &mut output);
            output.0
        };
        let whole = output(&loaded.model);
        for column in [0, 1, scores.len() / 2, scores.len() - 1] {
            let mut edits = Edits::new();
            for (name, shape, first) in readouts(&loaded.config) {
                let mut values = loaded.weights.values(&name, &shape).unwrap();
                let size = values.len() / shape[0];
                values[(first + column) * size..][..size].fill(0.0);
                edits.insert(name, Edit::new(&shape, values));
            }
            let weights = loaded.weights.with_edits(edits);
            let without = output(&Model::load(&device, &loaded.config, &weights).unwrap());
            let moved = whole.iter().zip(&without).map(|(a, b)| f64::from(a - b).powi(2));
            let error = moved.sum::<f64>() / 40.0;
            // f32 sums of the model against f64 here.
            let relative = (scores[column] / error - 1.0).abs();
            assert!(relative < 1e-3, "{name} {column}: {} {error}", scores[column]);
        }
    }
}

#[test]
fn states_that_cannot_be_taken_are_refused() {
    // The norms of a Falcon Mamba run over the columns; a Mamba-2 has no A of its own for a column.
    for (name, spec, part) in [
        ("falcon-f32", "structured:unit=states", "channels or layers"),
        ("mamba2-f32-groups", "structured:unit=states,score=sparsessm", "bc or ghost"),
    ] {
        let error = load(name).prune(spec, &mut None).err().expect(spec).to_string();
        assert!(error.contains(part), "{name}: {error}");
    }
}

#[test]
fn every_architecture_shrinks_and_runs_with_prefill_equal_to_steps() {
    for name in MODELS {
        let loaded = load(name);
        let ids = &sequences(1, 20, loaded.config.vocab_size())[0];
        let steps: Vec<&[u32]> = ids.chunks(1).collect();
        for unit in units_of(&loaded.config) {
            let mut all = vec!["share=0.5", "share=0.95,score=ghost", "compensate=no,inputs=dense"];
            if name == "mamba-f32" {
                all.push("share=0.3,score=sparsessm");
            }
            for options in all {
                let spec = format!("structured:unit={unit},{options}");
                let pruned = loaded.prune(&spec, &mut None).unwrap();
                let (config, model) = small(&loaded.weights, &pruned);
                assert!(config != loaded.config, "{name} {spec}");
                let d = largest_difference(&run(&model, &[ids]), &run(&model, &steps));
                // As parity.rs: sums in another order, through every layer.
                assert!(d < 1e-4, "{name} {spec}: {d:e}");
                check_report(&loaded.config, &config, &pruned, unit);
                let written = with_fields(&loaded.json, &pruned.smaller.unwrap());
                assert_eq!(ModelConfig::parse(&written).unwrap(), config, "{name} {spec}");
            }
        }
    }
}

/// Shapes before and after are those that the two configurations give; layers that went have none.
fn check_report(before: &ModelConfig, after: &ModelConfig, pruned: &Pruned, unit: &str) {
    let before = linears(before);
    for line in &pruned.report {
        let index = before.iter().position(|l| l.name == line.name).expect("a linear layer");
        assert_eq!([line.rows, line.cols], [before[index].rows, before[index].cols]);
        let left = match unit {
            "layers" => [0, 0],
            _ => linears(after).get(index).map(|l| [l.rows, l.cols]).unwrap(),
        };
        assert_eq!(line.left, Some(left), "{}", line.name);
        let gone = 1.0 - (left[0] * left[1]) as f64 / (line.rows * line.cols) as f64;
        assert!((line.achieved - gone).abs() < 1e-12 && gone > 0.0, "{line:?}");
    }
}

fn with_fields(json: &[u8], smaller: &Smaller) -> Vec<u8> {
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(json).unwrap();
    for &(field, value) in &smaller.fields {
        let whole = value.fract() == 0.0;
        config.insert(field.into(), if whole { (value as u64).into() } else { value.into() });
    }
    serde_json::to_vec(&config).unwrap()
}

#[test]
fn layers_that_stay_are_numbered_anew() {
    for name in MODELS {
        let loaded = load(name);
        let pruned = loaded.prune("structured:unit=layers", &mut None).unwrap();
        let (config, model) = small(&loaded.weights, &pruned);
        let layers = pruned.smaller.unwrap().layers;
        let gone = linears(&loaded.config).into_iter().filter(|l| !layers.contains(&l.layer));
        let told: Vec<&str> = pruned.report.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(told, gone.map(|l| l.name).collect::<Vec<_>>(), "{name}");
        // Half a turn is 1, and a random layer turns what goes through it a little.
        let turned = |line: &MatrixReport| line.error > 0.0 && line.error < 0.5;
        assert!(pruned.report.iter().all(turned), "{name}");
        assert_eq!(config.n_layer(), layers.len(), "{name}");
        assert_eq!(layers.len(), loaded.config.n_layer() - quota(loaded.config.n_layer(), 0.5));
        let x = model.embed(&Device::Cpu, &[3, 1, 4, 1, 5]);
        for (now, &then) in layers.iter().enumerate() {
            let found = model.run_layer(&Device::Cpu, now, x.clone(), &mut NoHooks);
            let expected = loaded.model.run_layer(&Device::Cpu, then, x.clone(), &mut NoHooks);
            assert_eq!(found.cpu(), expected.cpu(), "{name}: {now} was {then}");
        }
    }
}

#[test]
fn a_share_never_takes_everything_and_one_out_of_range_is_refused() {
    for (n, share, gone) in [(1, 0.95, 0), (2, 0.95, 1), (3, 0.5, 2), (20, 0.95, 19), (8, 0.0, 0)] {
        assert_eq!(quota(n, share), gone, "{n} {share}");
    }
    for share in ["1", "-0.5", "NaN", "inf", "1e-"] {
        assert!(
            Setting::parse(&format!("structured:share={share}"), &abouts()).is_err(),
            "{share}"
        );
    }
    let error = load("mamba-f32").prune("structured:unit=heads", &mut None).err().unwrap();
    assert!(error.to_string().contains("channels, states or layers"), "{error}");
}

#[test]
fn what_a_setting_removes_on_paper_is_what_it_removes() {
    for name in MODELS {
        let loaded = load(name);
        let structured = units_of(&loaded.config).into_iter();
        let structured = structured.map(|unit| format!("structured:unit={unit},share=0.4"));
        let zeroing = ["wanda:sparsity=0.3", "magnitude:pattern=1:4"].map(String::from);
        assert_eq!(on_paper(&loaded.config, &setting("rtn")).unwrap().removed, 0.0, "on purpose");
        for spec in structured.chain(zeroing) {
            let paper = on_paper(&loaded.config, &setting(&spec)).unwrap();
            let pruned = loaded.prune(&spec, &mut None).unwrap();
            let (removed, of) = zeros(&pruned.report);
            assert!((paper.removed - removed).abs() < 1e-6, "{name} {spec}: {removed}");
            match pruned.smaller {
                Some(smaller) => {
                    assert_eq!(paper.config.n_layer(), smaller.config.n_layer(), "{name} {spec}")
                }
                None => assert_eq!(paper.of, of, "{name} {spec}"),
            }
        }
    }
}
