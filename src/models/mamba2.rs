//! Mamba-2 (Dao & Gu 2024, arXiv 2405.21060), as `Mamba2ForCausalLM` computes it.
//!
//! Per layer: residual + out_proj( gated_rmsnorm( ssd( silu(conv1d(x, B, C)) ), z ) ), with
//! (z, x, B, C, dt) = in_proj(rmsnorm(x)) and one scalar A a head.

use super::mamba::{offer, past};
use super::normed::Normed;
use super::projection::{LinearShape, Projection};
use super::{Hooks, Mixed, MixerOwned, SsmState, Weights};
use crate::Result;
use crate::backend::{Device, Ids, Tensor};
use crate::config::Mamba2Mixer;
use crate::kernels::gated_rmsnorm::gated_rmsnorm;
use crate::kernels::matvec_conv::Conv;
use crate::kernels::rows::gather_rows;
use crate::kernels::ssd::{Ssd, ssd};
use crate::kernels::token_ssm::SsmInputs;

pub(super) struct Mamba2 {
    config: Mamba2Mixer,
    eps: f32,
    in_proj: Projection, // [d_inner + conv_dim + n_head, d_model]: z, (x, B, C), dt
    conv1d: Tensor,      // [conv_dim, d_conv]
    conv1d_bias: Option<Tensor>, // [1, conv_dim]
    dt_bias: Tensor,     // [1, n_head]
    a: Tensor,           // [1, n_head], -exp(A_log)
    d: Tensor,           // [1, n_head]
    norm: Tensor,        // [1, d_inner]
    out_proj: Projection, // [d_model, d_inner]
}

/// What a layer's mixer was made of, for the hooks.
pub(super) struct Inputs {
    xbc: Tensor,    // [seq_len, conv_dim or more]
    at: usize,      // where x, B and C begin in it
    zxbcdt: Tensor, // [seq_len, d_in_proj]
    dt_bias: Tensor,
    a: Tensor, // [1, n_head]
    config: Mamba2Mixer,
}

impl Inputs {
    /// These rows alone.
    fn keep(self, device: &Device, rows: &Ids) -> Inputs {
        let [xbc, zxbcdt] = [&self.xbc, &self.zxbcdt].map(|x| gather_rows(device, x, rows));
        Inputs { xbc, zxbcdt, ..self }
    }

    pub fn view(&self) -> SsmInputs<'_> {
        let m = &self.config;
        let states = m.n_groups * m.d_state;
        SsmInputs {
            x: self.xbc.columns(self.at, m.d_inner),
            dt: self.zxbcdt.columns(m.d_inner + m.conv_dim(), m.n_head),
            a: &self.a,
            dt_bias: Some(&self.dt_bias),
            b: self.xbc.columns(self.at + m.d_inner, states),
            c: self.xbc.columns(self.at + m.d_inner + states, states),
            n_head: m.n_head,
            headdim: m.headdim,
            n_groups: m.n_groups,
            dt_limit: m.dt_limit,
        }
    }
}

pub(super) fn linears(m: &Mamba2Mixer, prefix: &str, d_model: usize) -> Vec<LinearShape> {
    vec![
        LinearShape::new(format!("{prefix}in_proj"), m.d_in_proj(), d_model),
        LinearShape::new(format!("{prefix}out_proj"), d_model, m.d_inner),
    ]
}

impl Mamba2 {
    /// `prefix` stands before the names of the mixer's tensors; `eps` is that of the gated norm.
    pub fn load(
        device: &Device,
        m: &Mamba2Mixer,
        (d_model, eps): (usize, f32),
        weights: &Weights,
        prefix: &str,
    ) -> Result<Self> {
        let name = |part: &str| format!("{prefix}{part}");
        let vector = |part: &str, n| weights.vector(device, &name(part), n);
        let load =
            |part: &str, shape| Projection::load(device, weights, name(part), shape, m.use_bias);
        let conv_bias = |part: &str| weights.vector_if(m.use_conv_bias, device, part, m.conv_dim());
        Ok(Self {
            eps,
            in_proj: load("in_proj", [m.d_in_proj(), d_model])?,
            conv1d: weights.conv(device, &name("conv1d.weight"), m.conv_dim(), m.d_conv)?,
            conv1d_bias: conv_bias(&name("conv1d.bias"))?,
            dt_bias: vector("dt_bias", m.n_head)?,
            a: weights.negative_exp(device, &name("A_log"), &[m.n_head])?,
            d: vector("D", m.n_head)?,
            norm: vector("norm.weight", m.d_inner)?,
            out_proj: load("out_proj", [d_model, m.d_inner])?,
            config: m.clone(),
        })
    }

    /// The memory before the first token.
    pub fn start(m: &Mamba2Mixer, device: &Device) -> SsmState {
        SsmState {
            conv: device.zeros(past(m.d_conv), m.conv_dim()),
            ssm: device.zeros(m.d_inner, m.d_state),
        }
    }

    pub fn out(&self) -> &Projection {
        &self.out_proj
    }

    /// Runs the normed rows `[seq_len, d_model]` up to what out_proj multiplies. `layer` is its number, for the hooks.
    pub fn run(
        &self,
        device: &Device,
        normed: &Normed<'_>,
        memory: &mut SsmState,
        layer: usize,
        hooks: &mut dyn Hooks,
    ) -> Mixed {
        let m = &self.config;
        let conv = Conv { first: m.d_inner, weight: &self.conv1d, bias: self.conv1d_bias.as_ref() };
        let of_in = normed.convolved(device, &self.in_proj, conv, &mut memory.conv, hooks);
        let (zxbcdt, xbc, at) = (of_in.projected, of_in.tensor, of_in.at);
        let (dt_bias, a) = (self.dt_bias.clone(), self.a.clone());
        let mut inputs = Inputs { xbc, at, zxbcdt, dt_bias, a, config: m.clone() };
        let kept = offer(device, layer, inputs.view(), hooks);
        if let Some(rows) = &kept {
            inputs = inputs.keep(device, rows);
        }
        let scanned = inputs.view();
        let (y, next_ssm) = ssd(
            device,
            &Ssd {
                x: scanned.x,
                dt: scanned.dt,
                dt_bias: &self.dt_bias,
                a: &self.a,
                b: scanned.b,
                c: scanned.c,
                d: &self.d,
                n_head: m.n_head,
                headdim: m.headdim,
                n_groups: m.n_groups,
                d_state: m.d_state,
                dt_limit: m.dt_limit,
                state: &memory.ssm,
            },
        ); // [seq_len, d_inner]
        memory.ssm = next_ssm;
        let z = inputs.zxbcdt.columns(0, m.d_inner);
        let gated = gated_rmsnorm(device, &y, z, &self.norm, self.eps, m.norm_group_size());
        Mixed { gated, y, inputs: MixerOwned::Mamba2(inputs), kept }
    }
}
