//! Token reduction: after chosen layers the sequence gets shorter, so that later layers do less work.
//!
//! A method decides which rows go and into which they are folded ([`Plan`]); everything else is shared: how many
//! go and where ([`Schedule`]), the guards, and the folding itself ([`Reducer`]). All of it is recorded on the
//! device; the number of rows follows from the number of tokens alone, so nothing is read back.
//!
//! Definitions, and where we differ from the paper and from its released code: docs/token-reduction.md.

mod adjacent;
mod asked;
mod controls;
mod custom;
mod decimamba;
mod evit;
mod evit_released;
mod last;
mod lazy;
mod mtr;
mod own;
mod prefix;
mod random;
mod reducer;
mod schedule;
mod score;
#[cfg(all(test, not(target_arch = "wasm32")))]
pub(crate) mod seen;
mod stride;
mod surprisal;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
mod tome;
mod utrc;
mod utrc_released;

pub use controls::{CONTROLS, controls};
pub use reducer::{LayerTrace, Merge, Reducer};
pub use schedule::{Savings, Schedule, check, reduces, savings, too_much};
pub use score::{needs_filler, runs_on};

use crate::backend::{Device, Ids, Tensor};
use crate::config::ModelConfig;
use crate::kernels::rows::gather_ids;
use crate::kernels::token_keep::token_keep;
use crate::method::{About, Setting};
use crate::models::{LayerOutput, Model, SsmInputs};
use crate::{Error, Result};
use std::ops::Range;

/// Where a method takes tokens out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Of what every chosen layer gives.
    AfterLayer,
    /// Inside every chosen layer, before its scan.
    BeforeScan,
    /// Before the model reads them.
    Input,
}

/// One way to choose the tokens that go. A method chooses where its place is, and nowhere else.
pub trait TokenReduction: Sync {
    /// Its id, its knobs and the families it runs on, for SPECs, the page and `whittle methods`.
    fn about(&self) -> &'static About;

    /// Where it takes tokens out.
    fn place(&self) -> Place {
        Place::AfterLayer
    }

    /// Chooses `job.remove` rows of `job.removable`; records work on the device and reads nothing back.
    fn plan(
        &self,
        _device: &Device,
        _output: &LayerOutput<'_>,
        _job: &Job,
        _setting: &Setting,
    ) -> Plan {
        unreachable!("{} takes no tokens out after a layer", self.about().id)
    }

    /// The same from what enters the scan of a layer.
    fn plan_of_scan(
        &self,
        _device: &Device,
        _inputs: &SsmInputs<'_>,
        _job: &Job,
        _setting: &Setting,
    ) -> Plan {
        unreachable!("{} takes no tokens out before a scan", self.about().id)
    }

    /// The same from the tokens alone.
    fn plan_of_input(&self, _input: &Input<'_>, _job: &Job, _setting: &Setting) -> Plan {
        unreachable!("{} takes no tokens out of the input", self.about().id)
    }

    /// Floating-point operations of one plan, for [`Savings::total`]; below 0 where a plan saves more than the tokens of
    /// later layers.
    fn flops(&self, _config: &ModelConfig, _job: &Job, _setting: &Setting) -> f64 {
        0.0
    }

    /// Whether plans need to know how surprising every token is, which takes a whole reading of the `Input`.
    fn needs_surprisal(&self, _setting: &Setting) -> bool {
        false
    }
}

/// Every method; one line each.
pub const METHODS: &[&dyn TokenReduction] = &[
    &utrc::Utrc,
    &utrc_released::UtrcReleased,
    &evit::Evit,
    &evit_released::EvitReleased,
    &decimamba::DeciMamba,
    &surprisal::Surprisal,
    &custom::Custom,
    &tome::Tome,
    &mtr::Mtr,
    &adjacent::Adjacent,
    &lazy::Lazy,
    &random::Random,
    &stride::Stride,
    &last::Last,
    &prefix::Prefix,
];

/// The method of a setting. Errors: a setting of something else.
pub fn method_of(setting: &Setting) -> Result<&'static dyn TokenReduction> {
    let id = setting.about.id;
    let method = METHODS.iter().find(|method| method.about().id == id).copied();
    method.ok_or_else(|| Error::input("reduce", id, "a token reduction method"))
}

