//! What a run tells the page: piece by piece as [`Part`]s, which together are a [`RunView`].

use super::{ItemView, StateView, WordsView};
use crate::eval::{Cost, Quality, Speed};
use serde::Serialize;

/// A piece of what a run found. A page puts the pieces of one run together to what [`RunView`] holds; a later piece of
/// the same kind stands for the earlier one, but for `text`, which goes on from `at`, and `control`, which is one more.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Part {
    /// The first of a run.
    Begin {
        /// As [`RunView::backend`].
        backend: String,
    },
    /// A side's text from character `at` on.
    Text {
        /// Whose text.
        side: Which,
        /// Characters (not bytes) of what was told before that stay.
        at: usize,
        /// What stands behind them now.
        text: String,
        /// Tokens of the whole text so far.
        tokens: usize,
        /// Of both sides.
        differs_at: Option<usize>,
        /// Whether the text is at its end.
        done: bool,
    },
    /// The baseline's text is there.
    FirstNumber {
        /// As [`RunView::first_number_ms`].
        ms: f64,
    },
    /// Counted before the compressed side runs; told again when the timing has judged its decoding.
    Cost {
        /// The whole of it.
        cost: Box<Cost>,
    },
    /// The figures of the items scored so far.
    Quality {
        /// Every metric of the evaluation.
        quality: Vec<Quality>,
    },
    /// The speeds of the rounds timed so far.
    Speed {
        /// Over all of them.
        speed: Box<Speed>,
    },
    /// What the reduction did to the prompt.
    Trace {
        /// Complete.
        trace: TraceView,
    },
    /// One more control of the token reduction.
    Control {
        /// Complete.
        control: ControlView,
    },
    /// The figures of the released code's scorer.
    Published {
        /// Complete.
        published: PublishedView,
    },
    /// What the two models think of the prompt and of the two texts.
    Words {
        /// Complete.
        words: WordsView,
    },
    /// How the two models use their states.
    States {
        /// Complete.
        states: StateView,
    },
    /// What became of every item, after the last figure. Not part of [`RunView`]: `whittle run --items` writes it apart.
    Items {
        /// In the order of the data.
        items: Vec<ItemView>,
    },
    /// The last of a run that came to its end.
    Done,
}

/// One of the two models that a run sets side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The dense model, which reads its whole context.
    Baseline,
    /// The pruned model behind the token reduction, as far as they are on.
    Compressed,
}

/// What a run has measured so far. The same structure is printed by `whittle run --json`.
#[derive(Debug, Clone, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RunView {
    /// Rises with every run of this page.
    pub number: u64,
    /// Whether nothing more comes.
    pub finished: bool,
    /// Canonical link of the run, empty until the hash of its weights is known.
    pub link: String,
    /// The device it runs on, for people; empty before one was chosen.
    pub backend: String,
    /// What the dense model writes after the prompt.
    pub baseline: Side,
    /// What the compressed one writes.
    pub compressed: Side,
    /// Every metric of the evaluation; empty before the first items are scored.
    pub quality: Vec<Quality>,
    /// Controls of the token reduction, each complete; they come last.
    pub controls: Vec<ControlView>,
    /// Where the evaluation's `published` is on.
    pub published: Option<PublishedView>,
    /// Absent until the first round is timed.
    pub speed: Option<Speed>,
    /// Absent until it is counted.
    pub cost: Option<Cost>,
    /// What the reduction did to the prompt; absent without one, or where the prompt is too short for it.
    pub trace: Option<TraceView>,
    /// What both models think of the prompt and of the two texts.
    pub words: Option<WordsView>,
    /// Absent where no layer has states.
    pub states: Option<StateView>,
    /// Milliseconds from the start of the run to its first baseline number.
    pub first_number_ms: Option<f64>,
}

/// Generated text of one side; the prompt is not repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Side {
    /// While it is being written, without a character of which only some bytes are there.
    pub text: String,
    /// Tokens that the text is made of.
    pub tokens: usize,
    /// Characters (not bytes) until the two texts part; absent while they agree.
    pub differs_at: Option<usize>,
    /// Whether the text is at its end.
    pub done: bool,
}

/// A reduction that does not look at the tokens (or looks at the answer), at the lengths of the method.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ControlView {
    /// For people.
    pub label: &'static str,
    /// Its SPEC, at the lengths of the method that it is compared with.
    pub spec: String,
    /// `baseline` is the control, `compressed` the method, `change` the method minus the control; on some of the items.
    pub quality: Vec<Quality>,
}

/// Figures of the released code's scorer, which are no measure of quality.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PublishedView {
    /// Why they are none, for people; to be shown beside them.
    pub warning: &'static str,
    /// Share of the scored rows that are compared with the right label.
    pub in_step: f64,
    /// `baseline` is the honest figure of the compressed model, `compressed` the published one.
    pub quality: Vec<Quality>,
}

/// Which tokens of the prompt went where.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TraceView {
    /// Layers after which tokens went, in order.
    pub layers: Vec<usize>,
    /// The tokens of the prompt, or its last 256.
    pub tokens: Vec<TraceToken>,
    /// Tokens of the prompt that are left out before them.
    pub left_out: usize,
}

/// A token of the prompt and its way through the layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TraceToken {
    /// In the prompt, from 0.
    pub position: usize,
    /// The token decoded by itself; part of a character shows as such.
    pub text: String,
    /// One for each layer.
    pub fates: Vec<Fate>,
}

/// What became of a token after a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// Goes on to the next layer.
    Kept {
        /// The method's importance of the token here; absent where the method scores none, or the score is no number.
        score: Option<f32>,
    },
    /// Left out of everything after this layer.
    Pruned {
        /// As of a kept one.
        score: Option<f32>,
    },
    /// Folded into another position, in the layer's own output, in the stream before it, or in both.
    Merged {
        /// That position in the prompt, from 0.
        into: u32,
        /// In the layer's own output.
        hidden: bool,
        /// In the stream before the layer.
        residual: bool,
        /// As of a kept one.
        score: Option<f32>,
    },
    /// Went at an earlier layer.
    Gone,
}

/// The cost of settings that were not run, counted from shapes alone; the fields are those of [`Cost`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PaperCost {
    /// Share of the layers' FLOPs saved in a prefill of the context, 0..=1.
    pub flops_saved_layers: f64,
    /// The same with the output head of one token and the method's own arithmetic; below 0 where that is more than is saved.
    pub flops_saved_total: f64,
    /// Context tokens that enter each layer.
    pub lengths: Vec<usize>,
    /// Weights of the pruned matrices that would be zero or gone, 0..=1.
    pub sparsity: f64,
    /// The same among all weights of the model, 0..=1.
    pub sparsity_of_model: f64,
}
