//! One run: baseline and compressed on the same text and items, each figure shown as it comes.

use super::engine::{Engine, short_hash};
use super::help::{Ask, Asked};
use super::insight::ItemView;
use super::item_views::item_views;
use super::open::{CalibrationText, Loaded};
use super::protocol::{PublishedView, RunView, Side};
pub use super::running::Show;
use super::running::{Running, SHOW_MS};
use super::spec::RunSpec;
use super::states::states_of;
use super::words::{self, Written};
use super::{calibration, controls, point, trace};
use crate::eval::calibration::Cut;
use crate::eval::items::{self, ItemResult};
use crate::eval::published::{WARNING, is_wanted};
use crate::eval::sweep::counted;
use crate::eval::{
    Arm, Comparison, Placed, Point, PrunedModel, Sampling, Sheet, Source, Speed, Task, Timed, cost,
    files, generate, shuffled, speed,
};
use crate::method::Setting;
use crate::pace::{Pace, now_ms};
use crate::{Error, Result, prune, reduce};
use std::cell::RefCell;

/// Longest prompt that is used; the beginning of a longer one is left out.
const MAX_PROMPT_TOKENS: usize = 2048;
/// Least tokens of the text whose prefill is timed.
pub(super) const SPEED_PROMPT: usize = 512;
const SPEED_DECODE: usize = 16;
/// A larger model gets fewer rounds.
const SPEED_BUDGET_MS: f64 = 20_000.0;
/// Runs everything a spec asks for; gives it as it is shown, and as a point.
///
/// Errors: cancelled, bad files, a method that cannot run on the model, a GPU failure.
pub async fn run(
    engine: &mut Engine,
    spec: &RunSpec,
    number: u64,
    pace: &Pace,
    show: &mut Show<'_>,
) -> Result<(RunView, Point)> {
    let (view, details) = run_with_items(engine, spec, number, pace, show).await?;
    Ok((view, details.point))
}

/// What a run knows beside its view.
pub struct Details {
    /// The run as a point of the chart.
    pub point: Point,
    /// What became of every item.
    pub items: Vec<ItemResult>,
    /// The same for people to read.
    pub read: Vec<ItemView>,
    /// What was left out of the user's own data, and why.
    pub problems: Vec<String>,
    /// A word of caution where something read is longer than what the model was trained on.
    pub caution: Option<String>,
}

