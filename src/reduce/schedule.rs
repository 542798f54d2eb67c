//! After which layers the sequence is shortened, and to how many tokens.
//!
//! Every chosen layer keeps the same ratio rho of what enters it: K = ceil(N * rho - 1e-9), never touching the
//! guarded rows (the first token; the last d_conv tokens, which the next convolution and the first decoded tokens
//! read) and never removing more than half of the others, which is what bipartite matching can do.
//! Either rho is given (`keep`) or it is the largest ratio that saves the share `cut` of the layers' FLOPs, found
//! by bisection over the exact integer lengths. Or the s-th chosen layer, from 0, keeps base * beta^s tokens, at least 16,
//! within the same bounds (`schedule=absolute`). Only the number of tokens counts, never their values.

use super::{Job, Place, asked, method_of, place_of, score};
use crate::config::ModelConfig;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::models::flops;
use crate::{Error, Result};
use serde::Serialize;

/// Sequences this short are left alone: most of their rows are guarded.
const MIN_TOKENS: usize = 16;
/// A layer removes at most half of its tokens.
const MIN_KEEP: f64 = 0.5;
/// The paper stops after seven reductions.
const MAX_ANCHORS: usize = 7;

pub(super) const CUT: Knob = Knob {
    id: "cut",
    label: "FLOPs cut",
    help: "Share of the layers' arithmetic over the context that is saved; the kept ratio follows from it",
    kind: KnobKind::Number { min: 0.0, max: 0.6, step: 0.05, default: 0.2 },
};
pub(super) const KEEP: Knob = Knob {
    id: "keep",
    label: "Kept ratio",
    help: "Ratio of the tokens kept at each chosen layer, 0.5 to 1; 0 solves it from the FLOPs cut",
    kind: KnobKind::Number { min: 0.0, max: 1.0, step: 0.005, default: 0.0 },
};
pub(super) const LAYERS: Knob = Knob {
    id: "layers",
    label: "Layers",
    help: "Layers after which tokens are removed, counted from 0; empty spaces them evenly over the middle",
    kind: KnobKind::Layers,
};

pub(super) const GUARD: Knob = Knob {
    id: "guard",
    label: "Guarded ends",
    help: "on: the first token and the last d_conv tokens (4 in a transformer) always stay; off: only the last one",
    kind: KnobKind::Choice { options: &[("on", "on"), ("off", "off")], default: "on" },
};

pub(super) const BASE: Knob = Knob {
    id: "base",
    label: "Base length",
    help: "Tokens that the first chosen layer keeps with schedule=absolute",
    kind: KnobKind::Number { min: 16.0, max: 65536.0, step: 16.0, default: 256.0 },
};
pub(super) const BETA: Knob = Knob {
    id: "beta",
    label: "Decay",
    help: "How many times as many tokens every next chosen layer keeps with schedule=absolute",
    kind: KnobKind::Number { min: 0.1, max: 1.0, step: 0.05, default: 0.5 },
};

/// How the removal is spread over the layers, with a method's own default.
pub(super) const fn schedule_knob(default: &'static str) -> Knob {
    Knob {
        id: "schedule",
        label: "Schedule",
        help: "even: the same ratio at each layer; progressive: the share removed grows with depth, the kept ratio is the mean; absolute: the s-th layer (from 0) keeps base * beta^s tokens, whatever the cut (DeciMamba)",
        kind: KnobKind::Choice {
            options: &[
                ("even", "even"),
                ("progressive", "more in later layers"),
                ("absolute", "to a length, whatever enters"),
            ],
            default,
        },
    }
}

/// The knobs of a token reduction method: those every method has, then its own.
macro_rules! knobs {
    ($($own:expr),* $(,)?) => {
        &[
            $crate::reduce::schedule::CUT,
            $crate::reduce::schedule::KEEP,
            $crate::reduce::schedule::LAYERS,
            $crate::reduce::schedule::schedule_knob("even"),
            $crate::reduce::schedule::GUARD,
            $crate::reduce::schedule::BASE,
            $crate::reduce::schedule::BETA,
            $($own),*
        ]
    };
}
pub(super) use knobs;

