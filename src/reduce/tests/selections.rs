//! What every selection keeps, on every device that opens: V6 and V7, which the released code of
//! arXiv 2410.14725 gave, and small cases worked out by hand.

use super::vectors::{
    applied, assert_near, devices, ids, job, llama, mamba, plan, plan_of, run, setting,
};
use crate::backend::Device;
use crate::config::ModelConfig;
use crate::models::SsmInputs;
use crate::reduce::{Job, METHODS, Place, Plan, Reducer, Schedule, TokenReduction, check, runs_on};
use pollster::block_on;

fn kept(device: &Device, plan: &Plan) -> Vec<u32> {
    block_on(device.read_ids(&plan.keep)).unwrap()
}

fn of(device: &Device, values: &[f32], remove: usize, spec: &str) -> Vec<u32> {
    let x = device.tensor(values.len(), 1, values);
    kept(device, &plan(device, &x, remove, spec))
}

#[test]
fn v6_the_released_utrc_folds_the_even_places_into_the_second_token() {
    for device in devices() {
        let values: Vec<f32> = (1..=20).map(|v| v as f32).collect();
        let x = device.tensor(20, 1, &values);
        let folded = plan(&device, &x, 4, "utrc-released");
        assert_eq!(kept(&device, &folded)[..4], [1, 3, 5, 7]);
        let (hidden, residual) = applied(&device, &folded, &x);
        let rest = [4.0, 6.0, 8.0].into_iter().chain((9..=20).map(|v| v as f32));
        let with = |first: f32| -> Vec<f32> { [first].into_iter().chain(rest.clone()).collect() };
        assert_near(&device, &hidden, &with(14.0 / 3.0));
        assert_near(&device, &residual, &with(3.6));
        assert_near(&device, &applied(&device, &plan(&device, &x, 4, "prefix"), &x).0, &with(2.0));
    }
}

const V7: [f32; 10] = [5.0, 1.0, 9.0, 3.0, 8.0, 2.0, 7.0, 0.5, 6.0, 4.0];

#[test]
fn v7_evit_keeps_the_best_and_its_released_form_the_worst() {
    for device in devices() {
        assert_eq!(of(&device, &V7, 4, "evit"), [0, 2, 4, 6, 8, 9]);
        // The released code keeps K + 1.
        assert_eq!(of(&device, &V7, 3, "evit-released"), [0, 1, 3, 5, 7, 8, 9]);
    }
}

