//! The pipelines that a model is going to need, made while its weights still load: a driver takes milliseconds for each,
//! and the first token would wait for all of them.

use super::{Model, NoHooks, Wanted};
use crate::backend::{Device, Ids, Tensor};
use crate::kernels::greedy::greedy;
use crate::kernels::rows::copy;

/// Tokens of a short and a long prompt. Together they and the tokens after them meet every form that a kernel has for a
/// real GPU, but for two that products of exactly two or three rows have: rows with few neighbours and in tiles, a scan in
/// one piece and in chunks, keys of one workgroup and of several.
const PROMPTS: [u32; 2] = [5, 300];

impl Model {
    /// Goes through prompts and a token after each where the newest layer is the first of its kind; nothing is computed.
    /// A program on the CPU is left alone: what is compiled for nothing takes its own time.
    pub(super) fn rehearse(&self, device: &Device) {
        let Device::Gpu(gpu) = device else { return };
        let kinds = self.config.layers.iter().map(|l| (l.mixer.kind(), l.mlp.is_some()));
        let mut kinds: Vec<_> = kinds.take(self.layers.len()).collect();
        let newest = kinds.pop();
        if gpu.is_software() || newest.is_none_or(|kind| kinds.contains(&kind)) {
            return;
        }
        gpu.rehearse(&mut || {
            for n in PROMPTS {
                let (mut state, prompt) = (self.start(device), (0..n).collect::<Vec<u32>>());
                let mut ids = device.ids(&prompt);
                for _ in 0..2 {
                    let hidden =
                        self.forward_ids(device, &ids, &mut state, &mut NoHooks, Wanted::EveryRow);
                    self.nll(device, &hidden, &ids);
                    ids = self.most_likely(device, &hidden);
                }
            }
        });
    }

    /// The most likely token after the last of these rows.
    fn most_likely(&self, device: &Device, hidden: &Tensor) -> Ids {
        let last = copy(device, hidden.row_range(hidden.rows() - 1, 1));
        greedy(device, &self.logits(device, &last))
    }
}
