//! What can be counted while the engine is at a run: the cost of settings that are still being moved.

use super::protocol::PaperCost;
use super::spec::RunSpec;
use crate::config::ModelConfig;
use crate::eval::cost::prefill;
use crate::{Result, prune, reduce};

/// The newest settings and the model they speak of.
#[derive(Clone)]
pub struct Desk {
    pub(super) spec: RunSpec,
    pub(super) config: ModelConfig,
    pub(super) parameters: u64,
    pub(super) tokens: usize,
}

impl Desk {
    /// The cost on paper if this control had this value. Errors: those of [`RunSpec::set`] and of the methods.
    pub fn cost(&self, name: &str, value: &str) -> Result<PaperCost> {
        let mut spec = self.spec.clone();
        spec.set(name, value)?;
        // A cut out of reach becomes what there is, as it will in the run.
        spec.fit(&self.config);
        let n = self.tokens;
        let pruned = spec.pruning.as_ref().map(|s| prune::on_paper(&self.config, s)).transpose()?;
        let config = pruned.as_ref().map_or(&self.config, |paper| &paper.config);
        let saved = spec.reduction.as_ref().map(|s| reduce::savings(config, s, n)).transpose()?;
        let share = |heads: f64, kept: f64| {
            kept * prefill(config, n, heads) / prefill(&self.config, n, heads)
        };
        let (removed, of) = pruned.as_ref().map_or((0.0, 0.0), |paper| (paper.removed, paper.of));
        Ok(PaperCost {
            flops_saved_layers: 1.0 - share(0.0, 1.0 - saved.as_ref().map_or(0.0, |s| s.layers)),
            flops_saved_total: 1.0 - share(1.0, 1.0 - saved.as_ref().map_or(0.0, |s| s.total)),
            lengths: saved.map_or_else(|| vec![n; config.n_layer()], |s| s.lengths),
            sparsity: if of > 0.0 { removed / of } else { 0.0 },
            sparsity_of_model: removed / self.parameters.max(1) as f64,
        })
    }
}
