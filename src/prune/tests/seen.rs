//! What a layer is fed, looked at from outside and counted again in f64 without the code under test.

use super::*;
use crate::backend::{Device, Tensor, View};
use crate::kernels::rows::copy;
use crate::models::{Hooks, LayerOutput, MixerInputs, Model, Reduced};
use std::collections::HashMap;

/// The inputs of every matrix of a layer, by checkpoint name `[tokens, cols]`, and of its scan.
#[derive(Default)]
pub struct Seen {
    pub inputs: HashMap<String, Vec<f64>>,
    pub scan: Option<Scan>,
}

/// What enters the scan of a Mamba on one sequence; shapes as in `scan`.
pub struct Scan {
    pub tokens: usize,
    pub n: usize,
    pub channels: usize,
    pub n_groups: usize,
    headdim: usize,
    n_head: usize,
    x: Vec<f64>,
    delta: Vec<f64>,
    pub b: Vec<f64>,
    pub c: Vec<f64>,
}

impl Hooks for Seen {
    fn linear_input(&mut self, device: &Device, weight: &str, x: View<'_>) {
        let seen = self.inputs.entry(weight.to_string()).or_default();
        seen.extend(f64s(copy(device, x).cpu()));
    }

    fn wants_layer(&self, _: usize, _: usize) -> bool {
        true
    }

    fn reduce(&mut self, device: &Device, output: LayerOutput<'_>) -> Option<Reduced> {
        let MixerInputs::Ssm(s) = output.inputs else { return None };
        let values = |view: View<'_>| f64s(copy(device, view).cpu());
        let bias = s.dt_bias.map_or(vec![0.0; s.n_head], |bias| f64s(bias.cpu()));
        let delta = values(s.dt).into_iter().enumerate().map(|(i, dt)| {
            let x = dt + bias[i % s.n_head];
            // ln(1 + e^x) in the form that does not overflow.
            let softplus = x.max(0.0) + (-x.abs()).exp().ln_1p();
            softplus.max(f64::from(s.dt_limit.0)).min(f64::from(s.dt_limit.1))
        });
        self.scan = Some(Scan {
            tokens: s.x.rows,
            n: s.b.cols / s.n_groups,
            channels: s.n_head * s.headdim,
            n_groups: s.n_groups,
            headdim: s.headdim,
            n_head: s.n_head,
            delta: delta.collect(),
            x: values(s.x),
            b: values(s.b),
            c: values(s.c),
        });
        None
    }
}

impl Scan {
    /// Of a channel: h after every token, where rate n is `a[n]`.
    pub fn states(&self, channel: usize, a: &[f64]) -> Vec<Vec<f64>> {
        let mut h = vec![0.0; self.n];
        let of_token = |t: usize| {
            let delta = self.delta[t * self.n_head + channel / self.headdim];
            let x = self.x[t * self.channels + channel];
            for (n, h) in h.iter_mut().enumerate() {
                *h =
                    (delta * a[n]).exp() * *h + delta * self.of_channel(&self.b, t, channel)[n] * x;
            }
            h.clone()
        };
        (0..self.tokens).map(of_token).collect()
    }

    /// The part of B or C that a channel uses for a token.
    pub fn of_channel<'a>(&self, values: &'a [f64], t: usize, channel: usize) -> &'a [f64] {
        let group = channel * self.n_groups / self.channels;
        &values[(t * self.n_groups + group) * self.n..][..self.n]
    }
}

/// Runs a layer on some rows: what comes out, and what was seen.
pub fn look(model: &Model, layer: usize, rows: &Tensor) -> (Tensor, Seen) {
    let mut seen = Seen::default();
    let out = model.run_layer(&Device::Cpu, layer, rows.clone(), &mut seen);
    (out, seen)
}

/// The inputs of the matrices of a layer on several sequences, one after the other.
pub fn look_at_all(model: &Model, layer: usize, rows: &[Tensor]) -> HashMap<String, Vec<f64>> {
    let mut all: HashMap<String, Vec<f64>> = HashMap::new();
    for rows in rows {
        for (name, x) in look(model, layer, rows).1.inputs {
            all.entry(name).or_default().extend(x);
        }
    }
    all
}

/// The numbers of the `size` lowest, in rising order.
pub fn lowest(scores: &[f64], size: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    order.truncate(size);
    order.sort_unstable();
    order
}
