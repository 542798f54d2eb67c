//! config.json of a published Hugging Face model, parsed into types that cannot be wrong.
//!
//! Every size is nonzero, bounded and divides what it must divide, so that later code can multiply
//! and index without checks. A field that would change the result and is not implemented is an
//! error; a field nobody knows is listed in `ignored` for the page to show.
//! Source: transformers 5.23 `configuration_{mamba,mamba2,llama,gpt_neox}.py`; defaults are theirs.

mod families;
mod fields;
mod rope;

use fields::Fields;
pub(crate) use fields::quote_bare_floats;
pub use rope::{Rope, RopeScaling};

use crate::error::{Error, Result};

/// The model_type values read here.
pub const FAMILIES: [&str; 4] = ["mamba", "mamba2", "llama", "gpt_neox"];

#[derive(Debug, Clone, PartialEq)]
pub enum ModelConfig {
    Mamba(MambaConfig),
    Mamba2(Mamba2Config),
    Llama(LlamaConfig),
    GptNeoX(GptNeoXConfig),
}

/// What every family has.
#[derive(Debug, Clone, PartialEq)]
pub struct Common {
    pub vocab_size: usize,
    pub d_model: usize,
    pub n_layer: usize,
    /// Epsilon of every normalisation.
    pub eps: f32,
    /// The output head is the embedding matrix.
    pub tie_word_embeddings: bool,
    pub bos_token_id: Option<u32>,
    pub eos_token_ids: Vec<u32>,
    /// Fields of config.json that nobody here knows; sorted, those inside another field first.
    pub ignored: Vec<String>,
}

/// Mamba-1 (arXiv 2312.00752).
#[derive(Debug, Clone, PartialEq)]
pub struct MambaConfig {
    pub common: Common,
    pub d_inner: usize,
    pub d_state: usize,
    pub d_conv: usize,
    pub dt_rank: usize,
    /// Bias of in_proj and out_proj.
    pub use_bias: bool,
    pub use_conv_bias: bool,
}

/// Mamba-2 (arXiv 2405.21060). The gated RMSNorm works per group of d_inner / n_groups channels and
/// gates first, as in transformers 5; transformers 4 normalised all of d_inner as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Mamba2Config {
    pub common: Common,
    /// n_head * headdim
    pub d_inner: usize,
    pub d_state: usize,
    pub d_conv: usize,
    pub n_head: usize,
    pub headdim: usize,
    /// Divides n_head.
    pub n_groups: usize,
    pub chunk_size: usize,
    /// dt after softplus is clamped to this range; the upper end may be infinite.
    pub dt_limit: (f32, f32),
    pub use_bias: bool,
    pub use_conv_bias: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    pub common: Common,
    /// Width of the gated MLP.
    pub d_ff: usize,
    pub n_head: usize,
    /// Divides n_head.
    pub n_kv_head: usize,
    /// Not always d_model / n_head.
    pub headdim: usize,
    pub attention_bias: bool,
    pub mlp_bias: bool,
    pub max_seq_len: usize,
    pub rope: Rope,
}

#[derive(Debug, Clone, PartialEq)]
pub struct GptNeoXConfig {
    pub common: Common,
    pub d_ff: usize,
    pub n_head: usize,
    /// d_model / n_head
    pub headdim: usize,
    /// Attention and MLP both read the block's input, and their outputs are added to it together.
    pub use_parallel_residual: bool,
    pub attention_bias: bool,
    pub activation: Activation,
    pub max_seq_len: usize,
    pub rope: Rope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x * Phi(x), by erf.
    Gelu,
    /// The tanh approximation, by whichever of its names.
    GeluTanh,
}

impl Mamba2Config {
    /// Channels of the convolution: x, then B and C of every group.
    pub fn conv_dim(&self) -> usize {
        self.d_inner + 2 * self.n_groups * self.d_state
    }

    /// Rows of in_proj: gate, convolution input, one dt a head.
    pub fn d_in_proj(&self) -> usize {
        self.d_inner + self.conv_dim() + self.n_head
    }

    /// Channels normalised together by the gated RMSNorm.
    pub fn norm_group_size(&self) -> usize {
        self.d_inner / self.n_groups
    }
}

impl ModelConfig {
    /// Parses the bytes of config.json.
    ///
    /// # Errors
    /// `Error::File` when it is not a JSON object, `Error::Config` naming the field otherwise.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let mut fields = Fields::parse(json)?;
        match family_of(&mut fields)? {
            "mamba" => families::mamba(fields).map(Self::Mamba),
            "mamba2" => families::mamba2(fields).map(Self::Mamba2),
            "llama" => families::llama(fields).map(Self::Llama),
            _ => families::gpt_neox(fields).map(Self::GptNeoX),
        }
    }

    /// The model_type as config.json spells it.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Mamba(_) => "mamba",
            Self::Mamba2(_) => "mamba2",
            Self::Llama(_) => "llama",
            Self::GptNeoX(_) => "gpt_neox",
        }
    }

    pub fn common(&self) -> &Common {
        match self {
            Self::Mamba(c) => &c.common,
            Self::Mamba2(c) => &c.common,
            Self::Llama(c) => &c.common,
            Self::GptNeoX(c) => &c.common,
        }
    }

    fn common_mut(&mut self) -> &mut Common {
        match self {
            Self::Mamba(c) => &mut c.common,
            Self::Mamba2(c) => &mut c.common,
            Self::Llama(c) => &mut c.common,
            Self::GptNeoX(c) => &mut c.common,
        }
    }

    /// The same with another number of layers.
    pub fn with_layers(mut self, n_layer: usize) -> Self {
        self.common_mut().n_layer = n_layer;
        self
    }

    /// The same with other tokens that end a text.
    pub fn with_eos_token_ids(mut self, ids: Vec<u32>) -> Self {
        self.common_mut().eos_token_ids = ids;
        self
    }

    pub fn vocab_size(&self) -> usize {
        self.common().vocab_size
    }

    pub fn d_model(&self) -> usize {
        self.common().d_model
    }

    pub fn n_layer(&self) -> usize {
        self.common().n_layer
    }

    pub fn bos_token_id(&self) -> Option<u32> {
        self.common().bos_token_id
    }

    pub fn eos_token_ids(&self) -> &[u32] {
        &self.common().eos_token_ids
    }

    /// Fields of config.json that nobody here knows.
    pub fn ignored(&self) -> &[String] {
        &self.common().ignored
    }
}

fn family_of(fields: &mut Fields) -> Result<&'static str> {
    let supported = || format!("one of {}", FAMILIES.join(", "));
    let Some(found) = fields.text("model_type")? else {
        if fields.contains("d_model") && fields.contains("n_layer") {
            return Err(Error::config(
                "model_type",
                "absent (this is an original mamba_ssm configuration)",
                "the Hugging Face conversion of this model (its name usually ends in -hf)",
            ));
        }
        return Err(Error::config("model_type", "absent", supported()));
    };
    let known = FAMILIES.iter().find(|family| **family == found);
    known.copied().ok_or_else(|| Error::config("model_type", format!("{found:?}"), supported()))
}
