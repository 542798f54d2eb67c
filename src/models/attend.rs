//! Rotary attention over the saved keys and values: what Llama and GPT-NeoX share.

use super::{AttentionInputs, LayerState, MixerInputs};
use crate::backend::{Device, Ids, Tensor, View};
use crate::kernels::attention::{Attention, attention};
use crate::kernels::rotary::rotary;
use crate::kernels::rows::{concat_rows, copy};

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
        let (positions, inv_freq) = (place.positions, place.inv_freq);
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

/// Where a layer stands, and where its tokens stand in the original sequence.
pub struct Place<'a> {
    pub index: usize,
    pub inv_freq: &'a Tensor, // [1, rotated dims / 2]
    pub positions: &'a Ids,   // [seq_len]
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
    let q = rotary(device, q, place.positions, place.inv_freq, heads.headdim);
    let k = rotary(device, k, place.positions, place.inv_freq, heads.headdim);
    let n_past = memory.as_ref().map_or(0, |(k, _)| k.rows());
    let (keys, values) = match memory.take() {
        Some((old_k, old_v)) => (concat_rows(device, &old_k, &k), concat_rows(device, &old_v, v)),
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
        },
    );
    *memory = Some((keys, values));
    y
}
