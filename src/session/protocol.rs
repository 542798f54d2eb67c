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

mod model;
mod run;

pub use super::file::{DataView, File};
pub use super::insight::{
    ItemView, Peer, Peers, PeersView, PromptToken, RealSize, StateView, WordsView, WrittenToken,
};
pub use crate::eval::{Cost, Decode};
use crate::eval::{Point, Quality, Score, Scored};
use crate::method::About;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use model::{ModelChoice, ModelView};
pub use run::{
    ControlView, Fate, PaperCost, Part, PublishedView, RunView, Side, TraceToken, TraceView, Which,
};

/// Raised whenever a message changes its meaning; the page refuses to talk to another version.
pub const VERSION: u32 = 2;

/// The number of a request. Stands beside its fields in the message: `{ id: 7, type: "run" }`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Numbered {
    /// Higher than that of every request before on this page; 0 where the message has none.
    #[serde(default)]
    pub id: u64,
}

/// What a person did.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// First message.
    Hello {
        /// location.hash: hostile until it is parsed.
        fragment: String,
        /// document.baseURI, below which the files of models and evaluations lie.
        base: String,
    },
    /// A control changed. Supersedes a run that is on and starts a new one.
    Set {
        /// A control, e.g. `prune.sparsity`.
        name: String,
        /// As [`View::settings`] writes it; checked before anything changes.
        value: String,
    },
    /// Start a run with the settings as they are.
    Run,
    /// Stop the run that is on; what it measured so far is no longer current.
    Cancel,
    /// The address changed by hand or by the back button.
    Link {
        /// location.hash, as hostile as that of the first message.
        fragment: String,
    },
    /// Back to the defaults of the chosen model.
    Reset,
    /// A model of the user's own.
    Open {
        /// config.json, model.safetensors (or shards and their index) and tokenizer.json, with what else lies beside them.
        files: Vec<File>,
        /// `org/name@commit` where they came from the hub; else empty.
        #[serde(default)]
        origin: String,
        /// Only config.json is given, and seeded random weights in its shape are wanted.
        #[serde(default)]
        random: bool,
    },
    /// Data of the user's own: rows of questions or of a task, or a text. Chooses an evaluation that reads it.
    OpenData {
        /// Of the file, for people.
        name: String,
        /// All of its content.
        #[serde(with = "serde_bytes")]
        #[cfg_attr(test, ts(type = "Uint8Array"))]
        bytes: Vec<u8>,
    },
    /// A control is under the finger: what would it cost at this value? Answered by [`Event::Cost`], also while a run is
    /// on, which goes on. A value that cannot be has no answer.
    Preview {
        /// As in [`Request::Set`].
        name: String,
        /// As in [`Request::Set`]; it is not kept.
        value: String,
    },
    /// Measure the chosen methods over the values of one knob (`prune.sparsity`), or over its range where there are no
    /// values, while nothing else runs. Each is told by [`Event::Point`].
    Sweep {
        /// A knob of the reduction or the pruning that is chosen: `reduce.KNOB` or `prune.KNOB`.
        knob: String,
        /// At most 64, in the order in which they are measured.
        #[serde(default)]
        values: Vec<String>,
    },
    /// Halt the sweep, or go on with it.
    Pause,
    /// Time the settings on random weights in a published shape. Told by [`Event::RealSize`].
    RealSize {
        /// One of [`Catalog::shapes`].
        shape: String,
    },
    /// Measure what else could be had for the bytes or FLOPs of what is compressed. Told by [`Event::Peers`].
    Peers,
    /// The difference of two runs on the same items, second minus first, paired. Answered by [`Event::Compared`], also
    /// while a run is on.
    Compare {
        /// The SPEC of the evaluation that scored the items.
        evaluation: String,
        /// What the compressed model of the first run scored, item by item.
        first: Vec<Score>,
        /// The same of the second run, in the same order.
        second: Vec<Score>,
    },
    /// To an engine that helps another one: score a part of that one's items from the last to the first, each told by
    /// [`Event::Scored`], until it is done or cancelled.
    Assist(Assist),
    /// What another engine has scored for the run that is on; after another call for help it is not used.
    Scored {
        /// The number of the call.
        call: u64,
        /// One item.
        scored: Box<Scored>,
    },
    /// Is anybody there? Answered by [`Event::Pong`], not by a view.
    Ping,
}

