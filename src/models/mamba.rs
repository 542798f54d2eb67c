//! Mamba-1 (Gu & Dao 2023, arXiv 2312.00752), as `MambaForCausalLM` computes it.
//!
//! Per layer: residual + out_proj( scan( silu(conv1d(u)) ) * silu(z) ), with (u, z) = in_proj(rmsnorm(x)),
//! (dt, B, C) = x_proj(u), delta = softplus(dt_proj(dt)). Falcon Mamba (arXiv 2410.05355) norms dt, B and C before.

use super::names::Names;
use super::normed::Normed;
use super::projection::{LinearShape, Projection};
use super::{Hooks, Mixed, MixerOwned, SsmState, Weights};
use crate::Result;
use crate::backend::{Device, Ids, Tensor, View};
use crate::config::MambaMixer;
use crate::kernels::matvec_conv::Conv;
use crate::kernels::rmsnorm::rmsnorm;
use crate::kernels::rows::gather_rows;
use crate::kernels::selective_scan::{Scan, selective_scan};
use crate::kernels::silu_gate::silu_gate;
use crate::kernels::token_ssm::SsmInputs;

pub(super) const NAMES: Names = Names {
    embedding: "backbone.embeddings",
    norm: "backbone.norm_f",
    layers: "backbone.layers.",
    mixer_norm: "norm",
    ssm: "mixer.",
    ..Names::NONE
};

pub(super) struct Mamba {
    config: MambaMixer,
    in_proj: Projection,         // [2 * d_inner, d_model]
    conv1d: Tensor,              // [d_inner, d_conv]
    conv1d_bias: Option<Tensor>, // [1, d_inner]
    x_proj: Projection,          // [dt_rank + 2 * d_state, d_inner]
    dt_proj: Projection,         // [d_inner, dt_rank]
    a: Tensor,                   // [d_inner, d_state], -exp(A_log)
    d: Tensor,                   // [1, d_inner]
    out_proj: Projection,        // [d_model, d_inner]
    /// Weights of 1 for Falcon Mamba's norms of dt and of B and C: `[1, dt_rank]`, `[1, d_state]`.
    norms: Option<[Tensor; 2]>,
}

/// What a layer's mixer was made of, for the hooks.
pub(super) struct Inputs {
    u: Tensor,  // [seq_len, d_inner or more]
    dt: Tensor, // [seq_len, d_inner]
    a: Tensor,  // [d_inner, d_state]
    selection: Selection,
    d_state: usize,
}

/// The low-rank dt, B and C: each a tensor and the column where it begins.
struct Selection {
    dt: (Tensor, usize), // [seq_len, dt_rank]
    b: (Tensor, usize),  // [seq_len, d_state]
    c: (Tensor, usize),  // [seq_len, d_state]
}

impl Inputs {
    /// These rows alone.
    fn keep(self, device: &Device, rows: &Ids) -> Inputs {
        let [u, deltas] = [self.u(), self.dt.view()].map(|x| gather_rows(device, x, rows));
        let (n, Selection { dt, b, c }) = (self.d_state, self.selection);
        let states = |(x, at): (Tensor, usize)| (gather_rows(device, x.columns(at, n), rows), 0);
        let selection = Selection { dt, b: states(b), c: states(c) };
        Inputs { u, dt: deltas, a: self.a, selection, d_state: n }
    }

    fn u(&self) -> View<'_> {
        self.u.columns(0, self.a.rows())
    }

    pub fn view(&self) -> SsmInputs<'_> {
        let (b, c) = (&self.selection.b, &self.selection.c);
        SsmInputs {
            x: self.u(),
            dt: self.dt.view(),
            a: &self.a,
            dt_bias: None,
            b: b.0.columns(b.1, self.d_state),
            c: c.0.columns(c.1, self.d_state),
            n_head: self.a.rows(),
            headdim: 1,
            n_groups: 1,
            dt_limit: (0.0, f32::INFINITY),
        }
    }
}

/// Offers what enters the scan of a layer to a hook that wants it; gives the rows it keeps.
pub(super) fn offer(
    device: &Device,
    layer: usize,
    inputs: SsmInputs<'_>,
    hooks: &mut dyn Hooks,
) -> Option<Ids> {
    let wants = hooks.wants_scan(layer, inputs.x.rows);
    wants.then(|| hooks.before_scan(device, layer, inputs)).flatten()
}

/// Inputs that a convolution remembers; one of a single tap has a second of weight 0 ([`Weights::conv`]).
pub(super) fn past(d_conv: usize) -> usize {
    d_conv.max(2) - 1
}

pub(super) fn linears(m: &MambaMixer, prefix: &str, d_model: usize) -> Vec<LinearShape> {
    let shape = |part, rows, cols| LinearShape::new(format!("{prefix}{part}"), rows, cols);
    vec![
        shape("in_proj", 2 * m.d_inner, d_model),
        shape("x_proj", m.dt_rank + 2 * m.d_state, m.d_inner),
        // dt_proj has dt_rank inputs (8 in the bundled model): nothing to win, everything to lose.
        LinearShape { by_default: false, ..shape("dt_proj", m.d_inner, m.dt_rank) },
        shape("out_proj", d_model, m.d_inner),
    ]
}