/// The layers that shorten the sequence.
pub struct Schedule;

/// What a schedule saves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Savings {
    /// Share of the layers' FLOPs over the context, 0..=1.
    pub layers: f64,
    /// The same with the output head for the last token and the method's own arithmetic; below 0 where the method
    /// costs more than it saves.
    pub total: f64,
    /// Tokens entering each layer.
    pub lengths: Vec<usize>,
}

impl Schedule {
    /// (layer, tokens kept after it) for a context of `n` tokens; layers that would remove nothing are left out. At the
    /// input the layer is 0, and it is reached by those that are kept.
    pub fn resolve(config: &ModelConfig, setting: &Setting, n: usize) -> Vec<(usize, usize)> {
        let rule = Rule::new(config, setting);
        let keep = match setting.number("keep") {
            0.0 if rule.spread.is_absolute() => 1.0,
            0.0 => rule.solve(config, setting.number("cut"), n),
            keep => keep,
        };
        rule.steps(keep, n)
    }

    /// The rows that may go and how many of them do, where `tokens` become `kept` after `layer`.
    pub fn job(
        config: &ModelConfig,
        setting: &Setting,
        tokens: usize,
        (layer, kept): (usize, usize),
    ) -> Job {
        let (head, tail) = guards(config, setting);
        let (removable, remove) = (head..tokens - tail, tokens - kept);
        Job { layer, tokens, removable, remove, oracle: None, surprisal: None, salt: 0 }
    }
}

/// Whether a setting can run on a model.
///
/// Errors: a family the method does not know, a layer that is not there, a ratio or a cut out of reach.
pub fn check(config: &ModelConfig, setting: &Setting) -> Result<()> {
    let about: &About = setting.about;
    if !about.families.contains(&config.family()) {
        let expected = format!("a model of type {} for {}", about.families.join(", "), about.id);
        return Err(Error::input("reduce", config.family(), expected));
    }
    let n_layer = config.n_layer();
    if let Some(layer) = setting.layers("layers").iter().find(|&&layer| layer >= n_layer) {
        return Err(Error::input("layers", layer, format!("layers 0 to {}", n_layer - 1)));
    }
    if place_of(setting) == Place::Input && !setting.layers("layers").is_empty() {
        let expected = "none: the tokens go before the first layer";
        return Err(Error::input("layers", "a list", expected));
    }
    score::check(config, setting, &anchors(config, setting))?;
    let keep = setting.number("keep");
    if keep > 0.0 && keep < MIN_KEEP {
        let expected = format!("0 (solve from cut) or {MIN_KEEP} to 1");
        return Err(Error::input("keep", keep, expected));
    }
    // Without lengths, so that a short context is not an error: it just gets less than it asked for.
    if let Some(reach) = too_much(config, setting) {
        let expected = format!("at most {reach} with these layers");
        return Err(Error::input("cut", setting.number("cut"), expected));
    }
    Ok(())
}

/// The largest cut that a setting's layers can save in this model, in hundredths, where it asks for more.
pub fn too_much(config: &ModelConfig, setting: &Setting) -> Option<f64> {
    let rule = Rule::new(config, setting);
    let reach = (rule.reach(config) * 100.0).floor() / 100.0;
    let is_asked_for = setting.number("keep") == 0.0 && !rule.spread.is_absolute();
    Some(reach).filter(|&reach| is_asked_for && setting.number("cut") > reach)
}

/// Whether a context of `n` tokens gets shorter. A setting that cannot run counts, so that whoever goes on to make
/// a [`super::Reducer`] hears why.
pub fn reduces(config: &ModelConfig, setting: &Setting, n: usize) -> bool {
    check(config, setting).is_err() || !Schedule::resolve(config, setting, n).is_empty()
}

