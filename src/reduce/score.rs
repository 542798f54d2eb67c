//! How important a token is, and what tokens are compared by: the knobs that several methods share.
//!
//! Everything is a function of the context alone. The higher a score, the longer a token stays; equal scores go by
//! position, earlier tokens first.

use super::{Job, own};
use crate::Rng;
use crate::backend::{Device, Tensor, View};
use crate::config::{FAMILIES, Kind, Mixer, ModelConfig};
use crate::kernels::rotary::rotary;
use crate::kernels::rows::copy;
use crate::kernels::token_attention::{Heads, Queries, token_attention};
use crate::kernels::token_pairs::token_pairs;
use crate::kernels::token_score::{Score, token_score};
use crate::kernels::token_ssm::{SsmScore, token_ssm};
use crate::method::{Knob, KnobKind, Setting};
use crate::models::{AttentionInputs, LayerOutput, MixerInputs};
use crate::{Error, Result};

/// Families with layers that have a selective state space, and those with layers that attend.
pub(super) use crate::config::{WITH_ATTENTION as ATTENTION, WITH_STATE_SPACE as SSM};

/// The score knob with a method's own default.
pub(super) const fn knob(default: &'static str) -> Knob {
    Knob {
        id: "score",
        label: "Importance",
        help: "What makes a token important. delta, delta-norm and implicit need a Mamba, row and column a transformer; \
               oracle needs a task that knows its filler tokens (recall)",
        kind: KnobKind::Choice {
            options: &[
                ("clip", "mixer output y, mean of max(0, y)"),
                ("l1", "mean of |y|"),
                ("l2", "root mean square of y"),
                ("noclip", "mean of y"),
                ("delta", "mean step size Delta (Mamba)"),
                ("delta-norm", "L2 norm of Delta over the channels (Mamba)"),
                ("implicit", "implicit attention of the last token, without decay (Mamba)"),
                ("row", "attention of the last token (transformer)"),
                ("column", "attention received from all tokens (transformer)"),
                ("cosine", "cosine of y with the last token's"),
                ("recency", "later tokens first"),
                ("random", "random numbers (control)"),
                ("oracle", "filler goes first (control that knows the answer)"),
            ],
            default,
        },
    }
}

/// Which tensor clip, l1, l2, noclip and cosine are taken of, with a method's own default. The paper says "y" and not
/// whether before the gate; its released code sees the mixer only from outside, after out_proj.
pub(super) const fn of_knob(default: &'static str) -> Knob {
    Knob {
        id: "of",
        label: "Importance of",
        help: "What y is in clip, l1, l2, noclip and cosine. The paper leaves it open",
        kind: KnobKind::Choice {
            options: &[
                ("mixer", "mixer output y, before the gate"),
                ("output", "layer output, after out_proj"),
            ],
            default,
        },
    }
}

/// The features knob with a method's own default.
pub(super) const fn features_knob(default: &'static str) -> Knob {
    Knob {
        id: "features",
        label: "Similarity of",
        help: "What tokens are compared by. keys are those before rotation in a transformer, B in a Mamba",
        kind: KnobKind::Choice {
            options: &[("mixer", "mixer output"), ("hidden", "layer output"), ("keys", "keys")],
            default,
        },
    }
}

/// Whether later attention weighs a token by what was merged into it.
pub(super) const PROPORTIONAL: Knob = Knob {
    id: "proportional",
    label: "Proportional attention",
    help: "on: in later layers a token weighs as much as the tokens merged into it, ln(size) added to its logits (transformers)",
    kind: KnobKind::Choice { options: &[("off", "off"), ("on", "on")], default: "off" },
};

pub(super) fn is_proportional(setting: &Setting) -> bool {
    has(setting, PROPORTIONAL.id) && setting.choice(PROPORTIONAL.id) == "on"
}

/// The kind of layer that the chosen score is made of, and the knob that asks for it.
fn kind(setting: &Setting) -> Option<(Kind, &'static str)> {
    if is_proportional(setting) {
        return Some((Kind::Attention, PROPORTIONAL.id));
    }
    if setting.about.id == "custom" {
        let kinds = own::formula(setting).map(|formula| own::kinds(&formula));
        return kinds.ok()?.first().map(|kind| (*kind, "formula"));
    }
    match has(setting, "score").then(|| setting.choice("score")) {
        Some("delta" | "delta-norm" | "implicit") => Some((Kind::StateSpace, "score")),
        Some("row" | "column") => Some((Kind::Attention, "score")),
        _ => None,
    }
}

