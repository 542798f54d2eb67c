//! Token reduction: after chosen layers the sequence gets shorter, so that later layers do less work.
//!
//! A method decides which rows go and into which they are folded ([`Plan`]); everything else is shared: how many
//! go and where ([`Schedule`]), the guards, and the folding itself ([`Reducer`]). All of it is recorded on the
//! device; the number of rows follows from the number of tokens alone, so nothing is read back.
//!
//! Definitions, and where we differ from the paper and from its released code: docs/token-reduction.md.

mod random;
mod reducer;
mod schedule;
mod stride;
mod utrc;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod vectors;

pub use reducer::{LayerTrace, Merge, Reducer};
pub use schedule::{Savings, Schedule, check, reduces, savings};

use crate::backend::{Device, Ids};
use crate::config::ModelConfig;
use crate::method::{About, Setting};
use crate::models::LayerOutput;
use std::ops::Range;

/// One way to choose the tokens that go.
pub trait TokenReduction: Sync {
    fn about(&self) -> &'static About;

    /// Chooses `job.remove` rows of `job.removable`; records work on the device and reads nothing back.
    fn plan(&self, device: &Device, output: &LayerOutput<'_>, job: &Job, setting: &Setting)
    -> Plan;

    /// Floating-point operations of one plan, for [`Savings::total`].
    fn flops(&self, _config: &ModelConfig, _job: &Job, _setting: &Setting) -> f64 {
        0.0
    }
}

/// Every method; one line each.
pub const METHODS: &[&dyn TokenReduction] = &[&utrc::Utrc, &random::Random, &stride::Stride];

/// What the methods say about themselves.
pub fn abouts() -> Vec<&'static About> {
    METHODS.iter().map(|method| method.about()).collect()
}

/// What one plan has to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Rows that may go; the rows outside are guarded (first token, last d_conv tokens).
    pub removable: Range<usize>,
    /// How many go: at least 1, at most half of the removable rows (rounded up), which are at least 2.
    pub remove: usize,
}

/// Which rows stay and where the others go.
pub struct Plan {
    /// Rows kept `[kept]`, increasing.
    pub keep: Ids,
    /// Without edges every row that is not kept is dropped.
    pub edges: Option<Edges>,
}

/// Removed rows and the kept rows they resemble, most similar first; row numbers before the reduction.
pub struct Edges {
    pub source: Ids, // [removed]
    pub target: Ids, // [removed]
    /// The first so many edges are averaged into their targets in the hidden branch; the others are pruned there.
    pub merged_hidden: usize,
    /// The same for the residual branch.
    pub merged_residual: usize,
}

/// The plan that drops these rows of `0..tokens` (increasing); for methods that choose on the host.
fn drop_rows(device: &Device, tokens: usize, rows: &[usize]) -> Plan {
    let mut gone = vec![false; tokens];
    rows.iter().for_each(|&row| gone[row] = true);
    let keep: Vec<u32> = (0..tokens).filter(|&t| !gone[t]).map(|t| t as u32).collect();
    Plan { keep: device.ids(&keep), edges: None }
}