/// What a setting saves on a context of `n` tokens.
///
/// Errors: a setting that cannot run on this model ([`check`]).
pub fn savings(config: &ModelConfig, setting: &Setting, n: usize) -> Result<Savings> {
    check(config, setting)?;
    let steps = Schedule::resolve(config, setting, n);
    let lengths = lengths(config.n_layer(), (place_of(setting), &steps), n);
    let f = flops(config);
    let (dense, reduced) = (f.dense(n), f.over(&lengths));
    let method = method_of(setting)?;
    let mut tokens = n;
    let overhead = steps.iter().map(|&step| {
        let job = Schedule::job(config, setting, tokens, step);
        tokens = step.1;
        method.flops(config, &job, setting)
    });
    let asks = !steps.is_empty() && method.needs_surprisal(setting);
    let asking = if asks { asked::cost(config, n) } else { 0.0 };
    let reduced_total = reduced + f.head_per_token + overhead.sum::<f64>() + asking;
    Ok(Savings {
        layers: saved(reduced, dense),
        total: saved(reduced_total, dense + f.head_per_token),
        lengths,
    })
}

fn saved(reduced: f64, dense: f64) -> f64 {
    if dense > 0.0 { 1.0 - reduced / dense } else { 0.0 }
}

/// Tokens entering each layer.
pub(super) fn lengths(
    n_layer: usize,
    (place, steps): (Place, &[(usize, usize)]),
    n: usize,
) -> Vec<usize> {
    if place == Place::Input {
        return vec![steps.first().map_or(n, |(_, kept)| *kept); n_layer];
    }
    let mut now = n;
    let enter = |layer: usize| {
        let entering = now;
        if let Some((_, kept)) = steps.iter().find(|(at, _)| *at == layer) {
            now = *kept;
        }
        entering
    };
    (0..n_layer).map(enter).collect()
}

fn anchors(config: &ModelConfig, setting: &Setting) -> Vec<usize> {
    match setting.layers("layers") {
        _ if place_of(setting) == Place::Input => vec![0],
        [] => {
            let suitable = score::suitable(config, setting);
            spaced(suitable.len()).into_iter().map(|place| suitable[place]).collect()
        }
        layers => layers.to_vec(),
    }
}

/// The paper's layers (64: 12, 17 .. 42; 48: 10, 15 .. 35) scaled to shallower models: from a quarter of the
/// depth to three quarters, at most seven, and never the last layer, behind which there is nothing to save.
fn spaced(n_layer: usize) -> Vec<usize> {
    let Some(before_last) = n_layer.checked_sub(2) else { return Vec::new() };
    let start = ((n_layer + 2) / 4).min(4 + n_layer / 8).min(3 * before_last / 4);
    let step = n_layer.div_ceil(8).min(5);
    let end = (3 * n_layer / 4).min(before_last);
    (start..=end).step_by(step).take(MAX_ANCHORS).collect()
}

/// Keys at the end that always stay where layers attend.
const ATTENTION_TAIL: usize = 4;

/// Rows at the two ends that never go: the first token and the last d_conv, as many in a transformer. Without guards
/// only the last, whose output predicts what follows.
fn guards(config: &ModelConfig, setting: &Setting) -> (usize, usize) {
    if setting.choice("guard") == "off" {
        return (0, 1);
    }
    let tails = config.layers.iter().map(|layer| layer.mixer.d_conv().unwrap_or(ATTENTION_TAIL));
    (1, tails.max().unwrap_or(1))
}

/// Everything but the ratio that decides the lengths.
struct Rule {
    place: Place,
    anchors: Vec<usize>,
    spread: Spread,
    guarded: usize,
}

/// How the removal is spread over the anchors.
enum Spread {
    Even,
    Progressive,
    Absolute { base: f64, beta: f64 },
}