/// Where the method of a setting takes tokens out.
pub fn place_of(setting: &Setting) -> Place {
    method_of(setting).map_or(Place::AfterLayer, |method| method.place())
}

/// What the methods say about themselves.
pub fn abouts() -> Vec<&'static About> {
    METHODS.iter().map(|method| method.about()).collect()
}

/// What a method at the input looks at.
pub struct Input<'a> {
    /// Where the model stands.
    pub device: &'a Device,
    /// The model that is going to read the tokens.
    pub model: &'a Model,
    /// `[tokens]`, all below vocab_size.
    pub ids: &'a Ids,
}

/// What one plan has to do.
#[derive(Clone)]
pub struct Job {
    /// After which layer, or in which; 0 at the input.
    pub layer: usize,
    /// Rows that enter the plan.
    pub tokens: usize,
    /// Rows that may go; the rows outside are guarded.
    pub removable: Range<usize>,
    /// How many go: at least 1, at most half of the removable rows (rounded up), which are at least 2.
    pub remove: usize,
    /// Scores of a control that knows which tokens are filler: below 1 for them, above for the others `[tokens, 1]`.
    pub oracle: Option<Tensor>,
    /// Surprisal of the tokens in nats `[tokens, 1]`, where the method needs it.
    pub surprisal: Option<Tensor>,
    /// Differs from context to context, so that what is drawn at random does too.
    pub salt: u64,
}

/// Which rows stay and where the others go.
pub struct Plan {
    /// Rows kept `[kept]`, increasing.
    pub keep: Ids,
    /// Without edges every row that is not kept is dropped.
    pub edges: Option<Edges>,
    /// What the choice was made by, for the trace `[tokens, 1]`; absent where a method scores nothing.
    pub scores: Option<Tensor>,
}

/// Removed rows and the kept rows they resemble, most similar first; row numbers before the reduction.
pub struct Edges {
    /// Rows that go `[removed]`.
    pub source: Ids,
    /// The kept row that each of them resembles `[removed]`.
    pub target: Ids,
    /// The first so many edges are averaged into their targets in the hidden branch; the others are pruned there.
    pub merged_hidden: usize,
    /// The same for the residual branch.
    pub merged_residual: usize,
    /// Another rule for the hidden branch, where all edges have one target.
    pub top: Option<Top>,
}

/// Channel by channel, only the largest values of the sources are averaged into their one target.
pub struct Top {
    /// Values of every channel that are averaged in.
    pub count: usize,
    /// Row of the target before the reduction.
    pub row: usize,
    /// Its place among the kept rows.
    pub slot: usize,
}

impl Edges {
    /// Every edge is folded in both branches.
    fn merged(source: Ids, target: Ids) -> Edges {
        let n = source.len();
        Edges { source, target, merged_hidden: n, merged_residual: n, top: None }
    }
}

/// The first `n` of a list.
fn first(device: &Device, ids: &Ids, n: usize) -> Ids {
    let places: Vec<u32> = (0..n as u32).collect();
    gather_ids(device, ids, &device.ids(&places))
}

/// The plan that drops the distinct rows `gone` of `0..tokens`.
fn drop_ids(device: &Device, tokens: usize, gone: &Ids, scores: Option<Tensor>) -> Plan {
    Plan { keep: token_keep(device, gone, tokens), edges: None, scores }
}

/// The same for methods that choose on the host.
fn drop_rows(device: &Device, tokens: usize, rows: &[usize]) -> Plan {
    let gone: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
    drop_ids(device, tokens, &device.ids(&gone), None)
}

/// The middles of `remove` equal parts of what is removable; distinct, since a part is at least one row long.
fn spread_rows(job: &Job) -> Vec<usize> {
    let row = |i: usize| job.removable.start + (2 * i + 1) * job.removable.len() / (2 * job.remove);
    (0..job.remove).map(row).collect()
}

/// Every second removable row from the first on, as many as have to go.
fn even_places(job: &Job) -> Vec<u32> {
    job.removable.clone().step_by(2).take(job.remove).map(|row| row as u32).collect()
}
