//! One run: baseline and compressed on the same text and items, each figure shown as it comes.

use super::beside::{self, Scored};
use super::engine::{Engine, PrunedModel, short_hash};
use super::open::{CalibrationText, Loaded};
use super::protocol::{Cost, RunView, Side, State, Status};
use super::spec::RunSpec;
use super::{calibration, decode, trace};
use crate::backend::Device;
use crate::config::ModelConfig;
use crate::eval::{Arm, Sampling, Source, Task, files, filler, generate, no_context, speed};
use crate::models::{Model, Weights, flops};
use crate::pace::{Pace, now_ms};
use crate::{Error, Result, prune, reduce};
use std::rc::Rc;

/// Longest prompt that is used; the beginning of a longer one is left out.
const MAX_PROMPT_TOKENS: usize = 2048;
/// Least tokens of the text whose prefill is timed.
const SPEED_PROMPT: usize = 512;
const SPEED_DECODE: usize = 16;
/// Pause between two pictures of a run.
const SHOW_MS: f64 = 60.0;

/// Hears about progress.
pub type Show<'a> = dyn FnMut(&RunView, Status) + 'a;

/// Runs everything a spec asks for.
///
/// Errors: cancelled, bad files, a method that cannot run on the model, a GPU failure.
pub async fn run(
    engine: &mut Engine,
    spec: &RunSpec,
    number: u64,
    pace: &Pace,
    show: &mut Show<'_>,
) -> Result<RunView> {
    let mut run = Running { view: RunView { number, ..RunView::default() }, show, last: 0.0 };
    let start = now_ms();
    run.say("Loading model", None);
    let loaded = engine.model(&spec.model).await?;
    run.view.link = spec.fragment(&loaded.view.sha256);
    // Before anything counts layers by them.
    if let Some(setting) = &spec.reduction {
        reduce::check(&loaded.config, setting)?;
    }
    if let Some(setting) = &spec.pruning {
        prune::check(&loaded.config, setting)?;
    }
    let task = build_task(engine, spec, &loaded).await?;
    let chosen = engine.device(spec.backend, &loaded).await?;
    let device = chosen.device;
    run.view.backend = device.label();
    let (dense, weights) = engine.baseline(&device, &loaded)?;
    let marks = filler(&loaded.tokenizer);
    let baseline = Arm {
        device: &device,
        config: &loaded.config,
        model: &dense,
        reduction: None,
        filler: marks.as_deref(),
    };
    let prompt = prompt_ids(spec, &loaded)?;

    run.say("Writing baseline text", None);
    write(&mut run, &baseline, &prompt, spec, &loaded, pace, false).await?;
    run.view.first_number_ms = Some(now_ms() - start);

    let pruned =
        pruned_model(engine, spec, &loaded, &device, &dense, &weights, pace, &mut run).await?;
    let reduction = spec.reduction.as_ref();
    let compressed = Arm { model: &pruned.model, config: &pruned.config, reduction, ..baseline };
    // Refuses a reduction after layers that pruning has taken.
    run.view.cost = Some(cost(spec, &loaded, &pruned, prompt.len())?);
    run.say("Writing compressed text", None);
    write(&mut run, &compressed, &prompt, spec, &loaded, pace, true).await?;

    let scored = score(&mut run, [&baseline, &compressed], &task, pace).await?;
    run.say("Timing both in turns", None);
    let text = speed_text(engine, &loaded, &prompt).await?;
    let measured = speed([&baseline, &compressed], &text, SPEED_DECODE, pace).await?;
    let decode = run.view.cost.as_mut().and_then(|cost| cost.decode.as_mut());
    decode.into_iter().for_each(|d| decode::judge(d, &measured));
    run.view.speed = Some(measured);
    if let Some(setting) = reduction {
        let layers = compressed.trace(setting, &prompt).await?;
        run.view.trace = trace::view(&prompt, &layers, &loaded.tokenizer);
        let honest = beside::Honest { task: &task, scored: &scored, arm: &compressed, setting };
        beside::published(&mut run, &honest, &spec.evaluation, pace).await?;
        beside::controls(&mut run, &honest, &spec.evaluation, pace).await?;
    }
    run.view.finished = true;
    run.say("Run complete", Some(1.0));
    Ok(run.view)
}

/// A run that is on, and the one who hears of it.
pub(super) struct Running<'a, 'b> {
    pub view: RunView,
    show: &'a mut Show<'b>,
    last: f64,
}

impl Running<'_, '_> {
    pub fn say(&mut self, text: &str, progress: Option<f64>) {
        self.last = now_ms();
        let running = !self.view.finished;
        let state = if running { State::Running } else { State::Complete };
        let status = Status { state, running, text: text.into(), progress };
        (self.show)(&self.view, status);
    }

