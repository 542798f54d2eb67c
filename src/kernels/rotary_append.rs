//! What attention does before it attends: q and k turned by their positions (`rotary`), k and v put behind those of the
//! tokens before (`append_rows`).
//!
//! Shapes: q `[seq_len, n_head * headdim]`, k and v `[seq_len, n_kv_head * headdim]`, keys and values `[n_past + seq_len,
//! n_kv_head * headdim]`. Where q, k and v stand side by side in one tensor on a GPU it is one launch, and rows that
//! nobody else holds are put where there is room for them.

pub use super::rotary::Turn;

use super::rotary::{frequencies, on_gpu, rotary};
use super::rows::{append_rows, copy};
use super::{Case, random};
use crate::Rng;
use crate::backend::{Device, Tensor, View};

/// q turned, and all keys and values: those of `past`, then these.
pub fn rotary_append(
    device: &Device,
    [q, k, v]: [View<'_>; 3],
    turn: Turn<'_>,
    past: Option<[Tensor; 2]>,
) -> [Tensor; 3] {
    if let Device::Gpu(gpu) = device
        && k.tensor.is_same(q.tensor)
        && v.tensor.is_same(q.tensor)
        && [q.col + q.cols, k.col + k.cols] == [k.col, v.col]
    {
        return on_gpu(gpu, q, k.cols, turn, past);
    }
    let rotate = |x: View<'_>| match turn.inv_freq {
        Some(inv_freq) => rotary(device, x, turn.positions, inv_freq, turn.headdim),
        None => copy(device, x),
    };
    let (q, k) = (rotate(q), rotate(k));
    match past {
        Some([keys, values]) => [q, append_rows(device, keys, &k), append_rows(device, values, v)],
        #[cfg(not(target_arch = "wasm32"))]
        None if matches!(device, Device::Cpu) => [q, k.with_room(), copy(device, v).with_room()],
        None => [q, k, copy(device, v)],
    }
}

/// (seq_len, n_head, n_kv_head, headdim, rot): nothing turned, a part of a head, all; around a workgroup of 64 pairs.
pub fn cases() -> Vec<Case> {
    let shapes = [(1, 1, 1, 2, 0), (1, 9, 3, 64, 64), (3, 4, 2, 10, 6), (17, 2, 2, 16, 16)];
    shapes.map(case).into()
}

fn case(shape: (usize, usize, usize, usize, usize)) -> Case {
    let (seq_len, n_head, n_kv_head, headdim, rot) = shape;
    Case {
        name: format!("rotary_append {seq_len} {n_head}/{n_kv_head}x{headdim}, {rot} turned"),
        tolerance: 1e-5,
        why: "sin and cos of another library",
        run: Box::new(move |device| {
            let mut rng = Rng::new(31);
            let (q, kv) = (n_head * headdim, n_kv_head * headdim);
            let inv_freq = device.tensor(1, (rot / 2).max(1), &frequencies(rot.max(2)));
            let inv_freq = (rot > 0).then_some(&inv_freq);
            let mut found = Vec::new();
            let (mut past, mut fork): (Option<[Tensor; 2]>, _) = (None, None);
            // Memory is made, moved into more of it, extended in place, and not where a fork holds it.
            for step in 0..4 {
                let all = random(device, &mut rng, seq_len, q + 2 * kv + 4);
                let parts =
                    [all.columns(4, q), all.columns(4 + q, kv), all.columns(4 + q + kv, kv)];
                let first = (100 + step * seq_len) as u32;
                let positions: Vec<u32> = (first..first + seq_len as u32).collect();
                let turn = Turn { positions: &device.ids(&positions), inv_freq, headdim };
                let [q, keys, values] = rotary_append(device, parts, turn, past.take());
                if step == 2 {
                    fork = Some([keys.clone(), values.clone()]);
                }
                found.push(q);
                past = Some([keys, values]);
            }
            found.extend(past.into_iter().chain(fork).flatten());
            found
        }),
    }
}