#[test]
fn the_released_evit_scores_what_leaves_out_proj_and_the_paper_s_the_mixer() {
    let rising: Vec<f32> = (0..10).map(|v| v as f32 + 1.0).collect();
    for device in devices() {
        let (mixer, hidden) = (device.tensor(10, 1, &V7), device.tensor(10, 1, &rising));
        let of = |spec: &str| kept(&device, &plan_of(&device, [&mixer, &hidden], 3, spec));
        let v7_lowest = [0, 1, 3, 5, 7, 8, 9];
        assert_eq!(of("evit-released"), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(of("evit-released:of=mixer"), v7_lowest);
        assert_eq!(of("evit"), [0, 2, 3, 4, 6, 8, 9]);
        for score in ["clip", "l1", "l2", "noclip"] {
            assert_eq!(of(&format!("evit:of=output,score={score}")), [3, 4, 5, 6, 7, 8, 9]);
            assert_eq!(of(&format!("evit-released:score={score}")), [0, 1, 2, 3, 4, 5, 6]);
        }
    }
}

#[test]
fn evit_fuses_what_it_would_drop_into_the_best_of_it() {
    for device in devices() {
        let x = device.tensor(10, 1, &V7);
        let plan = plan(&device, &x, 3, "evit:fused=on");
        // .5, 1 and 2 go; 3 is the next lowest and becomes their mean.
        assert_eq!(kept(&device, &plan), [0, 2, 3, 4, 6, 8, 9]);
        let mean = (3.0 + 0.5 + 1.0 + 2.0) / 4.0;
        let (hidden, residual) = applied(&device, &plan, &x);
        for branch in [hidden, residual] {
            assert_near(&device, &branch, &[5.0, 9.0, mean, 8.0, 7.0, 6.0, 4.0]);
        }
    }
}

#[test]
fn every_score_drops_the_lowest() {
    let v = [3.0, -4.0, 1.0, -2.0, 0.5, 0.25];
    for device in devices() {
        for (score, expected) in [
            ("clip", [0, 2, 4]), // max(0, v): 3 0 1 0 .5 .25
            ("l1", [0, 1, 3]),   // 3 4 1 2 .5 .25
            ("l2", [0, 1, 3]),
            ("noclip", [0, 2, 4]), // 3 -4 1 -2 .5 .25
            ("delta", [0, 2, 4]),  // softplus rises with v
            ("cosine", [2, 4, 5]), // 1 -1 1 -1 1 1: of equal scores the earlier goes
            ("recency", [3, 4, 5]),
        ] {
            let kept = of(&device, &v, 3, &format!("evit:score={score}"));
            assert_eq!(kept, expected, "{score}");
        }
        // |C B| Delta |x| with C = .25, B = x: .25 v^2 softplus(v) = 6.9 .07 .33 .13 .061 .013
        assert_eq!(of(&device, &v, 3, "evit:score=implicit"), [0, 2, 3]);
        // A position is 0 for the first token and 1 for the last.
        assert_eq!(of(&device, &v, 2, "custom:formula=(position-0.5)^2"), [0, 1, 4, 5]);
    }
}

#[test]
fn tome_folds_even_places_into_odd_ones_by_similarity() {
    for device in devices() {
        // 0 and 1 have one direction, 2 and 5 too; 4 is nearly that of 3.
        let rows = [1.0, 0.0, 2.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.1, 0.0, 5.0];
        let x = device.tensor(6, 2, &rows);
        let found = ids(&device, &plan(&device, &x, 3, "tome:features=mixer"));
        assert_eq!(found, (vec![1, 3, 5], vec![0, 2, 4], vec![1, 5, 3]));
        let (_, source, _) = ids(&device, &plan(&device, &x, 2, "tome:features=mixer"));
        assert_eq!(source, [0, 2]);
    }
}

#[test]
fn adjacent_folds_a_token_into_the_next_where_they_are_alike() {
    for device in devices() {
        // Pairs (0,1) at cosine 0, (2,3) at 1, (4,5) at -1, and 6 takes the one before it, at 0.
        let rows = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0, 0.0, -1.0, 0.0, 0.0, 3.0];
        let x = device.tensor(7, 2, &rows);
        let found = ids(&device, &plan(&device, &x, 3, "adjacent"));
        assert_eq!(found, (vec![1, 3, 4, 5], vec![2, 0, 6], vec![3, 1, 5]));
    }
}

