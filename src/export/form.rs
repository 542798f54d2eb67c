//! The two forms in which Mamba's files are passed on: mamba_ssm's own, which papers' code reads, and transformers'.
//!
//! They differ in config.json and in the name of the embedding. Both are written from what a model is, so that a smaller
//! one is described rightly in either.
//! Source: state-spaces/mamba, models/config_mamba.py and modules; transformers, MambaConfig and Mamba2Config.

use crate::config::{Mamba2Mixer, MambaMixer, Mixer, ModelConfig};
use crate::{Error, Result};
use serde_json::{Map, Value, json};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `backbone.embedding.weight`, `d_model`, `ssm_cfg`.
    Original,
    /// `backbone.embeddings.weight`, `model_type`.
    Hf,
}

impl Form {
    /// The form of a config.json; nothing for a file that is in neither, such as another family's.
    ///
    /// Errors: no JSON object.
    pub fn of(json: &[u8]) -> Result<Option<Form>> {
        let fields: Map<String, Value> =
            serde_json::from_slice(&super::quote_bare_floats(json, ""))
                .map_err(|e| Error::file("config.json", e.to_string()))?;
        Ok(match fields.get("model_type").and_then(Value::as_str) {
            Some("mamba" | "mamba2") => Some(Form::Hf),
            None if fields.contains_key("d_model") && fields.contains_key("n_layer") => {
                Some(Form::Original)
            }
            _ => None,
        })
    }

    /// A config.json of this form.
    ///
    /// Errors: a model of another family, or one that the form has no words for.
    pub fn config(self, config: &ModelConfig) -> Result<Vec<u8>> {
        let uniform = config.layers.windows(2).all(|pair| pair[0] == pair[1]);
        let fields = match (&config.layers[0].mixer, self) {
            (Mixer::Mamba(m), Form::Hf) if uniform && m.norm_eps.is_none() => hf_first(config, m),
            (Mixer::Mamba2(m), Form::Hf) if uniform => hf_second(config, m)?,
            (Mixer::Mamba(m), Form::Original) if uniform && m.norm_eps.is_none() => {
                original_first(config, m)
            }
            (Mixer::Mamba2(m), Form::Original) if uniform => original_second(config, m)?,
            _ => {
                let expected = "mamba or mamba2 with equal layers; leave --form out";
                return Err(Error::input("--form", config.model_type, expected));
            }
        };
        Ok(serde_json::to_string_pretty(&fields).expect("numbers and strings").into_bytes())
    }

    /// The name that a tensor has in this form.
    pub fn tensor(self, name: &str) -> &str {
        match (self, name) {
            (Form::Original, "backbone.embeddings.weight") => "backbone.embedding.weight",
            (Form::Hf, "backbone.embedding.weight") => "backbone.embeddings.weight",
            _ => name,
        }
    }
}

fn hf(config: &ModelConfig, class: &str, special: Value) -> Value {
    let common = &config.common;
    let mut fields = json!({
        "architectures": [class],
        "model_type": config.model_type,
        "hidden_size": common.d_model,
        "num_hidden_layers": config.n_layer(),
        "vocab_size": common.vocab_size,
        "layer_norm_epsilon": decimal(common.eps),
        "tie_word_embeddings": common.tie_word_embeddings,
        "bos_token_id": common.bos_token_id,
        "eos_token_id": common.eos_token_ids.first(),
        "pad_token_id": common.eos_token_ids.first(),
        "hidden_act": "silu",
        "residual_in_fp32": true
    });
    extend(&mut fields, special);
    fields
}

fn hf_first(config: &ModelConfig, m: &MambaMixer) -> Value {
    // A stated width wins, and transformers takes no fraction beside it.
    let expand = (m.d_inner / config.d_model()).max(1);
    let special = json!({
        "intermediate_size": m.d_inner, "expand": expand,
        "state_size": m.d_state, "conv_kernel": m.d_conv, "time_step_rank": m.dt_rank,
        "use_bias": m.use_bias, "use_conv_bias": m.use_conv_bias
    });
    hf(config, "MambaForCausalLM", special)
}