/// The same, with what became of every item.
pub async fn run_with_items(
    engine: &mut Engine,
    spec: &RunSpec,
    number: u64,
    pace: &Pace,
    show: &mut Show<'_>,
) -> Result<(RunView, Details)> {
    let mut run = Running::new(show);
    run.view.number = number;
    let start = now_ms();
    run.say("Loading model", None);
    let loaded = engine.model(&spec.model).await?;
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
    let placed = Placed::new(&device, &loaded.config, &weights, &loaded.tokenizer, dense).at(pace);
    let baseline = placed.arm(None);
    let known = engine.cache.known.sheet(spec);
    let baseline_known = known.as_ref().is_some_and(Sheet::is_complete);
    let prompt = prompt_ids(spec, &loaded)?;

    let first = match engine.cache.known.text(spec) {
        Some((side, ids)) => {
            put(&mut run, side, false);
            ids
        }
        None => {
            run.say("Writing baseline text", None);
            let ids = write(&mut run, &baseline, &prompt, spec, &loaded, pace, false).await?;
            engine.cache.known.keep_text(spec, &run.view.baseline, &ids);
            ids
        }
    };
    run.view.first_number_ms = Some(now_ms() - start);
    let mut hear = |share| run.say_often("Computing the SHA-256 of the weights", Some(share));
    let sha256 = loaded.hash(pace, &mut hear).await?;
    run.view.link = spec.fragment(sha256);

    // Read before others are asked for help, so that it is handed to them with the rest.
    if let (Some(_), CalibrationText::Bundled(file)) = (&spec.pruning, &loaded.calibration) {
        engine.data(file).await?;
    }
    let ask = Ask { spec, fragment: run.view.link.clone(), baseline: !baseline_known, items: 0 };
    let asked = engine.help.ask(number, &device, ask);
    let pruned = pruned_model(engine, spec, &loaded, &placed, pace, &mut run).await?;
    let reduction = spec.reduction.as_ref();
    let compressed = placed.compressed(&pruned, reduction);
    let (config, parameters) = (&loaded.config, loaded.parameters);
    let tokens = prompt.len().max(SPEED_PROMPT);
    // Refuses a reduction after layers that pruning has taken.
    run.view.cost = Some(cost::on_paper(config, parameters, &pruned, reduction, tokens)?);
    run.say("Writing compressed text", None);
    let second = write(&mut run, &compressed, &prompt, spec, &loaded, pace, true).await?;

    let mut comparison = Comparison::new(&task, [&baseline, &compressed], known);
    let scored = score(&mut run, &mut comparison, spec.seed, &asked, pace).await;
    // Nobody else computes while speed is measured.
    drop(asked);
    // What a run that was broken off has scored of the baseline is known to the next one.
    engine.cache.known.keep_sheet(spec, &comparison.sheets[0]);
    scored?;
    run.say("Timing both in turns", None);
    let text = speed_text(engine, &loaded, &prompt).await?;
    let timed = Timed { prompt: &text, decode_tokens: SPEED_DECODE, budget_ms: SPEED_BUDGET_MS };
    let mut each = |so_far: &Speed, done: f64| {
        run.view.speed = Some(so_far.clone());
        let rounds = so_far.prefill_ratio.n;
        run.say(&format!("Timing both in turns, {rounds} rounds so far"), Some(done));
    };
    let measured = speed([&baseline, &compressed], &timed, pace, &mut each).await?;
    let decode = run.view.cost.as_mut().and_then(|cost| cost.decode.as_mut());
    decode.into_iter().for_each(|d| d.judge(&measured));
    run.view.speed = Some(measured);
    let layers = match reduction {
        Some(setting) => compressed.trace(setting, &prompt).await?,
        None => Vec::new(),
    };
    run.view.trace = trace::view(&prompt, &layers, &loaded.tokenizer);
    let written = Written { prompt: &prompt, by: [&first, &second], layers: &layers };
    let words = words::view([&baseline, &compressed], &written, &loaded.tokenizer, pace).await?;
    run.view.words = Some(words);
    let known = &mut engine.cache.known;
    run.view.states = states_of(&baseline, &compressed, (spec, &prompt), known, pace).await?;
    if let Some(setting) = reduction {
        published(&mut run, &comparison, &spec.evaluation, pace).await?;
        let call = |control: &Setting, items| {
            let spec = &RunSpec { reduction: Some(control.clone()), ..spec.clone() };
            let fragment = spec.fragment(sha256);
            engine.help.ask(number, &device, Ask { spec, fragment, baseline: false, items })
        };
        controls::score(&mut run, &comparison, setting, &spec.evaluation, &call, pace).await?;
    }
    run.view.finished = true;
    run.say("Run complete", Some(1.0));
    let counted = counted(&placed, &task, &pruned, reduction, loaded.bytes())?;
    let point = point::of(spec, &loaded, &run.view, counted, now_ms() - start);
    let items = items::results(&comparison, &loaded.tokenizer);
    let read = item_views(&comparison, &loaded.tokenizer);
    // One that cannot be read at all has ended the run by now.
    let caution = loaded.config.check_length(longest(&task, prompt.len() + spec.tokens));
    let caution = caution.ok().flatten();
    Ok((run.view, Details { point, items, read, problems: task.problems.clone(), caution }))
}

/// Tokens of the longest sequence that a run reads: a context, or the text with its prompt.
fn longest(task: &Task, text: usize) -> usize {
    (0..task.len()).map(|i| task.item(i).context().len()).max().unwrap_or(0).max(text)
}

pub(super) async fn build_task(engine: &Engine, spec: &RunSpec, loaded: &Loaded) -> Result<Task> {
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
        config: &loaded.config,
        problems: RefCell::default(),
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
) -> Result<Vec<u32>> {
    let context = arm.read_in_steps(prompt).await?;
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
    Ok(ids)
}

fn get<'a>(run: &'a Running<'_, '_>, is_compressed: bool) -> &'a Side {
    if is_compressed { &run.view.compressed } else { &run.view.baseline }
}

