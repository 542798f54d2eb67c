//! What a pruning leaves of a model, counted without its weights: while a slider moves there is no time for more.

use super::check::chosen;
use super::pattern::Pattern;
use super::units::{Units, quota};
use crate::Result;
use crate::config::ModelConfig;
use crate::method::Setting;
use crate::models::linears;

/// Counted from shapes and a setting.
#[derive(Debug, Clone)]
pub struct Paper {
    /// Weights of linear layers that become zero or go.
    pub removed: f64,
    /// The weights of the matrices that the setting speaks of.
    pub of: f64,
    /// Smaller than the model's where units go.
    pub config: ModelConfig,
}

/// Counts for a setting on a model. Errors: those of [`super::check`], and a unit that the architecture does not have.
pub fn on_paper(config: &ModelConfig, setting: &Setting) -> Result<Paper> {
    super::check(config, setting)?;
    let has = |knob: &str| setting.knobs().any(|(id, _)| id == knob);
    if has("unit") {
        let smaller = without_units(config, setting)?;
        let weights = |config: &ModelConfig| -> f64 {
            linears(config).iter().map(|l| (l.rows * l.cols) as f64).sum()
        };
        let of = weights(config);
        return Ok(Paper { removed: of - weights(&smaller), of, config: smaller });
    }
    let matrices = chosen(config, setting)?;
    let of = matrices.iter().map(|l| (l.rows * l.cols) as f64).sum();
    // A method without a pattern leaves no zeros on purpose.
    let zeros = |cols: usize| if has("pattern") { Pattern::of(setting).quota(0, cols) } else { 0 };
    let removed = matrices.iter().map(|l| (l.rows * zeros(l.cols)) as f64).sum();
    Ok(Paper { removed, of, config: config.clone() })
}

fn without_units(config: &ModelConfig, setting: &Setting) -> Result<ModelConfig> {
    let (unit, share) = (setting.choice("unit"), setting.number("share"));
    if unit == "layers" {
        // Which stay is known only after the calibration; layers that can go are all alike.
        let left: Vec<usize> = (quota(config.n_layer(), share)..config.n_layer()).collect();
        return Ok(config.clone().with_layers(&left));
    }
    let units = Units::of(config, unit)?;
    Ok(units.shrink(config, units.count - units.quota(share) * units.groups).0)
}
