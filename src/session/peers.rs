//! What else could be had for the same: peers of a compressed model at the bytes that it reads for a token, peers of a
//! reduction at the FLOPs that it takes to read the context, each scored on the same items and set against it, paired.
//! And what the calibration text does: the same pruning with the statistics of others.
//!
//! Half precision with 2:4, int8 and int4 have the bytes that they have, and the table says them; a structured pruning is
//! made with the share that comes nearest. Reductions share the schedule, so their lengths are equal to the token.

use super::calibration;
use super::engine::Engine;
pub use super::insight::{Peer, Peers};
use super::open::{CalibrationText, Loaded};
use super::run::{build_task, speed_text};
use super::spec::RunSpec;
use crate::config::ModelConfig;
use crate::eval::sweep::counted;
use crate::eval::{Placed, PointCost, PrunedModel, Quality, Score, Sheet, Task, Timed, speed};
use crate::method::Setting;
use crate::models::linears;
use crate::pace::Pace;
use crate::prune::{self, Calibration};
use crate::reduce::{self, Place};
use crate::{Error, Result};

/// Tokens decoded, and time, where a peer is timed.
const DECODE: usize = 16;
const BUDGET_MS: f64 = 4000.0;

/// Settings of a peer.
struct Candidate {
    label: String,
    reduction: Option<Setting>,
    pruning: Option<Setting>,
    /// In place of the model's calibration text.
    text: Option<CalibrationText>,
}

/// One side with what it scored.
struct Side {
    pruned: PrunedModel,
    reduction: Option<Setting>,
    pruning: Option<Setting>,
    scores: Vec<Score>,
    cost: PointCost,
}

/// What is shared by all sides.
struct Bench<'a> {
    placed: Placed<'a>,
    task: Task,
    /// What the dense model says of every item without its context.
    priors: Sheet,
    kept: Option<Calibration>,
    file_bytes: u64,
}

/// Hears what is found so far, and what is being done.
pub type Hear<'a> = dyn FnMut(&Peers, &str) + 'a;

/// Measures the peers of what a spec compresses. `hear` is told what is found and what is being done.
///
/// Errors: the spec compresses nothing; cancelled; as in a run.
pub async fn peers(
    engine: &mut Engine,
    spec: &RunSpec,
    pace: &Pace,
    hear: &mut Hear<'_>,
) -> Result<Peers> {
    if spec.pruning.is_none() && spec.reduction.is_none() {
        let expected = "a pruning or a token reduction whose peers are wanted";
        return Err(Error::input("peers", "nothing compressed", expected));
    }
    let loaded = engine.model(&spec.model).await?;
    let device = engine.device(spec.backend, &loaded).await?.device;
    let (dense, weights) = engine.baseline(&device, &loaded)?;
    let placed = Placed::new(&device, &loaded.config, &weights, &loaded.tokenizer, dense).at(pace);
    let mut bench = Bench::of(engine, spec, &loaded, placed, pace).await?;
    let mut found = Peers::default();
    hear(&found, "Scoring this run");
    let own = bench.side(engine, &loaded, Candidate::of(spec), pace).await?;
    let text = speed_text(engine, &loaded, &loaded.encode_whole(&spec.prompt)?).await?;
    found.cost = own.cost;
    for candidate in candidates(&bench.placed, spec, &own)? {
        hear(&found, &format!("Peer: {}", candidate.label));
        let label = candidate.label.clone();
        let side = bench.side(engine, &loaded, candidate, pace).await?;
        found.peers.push(bench.against(label, &own, side, &text, pace).await?);
    }
    hear(&found, "Measured");
    Ok(found)
}

