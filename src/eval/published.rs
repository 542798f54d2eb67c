//! The scorer of the released code of arXiv 2410.14725, for reports that set it beside the honest one.
//!
//! Warning: its figures are no measure of quality. Context and scored tokens are reduced together and the last output
//! rows are taken for those of the scored tokens, though tokens among them may have gone: a row may be compared with
//! the label of another position, and a token folded into an earlier one has shown it the label. A method that leaves
//! the end of the text alone keeps its rows in step, whatever it does to the rest.
//! Without the padding and batches of the original; source: docs/token-reduction.md.

use super::arm::Arm;
use super::score::Score;
use crate::Result;
use crate::kernels::rows::copy;
use crate::method::Setting;
use crate::models::{NoHooks, Wanted};
use crate::reduce::Reducer;

/// Why these figures are wrong, for whoever sees them.
pub const WARNING: &str = "This scorer reduces the answer together with its context and compares its last rows with the answer's tokens, though rows among them may be gone: they slip against their labels, or have been shown them.";

/// Whether a setting asks for these figures beside the honest ones.
pub fn is_wanted(evaluation: &Setting) -> bool {
    evaluation.knobs().any(|(id, value)| id == "published" && value.is("on"))
}

/// An item as the released code scores it.
#[derive(Debug, Clone)]
pub struct Published {
    /// From rows that may be out of step with their labels: no measure of quality.
    pub score: Score,
    /// Share of the true answer's rows that are compared with the right label.
    pub in_step: f64,
}

/// What the released code's rows say of one target.
pub(super) struct PublishedRows {
    /// -log p in nats.
    pub nats: f64,
    /// Each token was the most likely one.
    pub right: bool,
    reducer: Option<Reducer>,
    inputs: usize,
    scored: usize,
}

impl PublishedRows {
    /// [`aligned`] of the reduction that these rows went through.
    pub async fn in_step(&self, arm: &Arm<'_>) -> Result<f64> {
        let Some(reducer) = &self.reducer else { return Ok(1.0) };
        let last = reducer.trace(arm.device).await?.pop();
        Ok(last.map_or(1.0, |last| aligned(&last.kept, self.inputs, self.scored)))
    }
}

/// Reduces a context together with its target and scores the target by the last rows.
pub(super) async fn rows(arm: &Arm<'_>, context: &[u32], target: &[u32]) -> Result<PublishedRows> {
    let all = [context, target].concat();
    let inputs = &all[..all.len() - 1];
    let mut state = arm.model.start(arm.device);
    let mut reducer = arm.reduction.map(|setting| arm.reducer(setting, inputs)).transpose()?;
    let hidden = match &mut reducer {
        Some(reducer) => arm.forward_reduced(inputs, &mut state, reducer).await?,
        None => {
            let ids = arm.device.ids(inputs);
            let (model, hooks, how) = (arm.model, &mut NoHooks, (Wanted::EveryRow, arm.pace));
            model.forward_in_steps(arm.device, &ids, &mut state, hooks, how).await?
        }
    };
    // Where too few rows are left the labels are cut to the first ones.
    let rows = target.len().min(hidden.rows());
    let last = copy(arm.device, hidden.row_range(hidden.rows() - rows, rows));
    let nll = arm.model.nll(arm.device, &last, &arm.device.ids(&target[..rows]));
    let values = arm.device.read(&nll).await?;
    Ok(PublishedRows {
        nats: values.chunks_exact(2).map(|pair| f64::from(pair[0])).sum(),
        right: values.chunks_exact(2).all(|pair| pair[1] == 1.0),
        reducer,
        inputs: inputs.len(),
        scored: target.len(),
    })
}

/// Share of the last `scored` rows that stand at the position whose next token they are compared with.
///
/// `kept` are the positions left of `inputs` tokens, of which the last `scored` predict the scored tokens.
pub fn aligned(kept: &[u32], inputs: usize, scored: usize) -> f64 {
    let rows = scored.min(kept.len());
    let meant = (inputs - scored) as u32..;
    let in_step = kept[kept.len() - rows..].iter().zip(meant).filter(|(a, b)| **a == *b);
    in_step.count() as f64 / scored as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v10_rows_slip_unless_the_tail_is_left_alone() {
        // Ten inputs, the last three predict the scored tokens.
        assert_eq!(aligned(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 10, 3), 1.0);
        assert_eq!(aligned(&[1, 3, 5, 6, 7, 8, 9], 10, 3), 1.0);
        // Position 8 went: rows 6, 7, 9 are compared with the labels of 7, 8, 9.
        assert_eq!(aligned(&[0, 1, 2, 3, 5, 6, 7, 9], 10, 3), 1.0 / 3.0);
        assert_eq!(aligned(&[0, 1, 2, 3, 4, 5, 6, 7], 10, 3), 0.0);
        assert_eq!(aligned(&[8, 9], 10, 3), 0.0);
    }
}
