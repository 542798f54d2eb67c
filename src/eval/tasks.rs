//! The evaluations: what they describe themselves as, how one item is scored, how items become a figure.

use super::Quality;
use super::arm::{Arm, Context, filler};
use super::figures::{self, Metric, Score};
use super::published::Published;

use super::items::{
    Choice, Cloze, File, Prior, Query, Window, choice, cloze, lines, query, windows,
};
use crate::config::FAMILIES;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result, Rng};

const N: Knob = Knob {
    id: "n",
    label: "Items",
    help: "Items scored; a seeded choice when there are more",
    kind: KnobKind::Number { min: 1.0, max: 2000.0, step: 1.0, default: 100.0 },
};

const CONTROLS: Knob = Knob {
    id: "controls",
    label: "Items for controls",
    help: "Items on which a token reduction is compared with controls at the same lengths, once all else is measured; 0 leaves them out",
    kind: KnobKind::Number { min: 0.0, max: 2000.0, step: 1.0, default: 50.0 },
};

const PUBLISHED: Knob = Knob {
    id: "published",
    label: "Scorer as published",
    help: "Warning: rows and labels slip in it. Shows what the released code would report of a token reduction, beside the honest figures",
    kind: KnobKind::Choice {
        options: &[("off", "off"), ("on", "beside the honest one")],
        default: "off",
    },
};

static CONTINUATION: About = About {
    id: "continuation",
    label: "Continuation, four-way",
    summary: "A passage from a held-out book is cut inside a sentence; which of four continuations follows? Chance is 25 %.",
    source: "Choice with the largest log p(choice | context) - log p(choice | begin-of-text). Contexts are cut to their last 400 tokens. Items: models/eval/SOURCES.md.",
    knobs: &[N, CONTROLS, PUBLISHED],
    families: &FAMILIES,
};

static TEXT: About = About {
    id: "text",
    label: "Held-out text",
    summary: "How well the model predicts the next tokens of whole works it never saw, given a context before them.",
    source: "Windows spread evenly over each work; the first tokens are the context (reduced, never scored), the rest is scored. Bits per byte use the work's average of bytes a token. Context benefit retained is (a - c) / (a - b) in nats, with a: begin-of-text as the only context, b: baseline, c: compressed.",
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

static CLOZE: About = About {
    id: "cloze",
    label: "Last word",
    summary: "A passage from a held-out book ends before the last word of a sentence; how many bits does that word cost?",
    source: "-log2 p(word | context), mean over the items; right if every token of the word is the most likely one. Contexts are cut to their last 440 tokens. Items: models/eval/SOURCES.md.",
    knobs: &[N, CONTROLS, PUBLISHED],
    families: &FAMILIES,
};

const WITHOUT: Knob = Knob {
    id: "without",
    label: "Left out",
    help: "Context tokens that neither model gets to read: what is lost when 30 % go, by chance or with the filler first",
    kind: KnobKind::Choice {
        options: &[
            ("nothing", "nothing"),
            ("random", "30 % at random"),
            ("filler", "30 %, filler first"),
        ],
        default: "nothing",
    },
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
                    ("easy-256", "4 pairs in 256"),
                    ("medium-256", "8 pairs in 256"),
                    ("hard-256", "16 pairs in 256"),
                    ("easy-512", "4 pairs in 512"),
                    ("medium-512", "8 pairs in 512"),
                    ("hard-512", "16 pairs in 512"),
                    ("easy-1024", "4 pairs in 1024"),
                    ("medium-1024", "8 pairs in 1024"),
                    ("hard-1024", "16 pairs in 1024"),
                ],
                default: "medium",
            },
        },
        N,
        WITHOUT,
        CONTROLS,
    ],
    families: &FAMILIES,
};

