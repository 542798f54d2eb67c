//! Whole models: reading a prompt, decoding, token reduction against what its FLOPs promise, packed weights end to end.

use super::record::{Bench, median, round};
use super::shapes::{Shape, shapes};
use serde_json::json;
use std::time::Instant;
use whittle::arithmetic::{self, Arithmetic};
use whittle::backend::Device;
use whittle::config::ModelConfig;
use whittle::eval::{Arm, Sampling, generate};
use whittle::method::Setting;
use whittle::models::{Edit, Edits, Execution, Model, Weights, flops, linears};
use whittle::pace::Pace;
use whittle::reduce::{abouts, check, savings};
use whittle::{Result, Rng};

/// Shares of the layers' FLOPs that are cut.
const CUTS: [f64; 3] = [0.2, 0.3, 0.4];

pub fn measure(bench: &Bench) {
    for shape in shapes(bench.quick) {
        if bench.is_late(0.85, shape.name) {
            continue;
        }
        if let Err(problem) = one(bench, &shape) {
            bench.line(json!({ "part": "failed", "what": shape.name, "why": problem.to_string() }));
        }
    }
}

fn one(bench: &Bench, shape: &Shape) -> Result<()> {
    let config = shape.parse();
    let start = Instant::now();
    let weights = shape.weights();
    let made = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let model = Model::load(&bench.device, &config, &weights)?;
    pollster::block_on(bench.device.finish())?;
    let loaded = start.elapsed().as_secs_f64();
    bench.line(json!({
        "part": "load", "model": shape.name, "made_s": round(made), "to_gpu_s": round(loaded),
    }));
    let pace = &Pace::default();
    let arm = arm(&bench.device, &config, &model, None, pace);
    let lengths = if bench.quick { [24, 40] } else { [512, 2048] };
    let with_f16 = [Arithmetic::F32, Arithmetic::F16];
    for under in &with_f16[..1 + usize::from(bench.gpu().has_f16())] {
        arithmetic::set(*under)?;
        let read = lengths.iter().try_for_each(|&tokens| prefill(bench, shape, &arm, tokens));
        arithmetic::set(Arithmetic::F32)?;
        read?;
    }
    decode(bench, shape, &arm, lengths[0], "dense")?;
    if bench.is_late(0.7, "token reduction") {
        return Ok(());
    }
    reduction(bench, shape, &arm, lengths[1])?;
    // Edits are f32 copies of all weights: of a small model.
    if config.d_model() <= 1024 && !bench.is_late(0.8, "packed weights end to end") {
        packed(bench, shape, &config, &weights, lengths[0])?;
    }
    Ok(())
}

fn arm<'a>(
    device: &'a Device,
    config: &'a ModelConfig,
    model: &'a Model,
    reduction: Option<&'a Setting>,
    pace: &'a Pace,
) -> Arm<'a> {
    Arm { device, config, model, reduction, filler: None, pace }
}

fn ids(config: &ModelConfig, n: usize) -> Vec<u32> {
    let mut rng = Rng::new(3);
    (0..n).map(|_| rng.below(config.vocab_size()) as u32).collect()
}

