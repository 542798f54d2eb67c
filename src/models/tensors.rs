//! Every tensor that a model reads from its checkpoint: name, shape, and what it is for.
//!
//! A checkpoint may hold more (buffers, heads that nobody uses); those are no parameters of the model. A test checks
//! this list against published layouts and against what loading asks for.

use super::linear::linears;
use super::names::{Names, Qkv, is_transposed};
use crate::config::{Mamba2Mixer, MambaMixer, Mixer, MlpKind, ModelConfig, Norm};

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of tokens or of positions `[rows, d_model]`.
    Embedding,
    /// A linear layer `[outputs, inputs]`.
    Matrix,
    /// Of a linear layer, a convolution or a normalisation.
    Bias,
    /// The weights of a normalisation.
    Norm,
    /// A depthwise convolution `[channels, 1, d_conv]`.
    Conv,
    /// ln(-A) of a state space.
    ALog,
    /// The skip of a state space.
    D,
    /// What is added to the step size before its softplus.
    DtBias,
}

/// A tensor that a model reads.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorShape {
    /// Checkpoint name.
    pub name: String,
    /// Outermost first, as the checkpoint stores it.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
}

impl TensorShape {
    /// The product of the sides.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&side| side as u64).product()
    }
}

struct List(Vec<TensorShape>);

impl List {
    fn push(&mut self, name: String, shape: &[usize], role: Role) {
        self.0.push(TensorShape { name, shape: shape.to_vec(), role });
    }

    fn norm(&mut self, name: &str, config: &ModelConfig) {
        let shape = [config.d_model()];
        self.push(format!("{name}.weight"), &shape, Role::Norm);
        if config.common.norm == Norm::Layer {
            self.push(format!("{name}.bias"), &shape, Role::Bias);
        }
    }

    fn mamba(&mut self, m: &MambaMixer, prefix: &str) {
        self.conv(prefix, m.d_inner, m.d_conv, m.use_conv_bias);
        self.push(format!("{prefix}dt_proj.bias"), &[m.d_inner], Role::DtBias);
        self.push(format!("{prefix}A_log"), &[m.d_inner, m.d_state], Role::ALog);
        self.push(format!("{prefix}D"), &[m.d_inner], Role::D);
    }

    fn mamba2(&mut self, m: &Mamba2Mixer, prefix: &str) {
        self.conv(prefix, m.conv_dim(), m.d_conv, m.use_conv_bias);
        self.push(format!("{prefix}dt_bias"), &[m.n_head], Role::DtBias);
        self.push(format!("{prefix}A_log"), &[m.n_head], Role::ALog);
        self.push(format!("{prefix}D"), &[m.n_head], Role::D);
        self.push(format!("{prefix}norm.weight"), &[m.d_inner], Role::Norm);
    }

    fn conv(&mut self, prefix: &str, channels: usize, taps: usize, bias: bool) {
        self.push(format!("{prefix}conv1d.weight"), &[channels, 1, taps], Role::Conv);
        if bias {
            self.push(format!("{prefix}conv1d.bias"), &[channels], Role::Bias);
        }
    }

    fn layer(&mut self, config: &ModelConfig, index: usize) {
        let (names, layer) = (Names::of(config.family), &config.layers[index]);
        let at = names.layer(index);
        let ssm = format!("{at}{}", names.ssm);
        self.norm(&format!("{at}{}", names.mixer_norm), config);
        let bias = |list: &mut List, part: &str, n| {
            list.push(format!("{at}{part}.bias"), &[n], Role::Bias);
        };
        match &layer.mixer {
            Mixer::Mamba(m) => {
                self.mamba(m, &ssm);
                if m.use_bias {
                    bias(self, &format!("{}in_proj", names.ssm), 2 * m.d_inner);
                    bias(self, &format!("{}out_proj", names.ssm), config.d_model());
                }
            }
            Mixer::Mamba2(m) => {
                self.mamba2(m, &ssm);
                if m.use_bias {
                    bias(self, &format!("{}in_proj", names.ssm), m.d_in_proj());
                    bias(self, &format!("{}out_proj", names.ssm), config.d_model());
                }
            }
            Mixer::Attention(a) => {
                let (q, kv) = (a.n_head * a.headdim, a.n_kv_head * a.headdim);
                match names.qkv {
                    _ if !a.qkv_bias => {}
                    Qkv::Three(parts) => {
                        let sizes = parts.into_iter().zip([q, kv, kv]);
                        sizes.for_each(|(part, n)| bias(self, part, n));
                    }
                    Qkv::ByHead(part) | Qkv::InOrder(part) => bias(self, part, q + 2 * kv),
                }
                for norm in ["q_norm", "k_norm"].iter().filter(|_| a.has_qk_norm) {
                    let name = format!("{at}self_attn.{norm}.weight");
                    self.push(name, &[a.headdim], Role::Norm);
                }
                if a.o_bias {
                    bias(self, names.o, config.d_model());
                }
            }
        }
        if let Some(m) = &layer.mlp {
            self.norm(&format!("{at}{}", names.mlp_norm), config);
            if m.bias {
                if m.kind == MlpKind::SwiGlu && names.mlp.gate != names.mlp.up {
                    bias(self, names.mlp.gate, m.d_ff);
                }
                bias(self, names.mlp.up, m.d_ff);
                bias(self, names.mlp.down, config.d_model());
            }
        }
    }
}

/// Every tensor of a model, the output head only where it is not the embedding.
pub fn tensors(config: &ModelConfig) -> Vec<TensorShape> {
    let names = Names::of(config.family);
    let rows = [config.vocab_size(), config.d_model()];
    let mut list = List(Vec::new());
    list.push(format!("{}.weight", names.embedding), &rows, Role::Embedding);
    if let (Some(before), Some((n, _))) = (config.common.position_offset, config.common.hard_limit)
    {
        let shape = [n + before, config.d_model()];
        list.push(format!("{}.weight", names.positions), &shape, Role::Embedding);
    }
    (0..config.n_layer()).for_each(|index| list.layer(config, index));
    for linear in linears(config) {
        let shape = match is_transposed(&linear.name) {
            true => [linear.cols, linear.rows],
            false => [linear.rows, linear.cols],
        };
        list.push(linear.name, &shape, Role::Matrix);
    }
    list.norm(names.norm, config);
    if !config.common.tie_word_embeddings {
        list.push(names.heads[0].into(), &rows, Role::Matrix);
    }
    list.0
}