    /// Says it unless the last picture is too young.
    pub fn say_often(&mut self, text: &str, progress: Option<f64>) {
        if now_ms() - self.last >= SHOW_MS {
            self.say(text, progress);
        }
    }
}

async fn build_task(engine: &Engine, spec: &RunSpec, loaded: &Loaded) -> Result<Task> {
    let mut contents = Vec::new();
    for file in files(&spec.evaluation) {
        let bytes = engine.data(&file).await?;
        contents.push((file, bytes));
    }
    Task::build(&Source {
        setting: &spec.evaluation,
        files: &contents,
        seed: spec.seed,
        tokenizer: &loaded.tokenizer,
    })
}

fn prompt_ids(spec: &RunSpec, loaded: &Loaded) -> Result<Vec<u32>> {
    let mut ids = loaded.encode_whole(&spec.prompt)?;
    if ids.is_empty() {
        ids.extend(loaded.config.bos_token_id());
    }
    match ids.len() {
        0 => Err(Error::input("prompt", "no text", "at least one token")),
        n => Ok(ids.split_off(n.saturating_sub(MAX_PROMPT_TOKENS))),
    }
}

/// Continues the prompt with one arm.
async fn write(
    run: &mut Running<'_, '_>,
    arm: &Arm<'_>,
    prompt: &[u32],
    spec: &RunSpec,
    loaded: &Loaded,
    pace: &Pace,
    is_compressed: bool,
) -> Result<()> {
    let context = arm.read(prompt)?;
    let sampling = Sampling { temperature: spec.temperature, seed: spec.seed };
    let mut ids = Vec::new();
    let mut each = |id: u32| {
        ids.push(id);
        let text = loaded.tokenizer.decode_whole(&ids);
        let side = Side { text, tokens: ids.len(), differs_at: None, done: false };
        put(run, side, is_compressed);
        run.say_often("Writing text", None);
    };
    generate(arm, context, spec.tokens, sampling, pace, &mut each).await?;
    // What ends inside a character is shown as such at the end, and nothing is left out.
    let text = loaded.tokenizer.decode(&ids);
    let side = Side { text, done: true, ..get(run, is_compressed).clone() };
    put(run, side, is_compressed);
    Ok(())
}

fn get<'a>(run: &'a Running<'_, '_>, is_compressed: bool) -> &'a Side {
    if is_compressed { &run.view.compressed } else { &run.view.baseline }
}

fn put(run: &mut Running<'_, '_>, side: Side, is_compressed: bool) {
    if is_compressed {
        run.view.compressed = side;
        let at = first_difference(&run.view.baseline, &run.view.compressed);
        run.view.compressed.differs_at = at;
        run.view.baseline.differs_at = at;
    } else {
        run.view.baseline = side;
    }
}

/// Characters that agree, where the texts part within what the shorter one says so far.
fn first_difference(a: &Side, b: &Side) -> Option<usize> {
    let (mut x, mut y) = (a.text.chars(), b.text.chars());
    let mut count = 0;
    loop {
        match (x.next(), y.next()) {
            (Some(p), Some(q)) if p == q => count += 1,
            (Some(_), Some(_)) => return Some(count),
            // One is a beginning of the other: they part only if the shorter one has ended.
            (Some(_), None) if b.done => return Some(count),
            (None, Some(_)) if a.done => return Some(count),
            _ => return None,
        }
    }
}

#[allow(clippy::too_many_arguments)] // the parts of one run; a struct of them would be used once
async fn pruned_model(
    engine: &mut Engine,
    spec: &RunSpec,
    loaded: &Loaded,
    device: &Device,
    dense: &Rc<Model>,
    weights: &Rc<Weights>,
    pace: &Pace,
    run: &mut Running<'_, '_>,
) -> Result<PrunedModel> {
    let Some(setting) = &spec.pruning else {
        let config = Rc::new(loaded.config.clone());
        return Ok(PrunedModel { model: dense.clone(), config, report: Vec::new(), decode: None });
    };
    let calibration = loaded.calibration.name();
    let key = short_hash(&format!("{setting} {} {calibration}", spec.seed));
    if let Some((found, pruned)) = &engine.cache.pruned
        && *found == key
    {
        return Ok(pruned.clone());
    }
    run.say("Reading calibration text", None);
    let sequences = calibration::sequences(engine, loaded, setting).await?;
    let mut progress = |done: usize, all: usize| {
        run.say_often(&format!("Pruning matrix {done} of {all}"), Some(done as f64 / all as f64));
    };
    let subject = prune::Subject { device, config: &loaded.config, weights, dense };
    let kept = &mut engine.cache.calibration;
    let pruned = prune::prune(&subject, &sequences, setting, kept, pace, &mut progress).await?;
    let execution = decode::execution(setting);
    let dense = weights;
    let mut weights = dense.with_edits(pruned.edits).executed(execution);
    let mut config = loaded.config.clone();
    let is_smaller = pruned.smaller.is_some();
    if let Some(smaller) = pruned.smaller {
        weights = weights.with_layers(&smaller.layers);
        config = smaller.config;
    }
    let model = Rc::new(Model::load(device, &config, &weights)?);
    let sides = [(&loaded.config, &**dense), (&config, &weights)];
    let mut decode = decode::count(sides, &model, pruned.report.len(), execution, is_smaller);
    if let Some(warning) = pruned.warning {
        decode.text = format!("{warning} {}", decode.text);
    }
    let (config, report, decode) = (Rc::new(config), pruned.report, Some(decode));
    let pruned = PrunedModel { model, config, report, decode };
    engine.cache.pruned = Some((key, pruned.clone()));
    Ok(pruned)
}

