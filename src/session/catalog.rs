//! What the page may choose from, put together from what models, methods and evaluations say of themselves.

use super::protocol::{Catalog, ModelChoice, VERSION};
use super::shape;
use super::spec::BACKENDS;
use crate::{bundle, eval, prune, reduce};

/// Everything that can be chosen.
pub fn catalog() -> Catalog {
    let choice = |m: &bundle::Entry| ModelChoice {
        id: m.id.clone(),
        label: m.label.clone(),
        family: m.family.clone(),
        parameters: m.parameters,
        bytes: m.bytes,
        evaluations: m.evaluations.clone(),
    };
    Catalog {
        version: VERSION,
        models: bundle::INDEX.models.iter().map(choice).collect(),
        reductions: reduce::abouts(),
        prunings: prune::abouts(),
        evaluations: [eval::abouts(), eval::own_abouts()].concat(),
        backends: BACKENDS.to_vec(),
        shapes: shape::BUILT_IN.map(|(name, _)| name).to_vec(),
    }
}
