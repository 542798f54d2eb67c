//! The evaluations: what they describe themselves as, how one item is scored, how items become a figure.

use super::arm::{Arm, Context};
use super::{Estimate, Quality, paired_bootstrap, wilson};
use crate::config::FAMILIES;
use crate::kernels::rows::concat_rows;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result, Rng};
use serde::Deserialize;

const N: Knob = Knob {
    id: "n",
    label: "Items",
    help: "Items scored; a seeded choice when there are more",
    kind: KnobKind::Number { min: 1.0, max: 2000.0, step: 1.0, default: 100.0 },
};

static CONTINUATION: About = About {
    id: "continuation",
    label: "Continuation, four-way",
    summary: "A passage from a held-out book is cut inside a sentence; which of four continuations follows? Chance is 25 %.",
    source: "Choice with the largest log p(choice | context) - log p(choice | begin-of-text). Contexts are cut to their last 400 tokens. Items: models/eval/SOURCES.md.",
    knobs: &[N],
    families: &FAMILIES,
};

static TEXT: About = About {
    id: "text",
    label: "Held-out text",
    summary: "How well the model predicts the next tokens of whole works it never saw, given a context before them.",
    source: "Windows spread evenly over each work; the first tokens are the context (reduced, never scored), the rest is scored. Bits per byte use the work's average of bytes a token.",
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
    ],
    families: &FAMILIES,
};

static RECALL: About = About {
    id: "recall",
    label: "Recall in noise",
    summary: "Key-value pairs are scattered among filler tokens; the model is asked for the value of one key. A guess is right 3 % of the time.",
    source: "Context as generated; the query (`? key`) is never reduced. Items: models/eval/SOURCES.md.",
    knobs: &[
        Knob {
            id: "level",
            label: "Level",
            help: "Pairs and context length",
            kind: KnobKind::Choice {
                options: &[
                    ("easy", "4 pairs in 64"),
                    ("medium", "8 pairs in 96"),
                    ("hard", "16 pairs in 160"),
                    ("dense", "16 pairs in 64"),
                ],
                default: "medium",
            },
        },
        N,
    ],
    families: &FAMILIES,
};

/// Every evaluation, in the order of the menus.
pub fn abouts() -> Vec<&'static About> {
    vec![&CONTINUATION, &TEXT, &RECALL]
}

/// Files (below models/eval) that an evaluation reads.
pub fn files(setting: &Setting) -> Vec<String> {
    match setting.about.id {
        "continuation" => vec!["continuation.jsonl".into()],
        "recall" => vec![format!("recall_{}.jsonl", setting.choice("level"))],
        _ => match setting.choice("work") {
            "all" => ["northanger_abbey", "opticks", "persuasion", "state_of_the_union"]
                .iter()
                .map(|work| format!("heldout/{work}.txt"))
                .collect(),
            work => vec![format!("heldout/{work}.txt")],
        },
    }
}

/// What scoring one item gives. Continuation: right, nats, bytes. Text: nats, tokens, bytes. Recall: right, 1, 0.
pub type Score = [f64; 3];

/// Items ready to be scored.
pub struct Task {
    kind: Kind,
    definition: String,
}

enum Kind {
    Continuation(Vec<Choice>),
    Text(Vec<Window>),
    Recall(Vec<Query>),
}

struct Choice {
    context: Vec<u32>,
    choices: Vec<Vec<u32>>,
    label: usize,
    bytes: usize,
}

struct Window {
    ids: Vec<u32>,
    context: usize,
    bytes_per_token: f64,
}

struct Query {
    context: Vec<u32>,
    query: Vec<u32>,
    answer: Vec<u32>,
}

#[derive(Deserialize)]
struct ChoiceLine {
    context: String,
    choices: Vec<String>,
    label: usize,
}

#[derive(Deserialize)]
struct QueryLine {
    context: String,
    query: String,
    answer: String,
}

/// Longest context of a continuation item.
const MAX_CONTEXT: usize = 400;

impl Task {
    /// Builds the items from the files that [`files`] names, in that order.
    ///
    /// Errors: a file that is not what it should be, or text that is too short for one window.
    pub fn build(
        setting: &Setting,
        seed: u64,
        files: &[(String, Vec<u8>)],
        tokenizer: &Tokenizer,
    ) -> Result<Task> {
        let kind = match setting.about.id {
            "continuation" => Kind::Continuation(pick(
                lines(&files[0])?.iter().map(|l| choice(l, tokenizer)).collect::<Result<_>>()?,
                setting.number("n") as usize,
                seed,
            )),
            "recall" => Kind::Recall(pick(
                lines(&files[0])?.iter().map(|l| query(l, tokenizer)).collect::<Result<_>>()?,
                setting.number("n") as usize,
                seed,
            )),
            _ => {
                let mut all = Vec::new();
                for file in files {
                    all.extend(windows(file, setting, tokenizer)?);
                }
                Kind::Text(all)
            }
        };
        let about = setting.about;
        Ok(Task { kind, definition: format!("{} {}", about.summary, about.source) })
    }

    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::Continuation(items) => items.len(),
            Kind::Text(items) => items.len(),
            Kind::Recall(items) => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Scores item `i`. `none` is the context of begin-of-text alone, from [`no_context`].
    pub async fn score(&self, arm: &Arm<'_>, none: &Context, i: usize) -> Result<Score> {
        match &self.kind {
            Kind::Continuation(items) => items[i].score(arm, none).await,
            Kind::Text(items) => items[i].score(arm).await,
            Kind::Recall(items) => items[i].score(arm).await,
        }
    }

