//! How the two models of a run use their states.

use super::insight::StateView;
use super::known::Known;
use super::spec::RunSpec;
use crate::Result;
use crate::eval::{Arm, states};
use crate::pace::Pace;

/// How both models use their states on the prompt; `None` where they have none. The baseline's are taken from what is known.
pub(super) async fn states_of(
    baseline: &Arm<'_>,
    compressed: &Arm<'_>,
    (spec, prompt): (&RunSpec, &[u32]),
    known: &mut Known,
    pace: &Pace,
) -> Result<Option<StateView>> {
    let (tokens, before) = match known.states.take() {
        Some((of, found)) if of == spec.prompt => found,
        _ => states(baseline, prompt, pace).await?,
    };
    known.states = Some((spec.prompt.clone(), (tokens, before.clone())));
    let after = match std::ptr::eq(baseline.model, compressed.model) {
        true => None,
        false => Some(states(compressed, &prompt[..tokens], pace).await?.1),
    };
    let view = StateView { tokens, baseline: before, compressed: after };
    Ok((!view.baseline.is_empty()).then_some(view))
}