/// Errors: a width that is no whole multiple of the model's, which transformers has no word for.
fn hf_second(config: &ModelConfig, m: &Mamba2Mixer) -> Result<Value> {
    if !m.d_inner.is_multiple_of(config.d_model()) {
        let found = format!("a width of {} in a model of {}", m.d_inner, config.d_model());
        let expected = "a whole multiple: transformers' Mamba-2 knows no other; write --form original, or prune another share";
        return Err(Error::input("--form hf", found, expected));
    }
    let mut special = json!({
        "expand": m.d_inner / config.d_model(), "num_heads": m.n_head, "head_dim": m.headdim,
        "state_size": m.d_state, "conv_kernel": m.d_conv, "n_groups": m.n_groups,
        "chunk_size": m.chunk_size, "use_bias": m.use_bias, "use_conv_bias": m.use_conv_bias
    });
    if m.dt_limit != (0.0, f32::INFINITY) {
        extend(
            &mut special,
            json!({"time_step_limit": [decimal(m.dt_limit.0), finite(m.dt_limit.1)]}),
        );
    }
    Ok(hf(config, "Mamba2ForCausalLM", special))
}

fn original(config: &ModelConfig, ssm_cfg: Value) -> Value {
    json!({
        "d_model": config.d_model(),
        "d_intermediate": 0,
        "n_layer": config.n_layer(),
        "vocab_size": config.vocab_size(),
        "ssm_cfg": ssm_cfg,
        "attn_layer_idx": [],
        "attn_cfg": {},
        "rms_norm": true,
        "residual_in_fp32": true,
        "fused_add_norm": true,
        // The rows are padded already.
        "pad_vocab_size_multiple": 1,
        "tie_embeddings": config.common.tie_word_embeddings
    })
}

fn original_first(config: &ModelConfig, m: &MambaMixer) -> Value {
    original(
        config,
        json!({
            "layer": "Mamba1", "d_state": m.d_state, "d_conv": m.d_conv, "expand": ratio(m.d_inner, config.d_model()),
            "dt_rank": m.dt_rank, "bias": m.use_bias, "conv_bias": m.use_conv_bias
        }),
    )
}

/// Errors: limits of the step size, which the original form leaves to the call.
fn original_second(config: &ModelConfig, m: &Mamba2Mixer) -> Result<Value> {
    if m.dt_limit != (0.0, f32::INFINITY) {
        let found = format!("a time_step_limit of {:?}", m.dt_limit);
        return Err(Error::input("--form original", found, "no limit; write --form hf"));
    }
    let ssm_cfg = json!({
        "layer": "Mamba2", "d_state": m.d_state, "d_conv": m.d_conv, "expand": ratio(m.d_inner, config.d_model()),
        "headdim": m.headdim, "ngroups": m.n_groups, "chunk_size": m.chunk_size, "bias": m.use_bias, "conv_bias": m.use_conv_bias
    });
    Ok(original(config, ssm_cfg))
}

fn extend(fields: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (fields, more) {
        fields.extend(more);
    }
}

/// What `int(expand * d_model)` gives the width back by; whole where it is.
fn ratio(width: usize, d_model: usize) -> Value {
    if width.is_multiple_of(d_model) {
        return (width / d_model).into();
    }
    let mut expand = width as f64 / d_model as f64;
    if ((expand * d_model as f64) as usize) < width {
        expand = expand.next_up();
    }
    expand.into()
}

/// The shortest decimal that is this f32, not the f64 next to it.
fn decimal(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

/// JSON has no infinity; a limit that no step reaches is none.
fn finite(x: f32) -> f64 {
    if x.is_finite() { decimal(x) } else { 1e30 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_form_describes_the_same_model_and_its_smaller_ones() {
        let first = json!({"d_model": 40, "n_layer": 2, "vocab_size": 61, "pad_vocab_size_multiple": 16,
            "ssm_cfg": {"d_state": 6, "d_conv": 3, "dt_rank": 2}});
        let second = json!({"d_model": 32, "n_layer": 2, "vocab_size": 61,
            "ssm_cfg": {"layer": "Mamba2", "d_state": 10, "headdim": 8, "ngroups": 2}});
        for original in [first, second] {
            let json = original.to_string().into_bytes();
            assert_eq!(Form::of(&json).expect("JSON"), Some(Form::Original));
            let config = ModelConfig::parse(&json).expect("sound");
            for form in [Form::Original, Form::Hf] {
                let written = form.config(&config).expect("has words for it");
                assert_eq!(Form::of(&written).expect("JSON"), Some(form));
                let read = ModelConfig::parse(&written).expect("sound");
                assert_eq!(read, config, "{form:?}");
            }
        }
    }

    #[test]
    fn any_width_comes_back() {
        for d_model in [1, 3, 7, 40, 768] {
            for width in 1..3 * d_model {
                let expand = ratio(width, d_model).as_f64().expect("a number");
                assert_eq!((expand * d_model as f64) as usize, width, "{expand} * {d_model}");
            }
        }
    }
}