/// The pruning of a spec with the statistics of other texts, (name, text): of each the quality, where `baseline` is the
/// pruning with the model's own text, `compressed` that with the other, `change` the other less the own, paired.
///
/// Errors: a text is too short; cancelled; as in a run.
pub async fn other_texts(
    engine: &mut Engine,
    spec: &RunSpec,
    texts: Vec<(String, String)>,
    pace: &Pace,
    hear: &mut dyn FnMut(&str),
) -> Result<Vec<(String, Vec<Quality>)>> {
    let loaded = engine.model(&spec.model).await?;
    let device = engine.device(spec.backend, &loaded).await?.device;
    let (dense, weights) = engine.baseline(&device, &loaded)?;
    let placed = Placed::new(&device, &loaded.config, &weights, &loaded.tokenizer, dense).at(pace);
    let mut bench = Bench::of(engine, spec, &loaded, placed, pace).await?;
    hear("Scoring the pruning with the text of the model");
    let own = bench.side(engine, &loaded, Candidate::of(spec), pace).await?;
    let mut found = Vec::new();
    for (name, text) in texts {
        hear(&format!("Calibrating on {name}"));
        let text = Some(CalibrationText::Own(text));
        let other = Candidate { text, ..Candidate::of(spec) };
        let side = bench.side(engine, &loaded, other, pace).await?;
        found.push((name, bench.task.difference(&own.scores, &side.scores)));
    }
    Ok(found)
}

impl Candidate {
    /// What a spec compresses.
    fn of(spec: &RunSpec) -> Candidate {
        let (reduction, pruning) = (spec.reduction.clone(), spec.pruning.clone());
        Candidate { label: "this run".into(), reduction, pruning, text: None }
    }
}

impl<'a> Bench<'a> {
    /// With nothing scored but what all sides are set against.
    async fn of(
        engine: &mut Engine,
        spec: &RunSpec,
        loaded: &Loaded,
        placed: Placed<'a>,
        pace: &Pace,
    ) -> Result<Bench<'a>> {
        let task = build_task(engine, spec, loaded).await?;
        let mut priors = Sheet::of(&task);
        priors.find_priors(&task, &placed.arm(None), pace).await?;
        Ok(Bench { placed, task, priors, kept: None, file_bytes: loaded.bytes() })
    }

    /// Makes a side and scores all items.
    async fn side(
        &mut self,
        engine: &Engine,
        loaded: &Loaded,
        candidate: Candidate,
        pace: &Pace,
    ) -> Result<Side> {
        let Candidate { reduction, pruning, text, .. } = candidate;
        let text = text.as_ref().unwrap_or(&loaded.calibration);
        let pruned = match &pruning {
            None => self.placed.unpruned(),
            Some(setting) => {
                let sequences = calibration::of_text(engine, loaded, setting, text).await?;
                let kept = &mut self.kept;
                self.placed.pruned(setting, &sequences, kept, pace, &mut |_, _| {}).await?
            }
        };
        let arm = self.placed.compressed(&pruned, reduction.as_ref());
        // As in a run: a choice is judged by its own model's word, what a context is worth by the dense model's.
        let is_dense = pruning.is_none() || self.task.shares_priors();
        let mut sheet = if is_dense { self.priors.without_scores() } else { Sheet::of(&self.task) };
        let scores = sheet.complete(&self.task, &arm, pace, &mut |_| {}).await?;
        let cost = counted(&self.placed, &self.task, &pruned, reduction.as_ref(), self.file_bytes)?;
        Ok(Side { pruned, reduction, pruning, scores, cost })
    }

    async fn against(
        &self,
        label: String,
        own: &Side,
        peer: Side,
        text: &[u32],
        pace: &Pace,
    ) -> Result<Peer> {
        let arms = [own, &peer].map(|s| self.placed.compressed(&s.pruned, s.reduction.as_ref()));
        let timed = Timed { prompt: text, decode_tokens: DECODE, budget_ms: BUDGET_MS };
        let measured = speed([&arms[0], &arms[1]], &timed, pace, &mut |_, _| {}).await?;
        let off = || "off".to_string();
        Ok(Peer {
            label,
            reduce: peer.reduction.as_ref().map_or_else(off, Setting::to_string),
            prune: peer.pruning.as_ref().map_or_else(off, Setting::to_string),
            cost: peer.cost,
            quality: self.task.difference(&own.scores, &peer.scores),
            decode_ratio: measured.decode_ratio,
            prefill_ratio: measured.prefill_ratio,
        })
    }
}

