//! Rotary position embedding: the inverse frequencies from config.json.
//!
//! `inv_freq[i] = theta^(-2i / dim)`, i = 0..dim/2; linear scaling slows all of them, llama3 the long ones.
//! Shapes: inv_freq `[dim / 2]`.
//! Source: RoFormer (arXiv 2104.09864) eq. 15; Llama 3.1 scaling as in transformers 5.23
//! `modeling_rope_utils`. Computed in f64 and rounded once; transformers works in f32.

use std::f64::consts::TAU;

use serde_json::Value;

use super::fields::Fields;
use crate::error::{Error, Result};

/// What decides the angles: position p turns pair i of a head by `p * inv_freq[i]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Rotated leading dimensions of each head; even.
    pub dim: usize,
    /// Base of the wavelengths, 10,000 in the paper.
    pub theta: f64,
    /// What is done to the frequencies for longer contexts.
    pub scaling: RopeScaling,
}

/// How the frequencies are slowed, `rope_type` of config.json.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// As the base gives them.
    Default,
    /// Every frequency divided by `factor`.
    Linear {
        /// How many times as long the context is to be.
        factor: f64,
    },
    /// Only the long wavelengths, with a blend between (Llama 3.1).
    Llama3 {
        /// What the long ones are slowed by.
        factor: f64,
        /// A frequency of at most so many turns within `original_max` is slowed wholly.
        low_freq_factor: f64,
        /// One of at least so many turns stays as it is; above `low_freq_factor`.
        high_freq_factor: f64,
        /// Tokens of the context before it was lengthened.
        original_max: f64,
    },
}

impl Rope {
    /// Radians a position `[dim / 2]`.
    pub fn inv_freq(&self) -> Vec<f32> {
        (0..self.dim / 2)
            .map(|i| self.theta.powf(-((2 * i) as f64) / self.dim as f64))
            .map(|freq| self.scaling.scale(freq) as f32)
            .collect()
    }
}

impl RopeScaling {
    /// llama3: wavelengths over original_max / low_freq_factor are divided by `factor`, those under
    /// original_max / high_freq_factor stay, and between them the two blend linearly in 1/wavelength.
    fn scale(&self, freq: f64) -> f64 {
        let (factor, low, high, original_max) = match self {
            Self::Default => return freq,
            Self::Linear { factor } => return freq / factor,
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max } => {
                (factor, low_freq_factor, high_freq_factor, original_max)
            }
        };
        let turns = original_max * freq / TAU; // full rotations within the original context
        let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        freq * (kept + (1.0 - kept) / factor)
    }
}

/// What one architecture calls its rotary fields outside the nested object.
pub(super) struct RopeNames {
    pub theta: &'static [&'static str],
    pub default_theta: f64,
    pub partial: &'static [&'static str],
    pub default_partial: f64,
}

/// Reads both spellings: `rope_parameters` (transformers 5) and top-level fields plus
/// `rope_scaling` (transformers 4). Two spellings that disagree are an error.
/// `ignored` receives fields of the nested object that nobody knows.
pub(super) fn read(
    fields: &mut Fields,
    names: &RopeNames,
    headdim: usize,
    max_seq_len: usize,
    ignored: &mut Vec<String>,
) -> Result<Rope> {
    let scaling = fields.object("rope_scaling")?;
    let parameters = fields.object("rope_parameters")?;
    let mut nested = Vec::new();
    for mut object in [scaling, parameters].into_iter().flatten() {
        nested.push(read_object(&mut object, max_seq_len)?);
        ignored.extend(object.leftover(|_| false));
    }
    if let [a, b] = nested.as_slice()
        && a.scaling != b.scaling
    {
        return Err(Error::config(
            "rope_scaling",
            format!("{:?}", a.scaling),
            "the same as in rope_parameters",
        ));
    }
    let thetas = nested.iter().map(|o| ("rope_theta", o.theta));
    let theta = agree(fields, thetas.collect(), names.theta)?.unwrap_or(names.default_theta);
    let partials = nested.iter().map(|o| ("partial_rotary_factor", o.partial));
    let partial =
        agree(fields, partials.collect(), names.partial)?.unwrap_or(names.default_partial);
    // Truncated like Python's int().
    let dim = (headdim as f64 * partial) as usize;
    if partial > 1.0 || dim == 0 || !dim.is_multiple_of(2) {
        return Err(Error::config(
            names.partial.first().copied().unwrap_or("head_dim"),
            format!("{partial} of a head of {headdim}"),
            "an even number of rotated dimensions, at most the whole head",
        ));
    }
    let scaling = nested.into_iter().next().map_or(RopeScaling::Default, |o| o.scaling);
    Ok(Rope { dim, theta, scaling })
}

struct Nested {
    scaling: RopeScaling,
    theta: Option<f64>,
    partial: Option<f64>,
}

fn read_object(object: &mut Fields, max_seq_len: usize) -> Result<Nested> {
    let theta = object.positive("rope_theta")?;
    let partial = object.positive("partial_rotary_factor")?;
    let old_type = object.text("type")?;
    let rope_type = object.text("rope_type")?.or(old_type).unwrap_or_else(|| "default".into());
    let scaling = match rope_type.as_str() {
        "default" => RopeScaling::Default,
        "linear" => RopeScaling::Linear { factor: need(object, "factor")? },
        "llama3" => read_llama3(object, max_seq_len)?,
        other => return Err(object.error("rope_type", &other.into(), "default, linear or llama3")),
    };
    Ok(Nested { scaling, theta, partial })
}

fn need(object: &mut Fields, name: &str) -> Result<f64> {
    let value = object.positive(name)?;
    value.ok_or_else(|| object.error(name, &Value::Null, "a number for this rope_type"))
}

fn read_llama3(object: &mut Fields, max_seq_len: usize) -> Result<RopeScaling> {
    let factor = need(object, "factor")?;
    let low_freq_factor = need(object, "low_freq_factor")?;
    let high_freq_factor = need(object, "high_freq_factor")?;
    let original_max =
        object.positive("original_max_position_embeddings")?.unwrap_or(max_seq_len as f64);
    if high_freq_factor <= low_freq_factor {
        let expected = format!("above low_freq_factor {low_freq_factor}");
        return Err(object.error("high_freq_factor", &high_freq_factor.into(), expected));
    }
    Ok(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max })
}

/// One value from several places it may be written in; those that are present must be equal.
fn agree(
    fields: &mut Fields,
    mut found: Vec<(&'static str, Option<f64>)>,
    names: &'static [&'static str],
) -> Result<Option<f64>> {
    for name in names {
        found.push((name, fields.positive(name)?));
    }
    let mut present = found.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let Some((first_name, first)) = present.next() else { return Ok(None) };
    match present.find(|(_, value)| *value != first) {
        None => Ok(Some(first)),
        Some((name, value)) => {
            Err(Error::config(name, value, format!("{first}, as {first_name} says elsewhere")))
        }
    }
}
