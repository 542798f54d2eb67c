//! How well whole works are predicted: windows of a context and the tokens after it.

use super::arm::{Arm, Context};
use super::evaluation::{Evaluation, Item, Prior, Work};
use super::figures::{BITS_PER_BYTE, CONTEXT_BENEFIT, CONTEXT_BENEFIT_NATS, Metric, PERPLEXITY};
use super::score::Score;
use super::source::{CONTROLS, File, Source, encode, text};
use crate::config::FAMILIES;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::{Error, Result};

static ABOUT: About = About {
    id: "text",
    label: "Held-out text",
    summary: "How well the model predicts the next tokens of whole works it never saw, given a context before them.",
    source: "Windows spread evenly over each work; the first tokens are the context (reduced, never scored), the rest is scored. Bits per byte count the bytes of the scored tokens, of the text as given. Context benefit retained is (a - c) / (a - b) in nats, with a: begin-of-text as the only context, b: baseline, c: compressed.",
    knobs: &[
        Knob {
            id: "windows",
            label: "Windows",
            help: "Windows of each work",
            kind: KnobKind::Number { min: 1.0, max: 200.0, step: 1.0, default: 4.0 },
        },
        Knob {
            id: "context",
            label: "Context",
            help: "Tokens before the scored ones",
            kind: KnobKind::Number { min: 1.0, max: 4096.0, step: 1.0, default: 256.0 },
        },
        Knob {
            id: "target",
            label: "Scored",
            help: "Tokens scored in each window",
            kind: KnobKind::Number { min: 1.0, max: 4096.0, step: 1.0, default: 128.0 },
        },
        Knob {
            id: "work",
            label: "Work",
            help: "Which held-out work",
            kind: KnobKind::Choice {
                options: &[
                    ("all", "all four"),
                    ("northanger_abbey", "Northanger Abbey"),
                    ("persuasion", "Persuasion"),
                    ("state_of_the_union", "State of the Union"),
                    ("opticks", "Opticks (out of domain)"),
                ],
                default: "all",
            },
        },
        CONTROLS,
    ],
    families: &FAMILIES,
};

pub struct Text;

impl Evaluation for Text {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn files(&self, setting: &Setting) -> Vec<String> {
        let works = match setting.choice("work") {
            "all" => vec!["northanger_abbey", "opticks", "persuasion", "state_of_the_union"],
            work => vec![work],
        };
        works.into_iter().map(|work| format!("heldout/{work}.txt")).collect()
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        let mut all: Vec<Box<dyn Item>> = Vec::new();
        for file in source.files {
            all.extend(windows(file, source)?.into_iter().map(|window| Box::new(window) as _));
        }
        Ok(all)
    }

    fn metrics(&self) -> &'static [Metric] {
        &[PERPLEXITY, BITS_PER_BYTE, CONTEXT_BENEFIT, CONTEXT_BENEFIT_NATS]
    }
}

struct Window {
    id: String,
    ids: Vec<u32>,
    /// Tokens at the beginning that are not scored.
    context: usize,
    /// Of the scored tokens, of the text as given.
    bytes: f64,
}

fn windows(file: &File, source: &Source<'_>) -> Result<Vec<Window>> {
    let text = text(file)?;
    let ids = encode(&file.0, text, source.tokenizer)?;
    let [windows, context, target] =
        ["windows", "context", "target"].map(|knob| source.setting.number(knob) as usize);
    let length = context + target;
    if ids.len() < length {
        let problem = format!("has {} tokens; one window needs {length}", ids.len());
        return Err(Error::file(&file.0, problem));
    }
    let n = windows.min((ids.len() - 1) / (length - 1)).max(1);
    let step = (ids.len() - length) / n;
    let decoded = |ids: &[u32]| source.tokenizer.decode_bytes(ids).len() as f64;
    // A tokenizer may normalise a text; then its tokens have other lengths, by about the same share everywhere.
    let as_given = text.len() as f64 / decoded(&ids);
    let before = source.tokenizer.prefix();
    let window = |i: usize| {
        let ids = &ids[i * step..i * step + length];
        let bytes = decoded(&ids[context..]) * as_given;
        let (ids, context) = ([before, ids].concat(), before.len() + context);
        Window { id: format!("{}:{}", file.0, i + 1), ids, context, bytes }
    };
    Ok((0..n).map(window).collect())
}

/// -log p(target | context) in nats.
async fn nats(arm: &Arm<'_>, context: &Context, target: &[u32]) -> Result<f64> {
    let values = arm.device.read(&arm.nll(context, target).await?).await?;
    Ok(values.chunks_exact(2).map(|pair| f64::from(pair[0])).sum())
}

impl Item for Window {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn context(&self) -> &[u32] {
        &self.ids[..self.context]
    }

    fn options(&self) -> Vec<&[u32]> {
        vec![&self.ids[self.context..]]
    }

    fn prior<'a>(&'a self, arm: &'a Arm<'a>, none: &'a Context) -> Work<'a, Prior> {
        Box::pin(async move { Ok(vec![nats(arm, none, &self.ids[self.context..]).await?]) })
    }

    fn score<'a>(&'a self, arm: &'a Arm<'a>, prior: &'a [f64]) -> Work<'a, Score> {
        Box::pin(async move {
            let (context, target) = self.ids.split_at(self.context);
            let nats = nats(arm, &arm.read_in_steps(context).await?, target).await?;
            let (tokens, prior) = (target.len(), Some(prior[0]));
            Ok(Score::Span { nats, prior, tokens, bytes: self.bytes })
        })
    }
}
