//! Models of state space layers alone: Mamba-1, Mamba-2, Falcon Mamba, and the original files of mamba_ssm.

use serde_json::{Value, json};

use super::common::{Defaults, common, divides, finish, n_layer, only_silu};
use super::fields::{Fields, check_products, float};
use super::{Layer, Mamba2Mixer, MambaMixer, Mixer, ModelConfig, Norm};
use crate::error::{Error, Result};

fn defaults(architecture: &'static str, tie: bool, eos: u32) -> Defaults {
    Defaults {
        architecture,
        norm: Norm::Rms,
        eps: ("layer_norm_epsilon", 1e-5),
        tie,
        bos: Some(0),
        eos: Some(eos),
        d_model: "hidden_size",
    }
}

/// `d_inner = int(expand * d_model)`; intermediate_size may repeat it.
fn d_inner(fields: &mut Fields, d_model: usize) -> Result<usize> {
    let expand = fields.positive("expand")?;
    let stated = fields.size_or("intermediate_size", 0, 1..=65_536)?;
    let d_inner = match expand {
        None if stated > 0 => stated,
        _ => (expand.unwrap_or(2.0) * d_model as f64) as usize,
    };
    if !(1..=65_536).contains(&d_inner) {
        let found = expand.unwrap_or(2.0);
        return Err(Error::config("expand", found, "expand * hidden_size from 1 to 65536"));
    }
    if stated > 0 && stated != d_inner {
        let expected = format!("{d_inner}, that is expand * hidden_size");
        return Err(Error::config("intermediate_size", stated, expected));
    }
    Ok(d_inner)
}

/// In transformers' Mamba a stated width wins over `expand`, whatever that says; in Mamba-2 it must agree.
fn mamba_d_inner(fields: &mut Fields, d_model: usize) -> Result<usize> {
    if !fields.contains("intermediate_size") {
        return d_inner(fields, d_model);
    }
    fields.positive("expand")?;
    fields.size("intermediate_size", 1..=65_536)
}

pub(super) fn mamba(mut fields: Fields) -> Result<ModelConfig> {
    let f = &mut fields;
    let common = common(f, &defaults("MambaForCausalLM", true, 0))?;
    let n_layer = n_layer(f, "num_hidden_layers")?;
    only_silu(f)?;
    f.only("rms_norm", &[json!(true)], "true: transformers' Mamba normalises by RMSNorm only")?;
    let mixer = mamba_mixer(f, common.d_model)?;
    let layer = Layer { mixer: Mixer::Mamba(mixer), mlp: None };
    Ok(finish(common, vec![layer; n_layer], &fields))
}

/// Mamba-1 with RMS norms on B, C and dt.
pub(super) fn falcon_mamba(mut fields: Fields) -> Result<ModelConfig> {
    let f = &mut fields;
    let common = common(f, &defaults("FalconMambaForCausalLM", true, 0))?;
    let n_layer = n_layer(f, "num_hidden_layers")?;
    only_silu(f)?;
    let norm_eps = Some(f.eps_or("mixer_rms_eps", 1e-6)?);
    let mixer = MambaMixer { norm_eps, ..mamba_mixer(f, common.d_model)? };
    let layer = Layer { mixer: Mixer::Mamba(mixer), mlp: None };
    Ok(finish(common, vec![layer; n_layer], &fields))
}

fn mamba_mixer(f: &mut Fields, d_model: usize) -> Result<MambaMixer> {
    let dt_rank = match f.take("time_step_rank") {
        None => d_model.div_ceil(16),
        Some(auto) if auto == "auto" => d_model.div_ceil(16),
        Some(found) => found
            .as_u64()
            .filter(|rank| (1..=16_384).contains(rank))
            .ok_or_else(|| f.error("time_step_rank", &found, "\"auto\" or from 1 to 16384"))?
            as usize,
    };
    let mixer = MambaMixer {
        d_inner: mamba_d_inner(f, d_model)?,
        d_state: f.size_or("state_size", 16, 1..=1024)?,
        d_conv: f.size_or("conv_kernel", 4, 1..=64)?,
        dt_rank,
        use_bias: f.flag_or("use_bias", false)?,
        use_conv_bias: f.flag_or("use_conv_bias", true)?,
        norm_eps: None,
    };
    check_products(&[
        ("in_proj", &[2 * mixer.d_inner, d_model]),
        ("x_proj", &[mixer.dt_rank + 2 * mixer.d_state, mixer.d_inner]),
        ("dt_proj", &[mixer.d_inner, mixer.dt_rank]),
        ("state", &[mixer.d_inner, mixer.d_state]),
    ])?;
    Ok(mixer)
}

pub(super) fn mamba2(mut fields: Fields) -> Result<ModelConfig> {
    let f = &mut fields;
    let common = common(f, &defaults("Mamba2ForCausalLM", false, 2))?;
    let n_layer = n_layer(f, "num_hidden_layers")?;
    only_silu(f)?;
    f.only("rms_norm", &[json!(true)], "true: transformers' Mamba-2 always has the gated RMSNorm")?;
    let mixer = Mamba2Mixer {
        d_inner: d_inner(f, common.d_model)?,
        d_state: f.size_or("state_size", 128, 1..=1024)?,
        d_conv: f.size_or("conv_kernel", 4, 1..=64)?,
        n_head: f.size_or("num_heads", 128, 1..=4096)?,
        headdim: f.size_or("head_dim", 64, 1..=4096)?,
        n_groups: f.size_or("n_groups", 8, 1..=4096)?,
        chunk_size: f.size_or("chunk_size", 256, 1..=65_536)?,
        dt_limit: dt_limit(f)?,
        use_bias: f.flag_or("use_bias", false)?,
        use_conv_bias: f.flag_or("use_conv_bias", true)?,
    };
    if mixer.n_head * mixer.headdim != mixer.d_inner {
        let found = format!("{} with head_dim {}", mixer.n_head, mixer.headdim);
        let expected = format!("num_heads * head_dim = expand * hidden_size = {}", mixer.d_inner);
        return Err(Error::config("num_heads", found, expected));
    }
    divides("n_groups", mixer.n_groups, "num_heads", mixer.n_head)?;
    check_products(&[
        ("in_proj", &[mixer.d_in_proj(), common.d_model]),
        ("state", &[mixer.d_inner, mixer.d_state]),
    ])?;
    let layer = Layer { mixer: Mixer::Mamba2(mixer), mlp: None };
    Ok(finish(common, vec![layer; n_layer], &fields))
}