#[test]
fn mtr_never_folds_into_its_top_group() {
    for device in devices() {
        // Delta rises with the values; rows 0 and 1 go, the top three of ten are left alone.
        let values: Vec<f32> = (0..10).map(|v| v as f32 / 4.0 - 1.0).collect();
        let x = device.tensor(10, 1, &values);
        let (keep, source, target) = ids(&device, &plan(&device, &x, 2, "mtr"));
        assert_eq!(keep, [2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(source, [0, 1]);
        assert!(target.iter().all(|t| (2..7).contains(t)), "{target:?}");
    }
}

#[test]
fn controls_drop_what_they_say() {
    for device in devices() {
        assert_eq!(of(&device, &V7, 3, "last"), [3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(of(&device, &V7, 3, "prefix"), [1, 3, 5, 6, 7, 8, 9]);
        assert_eq!(of(&device, &V7, 2, "stride"), [0, 1, 3, 4, 5, 6, 8, 9]);
    }
}

#[test]
fn a_score_that_a_model_cannot_give_names_the_families_that_can() {
    for (config, spec, part) in [
        (llama(6), "evit:score=delta", "mamba or mamba2"),
        (mamba(6), "evit:score=column", "llama or gpt_neox"),
        (mamba(6), "lazy", "llama, gpt_neox, "),
        (llama(6), "mtr", "mamba, mamba2, "),
    ] {
        let error = check(&config, &setting(spec)).unwrap_err().to_string();
        assert!(error.contains(part), "{spec}: {error}");
        assert!(!runs_on(config.family(), &setting(spec)), "{spec}");
    }
    let error = check(&llama(6), &setting("evit:cut=0.1,score=delta")).unwrap_err().to_string();
    assert!(error.contains("delta with a model of type llama"), "{error}");
    // LazyLLM is for transformers whatever it scores by.
    assert!(!runs_on("mamba", &setting("lazy:score=clip")));
    assert!(runs_on("mamba", &setting("evit:score=delta")));
}

#[test]
fn the_oracle_drops_filler_first_and_needs_the_marks() {
    let device = Device::Cpu;
    // Two of three tokens are filler in `run`.
    let reducer = run(&device, &mamba(6), "evit:score=oracle,layers=0+1,keep=0.6", 200).unwrap();
    let traces = block_on(reducer.trace(&device)).unwrap();
    for trace in &traces {
        assert!(trace.pruned.iter().all(|t| t % 3 > 0), "layer {}", trace.layer);
    }
    // Drawn among the filler, not taken from its start.
    let last = traces[0].pruned.last().unwrap();
    assert!(traces[0].kept.iter().any(|t| t % 3 > 0 && t < last));
    let reducer =
        crate::reduce::Reducer::new(&mamba(6), &setting("evit:score=oracle"), 200).unwrap();
    let error = reducer.with_filler(&device, None).err().unwrap().to_string();
    assert!(error.contains("recall model"), "{error}");
    let other = Reducer::new(&mamba(6), &setting("utrc"), 200).unwrap();
    assert!(other.with_filler(&device, None).is_ok(), "nobody else asks for them");
}

#[test]
fn a_trace_says_in_which_branch_a_token_was_folded() {
    // 20 go; of the shares that are dropped, the least similar.
    for (spec, hidden, residual) in [
        ("utrc", 10, 20),
        ("utrc:q_hidden=1,q_residual=0.3", 0, 14),
        ("utrc:q_hidden=0,q_residual=0.3", 20, 14),
        ("utrc:q_hidden=0.5,q_residual=0.8", 10, 4),
        ("utrc:q_hidden=1,q_residual=1", 0, 0),
    ] {
        let setting = if spec.contains(':') { format!("{spec},") } else { format!("{spec}:") };
        let setting = format!("{setting}keep=0.9,layers=2");
        let reducer = run(&Device::Cpu, &mamba(6), &setting, 200).unwrap();
        let trace = block_on(reducer.trace(&Device::Cpu)).unwrap().remove(0);
        let flags: Vec<(bool, bool)> =
            trace.merged.iter().map(|m| (m.hidden, m.residual)).collect();
        let expected = (0..hidden.max(residual)).map(|e| (e < hidden, e < residual));
        assert_eq!(flags, expected.collect::<Vec<_>>(), "{spec}");
        assert_eq!(trace.pruned.len(), 20 - flags.len(), "{spec}");
    }
}

#[test]
fn a_progressive_schedule_cuts_the_same_and_later() {
    for config in [mamba(24), llama(24)] {
        let lengths = |spec: &str| crate::reduce::savings(&config, &setting(spec), 1000).unwrap();
        let (even, late) =
            (lengths("stride:cut=0.2"), lengths("stride:cut=0.2,schedule=progressive"));
        assert!((late.layers - even.layers).abs() < 3e-3, "{} {}", even.layers, late.layers);
        assert!(late.lengths[7] > even.lengths[7] && late.lengths[23] < even.lengths[23]);
        let removed: Vec<usize> = late.lengths.windows(2).map(|w| w[0] - w[1]).collect();
        let shares: Vec<usize> = removed.into_iter().filter(|&r| r > 0).collect();
        assert!(shares.windows(2).all(|w| w[0] < w[1]), "{shares:?}");
    }
}

#[test]
fn without_guards_only_the_last_token_stays_for_sure() {
    let spec = "evit:score=recency,guard=off,keep=0.5,layers=0";
    let reducer = run(&Device::Cpu, &mamba(2), spec, 96).unwrap();
    let trace = block_on(reducer.trace(&Device::Cpu)).unwrap();
    assert_eq!(trace[0].kept, (48..96).collect::<Vec<u32>>());
}

/// Every method with its defaults, and every score.
pub(super) fn specs(config: &ModelConfig) -> Vec<String> {
    let methods = METHODS.iter().filter(|m| m.place() != Place::Input);
    let methods = methods.map(|m| m.about().id.to_string());
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
    let scored = scores.iter().flat_map(|s| [format!("evit:score={s}"), format!("utrc:score={s}")]);
    let more = [
        "evit:fused=on",
        "utrc:q_hidden=1",
        "utrc:features=keys",
        "tome:proportional=on",
        "tome:features=hidden",
        "random:seed=3",
    ];
    methods
        .chain(scored)
        .chain(more.map(String::from))
        .filter(|spec| check(config, &setting(spec)).is_ok())
        .collect()
}

#[test]
fn cpu_and_gpu_choose_the_same_tokens_with_every_method_and_score() {
    let [cpu, gpu] = &devices()[..] else { return };
    for config in [mamba(12), llama(12)] {
        for spec in specs(&config) {
            let traces = [cpu, gpu].map(|device| {
                let reducer = run(device, &config, &spec, 301).unwrap();
                block_on(reducer.trace(device)).unwrap()
            });
            assert_eq!(traces[0].len(), 4);
            for (c, g) in traces[0].iter().zip(&traces[1]) {
                assert_eq!(
                    (&c.kept, &c.pruned, &c.merged),
                    (&g.kept, &g.pruned, &g.merged),
                    "{spec} after layer {}",
                    c.layer
                );
            }
        }
    }
}

/// Steps before softplus `[tokens, heads]`, and their bias.
fn steps() -> (Vec<f32>, Vec<f32>) {
    let of = |t: i32, h: i32| {
        let (t, h) = (f64::from(t), f64::from(h));
        (2.0 * (0.7 * t + 1.3 * h).sin() - 1.0 + 0.1 * h) as f32
    };
    let dt = (0..40).flat_map(|t| (0..6).map(move |h| of(t, h))).collect();
    (dt, (0..6).map(|h| 0.05 * h as f32 - 0.2).collect())
}

#[test]
fn decimamba_keeps_what_its_released_code_keeps() {
    // get_non_decimated_indices of mamba_ssm/ops/selective_scan_interface.py (commit 6290e95) on `steps`, an answer of one
    // token, L_base 30 at its first decimating layer.
    let expected = [
        1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 18, 19, 20, 21, 22, 23, 24, 27, 28, 29, 30,
        31, 32, 33, 36, 37, 38, 39,
    ];
    let (dt, bias) = steps();
    for device in devices() {
        let dt = device.tensor(40, 6, &dt);
        let bias = device.tensor(1, 6, &bias);
        let states = device.zeros(40, 1);
        let inputs = SsmInputs {
            x: dt.view(),
            dt: dt.view(),
            a: &states,
            dt_bias: Some(&bias),
            b: states.view(),
            c: states.view(),
            n_head: 6,
            headdim: 1,
            n_groups: 1,
            dt_limit: (0.0, f32::INFINITY),
        };
        let job = Job { removable: 0..39, ..job(40, 9) };
        let method = crate::reduce::decimamba::DeciMamba;
        let plan = method.plan_of_scan(&device, &inputs, &job, &setting("decimamba"));
        assert_eq!(kept(&device, &plan), expected);
    }
}

#[test]
fn an_absolute_schedule_keeps_the_lengths_of_decimamba_whatever_enters() {
    // The same function at its four decimating layers, 150 tokens, L_base 100, beta 0.5: 100, 50, 25 (and its least, 20).
    let spec = "decimamba:schedule=absolute,base=100,beta=0.5,guard=off,layers=1+2+3+4";
    let lengths = |n| {
        let steps = Schedule::resolve(&mamba(6), &setting(spec), n);
        steps.into_iter().map(|(_, kept)| kept).collect::<Vec<usize>>()
    };
    assert_eq!(lengths(150)[..3], [100, 50, 25]);
    // Nothing goes where less enters than may stay; a layer removes half at most.
    assert_eq!(lengths(90)[0], 50);
    assert_eq!(lengths(1000), [500, 250, 125, 63]);
    assert!(check(&mamba(6), &setting(&format!("{spec},cut=0.6"))).is_ok(), "the cut is not asked");
}