/// Whether a method and its score exist for a family.
pub fn runs_on(family: &str, setting: &Setting) -> bool {
    setting.about.families.contains(&family) && families(setting).contains(&family)
}

fn families(setting: &Setting) -> &'static [&'static str] {
    match kind(setting) {
        Some((Kind::StateSpace, _)) => &SSM,
        Some((Kind::Attention, _)) => &ATTENTION,
        None => &FAMILIES,
    }
}

/// The layers after which a setting could take tokens away: all, or those that have what its score is made of.
pub(super) fn suitable(config: &ModelConfig, setting: &Setting) -> Vec<usize> {
    let wanted = kind(setting).filter(|(_, knob)| *knob != PROPORTIONAL.id).map(|(kind, _)| kind);
    let layers = config.layers.iter().enumerate();
    let fits = layers.filter(|(_, layer)| wanted.is_none_or(|kind| layer.mixer.kind() == kind));
    fits.map(|(index, _)| index).collect()
}

/// Whether a model has what the chosen score is made of, in each of the layers `at`. Errors name the families that
/// have it, or the layer that has not.
pub(super) fn check(config: &ModelConfig, setting: &Setting, at: &[usize]) -> Result<()> {
    if setting.about.id == "custom" && own::kinds(&own::formula(setting)?).len() > 1 {
        let expected = "names of one kind of layer: of Mamba, or of attention";
        return Err(Error::input("formula", setting.text("formula"), expected));
    }
    let Some((wanted, id)) = kind(setting) else { return Ok(()) };
    let chosen = || {
        setting
            .knobs()
            .find(|(knob, _)| *knob == id)
            .map_or_else(String::new, |(_, v)| v.to_string())
    };
    if !config.layers.iter().any(|layer| layer.mixer.kind() == wanted) {
        let found = format!("{} with a model of type {}", chosen(), config.family());
        let expected = format!("a model of type {}", families(setting).join(" or "));
        return Err(Error::input(id, found, expected));
    }
    let suitable = suitable(config, setting);
    match at.iter().find(|layer| !suitable.contains(layer)) {
        None => Ok(()),
        Some(layer) => {
            let found = format!("{} after layer {layer}", chosen());
            let list: Vec<String> = suitable.iter().map(usize::to_string).collect();
            Err(Error::input(id, found, format!("layers with it: {}", list.join(", "))))
        }
    }
}

/// Whether a setting asks for the marks of a task's filler tokens.
pub fn needs_filler(setting: &Setting) -> bool {
    has(setting, "score") && setting.choice("score") == "oracle"
}

fn has(setting: &Setting, knob: &str) -> bool {
    setting.about.knobs.iter().any(|k| k.id == knob)
}

/// The importance of every token: `[tokens, 1]`.
pub(super) fn scores(
    device: &Device,
    output: &LayerOutput<'_>,
    job: &Job,
    setting: &Setting,
) -> Tensor {
    named(device, output, job, (measured(output, setting), setting.choice("score")))
}

/// What clip, l1, l2, noclip and cosine are taken of `[tokens, d_model or d_inner]`.
pub(super) fn measured<'a>(output: &LayerOutput<'a>, setting: &Setting) -> &'a Tensor {
    let is_output = has(setting, "of") && setting.choice("of") == "output";
    if is_output { output.hidden } else { output.mixer }
}

