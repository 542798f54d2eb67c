//! An own formula for a token's importance: what it may read, and which layers have that.

use crate::Result;
use crate::config::Kind;
use crate::formula::Formula;
use crate::method::Setting;

/// What a formula may read.
pub const NAMES: [&str; 12] = [
    "clip",
    "l1",
    "l2",
    "noclip",
    "cosine",
    "position",
    "surprisal",
    "delta",
    "delta_norm",
    "implicit",
    "row",
    "column",
];
/// Its place among them.
pub const SURPRISAL: usize = 6;
/// Those of a layer with a state space, and those of one that attends.
const OF_STATE_SPACE: std::ops::Range<usize> = 7..10;
const OF_ATTENTION: std::ops::Range<usize> = 10..12;

/// The formula of a setting. Errors: it is none.
pub fn formula(setting: &Setting) -> Result<Formula> {
    Formula::parse(setting.text("formula"), &NAMES)
}

/// The kinds of layers that have what a formula reads; none that is special where it reads nothing special.
pub fn kinds(formula: &Formula) -> Vec<Kind> {
    let reads = |mut names: std::ops::Range<usize>| names.any(|name| formula.reads(name));
    let all = [(reads(OF_STATE_SPACE), Kind::StateSpace), (reads(OF_ATTENTION), Kind::Attention)];
    all.into_iter().filter(|(reads, _)| *reads).map(|(_, kind)| kind).collect()
}