impl Mamba {
    /// `prefix` stands before the names of the mixer's tensors.
    pub fn load(
        device: &Device,
        m: &MambaMixer,
        d_model: usize,
        weights: &Weights,
        prefix: &str,
    ) -> Result<Self> {
        let name = |part: &str| format!("{prefix}{part}");
        let load =
            |part: &str, shape, bias| Projection::load(device, weights, name(part), shape, bias);
        let conv_bias = |part: &str| weights.vector_if(m.use_conv_bias, device, part, m.d_inner);
        Ok(Self {
            in_proj: load("in_proj", [2 * m.d_inner, d_model], m.use_bias)?,
            conv1d: weights.conv(device, &name("conv1d.weight"), m.d_inner, m.d_conv)?,
            conv1d_bias: conv_bias(&name("conv1d.bias"))?,
            x_proj: load("x_proj", [m.dt_rank + 2 * m.d_state, m.d_inner], false)?,
            dt_proj: load("dt_proj", [m.d_inner, m.dt_rank], true)?,
            a: weights.negative_exp(device, &name("A_log"), &[m.d_inner, m.d_state])?,
            d: weights.vector(device, &name("D"), m.d_inner)?,
            out_proj: load("out_proj", [d_model, m.d_inner], m.use_bias)?,
            norms: m
                .norm_eps
                .map(|_| [m.dt_rank, m.d_state].map(|n| device.tensor(1, n, &vec![1.0; n]))),
            config: m.clone(),
        })
    }

    /// The three parts of x_proj's output, RMS-normed where the family does so.
    fn select(&self, device: &Device, dbc: Tensor) -> Selection {
        let m = &self.config;
        let (b, c) = (m.dt_rank, m.dt_rank + m.d_state);
        let (Some([of_dt, of_state]), Some(eps)) = (&self.norms, m.norm_eps) else {
            return Selection { dt: (dbc.clone(), 0), b: (dbc.clone(), b), c: (dbc, c) };
        };
        let of_state = |at| rmsnorm(device, dbc.columns(at, m.d_state), of_state, eps);
        let dt = rmsnorm(device, dbc.columns(0, m.dt_rank), of_dt, eps);
        Selection { dt: (dt, 0), b: (of_state(b), 0), c: (of_state(c), 0) }
    }

    /// The memory before the first token.
    pub fn start(m: &MambaMixer, device: &Device) -> SsmState {
        SsmState {
            conv: device.zeros(past(m.d_conv), m.d_inner),
            ssm: device.zeros(m.d_inner, m.d_state),
        }
    }

    pub fn out(&self) -> &Projection {
        &self.out_proj
    }

    /// Runs the normed rows `[seq_len, d_model]` up to what out_proj multiplies. With `apart` the gate is applied
    /// after the scan, so that the scan's own output can be shown. `layer` is its number, for the hooks.
    pub fn run(
        &self,
        device: &Device,
        normed: &Normed<'_>,
        memory: &mut SsmState,
        (layer, apart): (usize, bool),
        hooks: &mut dyn Hooks,
    ) -> Mixed {
        let m = &self.config;
        let conv = Conv { first: 0, weight: &self.conv1d, bias: self.conv1d_bias.as_ref() };
        let of_in = normed.convolved(device, &self.in_proj, conv, &mut memory.conv, hooks);
        let (uz, u) = (of_in.projected, of_in.tensor); // [seq_len, 2 * d_inner], u in its first columns
        let dbc = self.x_proj.run(device, u.columns(0, m.d_inner), hooks);
        let selection = self.select(device, dbc);
        let (rank, at) = &selection.dt;
        let dt = self.dt_proj.run(device, rank.columns(*at, m.dt_rank), hooks);
        let inputs = Inputs { u, dt, a: self.a.clone(), selection, d_state: m.d_state };
        let z = uz.columns(m.d_inner, m.d_inner);
        let kept = offer(device, layer, inputs.view(), hooks);
        let (inputs, of_kept) = match &kept {
            Some(rows) => (inputs.keep(device, rows), Some(gather_rows(device, z, rows))),
            None => (inputs, None),
        };
        let z = of_kept.as_ref().map_or(z, Tensor::view);
        let scanned = inputs.view();
        let (y, next_ssm) = selective_scan(
            device,
            &Scan {
                u: scanned.x,
                dt: scanned.dt,
                a: &self.a,
                b: scanned.b,
                c: scanned.c,
                d: &self.d,
                gate: (!apart).then_some(z),
                state: &memory.ssm,
            },
        ); // [seq_len, d_inner]
        memory.ssm = next_ssm;
        let gated = if apart { silu_gate(device, &y, z) } else { y.clone() };
        Mixed { gated, y, inputs: MixerOwned::Mamba(inputs), kept }
    }
}
