//! Whether a setting makes sense, its knobs together and on a model; and which matrices it speaks of.

use super::joint::of_groups;
use super::pattern::Pattern;
use crate::config::ModelConfig;
use crate::method::{Setting, Value};
use crate::models::{Linear, linears};
use crate::{Error, Result};

/// Knobs that count single weights, and the values with which they ask nothing of the pattern.
const OF_WEIGHTS: [(&str, &str); 2] = [("threshold", "row"), ("ratios", "uniform")];

/// Whether the knobs of a method that zeroes weights fit together.
///
/// Errors: mask M without groups, a threshold or ratios that a pattern such as 2:4 leaves no room for.
pub fn weights(setting: &Setting) -> Result<()> {
    let is = |id: &str, value: &str| setting.knobs().any(|(k, v)| k == id && v.is(value));
    let has_groups = matches!(Pattern::of(setting), Pattern::NofM { .. });
    if is("mask", "M") {
        of_groups(Pattern::of(setting))?;
    }
    let wrong = OF_WEIGHTS.iter().find(|(id, value)| has_groups && !is(id, value));
    if let Some((id, value)) = wrong {
        let expected = format!("{value}, or the unstructured pattern: every group has its own");
        return Err(Error::input(*id, format!("{id} with groups"), expected));
    }
    Ok(())
}

/// Whether the layers of a setting, where it has some, are there. Errors: they are not.
pub fn layers(config: &ModelConfig, setting: &Setting) -> Result<()> {
    let layers = setting.knobs().find_map(|(id, value)| match value {
        Value::Layers(layers) if id == "layers" => Some(layers),
        _ => None,
    });
    let last = config.n_layer() - 1;
    match layers.and_then(|layers| layers.last()).filter(|layer| **layer > last) {
        None => Ok(()),
        Some(layer) => Err(Error::input("layers", layer, format!("layers 0 to {last}"))),
    }
}

/// The matrices that a setting speaks of. Errors: none is left.
pub fn chosen(config: &ModelConfig, setting: &Setting) -> Result<Vec<Linear>> {
    let (matrices, layers) = (setting.choice("matrices"), setting.layers("layers"));
    let only = setting.text("only");
    let mut chosen = linears(config);
    chosen.retain(|l| {
        let by_kind = match matrices {
            "all" => true,
            "no-x_proj" => l.by_default && !l.name.contains("x_proj"),
            _ => l.by_default,
        };
        let by_name = only == "*" || l.name.contains(only);
        by_kind && by_name && (layers.is_empty() || layers.contains(&l.layer))
    });
    if chosen.is_empty() {
        let first = linears(config).into_iter().next().map_or_else(String::new, |l| l.name);
        let expected = format!("a part of the name of a matrix that is pruned, such as {first}");
        return Err(Error::input("only", only, expected));
    }
    Ok(chosen)
}
