//! Rotary attention over the saved keys and values: what Llama and GPT-NeoX share.

use super::{AttentionInputs, Kept, LayerState, Memory, MixerInputs};
use crate::backend::{Device, Ids, Tensor, View};
use crate::kernels::attention::{Attention, attention};
use crate::kernels::rotary::rotary;
use crate::kernels::rows::{concat_rows, copy, gather_ids};

/// Sizes of one attention layer.
#[derive(Clone, Copy)]
pub struct Heads {
    pub n_head: usize,
    pub n_kv_head: usize,
    pub headdim: usize,
}

impl Heads {
    /// What a hook may see of the queries and keys of a layer, before rotation.
    pub fn inputs<'a>(self, place: &Place<'a>, q: View<'a>, k: View<'a>) -> MixerInputs<'a> {
        let Heads { n_head, n_kv_head, headdim } = self;
        let (positions, inv_freq) = (&place.rows.positions, place.inv_freq);
        MixerInputs::Attention(AttentionInputs {
            q,
            k,
            n_head,
            n_kv_head,
            headdim,
            positions,
            inv_freq,
        })
    }
}

/// What is known of the rows that enter a layer.
pub struct Rows {
    /// Where they stand in the original sequence `[seq_len]`.
    positions: Ids,
    /// See [`super::Reduced::log_sizes`].
    log_sizes: Option<Tensor>,
}

impl Rows {
    pub fn new(positions: Ids) -> Rows {
        Rows { positions, log_sizes: None }
    }

    /// What is known of those that a reduction has left.
    pub fn after(self, device: &Device, kept: Kept) -> Rows {
        let positions = gather_ids(device, &self.positions, &kept.rows);
        Rows { positions, log_sizes: kept.log_sizes }
    }
}

/// Where a layer stands, and what enters it.
pub struct Place<'a> {
    pub index: usize,
    pub inv_freq: &'a Tensor, // [1, rotated dims / 2]
    pub rows: &'a Rows,
}

/// Rotates q and k, appends k and v to the layer's memory and attends over all of it.
///
/// Shapes: q `[seq_len, n_head * headdim]`, k and v `[seq_len, n_kv_head * headdim]`.
pub fn attend(
    device: &Device,
    heads: Heads,
    place: &Place<'_>,
    [q, k, v]: [View<'_>; 3],
    memory: &mut LayerState,
) -> Tensor {
    let LayerState::Kv(memory) = memory else { unreachable!("the state was made by this model") };
    let rotate = |x| rotary(device, x, &place.rows.positions, place.inv_freq, heads.headdim);
    let (q, k) = (rotate(q), rotate(k));
    let n_past = memory.as_ref().map_or(0, |old| old.keys.rows());
    let log_sizes = log_sizes(device, memory.as_ref(), place.rows, k.rows());
    let (keys, values) = match memory.take() {
        Some(old) => (concat_rows(device, &old.keys, &k), concat_rows(device, &old.values, v)),
        None => (k, copy(device, v)),
    };
    let y = attention(
        device,
        &Attention {
            q: q.view(),
            k: keys.view(),
            v: values.view(),
            n_head: heads.n_head,
            n_kv_head: heads.n_kv_head,
            headdim: heads.headdim,
            n_past,
            scale: 1.0 / (heads.headdim as f32).sqrt(),
            bias: log_sizes.as_ref(),
        },
    );
    *memory = Some(Memory { keys, values, log_sizes });
    y
}

/// Of all keys, old and new; a token that nothing was merged into has 0. None where no key has any.
fn log_sizes(device: &Device, old: Option<&Memory>, new: &Rows, n: usize) -> Option<Tensor> {
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
