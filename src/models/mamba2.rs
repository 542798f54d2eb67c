//! Mamba-2 (Dao & Gu 2024, arXiv 2405.21060), as `Mamba2ForCausalLM` computes it.
//!
//! Per layer: residual + out_proj( gated_rmsnorm( ssd( silu(conv1d(x, B, C)) ), z ) ), with
//! (z, x, B, C, dt) = in_proj(rmsnorm(x)) and one scalar A a head.

use super::{Hooks, LayerOutput, LayerState, MixerInputs, SsmInputs, State, Weights};
use crate::Result;
use crate::backend::{Device, Ids, Matrix, Tensor};
use crate::config::Mamba2Config;
use crate::kernels::conv1d::conv1d_silu;
use crate::kernels::embedding::embedding;
use crate::kernels::gated_rmsnorm::gated_rmsnorm;
use crate::kernels::matmul::matmul;
use crate::kernels::rmsnorm::rmsnorm;
use crate::kernels::ssd::{Ssd, ssd};

pub struct Mamba2 {
    config: Mamba2Config,
    embeddings: Matrix, // [vocab_size, d_model]
    layers: Vec<Layer>,
    norm_f: Tensor, // [1, d_model]
    pub(super) head: Matrix,
}

struct Layer {
    name: String,
    norm: Tensor,                  // [1, d_model]
    in_proj: Matrix,               // [d_inner + conv_dim + n_head, d_model]: z, (x, B, C), dt
    in_proj_bias: Option<Tensor>,  // [1, d_in_proj]
    conv1d: Tensor,                // [conv_dim, d_conv]
    conv1d_bias: Option<Tensor>,   // [1, conv_dim]
    dt_bias: Tensor,               // [1, n_head]
    a: Tensor,                     // [1, n_head], -exp(A_log)
    d: Tensor,                     // [1, n_head]
    gate_norm: Tensor,             // [1, d_inner]
    out_proj: Matrix,              // [d_model, d_inner]
    out_proj_bias: Option<Tensor>, // [1, d_model]
}

/// (name with {} for the layer, outputs, inputs, pruned by default)
pub(super) fn linears(c: &Mamba2Config) -> Vec<(String, usize, usize, bool)> {
    let name = |part: &str| format!("backbone.layers.{{}}.mixer.{part}.weight");
    vec![
        (name("in_proj"), c.d_in_proj(), c.common.d_model, true),
        (name("out_proj"), c.common.d_model, c.d_inner, true),
    ]
}

impl Mamba2 {
    pub(super) fn load(device: &Device, config: &Mamba2Config, weights: &Weights) -> Result<Self> {
        let c = &config.common;
        let embeddings =
            weights.matrix(device, "backbone.embeddings.weight", c.vocab_size, c.d_model)?;
        let head = weights.head(device, c.tie_word_embeddings, &["lm_head.weight"], &embeddings)?;
        let layers = (0..c.n_layer)
            .map(|i| Layer::load(device, config, weights, format!("backbone.layers.{i}")))
            .collect::<Result<_>>()?;
        let norm_f = weights.vector(device, "backbone.norm_f.weight", c.d_model)?;
        Ok(Self { config: config.clone(), embeddings, layers, norm_f, head })
    }

    pub(super) fn start(&self, device: &Device) -> State {
        State { layers: vec![self.memory(device); self.layers.len()], next_position: 0 }
    }

    /// What one layer remembers before the first token.
    pub(super) fn memory(&self, device: &Device) -> LayerState {
        let c = &self.config;
        LayerState::Ssm {
            conv: device.zeros(c.d_conv - 1, c.conv_dim()),
            ssm: device.zeros(c.d_inner, c.d_state),
        }
    }

    pub(super) fn forward(
        &self,
        device: &Device,
        ids: &Ids,
        state: &mut State,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        let mut x = self.embed(device, ids);
        for (i, memory) in state.layers.iter_mut().enumerate() {
            x = self.layer(device, i, x, memory, hooks);
        }
        rmsnorm(device, &x, &self.norm_f, self.config.common.eps)
    }

    /// `[seq_len, d_model]`
    pub(super) fn embed(&self, device: &Device, ids: &Ids) -> Tensor {
        embedding(device, ids, &self.embeddings)
    }

    /// One layer over the rows `x` `[seq_len, d_model]`.
    pub(super) fn layer(
        &self,
        device: &Device,
        index: usize,
        x: Tensor,
        memory: &mut LayerState,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        let LayerState::Ssm { conv, ssm } = memory else {
            unreachable!("the state was made by this model")
        };
        self.layers[index].forward(&self.config, device, index, x, conv, ssm, hooks)
    }

