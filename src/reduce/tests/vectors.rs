//! Small cases V1 to V10 whose answers were worked out by hand, on every device that opens.

use crate::backend::{Device, Tensor, gpu_for_tests};
use crate::config::{Kind, ModelConfig};
use crate::method::Setting;
use crate::models::{AttentionInputs, Hooks, LayerOutput, MixerInputs, SsmInputs};
use crate::reduce::reducer::apply;
use crate::reduce::{Edges, Job, METHODS, Place, Plan, Reducer, Savings, Schedule, check, savings};
use crate::{Result, Rng};
use pollster::block_on;

pub(in crate::reduce) fn devices() -> Vec<Device> {
    let mut devices = vec![Device::Cpu];
    devices.extend(gpu_for_tests());
    devices
}

pub(in crate::reduce) fn setting(spec: &str) -> Setting {
    Setting::parse(spec, &crate::reduce::abouts()).unwrap().unwrap()
}

pub(in crate::reduce) fn mamba(n_layer: usize) -> ModelConfig {
    let json = format!(
        r#"{{"model_type": "mamba", "vocab_size": 100, "hidden_size": 64,
             "num_hidden_layers": {n_layer}, "state_size": 16, "conv_kernel": 4, "expand": 2}}"#
    );
    ModelConfig::parse(json.as_bytes()).unwrap()
}

pub(in crate::reduce) fn llama(n_layer: usize) -> ModelConfig {
    let json = format!(
        r#"{{"model_type": "llama", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 128,
             "num_attention_heads": 4, "num_hidden_layers": {n_layer}}}"#
    );
    ModelConfig::parse(json.as_bytes()).unwrap()
}

/// A layer whose outputs and inputs are all `x`: an SSM of one state, or a single attention head.
pub(in crate::reduce) fn with_output<R>(
    device: &Device,
    x: &Tensor,
    layer: usize,
    is_ssm: bool,
    f: impl FnOnce(LayerOutput<'_>) -> R,
) -> R {
    let (tokens, d) = (x.rows(), x.cols());
    let positions: Vec<u32> = (0..tokens as u32).collect();
    let (positions, inv_freq) = (device.ids(&positions), device.tensor(1, 1, &[0.1]));
    let inputs = match is_ssm {
        true => MixerInputs::Ssm(SsmInputs {
            x: x.view(),
            dt: x.view(),
            a: x,
            dt_bias: None,
            b: x.columns(0, 1),
            c: x.columns(0, 1),
            n_head: d,
            headdim: 1,
            n_groups: 1,
            dt_limit: (0.0, f32::INFINITY),
        }),
        false => MixerInputs::Attention(AttentionInputs {
            q: x.view(),
            k: x.view(),
            n_head: 1,
            n_kv_head: 1,
            headdim: d,
            positions: &positions,
            inv_freq: Some(&inv_freq),
            scale: 1.0,
        }),
    };
    f(LayerOutput { layer, hidden: x, residual: x, mixer: x, inputs })
}

/// A job without guards.
pub(in crate::reduce) fn job(tokens: usize, remove: usize) -> Job {
    Job { layer: 0, tokens, removable: 0..tokens, remove, oracle: None, surprisal: None, salt: 0 }
}

/// The plan for an SSM layer whose mixer output is `mixer` and whose output after out_proj is `hidden`.
pub(in crate::reduce) fn plan_of(
    device: &Device,
    [mixer, hidden]: [&Tensor; 2],
    remove: usize,
    spec: &str,
) -> Plan {
    let setting = setting(spec);
    let method = METHODS.iter().find(|m| m.about().id == setting.about.id).unwrap();
    let job = job(mixer.rows(), remove);
    with_output(device, mixer, 0, true, |output| {
        method.plan(device, &LayerOutput { hidden, ..output }, &job, &setting)
    })
}

/// The plan for such a layer, without guards.
pub(in crate::reduce) fn plan(device: &Device, x: &Tensor, remove: usize, spec: &str) -> Plan {
    let setting = setting(spec);
    let method = METHODS.iter().find(|m| m.about().id == setting.about.id).unwrap();
    let job = job(x.rows(), remove);
    with_output(device, x, 0, true, |output| method.plan(device, &output, &job, &setting))
}

/// Hidden and residual branch after it.
pub(in crate::reduce) fn applied(device: &Device, plan: &Plan, x: &Tensor) -> (Tensor, Tensor) {
    with_output(device, x, 0, true, |output| apply(device, plan, &output))
}

/// (keep, sources, targets)
pub(in crate::reduce) fn ids(device: &Device, plan: &Plan) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let read = |ids| block_on(device.read_ids(ids)).unwrap();
    let edges = plan.edges.as_ref().unwrap();
    (read(&plan.keep), read(&edges.source), read(&edges.target))
}