static COPY: About = About {
    id: "copy",
    label: "Selective copying",
    summary: "A few data tokens stand among filler; the model is asked for them in order, without the filler. Right only if every one is.",
    source: "Mamba (arXiv 2312.00752), section 4.1, with data tokens that differ. Each answer token is asked with the right ones before it; the question mark is never reduced. Items: models/eval/SOURCES.md.",
    knobs: &[
        Knob {
            id: "level",
            label: "Level",
            help: "Data tokens and context length",
            kind: KnobKind::Choice {
                options: &[
                    ("easy", "4 tokens in 32"),
                    ("medium", "6 tokens in 64"),
                    ("hard", "8 tokens in 96"),
                ],
                default: "medium",
            },
        },
        N,
        WITHOUT,
        CONTROLS,
    ],
    families: &FAMILIES,
};

static INDUCTION: About = About {
    id: "induction",
    label: "Induction",
    summary: "A mark stands once among random tokens; when it comes again, which token followed it? A guess is right 3 % of the time.",
    source: "Mamba (arXiv 2312.00752), section 4.1. The second mark is never reduced. Items: models/eval/SOURCES.md.",
    knobs: &[
        Knob {
            id: "level",
            label: "Level",
            help: "Context length",
            kind: KnobKind::Choice {
                options: &[("easy", "32 tokens"), ("medium", "64 tokens"), ("hard", "128 tokens")],
                default: "medium",
            },
        },
        N,
        CONTROLS,
    ],
    families: &FAMILIES,
};

/// Every evaluation, in the order of the menus.
pub fn abouts() -> Vec<&'static About> {
    vec![&CONTINUATION, &TEXT, &CLOZE, &RECALL, &COPY, &INDUCTION]
}

/// Files (below models/eval) that an evaluation reads.
pub fn files(setting: &Setting) -> Vec<String> {
    match setting.about.id {
        "continuation" => vec!["continuation.jsonl".into()],
        "cloze" => vec!["cloze.jsonl".into()],
        task @ ("recall" | "copy" | "induction") => {
            vec![format!("{task}_{}.jsonl", setting.choice("level"))]
        }
        _ => match setting.choice("work") {
            "all" => ["northanger_abbey", "opticks", "persuasion", "state_of_the_union"]
                .iter()
                .map(|work| format!("heldout/{work}.txt"))
                .collect(),
            work => vec![format!("heldout/{work}.txt")],
        },
    }
}

/// Items ready to be scored.
pub struct Task {
    kind: Kind,
    definition: String,
}

enum Kind {
    Continuation(Vec<Choice>),
    Text(Vec<Window>),
    Cloze(Vec<Cloze>),
    Recall(Vec<Query>),
}