/// Milliseconds until the logits of the next token are there.
fn read_ms(arm: &Arm<'_>, ids: &[u32]) -> Result<f64> {
    let start = Instant::now();
    let context = arm.read(ids)?;
    pollster::block_on(arm.device.read(&arm.next_logits(&context)))?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn prefill(bench: &Bench, shape: &Shape, arm: &Arm<'_>, tokens: usize) -> Result<()> {
    let ids = ids(arm.config, tokens);
    let first = read_ms(arm, &ids)?;
    let runs = if bench.quick { 1 } else { 7 };
    let ms = median((0..runs).map(|_| read_ms(arm, &ids)).collect::<Result<_>>()?);
    let before = bench.gpu().dispatches();
    let context = arm.read(&ids)?;
    let launches = bench.gpu().dispatches() - before;
    drop(context);
    pollster::block_on(bench.device.finish())?;
    let gpu_ms = bench.device_ms(&mut || drop(arm.read(&ids)));
    let f = flops(arm.config);
    let total = f.dense(tokens) + f.head_per_token;
    bench.line(json!({
        "part": "prefill", "model": shape.name, "tokens": tokens, "first_ms": round(first),
        "arithmetic": arithmetic::current().id(),
        "ms": round(ms), "gpu_ms": round(gpu_ms), "launches": launches,
        "tokens_per_s": round(tokens as f64 / ms * 1e3), "tflop_per_s": round(total / ms / 1e9),
    }));
    Ok(())
}

fn decode(bench: &Bench, shape: &Shape, arm: &Arm<'_>, past: usize, form: &str) -> Result<()> {
    let tokens = if bench.quick { 3 } else { 64 };
    let prompt = ids(arm.config, past);
    let run = || {
        let context = arm.read(&prompt)?;
        pollster::block_on(arm.device.finish())?;
        let before = bench.gpu().dispatches();
        let start = Instant::now();
        let sampling = Sampling { temperature: 0.0, seed: 1 };
        let pace = Pace::default();
        pollster::block_on(generate(arm, context, tokens, sampling, &pace, &mut |_| ()))?;
        let ms = start.elapsed().as_secs_f64() * 1e3 / tokens as f64;
        Ok((ms, (bench.gpu().dispatches() - before) as f64 / tokens as f64))
    };
    let (first_ms, _) = run()?;
    let runs = if bench.quick { 1 } else { 3 };
    let found = (0..runs).map(|_| run()).collect::<Result<Vec<_>>>()?;
    let ms = median(found.iter().map(|(ms, _)| *ms).collect());
    // The work of one token by the GPU's clock: the rest is recording, waiting and reading back.
    let context = arm.read(&prompt)?;
    pollster::block_on(arm.device.finish())?;
    let gpu_ms = bench.device_ms(&mut || {
        let mut fork = context.clone();
        if arm.extend(&mut fork, &prompt[..1]).is_ok() {
            drop(arm.next_logits(&fork));
        }
    });
    bench.line(json!({
        "part": "decode", "model": shape.name, "form": form, "past": past, "ms": round(ms),
        "first_ms": round(first_ms), "gpu_ms": round(gpu_ms), "launches": round(found[0].1),
        "tokens_per_s": round(1e3 / ms),
    }));
    Ok(())
}

fn reduction(bench: &Bench, shape: &Shape, dense: &Arm<'_>, tokens: usize) -> Result<()> {
    let ids = ids(dense.config, tokens);
    for cut in CUTS {
        let Some(setting) = Setting::parse(&format!("utrc:cut={cut}"), &abouts())? else {
            continue;
        };
        if check(dense.config, &setting).is_err() {
            continue;
        }
        let reduced = arm(dense.device, dense.config, dense.model, Some(&setting), dense.pace);
        read_ms(&reduced, &ids)?;
        let rounds = if bench.quick { 1 } else { 7 };
        let round_of = |_| Ok(read_ms(dense, &ids)? / read_ms(&reduced, &ids)?);
        let ratio = median((0..rounds).map(round_of).collect::<Result<_>>()?);
        let ideal = 1.0 / (1.0 - savings(dense.config, &setting, tokens)?.total);
        bench.line(json!({
            "part": "reduction", "model": shape.name, "tokens": tokens, "cut": cut,
            "times_as_fast": round(ratio), "ideal": round(ideal), "of_ideal": round(ratio / ideal),
        }));
    }
    Ok(())
}

/// Two of every four weights gone, the smaller ones.
fn two_of_four(config: &ModelConfig, weights: &Weights) -> Result<Edits> {
    let mut edits = Edits::new();
    for linear in linears(config).into_iter().filter(|linear| linear.by_default) {
        let shape = vec![linear.rows, linear.cols];
        let mut values = weights.values(&linear.name, &shape)?;
        for four in values.chunks_exact_mut(4) {
            let size = |i: usize, four: &[f32]| (four[i].abs(), i);
            for _ in 0..2 {
                let left = (0..4).filter(|&i| four[i] != 0.0);
                let least =
                    left.min_by(|&a, &b| size(a, four).partial_cmp(&size(b, four)).unwrap());
                if let Some(least) = least {
                    four[least] = 0.0;
                }
            }
        }
        edits.insert(linear.name, Edit { shape, values, blocks: None });
    }
    Ok(edits)
}

fn packed(
    bench: &Bench,
    shape: &Shape,
    config: &ModelConfig,
    weights: &Weights,
    past: usize,
) -> Result<()> {
    let pruned = weights.with_edits(two_of_four(config, weights)?).executed(Execution::Packed);
    let model = Model::load(&bench.device, config, &pruned)?;
    decode(
        bench,
        shape,
        &arm(&bench.device, config, &model, None, &Pace::default()),
        past,
        "2:4 packed",
    )
}