pub(in crate::reduce) fn assert_near(device: &Device, found: &Tensor, expected: &[f32]) {
    let found = block_on(device.read(found)).unwrap();
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 1e-6, "{found:?} is not {expected:?}");
    }
}

const V1: [f32; 12] = [4.0, 0.0, 1.0, 0.2, 0.0, 3.0, 0.1, 0.7, 2.0, 2.0, -1.0, 0.4];
const V1_PRUNED: [f32; 8] = [4.0, 0.0, 0.0, 3.0, 2.0, 2.0, -1.0, 0.4];
const V1_MERGED: [f32; 8] = [2.5, 0.1, 0.05, 1.85, 2.0, 2.0, -1.0, 0.4];
const V1_HALF: [f32; 8] = [4.0, 0.0, 0.05, 1.85, 2.0, 2.0, -1.0, 0.4];

#[test]
fn v1_six_tokens_are_matched_merged_and_pruned() {
    for device in devices() {
        let x = device.tensor(6, 2, &V1);
        for (q_hidden, hidden) in [(0.0, V1_MERGED), (0.5, V1_HALF), (1.0, V1_PRUNED)] {
            let plan = plan(&device, &x, 2, &format!("utrc:q_hidden={q_hidden}"));
            let (keep, source, target) = ids(&device, &plan);
            assert_eq!(
                (&keep[..], &source[..], &target[..]),
                (&[0, 2, 4, 5][..], &[3, 1][..], &[2, 0][..])
            );
            let (h, r) = applied(&device, &plan, &x);
            assert_near(&device, &h, &hidden);
            assert_near(&device, &r, &V1_MERGED);
        }
        // The third edge is 5 into 2, with the least similarity.
        let (keep, source, target) = ids(&device, &plan(&device, &x, 3, "utrc"));
        assert_eq!(
            (&keep[..], &source[..], &target[..]),
            (&[0, 2, 4][..], &[3, 1, 5][..], &[2, 0, 2][..])
        );
    }
}

#[test]
fn v2_three_tokens_merged_into_one_count_equally() {
    for device in devices() {
        let x = device.tensor(4, 1, &[1.0, 2.0, 3.0, 6.0]);
        let edges = Edges {
            source: device.ids(&[2, 0, 1]),
            target: device.ids(&[3, 3, 3]),
            merged_hidden: 3,
            merged_residual: 1,
            top: None,
        };
        let plan = Plan { keep: device.ids(&[3]), edges: Some(edges), scores: None };
        let (h, r) = applied(&device, &plan, &x);
        assert_near(&device, &h, &[3.0]);
        // Only the most similar edge, 3 into 6.
        assert_near(&device, &r, &[4.5]);
    }
}

#[test]
fn v3_ties_go_to_the_smaller_row() {
    for device in devices() {
        let x = device.tensor(6, 2, &[0.3, -0.7].repeat(6));
        let (keep, source, target) = ids(&device, &plan(&device, &x, 2, "utrc"));
        assert_eq!(
            (&keep[..], &source[..], &target[..]),
            (&[2, 3, 4, 5][..], &[0, 1][..], &[3, 3][..])
        );
    }
}

#[test]
fn v4_rows_without_a_positive_value_fall_back_to_their_order() {
    for device in devices() {
        for x in [[0.0, 0.0].repeat(6), [-1.0, -2.0].repeat(6)] {
            let x = device.tensor(6, 2, &x);
            let plan = plan(&device, &x, 2, "utrc");
            let (keep, source, target) = ids(&device, &plan);
            assert_eq!(
                (&keep[..], &source[..], &target[..]),
                (&[2, 3, 4, 5][..], &[0, 1][..], &[3, 3][..])
            );
            let (h, _) = applied(&device, &plan, &x);
            assert!(block_on(device.read(&h)).unwrap().iter().all(|v| v.is_finite()));
        }
    }
}

