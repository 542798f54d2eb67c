//! What a run tells beside its figures: which words, which items, which states; speed at another size; peers.

use crate::eval::{Estimate, PointCost, Quality, Score, Speed, StateUse};
use serde::Serialize;

/// The prompt and what was written after it, token by token: what each token cost the two models, -log p in nats. A cost
/// that is not finite is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct WordsView {
    /// Tokens of the prompt that are left out before the first.
    pub left_out: usize,
    /// The prompt, or its last 256 tokens.
    pub prompt: Vec<PromptToken>,
    /// What the baseline wrote, as both models judge it.
    pub baseline: Vec<WrittenToken>,
    /// What the compressed model wrote, as both models judge it.
    pub compressed: Vec<WrittenToken>,
}

/// A token of the prompt. Under a token reduction the prompt is only read and costs nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PromptToken {
    /// As it stands in the text.
    pub text: String,
    /// The layer after which the reduction dropped it or folded it into another.
    pub went_after: Option<usize>,
    /// Its cost to the baseline.
    pub baseline: Option<f32>,
    /// Its cost to the compressed model.
    pub compressed: Option<f32>,
}

/// A token that one of the models wrote.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct WrittenToken {
    /// As it stands in the text.
    pub text: String,
    /// Its cost to the baseline.
    pub baseline: Option<f32>,
    /// Its cost to the compressed model.
    pub compressed: Option<f32>,
}

/// One item of the evaluation on both models.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ItemView {
    /// FILE:LINE, or FILE:WINDOW
    pub item: String,
    /// The end of what is read, as text.
    pub context: String,
    /// What may follow, or has to; the beginning of each where it is long.
    pub options: Vec<String>,
    /// What the baseline scored.
    pub baseline: Score,
    /// What the compressed model scored.
    pub compressed: Score,
}

/// How the state-space layers use their states on the prompt; absent for other layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct StateView {
    /// Tokens of the prompt that were followed, unreduced.
    pub tokens: usize,
    /// Layer by layer, of the baseline.
    pub baseline: Vec<StateUse>,
    /// Absent where nothing was pruned: it is the same model.
    pub compressed: Option<Vec<StateUse>>,
}

/// Speed of the settings on seeded random weights in a published shape. The quality of such a model says nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RealSize {
    /// The name of the shape.
    pub shape: String,
    /// What it is at, what is measured, or why it stopped.
    pub text: String,
    /// Nothing more is coming.
    pub done: bool,
    /// The device, for people; empty before one was chosen.
    pub backend: String,
    /// SPEC of the reduction that was timed, or "off".
    pub reduce: String,
    /// SPEC of the pruning that was timed, or "off".
    pub prune: String,
    /// Weights of the dense model.
    pub parameters: u64,
    /// What is timed so far.
    pub speed: Option<Speed>,
}

/// A peer, and how it compares with the run's compressed side.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Peer {
    /// Name for people.
    pub label: String,
    /// SPEC or "off".
    pub reduce: String,
    /// SPEC or "off".
    pub prune: String,
    /// Counted: bytes of weights that a decoded token reads, FLOPs of reading the contexts.
    pub cost: PointCost,
    /// `baseline` is the run's compressed side, `compressed` the peer, `change` the peer less the run, paired.
    pub quality: Vec<Quality>,
    /// Peer / run, measured in turns.
    pub decode_ratio: Estimate,
    /// The same of reading the prompt.
    pub prefill_ratio: Estimate,
}

/// A run's compressed side and its peers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Peers {
    /// Of this run, counted.
    pub cost: PointCost,
    /// In the order in which they were measured.
    pub peers: Vec<Peer>,
}

/// How far the peers are.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PeersView {
    /// The address fragment of the settings whose peers they are.
    pub fragment: String,
    /// What is being measured, or how it ended.
    pub text: String,
    /// Nothing more is coming.
    pub done: bool,
    /// What is measured so far.
    pub found: Peers,
}