/// A part of the items of another engine's run.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Assist {
    /// The number of that one's call for help.
    pub call: u64,
    /// Its settings as a link.
    pub fragment: String,
    /// Whether the baseline has to be scored too.
    pub baseline: bool,
    /// So many items, evenly spread; 0 for all.
    pub items: usize,
    /// document.baseURI, below which the files of models and evaluations lie.
    pub base: String,
    /// Which of the helpers this is, from 0.
    pub part: usize,
    /// How many helpers there are.
    pub of: usize,
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
    Status {
        /// The whole of it, not what changed.
        status: Status,
    },
    /// A piece of a run.
    Result {
        /// The run's number, by which [`View::run`] names it.
        run: u64,
        /// What is new.
        part: Part,
    },
    /// Answers [`Request::Preview`].
    Cost {
        /// The number of that request.
        answers: u64,
        /// At the value asked about, all else as it is set.
        cost: PaperCost,
    },
    /// One measured setting.
    Point {
        /// The curve it belongs to: "run" for a run, "KNOB METHOD" for a point of a sweep.
        series: String,
        /// Settings and figures.
        point: Box<Point>,
    },
    /// How far the timing in a published shape is.
    RealSize {
        /// The whole of it.
        found: Box<RealSize>,
    },
    /// How far the peers are, and those that are measured.
    Peers {
        /// The whole of it.
        found: Box<PeersView>,
    },
    /// Answers [`Request::Compare`].
    Compared {
        /// The number of that request.
        answers: u64,
        /// Empty where the two do not belong together.
        quality: Vec<Quality>,
        /// Why they do not, for people.
        problem: Option<String>,
    },
    /// A run that other engines could help with: they can be sent [`Request::Assist`].
    Assist {
        /// The run's number.
        run: u64,
        /// The number of this call.
        call: u64,
        /// The settings as a link: those of the run, or of a control of it.
        fragment: String,
        /// Whether the baseline has to be scored too.
        baseline: bool,
        /// So many items, evenly spread; 0 for all.
        items: usize,
    },
    /// The run needs no help any more, or its speed is about to be measured: other engines should rest.
    Dismiss {
        /// The run's number.
        run: u64,
    },
    /// One item that was scored for another engine.
    Scored {
        /// The number of that one's call.
        call: u64,
        /// What it scored.
        scored: Box<Scored>,
    },
    /// Answers [`Request::Ping`].
    Pong,
    /// The engine itself is broken and says no more.
    Failed {
        /// A sentence for people.
        text: String,
    },
}

/// Everything that can be chosen. The same for the whole life of an engine.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Catalog {
    /// [`VERSION`] of the engine.
    pub version: u32,
    /// Bundled models; the first is chosen on a page without a link.
    pub models: Vec<ModelChoice>,
    /// Values of the control `reduce`, beside "off".
    pub reductions: Vec<&'static About>,
    /// Values of the control `prune`, beside "off".
    pub prunings: Vec<&'static About>,
    /// Values of the control `eval`; those on the user's own data last.
    pub evaluations: Vec<&'static About>,
    /// Id and name for people.
    pub backends: Vec<(&'static str, &'static str)>,
    /// Published shapes that can be timed with random weights.
    pub shapes: Vec<&'static str>,
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
    /// What these settings and this model rule out.
    pub why_not: WhyNot,
    /// The address fragment that reproduces these settings, starting with '#'.
    pub fragment: String,
    /// "CPU (wasm simd128)"; empty before a device was chosen.
    pub backend: String,
    /// Why that one was chosen, for people; empty while `backend` is.
    pub backend_why: String,
    /// Absent before the first is loaded, and while a link waits for files that its reader has to open.
    pub model: Option<ModelView>,
    /// The user's own data; absent until some is opened.
    pub data: Option<DataView>,
    /// How far the engine is.
    pub status: Status,
    /// Messages that need reading: what happened, what was done, what one can do.
    pub notices: Vec<Notice>,
    /// The run that belongs to these settings; absent when there is none yet.
    pub run: Option<u64>,
    /// Absent unless a sweep is on or halted.
    pub sweep: Option<SweepView>,
}

/// A sweep that is on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SweepView {
    /// The control that it moves, e.g. `prune.sparsity`.
    pub knob: String,
    /// Points measured, and those that could not be.
    pub done: usize,
    /// Points in all, with those of the controls' curves.
    pub total: usize,
    /// Whether [`Request::Pause`] halted it.
    pub paused: bool,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Status {
    /// The same in one word.
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
    /// A run is on, or about to be.
    Running,
    /// The run came to its end: all its figures are there.
    Complete,
    /// A person stopped the run.
    Cancelled,
    /// A notice says why.
    Failed,
}

/// A message that needs reading.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// One line for people, of bounded length and without hidden characters.
    pub text: String,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// What was asked for was not done.
    Error,
    /// It was done, though not quite as asked, or its figures may differ.
    Warning,
    /// The engine chose something that a person may want to know of.
    Info,
}