/// Tokens kept after each anchor.
fn kept(config: &ModelConfig, spec: &str, n: usize) -> Vec<usize> {
    Schedule::resolve(config, &setting(spec), n).into_iter().map(|(_, kept)| kept).collect()
}

#[test]
fn v5_lengths_are_the_integers_of_the_sheet() {
    let deep = mamba(64);
    let spec = "utrc:keep=0.905";
    assert_eq!(kept(&deep, spec, 1000), [905, 820, 743, 673, 610, 553, 501]);
    assert_eq!(kept(&deep, spec, 2048), [1854, 1678, 1519, 1375, 1245, 1127, 1020]);
    assert_eq!(kept(&deep, spec, 85), [77, 70, 64, 58, 53, 48, 44]);
    for (spec, n) in [
        (spec, 10),
        (spec, 1),
        (spec, 0),
        ("utrc:keep=0.5", 15),
        ("utrc:keep=1", 1000),
        ("utrc:cut=0", 1000),
    ] {
        assert!(kept(&deep, spec, n).is_empty(), "{spec} of {n}");
        assert_eq!(savings(&deep, &setting(spec), n).unwrap().layers, 0.0);
    }
}

#[test]
fn v8_the_ratio_of_the_paper_saves_what_the_paper_reports() {
    let found = savings(&mamba(64), &setting("random:keep=0.905"), 1_000_000).unwrap();
    assert!((found.layers - 0.2984).abs() <= 1e-4, "{}", found.layers);
}

#[test]
fn a_cut_is_solved_to_the_ratios_of_the_sheet() {
    // Final lengths and ratios of section 1.6, for a long sequence.
    let n = 1_000_000;
    for (n_layer, cut, keep) in [
        (64, 0.1, 0.9729),
        (64, 0.2, 0.9415),
        (64, 0.3, 0.9043),
        (48, 0.2, 0.9248),
        (24, 0.3, 0.8341),
        (12, 0.1, 0.936),
        (6, 0.3, 0.607),
    ] {
        let config = mamba(n_layer);
        let steps = Schedule::resolve(&config, &setting(&format!("utrc:cut={cut}")), n);
        let ratio = steps[0].1 as f64 / n as f64;
        assert!((ratio - keep).abs() < 6e-4, "{n_layer} layers, {cut}: {ratio}");
    }
}

#[test]
fn a_cut_is_reached_at_every_length_that_allows_it() {
    for config in [mamba(6), llama(6)] {
        for n in [64, 100, 513, 2048] {
            let Savings { layers, lengths, .. } =
                savings(&config, &setting("stride:cut=0.2"), n).unwrap();
            // One token more at the last anchor would fall short: the surplus is below one token a layer.
            assert!((0.2..0.2 + 3.0 / n as f64).contains(&layers), "{n}: {layers} {lengths:?}");
        }
    }
}

#[test]
fn anchors_are_the_papers_scaled_to_the_depth() {
    for (n_layer, expected) in [
        (64, vec![12, 17, 22, 27, 32, 37, 42]),
        (48, vec![10, 15, 20, 25, 30, 35]),
        (24, vec![6, 9, 12, 15, 18]),
        (12, vec![3, 5, 7, 9]),
        (6, vec![2, 3, 4]),
        (3, vec![0, 1]),
        (2, vec![0]),
        (1, vec![]),
    ] {
        let steps = Schedule::resolve(&mamba(n_layer), &setting("utrc:keep=0.9"), 4096);
        let layers: Vec<usize> = steps.into_iter().map(|(layer, _)| layer).collect();
        assert_eq!(layers, expected);
    }
}

#[test]
fn the_default_runs_at_every_depth_that_leaves_a_layer_to_shorten() {
    for n_layer in 2..=256 {
        assert_eq!(check(&mamba(n_layer), &setting("utrc")), Ok(()), "{n_layer} layers");
    }
}

