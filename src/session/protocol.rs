//! The whole conversation between a page and the engine: [`Request`] in, [`Event`] out.
//!
//! The page sends what a person did, each request with a number that rises. The engine answers with a small
//! [`View`], which says the number of the request it answers, and tells what a run finds as [`Part`]s: each part is
//! sent once, and adds to or replaces what was told of the same run before. A view names the run that belongs to
//! its settings, so a page that shows the run of its newest view can never show a stale number as a current one.
//! Controls have names: `model`, `seed`, `prompt`, `tokens`, `temperature`, `backend`; `eval`, `reduce` and `prune`
//! (an id, or "off" for the last two); and `eval.KNOB`, `reduce.KNOB`, `prune.KNOB` for the knobs of what is chosen.
//!
//! `www/protocol.d.ts` declares the same for the page's scripts. It is made from the types here by a test, see
//! `super::declarations`.

pub use crate::eval::{Cost, Decode};
use crate::eval::{Point, Quality, Speed};
use crate::method::About;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Raised whenever a message changes its meaning; the page refuses to talk to another version.
pub const VERSION: u32 = 2;

/// The number of a request. Stands beside its fields in the message: `{ id: 7, type: "run" }`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Numbered {
    #[serde(default)]
    pub id: u64,
}

/// What a person did.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// First message. `fragment` is location.hash (hostile), `base` is document.baseURI.
    Hello { fragment: String, base: String },
    /// A control changed. Supersedes a run that is on and starts a new one.
    Set { name: String, value: String },
    /// Start a run with the settings as they are.
    Run,
    /// Stop the run that is on; what it measured so far is no longer current.
    Cancel,
    /// The address changed by hand or by the back button.
    Link { fragment: String },
    /// Back to the defaults of the chosen model.
    Reset,
    /// A model of the user's own: config.json, model.safetensors (or shards and their index), tokenizer.json.
    Open { files: Vec<File> },
    /// A control is under the finger: what would it cost at this value? Answered by [`Event::Cost`], also while a run is
    /// on, which goes on. A value that cannot be has no answer.
    Preview { name: String, value: String },
    /// Measure the chosen methods over the values of one knob (`prune.sparsity`), or over its range where there are no
    /// values, while nothing else runs. Each is told by [`Event::Point`].
    Sweep {
        knob: String,
        #[serde(default)]
        values: Vec<String>,
    },
    /// Halt the sweep, or go on with it.
    Pause,
    /// Is anybody there? Answered by [`Event::Pong`], not by a view.
    Ping,
}

/// A file that the user opened.
#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct File {
    pub name: String,
    #[serde(with = "serde_bytes")]
    #[cfg_attr(test, ts(type = "Uint8Array"))]
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// What the engine says.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Once, before anything else: everything that can be chosen.
    Catalog(Catalog),
    /// After every request, and when the model, the device or a notice changes.
    View(Box<View>),
    /// How far the run is; stands for the newest view's `status`. At most about 20 a second.
    Status { status: Status },
    /// A piece of a run.
    Result { run: u64, part: Part },
    /// Answers [`Request::Preview`].
    Cost { answers: u64, cost: PaperCost },
    /// One measured setting: of a run ("run"), or of a sweep's curve ("KNOB METHOD").
    Point { series: String, point: Box<Point> },
    /// Answers [`Request::Ping`].
    Pong,
    /// The engine itself is broken and says no more. `text` is for people.
    Failed { text: String },
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Catalog {
    pub version: u32,
    pub models: Vec<ModelChoice>,
    pub reductions: Vec<&'static About>,
    pub prunings: Vec<&'static About>,
    pub evaluations: Vec<&'static About>,
    /// Id and name for people.
    pub backends: Vec<(&'static str, &'static str)>,
}

/// A bundled model before it is loaded.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ModelChoice {
    pub id: String,
    pub label: String,
    /// model_type
    pub family: String,
    pub parameters: u64,
    pub bytes: u64,
    /// Evaluations that make sense for it.
    pub evaluations: Vec<String>,
}

/// Control name (`reduce`, `prune.pattern`..) -> what it could be set to -> why that cannot be chosen with this model.
/// What is not named can be chosen.
pub type WhyNot = BTreeMap<String, BTreeMap<String, String>>;

/// The settings and what is known without a run.
#[derive(Debug, Clone, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct View {
    /// The number of the newest request that this view knows of.
    pub answers: u64,
    /// Control name -> value, as the engine understood it.
    pub settings: BTreeMap<String, String>,
    pub why_not: WhyNot,
    /// The address fragment that reproduces these settings, starting with '#'.
    pub fragment: String,
    /// "CPU (wasm simd128)" and why it was chosen; empty before a device was.
    pub backend: String,
    pub backend_why: String,
    pub model: Option<ModelView>,
    pub status: Status,
    /// Messages that need reading: what happened, what was done, what one can do.
    pub notices: Vec<Notice>,
    /// The run that belongs to these settings; absent when there is none yet.
    pub run: Option<u64>,
    pub sweep: Option<SweepView>,
}

