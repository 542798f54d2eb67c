//! Models of attention layers alone. Llama and those that differ from it in options only are one reader.

use serde_json::{Value, json};

use super::common::{Defaults, common, divides, finish, n_layer, only_silu};
use super::fields::{Fields, check_products};
use super::rope::{self, RopeNames};
use super::{Attention, Layer, Mixer, Mlp, MlpKind, ModelConfig, Norm};
use crate::error::{Error, Result};

/// Widest head that attention can compute.
const MAX_HEADDIM: usize = 256;

/// A bias that is always there, never, or as a field says.
enum Bias {
    Always,
    Never,
    Field(&'static str),
}

impl Bias {
    fn read(&self, fields: &mut Fields) -> Result<bool> {
        match self {
            Bias::Always => Ok(true),
            Bias::Never => Ok(false),
            Bias::Field(name) => fields.flag_or(name, false),
        }
    }
}

/// Where a family's attention looks back over a window of fixed size only.
enum Window {
    Never,
    /// Everywhere, of `sliding_window` tokens; absent means 4,096.
    Always,
    /// Where `use_sliding_window` says so.
    IfUsed,
}

/// How a family differs from Llama.
struct Options {
    defaults: Defaults,
    qkv_bias: Bias,
    /// The output projection has a bias where q, k and v have one.
    o_like_qkv: bool,
    mlp_bias: Bias,
    has_qk_norm: bool,
    /// Where `num_key_value_heads` and `head_dim` are absent; none: as many as query heads, d_model over heads.
    n_kv_head: Option<usize>,
    headdim: Option<usize>,
    theta: f64,
    max_seq_len: usize,
    window: Window,
    /// Some layers do not rotate.
    skips_rope: bool,
}

fn options(architecture: &'static str, bos: Option<u32>, eos: Option<u32>) -> Options {
    Options {
        defaults: Defaults {
            architecture,
            norm: Norm::Rms,
            eps: ("rms_norm_eps", 1e-6),
            tie: false,
            bos,
            eos,
            d_model: "hidden_size",
        },
        qkv_bias: Bias::Never,
        o_like_qkv: true,
        mlp_bias: Bias::Never,
        has_qk_norm: false,
        n_kv_head: None,
        headdim: None,
        theta: 10_000.0,
        max_seq_len: 2048,
        window: Window::Never,
        skips_rope: false,
    }
}

pub(super) fn llama(fields: Fields) -> Result<ModelConfig> {
    let options = Options {
        qkv_bias: Bias::Field("attention_bias"),
        mlp_bias: Bias::Field("mlp_bias"),
        ..options("LlamaForCausalLM", Some(1), Some(2))
    };
    llama_like(fields, &options)
}

pub(super) fn mistral(fields: Fields) -> Result<ModelConfig> {
    let options = Options {
        n_kv_head: Some(8),
        max_seq_len: 4096 * 32,
        window: Window::Always,
        ..options("MistralForCausalLM", Some(1), Some(2))
    };
    llama_like(fields, &options)
}

pub(super) fn qwen2(fields: Fields) -> Result<ModelConfig> {
    let options = Options {
        qkv_bias: Bias::Always,
        o_like_qkv: false,
        n_kv_head: Some(32),
        max_seq_len: 32_768,
        window: Window::IfUsed,
        ..options("Qwen2ForCausalLM", None, None)
    };
    llama_like(fields, &options)
}

pub(super) fn qwen3(fields: Fields) -> Result<ModelConfig> {
    let options = Options {
        qkv_bias: Bias::Field("attention_bias"),
        has_qk_norm: true,
        n_kv_head: Some(32),
        headdim: Some(128),
        max_seq_len: 32_768,
        window: Window::IfUsed,
        ..options("Qwen3ForCausalLM", None, None)
    };
    llama_like(fields, &options)
}

pub(super) fn smollm3(fields: Fields) -> Result<ModelConfig> {
    let mut options = Options {
        qkv_bias: Bias::Field("attention_bias"),
        mlp_bias: Bias::Field("mlp_bias"),
        n_kv_head: Some(4),
        theta: 2_000_000.0,
        max_seq_len: 32_768,
        window: Window::IfUsed,
        skips_rope: true,
        ..options("SmolLM3ForCausalLM", Some(128_000), Some(128_001))
    };
    options.defaults.tie = true;
    llama_like(fields, &options)
}

fn llama_like(mut fields: Fields, options: &Options) -> Result<ModelConfig> {
    let f = &mut fields;
    let mut common = common(f, &options.defaults)?;
    let n_layer = n_layer(f, "num_hidden_layers")?;
    only_silu(f)?;
    f.only("rope_interleaved", &[json!(false)], "false: rotary pairs are (i, i + head_dim / 2)")?;
    let max_seq_len = f.size_or("max_position_embeddings", options.max_seq_len, 1..=1 << 28)?;
    common.max_seq_len = Some(max_seq_len);
    common.hard_limit = window(f, &options.window, n_layer)?;
    let shape = heads(f, common.d_model, options.n_kv_head, options.headdim)?;
    let rope = whole_rope(f, options.theta, shape.headdim, max_seq_len, &mut common.ignored)?;
    let qkv_bias = options.qkv_bias.read(f)?;
    let attention = Attention {
        qkv_bias,
        o_bias: options.o_like_qkv && qkv_bias,
        has_qk_norm: options.has_qk_norm,
        rope: Some(rope),
        ..shape
    };
    let mlp = Mlp {
        d_ff: d_ff(f, "intermediate_size", common.d_model)?,
        kind: MlpKind::SwiGlu,
        bias: options.mlp_bias.read(f)?,
    };
    let rotates = rotating(f, options.skips_rope, n_layer)?;
    let layer = |rotates: bool| {
        let mut attention = attention.clone();
        attention.rope = attention.rope.filter(|_| rotates);
        Layer { mixer: Mixer::Attention(attention), mlp: Some(mlp.clone()) }
    };
    Ok(finish(common, rotates.into_iter().map(layer).collect(), &fields))
}

/// The heads of an attention layer without biases, norms and rotation.
pub(super) fn heads(
    f: &mut Fields,
    d_model: usize,
    default_kv: Option<usize>,
    default_headdim: Option<usize>,
) -> Result<Attention> {
    let n_head = f.size("num_attention_heads", 1..=1024)?;
    let is_null = !f.is_absent("num_key_value_heads");
    let default_kv = default_kv.filter(|_| !is_null).unwrap_or(n_head);
    let n_kv_head = f.size_or("num_key_value_heads", default_kv, 1..=1024)?;
    divides("num_key_value_heads", n_kv_head, "num_attention_heads", n_head)?;
    if !f.contains("head_dim") && default_headdim.is_none() {
        divides("num_attention_heads", n_head, "hidden_size", d_model)?;
    }
    let headdim =
        f.size_or("head_dim", default_headdim.unwrap_or(d_model / n_head), 1..=MAX_HEADDIM)?;
    check_headdim(headdim, n_head)?;
    check_products(&[(
        "num_attention_heads x head_dim x hidden_size",
        &[n_head, headdim, d_model],
    )])?;
    let scale = Attention::scale(headdim);
    let (qkv_bias, o_bias, has_qk_norm, rope) = (false, false, false, None);
    Ok(Attention { n_head, n_kv_head, headdim, qkv_bias, o_bias, has_qk_norm, rope, scale })
}

pub(super) fn check_headdim(headdim: usize, n_head: usize) -> Result<()> {
    if headdim <= MAX_HEADDIM {
        return Ok(());
    }
    let expected = format!("heads of at most {MAX_HEADDIM} channels (here {headdim})");
    Err(Error::config("num_attention_heads", n_head, expected))
}

/// transformers' Llama rotates the whole head with the default rope and a part with llama3.
pub(super) fn whole_rope(
    f: &mut Fields,
    default_theta: f64,
    headdim: usize,
    max_seq_len: usize,
    ignored: &mut Vec<String>,
) -> Result<rope::Rope> {
    let names = RopeNames {
        theta: &["rope_theta"],
        default_theta,
        partial: &["partial_rotary_factor"],
        default_partial: 1.0,
    };
    let rope = rope::read(f, &names, headdim, max_seq_len, ignored)?;
    if rope.dim != headdim {
        let found = rope.dim as f64 / headdim as f64;
        return Err(Error::config("partial_rotary_factor", found, "1: the whole head is rotated"));
    }
    Ok(rope)
}

pub(super) fn d_ff(f: &mut Fields, name: &str, d_model: usize) -> Result<usize> {
    let d_ff = f.size(name, 1..=131_072)?;
    check_products(&[("intermediate_size x hidden_size", &[d_ff, d_model])])?;
    Ok(d_ff)
}

/// Which layers rotate: `no_rope_layers` has a 1 for those that do; else every fourth does not.
fn rotating(f: &mut Fields, skips: bool, n_layer: usize) -> Result<Vec<bool>> {
    if !skips {
        return Ok(vec![true; n_layer]);
    }
    let interval = f.size_or("no_rope_layer_interval", 4, 1..=256)?;
    let Some(found) = f.take("no_rope_layers") else {
        return Ok((1..=n_layer).map(|layer| layer % interval != 0).collect());
    };
    let list = found.as_array().filter(|list| list.len() >= n_layer);
    let each =
        list.map(|list| list[..n_layer].iter().map(Value::as_u64).collect::<Option<Vec<_>>>());
    let expected = || format!("a 0 or 1 for each of {n_layer} layers");
    let each = each.flatten().filter(|each| each.iter().all(|&x| x <= 1));
    let each = each.ok_or_else(|| f.error("no_rope_layers", &found, expected()))?;
    Ok(each.into_iter().map(|x| x == 1).collect())
}

/// The longest sequence before a sliding window would take effect, where there is one in any layer.
fn window(
    f: &mut Fields,
    window: &Window,
    n_layer: usize,
) -> Result<Option<(usize, &'static str)>> {
    const NAME: &str = "sliding_window";
    let used = match window {
        Window::Never => return Ok(None),
        Window::Always => true,
        Window::IfUsed => f.flag_or("use_sliding_window", false)?,
    };
    let types = f.take("layer_types");
    let is_null = !f.is_absent(NAME) && !f.contains(NAME);
    let default = if is_null { 0 } else { 4096 };
    let size = f.size_or(NAME, default, 0..=1 << 28)?;
    let first = f.size_or("max_window_layers", 28, 0..=1 << 20)?;
    let slides = match (window, &types) {
        (Window::IfUsed, Some(Value::Array(types))) => types.contains(&json!("sliding_attention")),
        (Window::IfUsed, _) => first < n_layer,
        _ => true,
    };
    Ok((used && slides && size > 0).then_some((size, NAME)))
}
