//! Attention over saved keys and values, as every transformer here has it.
//!
//! y_t = sum_s softmax_s(scale rope(q_t) . rope(k_s)) v_s over s <= t, scale 1 / sqrt(headdim) in most families; several query heads may share the
//! keys and values of one head. Source: Vaswani et al. 2017, section 3.2; Ainslie et al. 2023 (arXiv 2305.13245).

use super::names::{Names, Qkv};
use super::normed::Normed;
use super::projection::{LinearShape, Projection};
use super::{AttentionInputs, Hooks, Kept, Memory, Mixed, MixerOwned, Weights, gptneox};
use crate::Result;
use crate::backend::{Device, Ids, Tensor, View};
use crate::config;
use crate::kernels::attention::attention;
use crate::kernels::rmsnorm::rmsnorm;
use crate::kernels::rotary_append::{Turn, rotary_append};
use crate::kernels::rows::{concat_rows, gather_ids};

pub(super) struct Attention {
    config: config::Attention,
    qkv: Vec<Projection>, // q, k, v; or all three in one matrix, one after the other
    qk_norm: Option<QkNorm>,
    o: Projection,            // [d_model, n_head * headdim]
    inv_freq: Option<Tensor>, // [1, rotated dims / 2]
}

/// RMS norms of every head.
struct QkNorm {
    q: Tensor, // [1, headdim]
    k: Tensor, // [1, headdim]
    eps: f32,
}

/// What a layer's mixer was made of, for the hooks.
pub(super) struct Inputs {
    /// q, k and v, or all side by side.
    tensors: Vec<Tensor>,
    positions: Ids,
    inv_freq: Option<Tensor>,
    heads: Heads,
    scale: f32,
}

/// Sizes of one attention layer.
#[derive(Clone, Copy)]
struct Heads {
    n_head: usize,
    n_kv_head: usize,
    headdim: usize,
}

impl Heads {
    fn split<'a>(&self, tensors: &'a [Tensor]) -> [View<'a>; 3] {
        let (q, kv) = (self.n_head * self.headdim, self.n_kv_head * self.headdim);
        match tensors {
            [all] => [all.columns(0, q), all.columns(q, kv), all.columns(q + kv, kv)],
            several => [several[0].view(), several[1].view(), several[2].view()],
        }
    }
}

impl Inputs {
    pub fn view(&self) -> AttentionInputs<'_> {
        let Heads { n_head, n_kv_head, headdim } = self.heads;
        let [q, k, _] = self.heads.split(&self.tensors);
        let (positions, inv_freq) = (&self.positions, self.inv_freq.as_ref());
        let scale = self.scale;
        AttentionInputs { q, k, n_head, n_kv_head, headdim, positions, inv_freq, scale }
    }
}

/// What is known of the rows that enter a layer.
pub(super) struct AttendedRows {
    /// Where they stand in the original sequence `[seq_len]`.
    pub positions: Ids,
    /// See [`super::Reduced::log_sizes`].
    log_sizes: Option<Tensor>,
}

impl AttendedRows {
    pub fn new(positions: Ids) -> AttendedRows {
        AttendedRows { positions, log_sizes: None }
    }

    /// What is known of those that a reduction has left.
    pub fn after(self, device: &Device, kept: Kept) -> AttendedRows {
        let positions = gather_ids(device, &self.positions, &kept.rows);
        AttendedRows { positions, log_sizes: kept.log_sizes }
    }
}

pub(super) fn linears(a: &config::Attention, names: &Names, d_model: usize) -> Vec<LinearShape> {
    let (q, kv) = (a.n_head * a.headdim, a.n_kv_head * a.headdim);
    let mut list = match names.qkv {
        Qkv::Three(parts) => {
            let shapes = parts.into_iter().zip([q, kv, kv]);
            shapes.map(|(part, rows)| LinearShape::new(part, rows, d_model)).collect()
        }
        Qkv::ByHead(part) | Qkv::InOrder(part) => {
            vec![LinearShape::new(part, q + 2 * kv, d_model)]
        }
    };
    list.push(LinearShape::new(names.o, d_model, q));
    list
}