/// The score of this name `[tokens, 1]`.
pub(super) fn named(
    device: &Device,
    output: &LayerOutput<'_>,
    job: &Job,
    (y, name): (&Tensor, &str),
) -> Tensor {
    let tokens = job.tokens;
    match (name, output.inputs) {
        ("clip", _) => token_score(device, y, Score::Clip),
        ("l1", _) => token_score(device, y, Score::L1),
        ("l2", _) => token_score(device, y, Score::L2),
        ("noclip", _) => token_score(device, y, Score::NoClip),
        (delta @ ("delta" | "delta-norm"), MixerInputs::Ssm(s)) => {
            token_ssm(device, &s, of_delta(delta))
        }
        ("implicit", MixerInputs::Ssm(s)) => token_ssm(device, &s, SsmScore::Implicit),
        ("row", MixerInputs::Attention(a)) => received(device, &a, Queries::Last),
        ("column", MixerInputs::Attention(a)) => received(device, &a, Queries::All),
        ("cosine", _) => {
            let all: Vec<u32> = (0..tokens as u32).collect();
            let last = device.ids(&vec![tokens as u32 - 1; tokens]);
            token_pairs(device, y, &device.ids(&all), &last)
        }
        ("recency", _) => {
            let ramp: Vec<f32> = (0..tokens).map(|t| t as f32).collect();
            device.tensor(tokens, 1, &ramp)
        }
        ("random", _) => {
            let mut rng = Rng::new(job.salt ^ output.layer as u64);
            let values: Vec<f32> = (0..tokens).map(|_| rng.uniform()).collect();
            device.tensor(tokens, 1, &values)
        }
        ("position", _) => {
            let last = tokens.saturating_sub(1).max(1) as f32;
            let ramp: Vec<f32> = (0..tokens).map(|t| t as f32 / last).collect();
            device.tensor(tokens, 1, &ramp)
        }
        ("surprisal", _) => job.surprisal.clone().expect("the reducer has asked the model"),
        ("oracle", _) => job.oracle.clone().expect("Reducer::new asked for the filler marks"),
        (score, _) => panic!("score {score} passed check() on another family"),
    }
}

/// What a choice makes of Delta.
pub(super) fn of_delta(choice: &str) -> SsmScore {
    if choice == "delta" { SsmScore::Delta } else { SsmScore::DeltaNorm }
}

/// What the tokens are compared by: `[tokens, width]`.
pub(super) fn features<'a>(output: &LayerOutput<'a>, setting: &Setting) -> View<'a> {
    match (setting.choice("features"), output.inputs) {
        ("hidden", _) => output.hidden.view(),
        ("keys", MixerInputs::Ssm(s)) => s.b,
        ("keys", MixerInputs::Attention(a)) => a.k,
        _ => output.mixer.view(),
    }
}

/// Columns of [`features`] after the layer of a job.
pub(super) fn width(config: &ModelConfig, job: &Job, setting: &Setting) -> usize {
    let mixer = &config.layers[job.layer].mixer;
    match setting.choice("features") {
        "hidden" => config.d_model(),
        "keys" => mixer.key_width(),
        _ => mixer.width(),
    }
}

/// Arithmetic of the scores that grow with the square of the length, or walk every channel more than once.
pub(super) fn flops(config: &ModelConfig, job: &Job, setting: &Setting) -> f64 {
    flops_of(config, job, setting.choice("score"))
}

/// The same of the score of this name.
pub(super) fn flops_of(config: &ModelConfig, job: &Job, name: &str) -> f64 {
    let n = job.removable.len() as f64;
    let attention = match &config.layers[job.layer].mixer {
        Mixer::Attention(a) => (a.n_head * a.headdim) as f64,
        Mixer::Mamba(_) | Mixer::Mamba2(_) => 0.0,
    };
    match name {
        // Of the equation: every logit once, between tokens that may go. The kernels form it twice.
        "column" => 2.0 * attention * n * (n + 1.0) / 2.0,
        "row" => 2.0 * attention * n,
        _ => 0.0,
    }
}

/// Attention over the rotated queries and keys.
fn received(device: &Device, a: &AttentionInputs<'_>, queries: Queries) -> Tensor {
    let rotate = |x| match a.inv_freq {
        Some(inv_freq) => rotary(device, x, a.positions, inv_freq, a.headdim),
        None => copy(device, x),
    };
    let (q, k) = (rotate(a.q), rotate(a.k));
    let AttentionInputs { n_head, n_kv_head, headdim, scale, .. } = *a;
    token_attention(
        device,
        &Heads { q: q.view(), k: k.view(), n_head, n_kv_head, headdim, scale },
        queries,
    )
}