fn put(run: &mut Running<'_, '_>, side: Side, is_compressed: bool) {
    if is_compressed {
        run.view.compressed = side;
        let at = words::first_difference(&run.view.baseline, &run.view.compressed);
        run.view.compressed.differs_at = at;
        run.view.baseline.differs_at = at;
    } else {
        run.view.baseline = side;
    }
}

/// The pruned model that the spec asks for, from the run before where nothing of it has changed.
pub(super) async fn pruned_model(
    engine: &mut Engine,
    spec: &RunSpec,
    loaded: &Loaded,
    placed: &Placed<'_>,
    pace: &Pace,
    run: &mut Running<'_, '_>,
) -> Result<PrunedModel> {
    let Some(setting) = &spec.pruning else { return Ok(placed.unpruned()) };
    let calibration = loaded.calibration.name();
    let key = short_hash(&format!("{setting} {} {calibration}", spec.seed));
    if let Some((found, pruned)) = &engine.cache.pruned
        && *found == key
    {
        return Ok(pruned.clone());
    }
    run.say("Reading calibration text", None);
    let wanted = format!("{} {calibration}", setting.number("sequences"));
    let sequences = match engine.cache.sequences.take() {
        Some((found, sequences)) if found == wanted => sequences,
        _ => calibration::sequences(engine, loaded, setting).await?,
    };
    let mut progress = |done: usize, all: usize| {
        run.say_often(&format!("Pruning matrix {done} of {all}"), Some(done as f64 / all as f64));
    };
    let kept = &mut engine.cache.calibration;
    let pruned = placed.pruned(setting, &sequences, kept, pace, &mut progress).await?;
    engine.cache.sequences = Some((wanted, sequences));
    engine.cache.pruned = Some((key, pruned.clone()));
    Ok(pruned)
}

/// Scores the items in a seeded order, so that the figures are fair ones while they grow.
async fn score<'a>(
    run: &mut Running<'_, '_>,
    comparison: &mut Comparison<'a>,
    seed: u64,
    asked: &Asked,
    pace: &Pace,
) -> Result<()> {
    let all = comparison.task.len();
    let order = shuffled(all, all, seed);
    let mut hear = |comparison: &Comparison<'a>, item: usize| {
        // The first at once: it is what a person waits for.
        let due = run.view.quality.is_empty() || now_ms() - run.last >= SHOW_MS * 4.0;
        if due || order.last() == Some(&item) {
            let done = comparison.scored().len();
            run.view.quality = comparison.figures();
            let share = done as f64 / all as f64;
            run.say(&format!("Scored {done} of {all} items"), Some(share));
        }
    };
    comparison.share(&order, &[0, 1], pace, &mut || asked.take(), &mut hear).await
}

/// Scores the items again as the released code does, where the evaluation asks for it.
async fn published(
    run: &mut Running<'_, '_>,
    comparison: &Comparison<'_>,
    evaluation: &Setting,
    pace: &Pace,
) -> Result<()> {
    if !is_wanted(evaluation) {
        return Ok(());
    }
    let mut hear = |done: usize, all: usize| {
        let share = done as f64 / all as f64;
        run.say_often(&format!("Scored {done} of {all} items as published"), Some(share));
    };
    let found = comparison.as_published(pace, &mut hear).await?;
    let (in_step, quality) = (found.in_step, found.quality);
    run.view.published = Some(PublishedView { warning: WARNING, in_step, quality });
    Ok(())
}

/// The prompt, or, where it is short, held-out text of 512 tokens.
pub(super) async fn speed_text(
    engine: &Engine,
    loaded: &Loaded,
    prompt: &[u32],
) -> Result<Vec<u32>> {
    if prompt.len() >= SPEED_PROMPT {
        return Ok(prompt.to_vec());
    }
    if matches!(&loaded.calibration, CalibrationText::Bundled(f) if calibration::cut(f) == Cut::Lines)
    {
        // Their vocabulary has no prose: the prompt again and again.
        return Ok(prompt.iter().copied().cycle().take(SPEED_PROMPT).collect());
    }
    let bytes = engine.data("calibration.txt").await?;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(16 * SPEED_PROMPT)]);
    let mut ids = loaded.encode(&text)?;
    ids.truncate(SPEED_PROMPT);
    Ok(ids)
}