impl Attention {
    /// `layer` stands before the names of the layer's tensors; `inv_freq` is that of the layer's rotation.
    pub fn load(
        device: &Device,
        a: &config::Attention,
        (d_model, eps): (usize, f32),
        weights: &Weights,
        (layer, names): (&str, &Names),
        inv_freq: Option<Tensor>,
    ) -> Result<Self> {
        let (q, kv) = (a.n_head * a.headdim, a.n_kv_head * a.headdim);
        let load = |part: &str, shape, bias| {
            Projection::load(device, weights, format!("{layer}{part}"), shape, bias)
        };
        let qkv = match names.qkv {
            Qkv::Three(parts) => {
                let each = parts.into_iter().zip([q, kv, kv]);
                each.map(|(part, rows)| load(part, [rows, d_model], a.qkv_bias))
                    .collect::<Result<_>>()?
            }
            Qkv::InOrder(part) => vec![load(part, [q + 2 * kv, d_model], a.qkv_bias)?],
            Qkv::ByHead(part) => {
                vec![gptneox::load_qkv(device, a, d_model, weights, format!("{layer}{part}"))?]
            }
        };
        let norm = |part: &str| {
            weights.vector(device, &format!("{layer}self_attn.{part}_norm.weight"), a.headdim)
        };
        let qk_norm = match a.has_qk_norm {
            true => Some(QkNorm { q: norm("q")?, k: norm("k")?, eps }),
            false => None,
        };
        let o = load(names.o, [d_model, q], a.o_bias)?;
        Ok(Self { config: a.clone(), qkv, qk_norm, o, inv_freq })
    }

    pub fn out(&self) -> &Projection {
        &self.o
    }

    /// Runs the normed rows `[seq_len, d_model]` up to what the output projection multiplies: rotates q and k, appends
    /// k and v to the memory and attends over all of it.
    pub fn run(
        &self,
        device: &Device,
        normed: &Normed<'_>,
        rows: &AttendedRows,
        memory: &mut Option<Memory>,
        hooks: &mut dyn Hooks,
    ) -> Mixed {
        let a = &self.config;
        let heads = Heads { n_head: a.n_head, n_kv_head: a.n_kv_head, headdim: a.headdim };
        // Norms of heads want each in a tensor of its own.
        let at_once = if self.qk_norm.is_some() { 1 } else { 3 };
        let projected = self.qkv.chunks(at_once).flat_map(|p| normed.project(device, p, hooks));
        let mut tensors: Vec<Tensor> = projected.collect();
        if let (Some(norm), [q, k, _]) = (&self.qk_norm, &mut tensors[..]) {
            *q = by_head(device, q, &norm.q, norm.eps);
            *k = by_head(device, k, &norm.k, norm.eps);
        }
        let y = self.attend(device, heads, rows, heads.split(&tensors), memory);
        let (positions, inv_freq) = (rows.positions.clone(), self.inv_freq.clone());
        let inputs =
            MixerOwned::Attention(Inputs { tensors, positions, inv_freq, heads, scale: a.scale });
        Mixed { gated: y.clone(), y, inputs, kept: None }
    }

    /// Shapes: q `[seq_len, n_head * headdim]`, k and v `[seq_len, n_kv_head * headdim]`.
    fn attend(
        &self,
        device: &Device,
        heads: Heads,
        rows: &AttendedRows,
        [q, k, v]: [View<'_>; 3],
        memory: &mut Option<Memory>,
    ) -> Tensor {
        let n_past = memory.as_ref().map_or(0, |old| old.keys.rows());
        let log_sizes = log_sizes(device, memory.as_ref(), rows, k.rows);
        let (positions, inv_freq) = (&rows.positions, self.inv_freq.as_ref());
        let turn = Turn { positions, inv_freq, headdim: heads.headdim };
        let past = memory.take().map(|old| [old.keys, old.values]);
        let [q, keys, values] = rotary_append(device, [q, k, v], turn, past);
        let y = attention(
            device,
            &crate::kernels::attention::Attention {
                q: q.view(),
                k: keys.view(),
                v: values.view(),
                n_head: heads.n_head,
                n_kv_head: heads.n_kv_head,
                headdim: heads.headdim,
                n_past,
                scale: self.config.scale,
                bias: log_sizes.as_ref(),
            },
        );
        *memory = Some(Memory { keys, values, log_sizes });
        y
    }
}

/// The RMS norm of every head of `x` `[seq_len, heads * headdim]`.
fn by_head(device: &Device, x: &Tensor, weight: &Tensor, eps: f32) -> Tensor {
    let (rows, cols) = (x.rows(), x.cols());
    let heads = x.reshape(rows * cols / weight.cols(), weight.cols());
    rmsnorm(device, &heads, weight, eps).reshape(rows, cols)
}

/// Of all keys, old and new; a token that nothing was merged into has 0. None where no key has any.
fn log_sizes(
    device: &Device,
    old: Option<&Memory>,
    new: &AttendedRows,
    n: usize,
) -> Option<Tensor> {
    let known = old.and_then(|old| old.log_sizes.clone());
    let Some(old) = old else { return new.log_sizes.clone() };
    if known.is_none() && new.log_sizes.is_none() {
        return None;
    }
    let zeros = |rows| device.zeros(rows, 1);
    let old = known.unwrap_or_else(|| zeros(old.keys.rows()));
    let new = new.log_sizes.clone().unwrap_or_else(|| zeros(n));
    Some(concat_rows(device, &old, &new))
}