/// A sweep that is on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SweepView {
    pub knob: String,
    /// Points measured, and in all.
    pub done: usize,
    pub total: usize,
    pub paused: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Status {
    pub state: State,
    /// Whether a run is on or about to be.
    pub running: bool,
    /// For people: "Loading model", "Pruning layer 2 of 6", "Run complete", "Cancelled"...
    pub text: String,
    /// Share done, 0..=1; absent when unknown.
    pub progress: Option<f64>,
}

/// What the engine is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was run yet.
    #[default]
    Idle,
    Running,
    Complete,
    Cancelled,
    /// A notice says why.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Notice {
    pub level: Level,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Error,
    Warning,
    Info,
}

/// The loaded model.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ModelView {
    pub id: String,
    pub label: String,
    pub family: String,
    pub parameters: u64,
    pub bytes: u64,
    pub sha256: String,
    /// The model card (Markdown, shown as plain text).
    pub card: String,
    /// config.json fields that nobody here knows.
    pub ignored: Vec<String>,
    /// Sentences about what was left out or is unusual.
    pub notes: Vec<String>,
}

/// A piece of what a run found. A page puts the pieces of one run together to what [`RunView`] holds; a later piece of
/// the same kind stands for the earlier one, but for `text`, which goes on from `at`, and `control`, which is one more.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Part {
    /// The first of a run.
    Begin {
        link: String,
        backend: String,
    },
    /// A side's text from character `at` on.
    Text {
        side: Which,
        at: usize,
        text: String,
        tokens: usize,
        /// Of both sides.
        differs_at: Option<usize>,
        done: bool,
    },
    FirstNumber {
        ms: f64,
    },
    Cost {
        cost: Box<Cost>,
    },
    Quality {
        quality: Vec<Quality>,
    },
    Speed {
        speed: Box<Speed>,
    },
    Trace {
        trace: TraceView,
    },
    Control {
        control: ControlView,
    },
    Published {
        published: PublishedView,
    },
    /// The last of a run that came to its end.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Which {
    Baseline,
    Compressed,
}

/// What a run has measured so far. The same structure is printed by `whittle run --json`.
#[derive(Debug, Clone, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RunView {
    /// Rises with every run of this page.
    pub number: u64,
    pub finished: bool,
    /// Canonical link of the run.
    pub link: String,
    pub backend: String,
    pub baseline: Side,
    pub compressed: Side,
    pub quality: Vec<Quality>,
    /// Controls of the token reduction, each complete; they come last.
    pub controls: Vec<ControlView>,
    /// Where the evaluation's `published` is on.
    pub published: Option<PublishedView>,
    pub speed: Option<Speed>,
    /// Absent until it is counted.
    pub cost: Option<Cost>,
    /// What the reduction did to the prompt; absent without one, or where the prompt is too short for it.
    pub trace: Option<TraceView>,
    /// Milliseconds from the start of the run to its first baseline number.
    pub first_number_ms: Option<f64>,
}

/// Generated text of one side; the prompt is not repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Side {
    pub text: String,
    pub tokens: usize,
    /// Characters (not bytes) until the two texts part; absent while they agree.
    pub differs_at: Option<usize>,
    pub done: bool,
}

/// A reduction that does not look at the tokens (or looks at the answer), at the lengths of the method.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ControlView {
    pub label: &'static str,
    pub spec: String,
    /// `baseline` is the control, `compressed` the method, `change` the method minus the control; on some of the items.
    pub quality: Vec<Quality>,
}

/// Figures of the released code's scorer, which are no measure of quality.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PublishedView {
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

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TraceToken {
    pub position: usize,
    pub text: String,
    /// One for each layer.
    pub fates: Vec<Fate>,
}

/// What became of a token after a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    Kept {
        score: Option<f32>,
    },
    Pruned {
        score: Option<f32>,
    },
    /// Folded into another position, in the layer's own output, in the stream before it, or in both.
    Merged {
        into: u32,
        hidden: bool,
        residual: bool,
        score: Option<f32>,
    },
    /// Went at an earlier layer.
    Gone,
}

/// The cost of settings that were not run, counted from shapes alone; the fields are those of [`Cost`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PaperCost {
    pub flops_saved_layers: f64,
    pub flops_saved_total: f64,
    pub lengths: Vec<usize>,
    pub sparsity: f64,
    pub sparsity_of_model: f64,
}