    /// The figures of the items scored so far.
    pub fn figures(&self, baseline: &[Score], compressed: &[Score]) -> Vec<Quality> {
        let pairs: Vec<[f64; 6]> = baseline
            .iter()
            .zip(compressed)
            .map(|(b, c)| [b[0], b[1], b[2], c[0], c[1], c[2]])
            .collect();
        let metrics: &[Metric] = match &self.kind {
            Kind::Continuation(_) => &[ACCURACY, BITS_OF_ANSWER],
            Kind::Text(_) => &[PERPLEXITY, BITS_PER_BYTE],
            Kind::Recall(_) => &[ACCURACY],
        };
        metrics.iter().map(|m| m.figure(&pairs, self.len(), &self.definition)).collect()
    }
}

/// The context that stands for "no context": the begin-of-text token.
pub fn no_context(arm: &Arm<'_>) -> Result<Context> {
    Arm { reduction: None, ..*arm }.read(&[arm.config.bos_token_id().unwrap_or(0)])
}

impl Choice {
    async fn score(&self, arm: &Arm<'_>, none: &Context) -> Result<Score> {
        let context = arm.read(&self.context)?;
        // All eight scores come back in one read.
        let mut rows = None;
        for place in [&context, none] {
            for choice in &self.choices {
                let nll = arm.nll(place, choice)?;
                rows = Some(match rows {
                    Some(before) => concat_rows(arm.device, &before, &nll),
                    None => nll,
                });
            }
        }
        let Some(rows) = rows else { return Ok([0.0; 3]) };
        let values = arm.device.read(&rows).await?; // [sum of lengths, 2]
        let mut nats = values.chunks_exact(2).map(|pair| f64::from(pair[0]));
        let mut sum = |n: usize| nats.by_ref().take(n).sum::<f64>();
        let with: Vec<f64> = self.choices.iter().map(|c| sum(c.len())).collect();
        let without: Vec<f64> = self.choices.iter().map(|c| sum(c.len())).collect();
        let gain = |i: usize| without[i] - with[i];
        let best = (0..with.len()).fold(0, |b, i| if gain(i) > gain(b) { i } else { b });
        Ok([f64::from(best == self.label), with[self.label], self.bytes as f64])
    }
}

impl Window {
    async fn score(&self, arm: &Arm<'_>) -> Result<Score> {
        let (context, target) = self.ids.split_at(self.context);
        let context = arm.read(context)?;
        let values = arm.device.read(&arm.nll(&context, target)?).await?;
        let nats = values.chunks_exact(2).map(|pair| f64::from(pair[0])).sum();
        let tokens = target.len() as f64;
        Ok([nats, tokens, tokens * self.bytes_per_token])
    }
}

impl Query {
    async fn score(&self, arm: &Arm<'_>) -> Result<Score> {
        let mut context = arm.read(&self.context)?;
        arm.extend(&mut context, &self.query)?;
        let values = arm.device.read(&arm.nll(&context, &self.answer)?).await?;
        let right = values.chunks_exact(2).all(|pair| pair[1] == 1.0);
        Ok([f64::from(right), 1.0, 0.0])
    }
}

/// A figure made of column sums: three of the baseline, three of the compressed arm.
struct Metric {
    metric: &'static str,
    label: &'static str,
    unit: &'static str,
    higher_is_better: bool,
    /// From the three sums of one arm.
    of: fn(&[f64]) -> f64,
}

const ACCURACY: Metric = Metric {
    metric: "accuracy",
    label: "Accuracy",
    unit: "share",
    higher_is_better: true,
    of: |s| s[0],
};
const BITS_OF_ANSWER: Metric = Metric {
    metric: "bits_per_byte",
    label: "Bits per byte of the true continuation",
    unit: "bits",
    higher_is_better: false,
    of: |s| s[1] / std::f64::consts::LN_2 / s[2],
};
const PERPLEXITY: Metric = Metric {
    metric: "perplexity",
    label: "Perplexity",
    unit: "",
    higher_is_better: false,
    of: |s| (s[0] / s[1]).exp(),
};
const BITS_PER_BYTE: Metric = Metric {
    metric: "bits_per_byte",
    label: "Bits per byte",
    unit: "bits",
    higher_is_better: false,
    of: |s| s[0] / std::f64::consts::LN_2 / s[2],
};