fn cost(spec: &RunSpec, loaded: &Loaded, pruned: &PrunedModel, prompt: usize) -> Result<Cost> {
    let n = prompt.max(SPEED_PROMPT);
    let saved = spec.reduction.as_ref().map(|s| reduce::savings(&pruned.config, s, n));
    let saved = saved.transpose()?;
    let matrices = pruned.report.clone();
    // Of the pruned model by the reduction, and of the dense one by both.
    let both = |by_reduction: f64, heads: f64| {
        let [left, all] = [&*pruned.config, &loaded.config].map(|c| prefill(c, n, heads));
        1.0 - (1.0 - by_reduction) * left / all
    };
    Ok(Cost {
        flops_saved_layers: both(saved.as_ref().map_or(0.0, |s| s.layers), 0.0),
        flops_saved_total: both(saved.as_ref().map_or(0.0, |s| s.total), 1.0),
        lengths: saved.map_or_else(|| vec![n; pruned.config.n_layer()], |s| s.lengths),
        sparsity: prune::sparsity(&matrices),
        sparsity_of_model: prune::zeros(&matrices).0 / loaded.view.parameters.max(1) as f64,
        decode: pruned.decode.clone(),
        matrices,
    })
}

/// FLOPs of reading `n` tokens, with the head of so many.
fn prefill(config: &ModelConfig, n: usize, heads: f64) -> f64 {
    let f = flops(config);
    f.layer(n) * config.n_layer() as f64 + heads * f.head_per_token
}

async fn score(
    run: &mut Running<'_, '_>,
    arms: [&Arm<'_>; 2],
    task: &Task,
    pace: &Pace,
) -> Result<Scored> {
    let none = [no_context(arms[0])?, no_context(arms[1])?];
    let is_pruned = !std::ptr::eq(arms[0].model, arms[1].model);
    let mut scored = Scored::default();
    for i in 0..task.len() {
        let mut prior = task.item(i).prior(arms[0], &none[0]).await?;
        scored.baseline.push(task.item(i).score(arms[0], &prior).await?);
        pace.breathe().await?;
        if is_pruned {
            prior = task.item(i).prior(arms[1], &none[1]).await?;
        }
        scored.compressed.push(task.item(i).score(arms[1], &prior).await?);
        scored.priors.push(prior);
        pace.breathe().await?;
        let due = now_ms() - run.last >= SHOW_MS * 4.0;
        if due || i + 1 == task.len() {
            run.view.quality = task.figures(&scored.baseline, &scored.compressed);
            let done = (i + 1) as f64 / task.len() as f64;
            run.say(&format!("Scored {} of {} items", i + 1, task.len()), Some(done));
        }
    }
    Ok(scored)
}

/// The prompt, or, where it is short, held-out text of 512 tokens.
async fn speed_text(engine: &Engine, loaded: &Loaded, prompt: &[u32]) -> Result<Vec<u32>> {
    if prompt.len() >= SPEED_PROMPT {
        return Ok(prompt.to_vec());
    }
    if matches!(&loaded.calibration, CalibrationText::Bundled(f) if calibration::is_lines(f)) {
        // Their vocabulary has no prose: the prompt again and again.
        return Ok(prompt.iter().copied().cycle().take(SPEED_PROMPT).collect());
    }
    let bytes = engine.data("calibration.txt").await?;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(16 * SPEED_PROMPT)]);
    let mut ids = loaded.encode(&text)?;
    ids.truncate(SPEED_PROMPT);
    Ok(ids)
}