fn pruning(spec: &str) -> Result<Setting> {
    let found = Setting::parse(spec, &prune::abouts())?;
    found.ok_or_else(|| Error::input("pruning", spec, "a method"))
}

/// The peers of a run.
fn candidates(placed: &Placed<'_>, spec: &RunSpec, own: &Side) -> Result<Vec<Candidate>> {
    let mut all = Vec::new();
    if spec.pruning.is_some() {
        all.extend(of_pruning(placed, spec, own)?);
    }
    if let Some(setting) = &spec.reduction {
        all.extend(of_reduction(placed.config, spec, setting));
    }
    let text = |s: &Option<Setting>| s.as_ref().map(Setting::to_string);
    let is_own = |c: &Candidate| {
        text(&c.pruning) == text(&spec.pruning) && text(&c.reduction) == text(&spec.reduction)
    };
    all.retain(|candidate| !is_own(candidate));
    Ok(all)
}

const FIXED: [(&str, &str); 3] = [
    ("2:4 in the checkpoint's precision (MRP)", "mrp:pattern=2:4"),
    ("int8, a scale a row (GPTQ)", "gptq:bits=8,group=row"),
    ("int4, groups of 64 (GPTQ)", "gptq:bits=4,group=64"),
];

fn of_pruning(placed: &Placed<'_>, spec: &RunSpec, own: &Side) -> Result<Vec<Candidate>> {
    let with = |label: &str, pruning: Option<Setting>| Candidate {
        label: label.into(),
        pruning,
        ..Candidate::of(spec)
    };
    let mut all = vec![with("dense", None)];
    for (label, spec) in FIXED {
        all.push(with(label, Some(pruning(spec)?)));
    }
    let wanted = own.cost.bytes_per_token.zip(own.cost.bytes_per_token_dense);
    let Some((bytes, dense)) = wanted else { return Ok(all) };
    let head = placed.model.head().bytes() as f64;
    // Of the linear layers alone: the head is never pruned.
    let left = (bytes - head) / (dense - head);
    if let Some(setting) =
        nearest(|config| linear_share(placed.config, config), left, placed.config)?
    {
        let share = setting.number("share");
        all.push(with(
            &format!("structured, {:.0} % of the channels gone", share * 100.0),
            Some(setting),
        ));
    }
    Ok(all)
}

/// Weights of the linear layers, as a share of the dense model's.
fn linear_share(dense: &ModelConfig, left: &ModelConfig) -> f64 {
    let weights =
        |c: &ModelConfig| linears(c).iter().map(|l| (l.rows * l.cols) as f64).sum::<f64>();
    weights(left) / weights(dense)
}

/// The structured pruning whose model comes nearest to a share by some measure, where that shrinks at all.
fn nearest(
    measure: impl Fn(&ModelConfig) -> f64,
    wanted: f64,
    config: &ModelConfig,
) -> Result<Option<Setting>> {
    let mut best = (1.0 - wanted, None);
    for step in 1..=19 {
        let setting = pruning(&format!("structured:share={}", f64::from(step) * 5.0 / 100.0))?;
        let Ok(paper) = prune::on_paper(config, &setting) else { continue };
        let off = (measure(&paper.config) - wanted).abs();
        if off < best.0 {
            best = (off, Some(setting));
        }
    }
    Ok(best.1)
}

/// Every method that chooses tokens at the same layers and keeps as many.
fn of_reduction(config: &ModelConfig, spec: &RunSpec, own: &Setting) -> Vec<Candidate> {
    let fits = |about: &&'static crate::method::About| {
        let other = Setting::default_of(about);
        about.id != own.about.id && about.id != "custom" && reduce::runs_on(config.family(), &other)
    };
    let others = reduce::abouts().into_iter().filter(fits).map(|about| Candidate {
        label: about.label.into(),
        reduction: Some(Setting::default_of(about).like(own)),
        ..Candidate::of(spec)
    });
    let is_alike = |c: &Candidate| {
        c.reduction.as_ref().is_some_and(|s| {
            reduce::check(config, s).is_ok()
                && (reduce::place_of(s) == Place::Input) == (reduce::place_of(own) == Place::Input)
        })
    };
    others.filter(is_alike).collect()
}