impl Metric {
    fn figure(&self, pairs: &[[f64; 6]], total: usize, definition: &str) -> Quality {
        let n = pairs.len();
        let of = self.of;
        // A share is a mean: its sums are divided by the number of items first.
        let scale = if self.unit == "share" { 1.0 / n.max(1) as f64 } else { 1.0 };
        let side = |from: usize| {
            move |s: &[f64; 6]| of(&[s[from] * scale, s[from + 1] * scale, s[from + 2] * scale])
        };
        let estimate = |from: usize| -> Estimate {
            match self.unit {
                "share" => wilson(pairs.iter().filter(|p| p[from] == 1.0).count(), n),
                _ => paired_bootstrap(pairs, side(from)),
            }
        };
        Quality {
            metric: self.metric,
            label: self.label,
            definition: definition.to_string(),
            unit: self.unit,
            higher_is_better: self.higher_is_better,
            baseline: estimate(0),
            compressed: estimate(3),
            change: paired_bootstrap(pairs, |s| side(3)(s) - side(0)(s)),
            items: n,
            items_total: total,
        }
    }
}

/// A seeded choice of `n` items in their old order; all of them when there are no more.
fn pick<T>(items: Vec<T>, n: usize, seed: u64) -> Vec<T> {
    let mut rng = Rng::new(seed);
    let mut order: Vec<usize> = (0..items.len()).collect();
    for i in 0..n.min(order.len()) {
        let j = i + rng.below(order.len() - i);
        order.swap(i, j);
    }
    order.truncate(n);
    order.sort_unstable();
    let mut wanted = order.into_iter().peekable();
    let numbered = items.into_iter().enumerate();
    numbered.filter_map(|(i, item)| wanted.next_if_eq(&i).map(|_| item)).collect()
}

fn text(file: &(String, Vec<u8>)) -> Result<&str> {
    std::str::from_utf8(&file.1).map_err(|_| Error::file(&file.0, "is not UTF-8 text"))
}

fn lines(file: &(String, Vec<u8>)) -> Result<Vec<(&str, &str)>> {
    Ok(text(file)?.lines().map(|line| (file.0.as_str(), line)).collect())
}

fn parse<'a, T: Deserialize<'a>>((file, line): &(&str, &'a str)) -> Result<T> {
    serde_json::from_str(line)
        .map_err(|e| Error::file(*file, format!("a line is not an item ({e})")))
}

fn choice(line: &(&str, &str), tokenizer: &Tokenizer) -> Result<Choice> {
    let item: ChoiceLine = parse(line)?;
    let ids = tokenizer.encode(&item.context)?;
    let choices: Vec<Vec<u32>> =
        item.choices.iter().map(|c| tokenizer.encode(c)).collect::<Result<_>>()?;
    let bytes = item.choices.get(item.label).map(String::len);
    match bytes {
        Some(bytes) if !ids.is_empty() && choices.iter().all(|c| !c.is_empty()) => Ok(Choice {
            context: ids[ids.len().saturating_sub(MAX_CONTEXT)..].to_vec(),
            choices,
            label: item.label,
            bytes,
        }),
        _ => Err(Error::file(line.0, "an item has no context, an empty choice or a wrong label")),
    }
}

fn query(line: &(&str, &str), tokenizer: &Tokenizer) -> Result<Query> {
    let item: QueryLine = parse(line)?;
    let [context, query, answer] =
        [item.context, item.query, item.answer].map(|s| tokenizer.encode(&s));
    let (context, query, answer) = (context?, query?, answer?);
    if context.is_empty() || query.is_empty() || answer.is_empty() {
        return Err(Error::file(line.0, "an item lacks context, query or answer"));
    }
    Ok(Query { context, query, answer })
}

fn windows(
    file: &(String, Vec<u8>),
    setting: &Setting,
    tokenizer: &Tokenizer,
) -> Result<Vec<Window>> {
    let text = text(file)?;
    let ids = tokenizer.encode(text)?;
    let [windows, context, target] =
        ["windows", "context", "target"].map(|knob| setting.number(knob) as usize);
    let length = context + target;
    if ids.len() < length {
        let problem = format!("has {} tokens; one window needs {length}", ids.len());
        return Err(Error::file(&file.0, problem));
    }
    let n = windows.min((ids.len() - 1) / (length - 1)).max(1);
    let step = (ids.len() - length) / n;
    let bytes_per_token = text.len() as f64 / ids.len() as f64;
    let window = |i: usize| Window {
        ids: ids[i * step..i * step + length].to_vec(),
        context,
        bytes_per_token,
    };
    Ok((0..n).map(window).collect())
}