    /// Loads the weights of one layer anew. Errors: as in `load`.
    pub(super) fn reload(
        &mut self,
        device: &Device,
        weights: &Weights,
        index: usize,
    ) -> Result<()> {
        let name = format!("backbone.layers.{index}");
        self.layers[index] = Layer::load(device, &self.config, weights, name)?;
        Ok(())
    }
}

impl Layer {
    fn load(device: &Device, c: &Mamba2Config, weights: &Weights, name: String) -> Result<Self> {
        let d_model = c.common.d_model;
        let mixer = |part: &str| format!("{name}.mixer.{part}");
        let vector = |part: &str, n| weights.vector(device, &mixer(part), n);
        let bias = |part: &str, n| weights.vector_if(c.use_bias, device, &mixer(part), n);
        let matrix = |part: &str, rows, cols| weights.matrix(device, &mixer(part), rows, cols);
        Ok(Self {
            norm: weights.vector(device, &format!("{name}.norm.weight"), d_model)?,
            in_proj: matrix("in_proj.weight", c.d_in_proj(), d_model)?,
            in_proj_bias: bias("in_proj.bias", c.d_in_proj())?,
            conv1d: weights.conv(device, &mixer("conv1d.weight"), c.conv_dim(), c.d_conv)?,
            conv1d_bias: weights.vector_if(
                c.use_conv_bias,
                device,
                &mixer("conv1d.bias"),
                c.conv_dim(),
            )?,
            dt_bias: vector("dt_bias", c.n_head)?,
            a: weights.negative_exp(device, &mixer("A_log"), &[c.n_head])?,
            d: vector("D", c.n_head)?,
            gate_norm: vector("norm.weight", c.d_inner)?,
            out_proj: matrix("out_proj.weight", d_model, c.d_inner)?,
            out_proj_bias: bias("out_proj.bias", d_model)?,
            name,
        })
    }

    #[allow(clippy::too_many_arguments)] // the two states are one idea each; a struct would only rename them
    fn forward(
        &self,
        c: &Mamba2Config,
        device: &Device,
        index: usize,
        x: Tensor, // [seq_len, d_model]
        conv: &mut Tensor,
        ssm: &mut Tensor,
        hooks: &mut dyn Hooks,
    ) -> Tensor {
        let weight = |part: &str| format!("{}.mixer.{part}.weight", self.name);
        let reduces = hooks.wants_layer(index, x.rows());
        let normed = rmsnorm(device, &x, &self.norm, c.common.eps);
        hooks.linear_input(device, &weight("in_proj"), normed.view());
        let zxbcdt = matmul(device, &normed, &self.in_proj, self.in_proj_bias.as_ref(), None);
        let (xbc, next_conv) = conv1d_silu(
            device,
            zxbcdt.columns(c.d_inner, c.conv_dim()),
            &self.conv1d,
            self.conv1d_bias.as_ref(),
            conv,
        ); // [seq_len, conv_dim]
        *conv = next_conv;
        let states = c.n_groups * c.d_state;
        let (y, next_ssm) = ssd(
            device,
            &Ssd {
                x: xbc.columns(0, c.d_inner),
                dt: zxbcdt.columns(c.d_inner + c.conv_dim(), c.n_head),
                dt_bias: &self.dt_bias,
                a: &self.a,
                b: xbc.columns(c.d_inner, states),
                c: xbc.columns(c.d_inner + states, states),
                d: &self.d,
                n_head: c.n_head,
                headdim: c.headdim,
                n_groups: c.n_groups,
                d_state: c.d_state,
                dt_limit: c.dt_limit,
                state: ssm,
            },
        ); // [seq_len, d_inner]
        *ssm = next_ssm;
        let z = zxbcdt.columns(0, c.d_inner);
        let normed =
            gated_rmsnorm(device, &y, z, &self.gate_norm, c.common.eps, c.norm_group_size());
        hooks.linear_input(device, &weight("out_proj"), normed.view());
        if hooks.is_done() {
            return x;
        }
        let bias = self.out_proj_bias.as_ref();
        if !reduces {
            return matmul(device, &normed, &self.out_proj, bias, Some(&x));
        }
        let hidden = matmul(device, &normed, &self.out_proj, bias, None);
        let inputs = MixerInputs::Ssm(SsmInputs {
            x: xbc.columns(0, c.d_inner),
            dt: zxbcdt.columns(c.d_inner + c.conv_dim(), c.n_head),
            dt_bias: Some(&self.dt_bias),
            b: xbc.columns(c.d_inner, states),
            c: xbc.columns(c.d_inner + states, states),
            n_head: c.n_head,
            headdim: c.headdim,
            n_groups: c.n_groups,
            dt_limit: c.dt_limit,
        });
        let output = LayerOutput { layer: index, hidden: &hidden, residual: &x, mixer: &y, inputs };
        super::reduce_or_add(device, output, hooks).0
    }
}
