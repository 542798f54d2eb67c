//! What settings save on paper: counted, not measured.

use super::decode::{Decode, loaded};
use super::placed::PrunedModel;
use crate::config::ModelConfig;
use crate::method::Setting;
use crate::models::{Model, Weights, flops};
use crate::prune::{self, MatrixReport};
use crate::{Result, reduce};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the settings save on paper. Counted, not measured; the page says so.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Cost {
    /// Share of the layers' FLOPs saved in a prefill of the context, 0..=1.
    pub flops_saved_layers: f64,
    /// The same with the output head of one token and the method's own arithmetic.
    pub flops_saved_total: f64,
    /// Context tokens that enter each layer.
    pub lengths: Vec<usize>,
    /// Weights of the pruned matrices that are zero or gone, 0..=1.
    pub sparsity: f64,
    /// The same among all weights of the model, 0..=1.
    pub sparsity_of_model: f64,
    /// One decoded token; absent without a pruning.
    pub decode: Option<Decode>,
    /// Per matrix: name, shape, share of zeros asked for and reached, output error.
    pub matrices: Vec<MatrixReport>,
}

/// What reading `n` tokens saves with a pruned model and a reduction, against the dense model of `parameters` weights.
///
/// Errors: a reduction after layers that the pruning has taken.
pub fn on_paper(
    dense: &ModelConfig,
    parameters: u64,
    pruned: &PrunedModel,
    reduction: Option<&Setting>,
    n: usize,
) -> Result<Cost> {
    let saved = reduction.map(|s| reduce::savings(&pruned.config, s, n)).transpose()?;
    let matrices = pruned.report.clone();
    // Of the pruned model by the reduction, and of the dense one by both.
    let both = |by_reduction: f64, heads: f64| {
        let [left, all] = [&*pruned.config, dense].map(|c| prefill(c, n, heads));
        1.0 - (1.0 - by_reduction) * left / all
    };
    Ok(Cost {
        flops_saved_layers: both(saved.as_ref().map_or(0.0, |s| s.layers), 0.0),
        flops_saved_total: both(saved.as_ref().map_or(0.0, |s| s.total), 1.0),
        lengths: saved.map_or_else(|| vec![n; pruned.config.n_layer()], |s| s.lengths),
        sparsity: prune::sparsity(&matrices),
        sparsity_of_model: prune::zeros(&matrices).0 / parameters.max(1) as f64,
        decode: pruned.decode.clone(),
        matrices,
    })
}

/// FLOPs of reading `n` tokens, with the head of so many.
pub fn prefill(config: &ModelConfig, n: usize, heads: f64) -> f64 {
    let f = flops(config);
    f.dense(n) + heads * f.head_per_token
}

/// FLOPs of reading contexts of these lengths and of the head of one token after each, as a share of the dense model's.
///
/// Errors: a reduction after layers that the pruning has taken.
pub fn flops_share(
    dense: &ModelConfig,
    pruned: &PrunedModel,
    reduction: Option<&Setting>,
    contexts: impl Iterator<Item = usize>,
) -> Result<f64> {
    let mut left = BTreeMap::new();
    let (mut all, mut sum) = (0.0, 0.0);
    for n in contexts {
        let whole = prefill(dense, n, 1.0);
        let share = match left.get(&n) {
            Some(share) => *share,
            None => 1.0 - on_paper(dense, 1, pruned, reduction, n)?.flops_saved_total,
        };
        left.insert(n, share);
        all += whole;
        sum += share * whole;
    }
    Ok(sum / all)
}

/// Bytes of weights that one decoded token reads, with every matrix dense, in the precision of the device.
pub fn bytes_per_token(config: &ModelConfig, weights: &Weights, model: &Model) -> f64 {
    let matrices = loaded((config, weights)).into_iter().map(|m| m.bytes() as f64);
    matrices.fold(model.head().bytes() as f64, |sum, bytes| sum + bytes)
}
