//! How the two models of a run use their states.

use super::insight::StateView;
use crate::Result;
use crate::eval::{Arm, states};
use crate::pace::Pace;

/// How both models use their states on the prompt; `None` where they have none.
pub(super) async fn states_of(
    baseline: &Arm<'_>,
    compressed: &Arm<'_>,
    prompt: &[u32],
    pace: &Pace,
) -> Result<Option<StateView>> {
    let (tokens, before) = states(baseline, prompt, pace).await?;
    let after = match std::ptr::eq(baseline.model, compressed.model) {
        true => None,
        false => Some(states(compressed, &prompt[..tokens], pace).await?.1),
    };
    let view = StateView { tokens, baseline: before, compressed: after };
    Ok((!view.baseline.is_empty()).then_some(view))
}
