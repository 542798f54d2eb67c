//! How surprising a model finds every token of its input: -log p(x_t | x_<t) in nats.

use super::Input;
use crate::backend::Tensor;
use crate::config::ModelConfig;
use crate::kernels::rows::{concat_rows, copy, gather_ids};
use crate::models::{NoHooks, Wanted, flops};

/// FLOPs of [`surprisal`]: a reading of the whole context, with the head for every token but the first.
pub(super) fn cost(config: &ModelConfig, tokens: usize) -> f64 {
    let f = flops(config);
    f.dense(tokens) + tokens.saturating_sub(1) as f64 * f.head_per_token
}

/// Surprisal of every token `[tokens, 1]`; 0 for the first, which nothing precedes.
pub(super) fn surprisal(input: &Input<'_>) -> Tensor {
    let Input { device, model, ids } = *input;
    let none = device.zeros(1, 1);
    let n = ids.len();
    if n < 2 {
        return none;
    }
    let hidden =
        model.forward_ids(device, ids, &mut model.start(device), &mut NoHooks, Wanted::EveryRow);
    let places: Vec<u32> = (1..n as u32).collect();
    let targets = gather_ids(device, ids, &device.ids(&places));
    let nll = model.nll(device, hidden.row_range(0, n - 1), &targets); // [n - 1, 2]
    let scores = copy(device, nll.columns(0, 1));
    concat_rows(device, &none, &scores)
}