impl Task {
    /// Builds the items from the files that [`files`] names, in that order.
    ///
    /// Errors: a file that is not what it should be, or text that is too short for one window.
    pub fn build(
        setting: &Setting,
        seed: u64,
        files: &[File],
        tokenizer: &Tokenizer,
    ) -> Result<Task> {
        // Chosen before they are read: most of the time would go into lines that nobody scores.
        let chosen = || Ok(pick(lines(&files[0])?, setting.number("n") as usize, seed));
        let kind = match setting.about.id {
            "continuation" => Kind::Continuation(
                chosen()?.iter().map(|l| choice(l, tokenizer)).collect::<Result<_>>()?,
            ),
            "cloze" => {
                Kind::Cloze(chosen()?.iter().map(|l| cloze(l, tokenizer)).collect::<Result<_>>()?)
            }
            task @ ("recall" | "copy" | "induction") => {
                let mut items: Vec<Query> =
                    chosen()?.iter().map(|l| query(l, tokenizer)).collect::<Result<_>>()?;
                let what = if task == "induction" { "nothing" } else { setting.choice("without") };
                if what != "nothing" {
                    let marks = filler(tokenizer).ok_or_else(|| {
                        Error::input(
                            "without",
                            what,
                            "nothing: this vocabulary has no filler n00, n01 ..",
                        )
                    })?;
                    // Chance decides alone where nothing counts as filler.
                    let marks = if what == "filler" { &marks[..] } else { &[] };
                    let mut rng = Rng::new(seed);
                    items.iter_mut().for_each(|item| item.leave_out(marks, &mut rng));
                }
                Kind::Recall(items)
            }
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
            Kind::Cloze(items) => items.len(),
            Kind::Recall(items) => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What an arm's model says of item `i` without its context; `none` is the context of begin-of-text alone, from
    /// [`no_context`]. Empty where nothing is compared with it.
    pub async fn prior(&self, arm: &Arm<'_>, none: &Context, i: usize) -> Result<Prior> {
        match &self.kind {
            Kind::Continuation(items) => items[i].prior(arm, none).await,
            Kind::Text(items) => items[i].prior(arm, none).await,
            Kind::Cloze(_) | Kind::Recall(_) => Ok(Vec::new()),
        }
    }

    /// Scores item `i`. `prior` is [`Task::prior`] of the same item and model.
    pub async fn score(&self, arm: &Arm<'_>, prior: &[f64], i: usize) -> Result<Score> {
        match &self.kind {
            Kind::Continuation(items) => items[i].score(arm, prior).await,
            Kind::Text(items) => items[i].score(arm, prior).await,
            Kind::Cloze(items) => items[i].score(arm).await,
            Kind::Recall(items) => items[i].score(arm).await,
        }
    }

    /// Scores item `i` as the released code of arXiv 2410.14725 does, see [`super::published`]: rows and labels may be
    /// out of step. `None` where an evaluation has no such form.
    pub async fn as_published(
        &self,
        arm: &Arm<'_>,
        prior: &[f64],
        i: usize,
    ) -> Result<Option<Published>> {
        Ok(match &self.kind {
            Kind::Continuation(items) => Some(items[i].as_published(arm, prior).await?),
            Kind::Cloze(items) => Some(items[i].as_published(arm).await?),
            Kind::Text(_) | Kind::Recall(_) => None,
        })
    }

    /// The figures of the items scored so far.
    pub fn figures(&self, baseline: &[Score], compressed: &[Score]) -> Vec<Quality> {
        let metrics: &[Metric] = match &self.kind {
            Kind::Continuation(_) => figures::CONTINUATION,
            Kind::Text(_) => figures::TEXT,
            Kind::Cloze(_) => figures::CLOZE,
            Kind::Recall(_) => figures::RECALL,
        };
        let figure = |m: &Metric| m.figure(baseline, compressed, self.len(), &self.definition);
        metrics.iter().map(figure).collect()
    }

    /// The figures of two arms neither of which is the baseline, and so without those that rest on one.
    pub fn difference(&self, from: &[Score], to: &[Score]) -> Vec<Quality> {
        let mut figures = self.figures(from, to);
        figures.retain(|q| q.metric != "context_benefit");
        figures.iter_mut().for_each(|q| q.definition.clear());
        figures
    }
}

/// The context that stands for "no context": the begin-of-text token.
pub fn no_context(arm: &Arm<'_>) -> Result<Context> {
    Arm { reduction: None, ..*arm }.read(&[arm.config.bos_token_id().unwrap_or(0)])
}

/// A seeded choice of `n` items in their old order; all of them when there are no more.
fn pick<T>(items: Vec<T>, n: usize, seed: u64) -> Vec<T> {
    let mut rng = Rng::new(seed);
    let mut order: Vec<u64> = (0..items.len() as u64).collect();
    for i in 0..n.min(order.len()) {
        let j = i + rng.below(order.len() - i);
        order.swap(i, j);
    }
    order.truncate(n);
    crate::order::sort(&mut order);
    let mut wanted = order.into_iter().peekable();
    let numbered = items.into_iter().enumerate();
    numbered.filter_map(|(i, item)| wanted.next_if_eq(&(i as u64)).map(|_| item)).collect()
}