impl Spread {
    fn of(setting: &Setting) -> Spread {
        match setting.choice("schedule") {
            "progressive" => Spread::Progressive,
            "absolute" => {
                Spread::Absolute { base: setting.number("base"), beta: setting.number("beta") }
            }
            _ => Spread::Even,
        }
    }

    fn is_absolute(&self) -> bool {
        matches!(self, Spread::Absolute { .. })
    }
}

impl Rule {
    fn new(config: &ModelConfig, setting: &Setting) -> Rule {
        let (head, tail) = guards(config, setting);
        Rule {
            place: place_of(setting),
            anchors: anchors(config, setting),
            spread: Spread::of(setting),
            guarded: head + tail,
        }
    }

    /// The ratio kept at the anchor number `i`, where the mean over the anchors is `keep` unless a layer would have to
    /// remove more than half.
    fn ratio(&self, keep: f64, i: usize) -> f64 {
        let Spread::Progressive = self.spread else { return keep };
        let share = 2.0 * (i + 1) as f64 / (self.anchors.len() + 1) as f64;
        (1.0 - (1.0 - keep) * share).max(MIN_KEEP)
    }

    /// Tokens kept of `n` at the anchor number `i`.
    fn kept(&self, n: usize, keep: f64, i: usize) -> usize {
        let removable = n.saturating_sub(self.guarded);
        if n < MIN_TOKENS || removable < 2 {
            return n;
        }
        let wanted = match self.spread {
            Spread::Absolute { base, beta } => {
                ((base * beta.powi(i as i32)) as usize).max(MIN_TOKENS)
            }
            // 1e-9: a product that is an integer but for rounding must not be rounded up.
            _ => (n as f64 * self.ratio(keep, i) - 1e-9).ceil() as usize,
        };
        wanted.clamp(n - removable.div_ceil(2), n)
    }

    fn steps(&self, keep: f64, n: usize) -> Vec<(usize, usize)> {
        let mut now = n;
        let mut steps = Vec::new();
        for (i, &layer) in self.anchors.iter().enumerate() {
            let next = self.kept(now, keep, i);
            if next < now {
                steps.push((layer, next));
            }
            now = next;
        }
        steps
    }

    /// The largest ratio that saves at least `cut`, or the smallest ratio where no ratio does.
    fn solve(&self, config: &ModelConfig, cut: f64, n: usize) -> f64 {
        let f = flops(config);
        let dense = f.dense(n);
        let enough = |keep: f64| {
            let steps = self.steps(keep, n);
            let lengths = lengths(config.n_layer(), (self.place, &steps), n);
            saved(f.over(&lengths), dense) >= cut
        };
        if enough(1.0) {
            return 1.0;
        }
        let (mut low, mut high) = (MIN_KEEP, 1.0);
        // Shorter for smaller ratios, so what is saved falls as the ratio grows; 50 halvings end below 1e-15.
        for _ in 0..50 {
            let middle = (low + high) / 2.0;
            if enough(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The largest share that the anchors can save in a long sequence of per-token work.
    fn reach(&self, config: &ModelConfig) -> f64 {
        let entering = |layer: usize| -> f64 {
            let is_before = |anchor: usize| anchor < layer || self.place == Place::Input;
            let before = self.anchors.iter().enumerate().filter(|&(_, &anchor)| is_before(anchor));
            before.map(|(i, _)| self.ratio(MIN_KEEP, i)).product()
        };
        let layers = flops(config).layers;
        // Shares of the largest, so that in a model of equal layers each counts exactly 1.
        let largest = layers.iter().map(|l| l.per_token).fold(0.0, f64::max);
        let weights: Vec<f64> = layers.iter().map(|l| l.per_token / largest).collect();
        let left = weights.iter().enumerate().map(|(layer, weight)| weight * entering(layer));
        1.0 - left.sum::<f64>() / weights.iter().sum::<f64>()
    }
}