#[test]
fn settings_that_cannot_run_are_refused_by_name() {
    for (spec, part) in [
        ("utrc:layers=1+6", "layers 0 to 5"),
        ("utrc:keep=0.3", "0 (solve from cut) or 0.5 to 1"),
        ("utrc:cut=0.5", "at most 0.35 with these layers"),
    ] {
        let error = check(&mamba(6), &setting(spec)).unwrap_err();
        assert!(error.to_string().contains(part), "{spec}: {error}");
        assert_eq!(savings(&mamba(6), &setting(spec), 100).err(), Some(error));
    }
    for spec in ["utrc:layers=0+1+2,cut=0.5", "utrc:cut=0.35", "utrc:keep=0.5"] {
        assert_eq!(check(&mamba(6), &setting(spec)), Ok(()), "{spec}");
    }
}

/// Runs a reducer over layers whose outputs are noise, as a model would.
pub(in crate::reduce) fn run(
    device: &Device,
    config: &ModelConfig,
    spec: &str,
    n: usize,
) -> Result<Reducer> {
    let filler: Vec<bool> = (0..n).map(|t| t % 3 > 0).collect();
    let reducer = Reducer::new(config, &setting(spec), n)?;
    let mut reducer = reducer.with_filler(device, Some(&filler))?;
    let mut rng = Rng::new(7);
    let (mut rows, d) = (n, 24);
    for layer in 0..config.n_layer() {
        let is_ssm = config.layers[layer].mixer.kind() == Kind::StateSpace;
        let cuts_before_scan = is_ssm && reducer.wants_scan(layer, rows);
        if !cuts_before_scan && !reducer.wants_layer(layer, rows) {
            continue;
        }
        let x = device.tensor(rows, d, &rng.normals(rows * d, 1.0));
        if cuts_before_scan {
            let keep = with_output(device, &x, layer, true, |output| match output.inputs {
                MixerInputs::Ssm(inputs) => reducer.before_scan(device, layer, inputs),
                MixerInputs::Attention(_) => None,
            });
            rows = keep.unwrap().len();
            continue;
        }
        let reduced =
            with_output(device, &x, layer, is_ssm, |output| reducer.reduce(device, output))
                .unwrap();
        assert_eq!(reduced.hidden.rows(), reduced.keep.len());
        assert_eq!(reduced.residual.rows(), reduced.keep.len());
        rows = reduced.keep.len();
    }
    Ok(reducer)
}

#[test]
fn every_method_keeps_its_guards_and_accounts_for_every_token() {
    // What goes before the model reads it needs a model: tests/reduce.rs.
    for method in METHODS.iter().filter(|m| m.place() != Place::Input) {
        for (config, n) in [(mamba(6), 16), (mamba(6), 201), (llama(12), 333)] {
            let device = Device::Cpu;
            if !method.about().families.contains(&config.family()) {
                continue;
            }
            let reducer = run(&device, &config, method.about().id, n).unwrap();
            let lengths = savings(&config, &setting(method.about().id), n).unwrap().lengths;
            let mut before: Vec<u32> = (0..n as u32).collect();
            for trace in block_on(reducer.trace(&device)).unwrap() {
                assert_eq!(trace.kept[0], 0, "the first token stays");
                assert!(trace.kept.ends_with(&before[before.len() - 4..]), "the last four stay");
                let mut all = [&trace.kept[..], &trace.pruned[..]].concat();
                all.extend(trace.merged.iter().map(|m| m.source));
                all.sort_unstable();
                assert_eq!(all, before, "every token is kept, pruned or merged once");
                assert!(trace.merged.iter().all(|m| trace.kept.contains(&m.target)));
                assert_eq!(trace.kept.len(), lengths[trace.layer + 1]);
                assert!(trace.scores.is_empty() || trace.scores.len() == before.len());
                before = trace.kept;
            }
            assert!(before.len() < n, "{} removed something", method.about().id);
        }
    }
}

#[test]
fn seeds_and_layers_draw_different_tokens() {
    let traces = ["random:seed=1", "random:seed=2", "random:seed=1"].map(|spec| {
        let reducer = run(&Device::Cpu, &mamba(6), spec, 200).unwrap();
        block_on(reducer.trace(&Device::Cpu)).unwrap()
    });
    assert_eq!(traces[0], traces[2]);
    assert_ne!(traces[0], traces[1]);
}

#[test]
#[should_panic(expected = "a Reducer runs once")]
fn a_reducer_refuses_another_length() {
    Reducer::new(&mamba(6), &setting("utrc"), 200).unwrap().wants_layer(0, 199);
}
