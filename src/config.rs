//! config.json of a published Hugging Face model, parsed into types that cannot be wrong.
//!
//! Every size is nonzero, bounded and divides what it must divide, so that later code can multiply
//! and index without checks. A field that would change the result and is not implemented is an
//! error; a field nobody knows is listed in `ignored` for the page to show.
//! Source: transformers 5.23 `configuration_*.py`; defaults are theirs.

mod common;
mod fields;
mod gpt;
mod granite;
mod layer;
mod llama;
mod mamba;
mod readers;
mod rope;

use fields::Fields;
pub(crate) use fields::quote_bare_floats;
pub use layer::{Activation, Attention, Kind, Layer, Mamba2Mixer, MambaMixer, Mixer, Mlp, MlpKind};
pub use readers::{FAMILIES, WITH_ATTENTION, WITH_STATE_SPACE};
pub use rope::{Rope, RopeScaling};

use crate::error::{Error, Result};

/// Most bytes that the states of all layers may take for one sequence: twice those of the largest published model here
/// (Mamba-Codestral-7B).
const MAX_STATE_BYTES: u64 = 512 << 20;

/// What a checkpoint calls its tensors; several model_type values may share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Mamba-1, among them Falcon Mamba.
    Mamba,
    /// Mamba-2; its tensors have the names of Mamba-1.
    Mamba2,
    /// Llama and what names its tensors alike: Mistral, Qwen, SmolLM.
    Llama,
    /// GPT-NeoX, among them Pythia.
    GptNeoX,
    /// GPT-2, whose linear weights lie transposed.
    Gpt2,
    /// OPT, with learned positions.
    Opt,
    /// Granite 4 without experts: Mamba-2 and attention layers, factors on the stream.
    Granite,
}

/// A config.json that has been checked: what the whole model is, then layer by layer.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// As config.json spells it; that of its conversion in an original mamba_ssm file.
    pub model_type: &'static str,
    /// Decides the names of the tensors; the layers decide the arithmetic.
    pub family: Family,
    /// What holds for the model as a whole.
    pub common: Common,
    /// Every layer's own description; at least one.
    pub layers: Vec<Layer>,
}

/// What holds for a model as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Common {
    /// Rows of the embedding and of the head.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Of every normalisation of the stream.
    pub norm: Norm,
    /// Epsilon of every normalisation.
    pub eps: f32,
    /// Mixer and MLP both read the block's input, and their outputs are added to it together.
    pub is_parallel: bool,
    /// The output head is the embedding matrix.
    pub tie_word_embeddings: bool,
    /// Longest sequence the model was trained on, where its file says so.
    pub max_seq_len: Option<usize>,
    /// Longest sequence that can be computed, where there is such a limit, and the field that sets it: learned
    /// positions end there, and attention over a sliding window is not implemented.
    pub hard_limit: Option<(usize, &'static str)>,
    /// Rows of the learned positions that stand before position 0, where positions are learned.
    pub position_offset: Option<usize>,
    /// All 1 but in Granite.
    pub multipliers: Multipliers,
    /// Begin-of-text; `None` where neither the file nor the family's class has one.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; may be empty.
    pub eos_token_ids: Vec<u32>,
    /// Fields of config.json that nobody here knows; sorted, those inside another field first.
    pub ignored: Vec<String>,
}

/// Factors that some families multiply by (Granite); 1 in all others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Multipliers {
    /// Of the rows of the embedding.
    pub embedding: f32,
    /// Of what a mixer or an MLP adds to the stream.
    pub residual: f32,
    /// Of the logits.
    pub logits: f32,
}

impl Default for Multipliers {
    fn default() -> Self {
        Self { embedding: 1.0, residual: 1.0, logits: 1.0 }
    }
}

/// How the residual stream is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// By its root mean square (arXiv 1910.07467).
    Rms,
    /// With mean and bias.
    Layer,
}

impl ModelConfig {
    /// Parses the bytes of config.json.
    ///
    /// # Errors
    /// `Error::File` when it is not a JSON object, `Error::Config` naming the field otherwise.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let mut fields = Fields::parse(json)?;
        let reader = readers::reader_of(&mut fields)?;
        let config = (reader.read)(fields)?;
        let state = config.state_bytes();
        if state > MAX_STATE_BYTES {
            let found = format!("{} MB of states for one sequence", state >> 20);
            return Err(Error::config(
                "state_size",
                found,
                format!("at most {} MB in all layers", MAX_STATE_BYTES >> 20),
            ));
        }
        Ok(Self { model_type: reader.model_type, family: reader.family, ..config })
    }

    /// The model_type as config.json spells it.
    pub fn family(&self) -> &'static str {
        self.model_type
    }

    /// Bytes of what the layers with a state space remember of one sequence.
    pub fn state_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.mixer.state_bytes()).sum()
    }

    /// What a sequence of so many tokens asks of the model: nothing, a word of caution, or too much.
    ///
    /// Errors: more tokens than can be computed.
    pub fn check_length(&self, tokens: usize) -> Result<Option<String>> {
        if let Some((limit, field)) = self.common.hard_limit.filter(|(limit, _)| tokens > *limit) {
            return Err(Error::input(
                "text",
                format!("{tokens} tokens"),
                format!("at most {limit}, {field} of this model"),
            ));
        }
        let beyond = self.common.max_seq_len.filter(|&limit| tokens > limit);
        Ok(beyond.map(|limit| format!(
            "{tokens} tokens are more than the {limit} that this model was trained on (max_position_embeddings): the figures are not those of the model's quality."
        )))
    }

    /// Most tokens of a sequence that can be computed.
    pub fn longest(&self) -> usize {
        self.common.hard_limit.map_or(usize::MAX, |(limit, _)| limit)
    }

    /// The same with only these of its layers, in this order.
    pub fn with_layers(mut self, layers: &[usize]) -> Self {
        self.layers = layers.iter().map(|&layer| self.layers[layer].clone()).collect();
        self
    }

    /// The same with other tokens that end a text.
    pub fn with_eos_token_ids(mut self, ids: Vec<u32>) -> Self {
        self.common.eos_token_ids = ids;
        self
    }

    /// Rows of the embedding and of the head.
    pub fn vocab_size(&self) -> usize {
        self.common.vocab_size
    }

    /// Width of the residual stream.
    pub fn d_model(&self) -> usize {
        self.common.d_model
    }

    /// Blocks, at least 1; layers are counted from 0.
    pub fn n_layer(&self) -> usize {
        self.layers.len()
    }

    /// Begin-of-text, below vocab_size; `None` where the model has none.
    pub fn bos_token_id(&self) -> Option<u32> {
        self.common.bos_token_id
    }

    /// The token that stands for "no context": begin-of-text, else end-of-text (as lm-evaluation-harness does), else 0.
    pub fn prior_token(&self) -> u32 {
        self.bos_token_id().or(self.eos_token_ids().first().copied()).unwrap_or(0)
    }

    /// Tokens that end a text, each below vocab_size; empty where the model has none.
    pub fn eos_token_ids(&self) -> &[u32] {
        &self.common.eos_token_ids
    }

    /// Fields of config.json that nobody here knows.
    pub fn ignored(&self) -> &[String] {
        &self.common.ignored
    }
}
