//! Mamba-1 (Gu & Dao 2023, arXiv 2312.00752), as `MambaForCausalLM` computes it.
//!
//! Per layer: residual + out_proj( scan( silu(conv1d(u)) ) * silu(z) ), with (u, z) = in_proj(rmsnorm(x)),
//! (dt, B, C) = x_proj(u), delta = softplus(dt_proj(dt)).

use super::{Hooks, LayerOutput, LayerState, MixerInputs, SsmInputs, State, Weights};
use crate::Result;
use crate::backend::{Device, Ids, Matrix, Tensor};
use crate::config::MambaConfig;
use crate::kernels::conv1d::conv1d_silu;
use crate::kernels::embedding::embedding;
use crate::kernels::matmul::matmul;
use crate::kernels::rmsnorm::rmsnorm;
use crate::kernels::selective_scan::{Scan, selective_scan};
use crate::kernels::silu_gate::silu_gate;

pub struct Mamba {
    config: MambaConfig,
    embeddings: Matrix, // [vocab_size, d_model]
    layers: Vec<Layer>,
    norm_f: Tensor, // [1, d_model]
    pub(super) head: Matrix,
}

struct Layer {
    name: String,
    norm: Tensor,                  // [1, d_model]
    in_proj: Matrix,               // [2 * d_inner, d_model]
    in_proj_bias: Option<Tensor>,  // [1, 2 * d_inner]
    conv1d: Tensor,                // [d_inner, d_conv]
    conv1d_bias: Option<Tensor>,   // [1, d_inner]
    x_proj: Matrix,                // [dt_rank + 2 * d_state, d_inner]
    dt_proj: Matrix,               // [d_inner, dt_rank]
    dt_proj_bias: Tensor,          // [1, d_inner]
    a: Tensor,                     // [d_inner, d_state], -exp(A_log)
    d: Tensor,                     // [1, d_inner]
    out_proj: Matrix,              // [d_model, d_inner]
    out_proj_bias: Option<Tensor>, // [1, d_model]
}

/// (name with {} for the layer, outputs, inputs, pruned by default)
pub(super) fn linears(c: &MambaConfig) -> Vec<(String, usize, usize, bool)> {
    let name = |part: &str| format!("backbone.layers.{{}}.mixer.{part}.weight");
    vec![
        (name("in_proj"), 2 * c.d_inner, c.common.d_model, true),
        (name("x_proj"), c.dt_rank + 2 * c.d_state, c.d_inner, true),
        // dt_proj has dt_rank inputs (8 in the bundled model): nothing to win, everything to lose.
        (name("dt_proj"), c.d_inner, c.dt_rank, false),
        (name("out_proj"), c.common.d_model, c.d_inner, true),
    ]
}

impl Mamba {
    pub(super) fn load(device: &Device, config: &MambaConfig, weights: &Weights) -> Result<Self> {
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
            conv: device.zeros(c.d_conv - 1, c.d_inner),
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
    fn load(device: &Device, c: &MambaConfig, weights: &Weights, name: String) -> Result<Self> {
        let d_model = c.common.d_model;
        let mixer = |part: &str| format!("{name}.mixer.{part}");
        let vector = |part: &str, n| weights.vector(device, &mixer(part), n);
        let bias = |part: &str, n| weights.vector_if(c.use_bias, device, &mixer(part), n);
        let matrix = |part: &str, rows, cols| weights.matrix(device, &mixer(part), rows, cols);
        Ok(Self {
            norm: weights.vector(device, &format!("{name}.norm.weight"), d_model)?,
            in_proj: matrix("in_proj.weight", 2 * c.d_inner, d_model)?,
            in_proj_bias: bias("in_proj.bias", 2 * c.d_inner)?,
            conv1d: weights.conv(device, &mixer("conv1d.weight"), c.d_inner, c.d_conv)?,
            conv1d_bias: weights.vector_if(
                c.use_conv_bias,
                device,
                &mixer("conv1d.bias"),
                c.d_inner,
            )?,
            x_proj: matrix("x_proj.weight", c.dt_rank + 2 * c.d_state, c.d_inner)?,
            dt_proj: matrix("dt_proj.weight", c.d_inner, c.dt_rank)?,
            dt_proj_bias: vector("dt_proj.bias", c.d_inner)?,
            a: weights.negative_exp(device, &mixer("A_log"), &[c.d_inner, c.d_state])?,
            d: vector("D", c.d_inner)?,
            out_proj: matrix("out_proj.weight", d_model, c.d_inner)?,
            out_proj_bias: bias("out_proj.bias", d_model)?,
            name,
        })
    }

    #[allow(clippy::too_many_arguments)] // the two states are one idea each; a struct would only rename them
    fn forward(
        &self,
        c: &MambaConfig,
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
        let uz = matmul(device, &normed, &self.in_proj, self.in_proj_bias.as_ref(), None);
        let (u, next_conv) = conv1d_silu(
            device,
            uz.columns(0, c.d_inner),
            &self.conv1d,
            self.conv1d_bias.as_ref(),
            conv,
        ); // [seq_len, d_inner]
        *conv = next_conv;
        hooks.linear_input(device, &weight("x_proj"), u.view());
        let dbc = matmul(device, &u, &self.x_proj, None, None); // [seq_len, dt_rank + 2 * d_state]
        let dt_in = dbc.columns(0, c.dt_rank);
        hooks.linear_input(device, &weight("dt_proj"), dt_in);
        let dt = matmul(device, dt_in, &self.dt_proj, Some(&self.dt_proj_bias), None);
        let z = uz.columns(c.d_inner, c.d_inner);
        let (y, next_ssm) = selective_scan(
            device,
            &Scan {
                u: u.view(),
                dt: dt.view(),
                a: &self.a,
                b: dbc.columns(c.dt_rank, c.d_state),
                c: dbc.columns(c.dt_rank + c.d_state, c.d_state),
                d: &self.d,
                gate: (!reduces).then_some(z),
                state: ssm,
            },
        ); // [seq_len, d_inner]
        *ssm = next_ssm;
        let gated = if reduces { silu_gate(device, &y, z) } else { y.clone() };
        hooks.linear_input(device, &weight("out_proj"), gated.view());
        if hooks.is_done() {
            return x;
        }
        let bias = self.out_proj_bias.as_ref();
        if !reduces {
            return matmul(device, &gated, &self.out_proj, bias, Some(&x));
        }
        let hidden = matmul(device, &gated, &self.out_proj, bias, None);
        let inputs = MixerInputs::Ssm(SsmInputs {
            x: u.view(),
            dt: dt.view(),
            dt_bias: None,
            b: dbc.columns(c.dt_rank, c.d_state),
            c: dbc.columns(c.dt_rank + c.d_state, c.d_state),
            n_head: c.d_inner,
            headdim: 1,
            n_groups: 1,
            dt_limit: (0.0, f32::INFINITY),
        });
        let output = LayerOutput { layer: index, hidden: &hidden, residual: &x, mixer: &y, inputs };
        super::reduce_or_add(device, output, hooks).0
    }
}