/// time_step_limit: [low, high], high possibly infinite in one of several spellings.
pub(super) fn dt_limit(fields: &mut Fields) -> Result<(f32, f32)> {
    let Some(found) = fields.take("time_step_limit") else { return Ok((0.0, f32::INFINITY)) };
    let ends = match found.as_array().map(Vec::as_slice) {
        Some([low, high]) => float(low).zip(float(high)),
        _ => None,
    };
    match ends {
        Some((low, high)) if (0.0..1e30).contains(&low) && low <= high => {
            Ok((low as f32, high as f32))
        }
        _ => Err(fields.error("time_step_limit", &found, "[low, high] with 0 <= low <= high")),
    }
}

/// Names of mamba_ssm's own fields and of transformers', in `ssm_cfg`.
const OF_MIXER: [(&str, &str); 10] = [
    ("d_state", "state_size"),
    ("d_conv", "conv_kernel"),
    ("expand", "expand"),
    ("bias", "use_bias"),
    ("conv_bias", "use_conv_bias"),
    ("dt_rank", "time_step_rank"),
    ("headdim", "head_dim"),
    ("ngroups", "n_groups"),
    ("dt_limit", "time_step_limit"),
    ("chunk_size", "chunk_size"),
];

/// Fields of `ssm_cfg` that only start a training or choose among equal ways to compute.
const OF_TRAINING: [&str; 12] = [
    "dt_min",
    "dt_max",
    "dt_init",
    "dt_scale",
    "dt_init_floor",
    "conv_init",
    "A_init_range",
    "use_fast_path",
    "use_mem_eff_path",
    "layer_idx",
    "process_group",
    "sequence_parallel",
];

/// Translates a file of mamba_ssm (`MambaConfig` of state-spaces/mamba, models/config_mamba.py) into the fields of its
/// conversion: the rows of the embedding are padded, the head is tied unless it says otherwise, and Mamba-2 has one
/// group and as many heads as its width holds.
pub(super) fn original(fields: &mut Fields) -> Result<&'static str> {
    let none = [json!({}), json!([]), json!(0)];
    fields.only("attn_layer_idx", &none, "[]: no layer with attention")?;
    fields.only("d_intermediate", &none, "0: no MLP")?;
    fields.take("attn_cfg");
    let mut ssm = fields.object("ssm_cfg")?.unwrap_or_default();
    let layer = ssm.text("layer")?.unwrap_or_else(|| "Mamba1".into());
    let is_second = match layer.as_str() {
        "Mamba1" => false,
        "Mamba2" => true,
        _ => return Err(ssm.error("layer", &Value::String(layer), "Mamba1 or Mamba2")),
    };
    let d_model = fields.size("d_model", 1..=16_384)?;
    let vocab = fields.size("vocab_size", 1..=1_000_000)?;
    let multiple = fields.size_or("pad_vocab_size_multiple", 8, 1..=65_536)?;
    fields.put("vocab_size", vocab.next_multiple_of(multiple).into());
    fields.put("hidden_size", d_model.into());
    let n_layer = fields.size("n_layer", 1..=256)?;
    fields.put("num_hidden_layers", n_layer.into());
    let tie = fields.flag_or("tie_embeddings", true)?;
    fields.put("tie_word_embeddings", tie.into());
    for id in ["bos_token_id", "eos_token_id"] {
        // The GPT-NeoX tokenizer's <|endoftext|>.
        if fields.is_absent(id) {
            fields.put(id, 0.into());
        }
    }
    for (theirs, ours) in OF_MIXER {
        if let Some(value) = ssm.take(theirs) {
            fields.put(ours, value);
        }
    }
    for name in ["D_has_hdim", "norm_before_gate"] {
        ssm.only(name, &[json!(false)], "false")?;
    }
    ssm.only("rmsnorm", &[json!(true)], "true")?;
    ssm.only("d_ssm", &[], "absent")?;
    if let Some(name) = ssm.leftover(|name| OF_TRAINING.contains(&name)).first() {
        return Err(Error::config(name, "a value", "fields of mamba_ssm's Mamba and Mamba2 only"));
    }
    if is_second {
        second(fields, d_model)?;
    }
    Ok(if is_second { "mamba2" } else { "mamba" })
}

fn second(fields: &mut Fields, d_model: usize) -> Result<()> {
    let expand = fields.positive("expand")?.unwrap_or(2.0);
    let d_inner = (expand * d_model as f64) as usize;
    let headdim = fields.size_or("head_dim", 64, 1..=4096)?;
    divides("head_dim", headdim, "expand * d_model", d_inner)?;
    let n_groups = fields.size_or("n_groups", 1, 1..=4096)?;
    fields.put("expand", expand.into());
    fields.put("num_heads", (d_inner / headdim).into());
    fields.put("head_dim", headdim.into());
    fields.put("n_groups", n_groups.into());
    Ok(())
}
