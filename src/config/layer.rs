//! What one layer is made of: a mixer over the sequence and, in most families, an MLP behind it.
//!
//! Everything that depends on what a layer is (arithmetic, state, matrices that can be pruned, guarded tokens, scores)
//! asks the layer, so that a model may mix kinds.

use super::Rope;

/// One block of a model. Sizes are nonzero and divide what they must divide.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What lets its tokens see each other.
    pub mixer: Mixer,
    /// Behind the mixer; `None` in Mamba's own models.
    pub mlp: Option<Mlp>,
}

/// What lets a token see those before it.
#[derive(Debug, Clone, PartialEq)]
pub enum Mixer {
    /// A state space, selective scan.
    Mamba(MambaMixer),
    /// A state space, one scalar A a head.
    Mamba2(Mamba2Mixer),
    /// Causal attention over all tokens before.
    Attention(Attention),
}

/// The two ways to remember a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A state of fixed size.
    StateSpace,
    /// A key and a value for every token.
    Attention,
}

/// Mamba-1 (arXiv 2312.00752).
#[derive(Debug, Clone, PartialEq)]
pub struct MambaMixer {
    /// Channels inside the block.
    pub d_inner: usize,
    /// States of one channel (N in the paper).
    pub d_state: usize,
    /// Taps of the causal convolution.
    pub d_conv: usize,
    /// Inputs of dt_proj.
    pub dt_rank: usize,
    /// Bias of in_proj and out_proj.
    pub use_bias: bool,
    /// Bias of the convolution.
    pub use_conv_bias: bool,
    /// Epsilon of the RMS norms without weights on B, C and the low-rank dt; none in Mamba itself (Falcon Mamba).
    pub norm_eps: Option<f32>,
}

/// Mamba-2 (arXiv 2405.21060). The gated RMSNorm works per group of d_inner / n_groups channels and
/// gates first, as in transformers 5; transformers 4 normalised all of d_inner as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Mamba2Mixer {
    /// n_head * headdim
    pub d_inner: usize,
    /// States of one channel (N in the paper).
    pub d_state: usize,
    /// Taps of the causal convolution.
    pub d_conv: usize,
    /// Heads, each with one A, D and dt.
    pub n_head: usize,
    /// Channels of one head.
    pub headdim: usize,
    /// Divides n_head.
    pub n_groups: usize,
    /// Read and checked; it changes no result.
    pub chunk_size: usize,
    /// dt after softplus is clamped to this range; the upper end may be infinite.
    pub dt_limit: (f32, f32),
    /// Bias of in_proj and out_proj.
    pub use_bias: bool,
    /// Bias of the convolution.
    pub use_conv_bias: bool,
}

/// Causal attention, multi-head or with grouped queries (arXiv 2305.13245).
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub n_head: usize,
    /// Divides n_head.
    pub n_kv_head: usize,
    /// Not always d_model / n_head.
    pub headdim: usize,
    /// Bias of the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias of the output projection.
    pub o_bias: bool,
    /// RMS norms of every query and key head before rotation.
    pub has_qk_norm: bool,
    /// Queries and keys are not rotated where this is absent.
    pub rope: Option<Rope>,
    /// What the products of queries and keys are multiplied by.
    pub scale: f32,
}

/// The part of a layer that looks at one token only.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp {
    /// Width inside.
    pub d_ff: usize,
    /// Which of the two forms.
    pub kind: MlpKind,
    /// Whether its matrices have biases.
    pub bias: bool,
}

/// The form of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MlpKind {
    /// down(silu(gate(x)) * up(x))
    SwiGlu,
    /// down(act(up(x)))
    Plain(Activation),
}

/// The nonlinearity of a plain MLP, element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x * Phi(x), by erf.
    Gelu,
    /// The tanh approximation, by whichever of its names.
    GeluTanh,
    /// max(x, 0)
    Relu,
}

impl Attention {
    /// The usual scale.
    pub fn scale(headdim: usize) -> f32 {
        1.0 / (headdim as f32).sqrt()
    }
}

impl Mixer {
    /// Which of the two ways it remembers a sequence in.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Mamba(_) | Self::Mamba2(_) => Kind::StateSpace,
            Self::Attention(_) => Kind::Attention,
        }
    }

    /// Columns of the mixer's output before its last projection.
    pub fn width(&self) -> usize {
        match self {
            Self::Mamba(m) => m.d_inner,
            Self::Mamba2(m) => m.d_inner,
            Self::Attention(a) => a.n_head * a.headdim,
        }
    }

    /// Columns of what a token is found by: B of a state space, the keys of attention.
    pub fn key_width(&self) -> usize {
        match self {
            Self::Mamba(m) => m.d_state,
            Self::Mamba2(m) => m.n_groups * m.d_state,
            Self::Attention(a) => a.n_kv_head * a.headdim,
        }
    }

    /// Bytes of what a state space remembers of a sequence, in f32.
    pub fn state_bytes(&self) -> u64 {
        let bytes = |d_conv: usize, channels: usize, state: usize| {
            4 * ((d_conv - 1) as u64 * channels as u64 + state as u64)
        };
        match self {
            Self::Mamba(m) => bytes(m.d_conv, m.d_inner, m.d_inner * m.d_state),
            Self::Mamba2(m) => bytes(m.d_conv, m.conv_dim(), m.d_inner * m.d_state),
            Self::Attention(_) => 0,
        }
    }

    /// Taps of the convolution before a state space.
    pub fn d_conv(&self) -> Option<usize> {
        match self {
            Self::Mamba(m) => Some(m.d_conv),
            Self::Mamba2(m) => Some(m.d_conv),
            Self::Attention(_) => None,
        }
    }
}

impl Mamba2Mixer {
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
