//! How a model's state-space layers use their states on a text.
//!
//! With h[t, p, n] = exp(Δ[t, p] A[p, n]) h[t-1, p, n] + Δ[t, p] x[t, p] B[t, n], the term C[t, n] h[t, p, n] is what state
//! column n gives to channel p's output at token t (arXiv 2312.00752, equation 2; arXiv 2405.21060, equation 1, where A is
//! one number a head). Squares of these terms, summed over tokens, say which columns and which channels carry the output.
//! A state forgets half of itself in ln 2 / (mean Δ · |A|) tokens.

use super::arm::Arm;
use crate::Result;
use crate::backend::{Device, Tensor};
use crate::config::{Mixer, ModelConfig};
use crate::kernels::rows::copy;
use crate::models::{Hooks, LayerOutput, MixerInputs, Reduced, SsmInputs};
use crate::order::sort_f64;
use crate::pace::Pace;
use serde::Serialize;
use std::f64::consts::LN_2;

/// Most tokens of a text that are followed, and fewer where the states are many.
const MOST_TOKENS: usize = 256;
const LEAST_TOKENS: usize = 16;
/// State updates over all layers and tokens that are worth a picture.
const WORK: usize = 60_000_000;

/// Upper ends of the classes of half-lives, in tokens; the last class has none.
pub const HALF_LIVES: [f64; 5] = [1.0, 4.0, 16.0, 64.0, 256.0];

/// What one layer does with its states.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct StateUse {
    /// Its index.
    pub layer: usize,
    /// Share of the output's squares that each state column carries, summing to 1; of several groups one after another.
    pub columns: Vec<f64>,
    /// Fewest columns that carry 90 % of it.
    pub columns_for_most: usize,
    /// Fewest channels that carry 90 % of it.
    pub channels_for_most: usize,
    /// Channels in all.
    pub channels: usize,
    /// Share of the states that forget half of themselves within 1, 4, 16, 64, 256 tokens, or in more.
    pub half_lives: Vec<f64>,
}

/// What a scan was made of, kept until it can be read.
struct Scan {
    layer: usize,
    /// x, dt, B, C, A, and the bias of dt where it is apart.
    tensors: Vec<Tensor>,
    n_head: usize,
    headdim: usize,
    n_groups: usize,
    dt_limit: (f32, f32),
}

#[derive(Default)]
struct Watch(Vec<Scan>);

impl Hooks for Watch {
    fn wants_layer(&self, _layer: usize, _tokens: usize) -> bool {
        true
    }

    fn reduce(&mut self, device: &Device, output: LayerOutput<'_>) -> Option<Reduced> {
        if let MixerInputs::Ssm(inputs) = output.inputs {
            self.0.push(Scan::of(device, output.layer, &inputs));
        }
        None
    }
}

/// How an arm's model uses the states of its layers on the first tokens of a text, unreduced, and how many tokens those
/// are; no layer where the model has no states.
///
/// Errors: cancelled, the GPU failed, or a token that the vocabulary does not have.
pub async fn states(arm: &Arm<'_>, ids: &[u32], pace: &Pace) -> Result<(usize, Vec<StateUse>)> {
    let tokens = (WORK / cells(arm.config).max(1)).clamp(LEAST_TOKENS, MOST_TOKENS).min(ids.len());
    // Refuses what the vocabulary does not have.
    arm.check(0, &ids[..tokens])?;
    let mut watch = Watch::default();
    let mut state = arm.model.start(arm.device);
    arm.model.forward(arm.device, &ids[..tokens], &mut state, &mut watch);
    let mut layers = Vec::with_capacity(watch.0.len());
    for scan in &watch.0 {
        layers.push(scan.used(arm.device).await?);
        pace.breathe().await?;
    }
    Ok((tokens, layers))
}

/// Numbers in the states of all layers.
fn cells(config: &ModelConfig) -> usize {
    let of = |mixer: &Mixer| match mixer {
        Mixer::Mamba(m) => m.d_inner * m.d_state,
        Mixer::Mamba2(m) => m.d_inner * m.d_state,
        Mixer::Attention(_) => 0,
    };
    config.layers.iter().map(|layer| of(&layer.mixer)).sum()
}

impl Scan {
    fn of(device: &Device, layer: usize, inputs: &SsmInputs<'_>) -> Scan {
        let views = [inputs.x, inputs.dt, inputs.b, inputs.c];
        let mut tensors: Vec<Tensor> = views.iter().map(|view| copy(device, *view)).collect();
        tensors.push(inputs.a.clone());
        tensors.extend(inputs.dt_bias.cloned());
        let SsmInputs { n_head, headdim, n_groups, dt_limit, .. } = *inputs;
        Scan { layer, tensors, n_head, headdim, n_groups, dt_limit }
    }

    async fn used(&self, device: &Device) -> Result<StateUse> {
        let mut values = Vec::with_capacity(self.tensors.len());
        for tensor in &self.tensors {
            values.push(device.read(tensor).await?);
        }
        let bias = values.get(5);
        let softplus = |x: f32| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let delta = |(i, dt): (usize, &f32)| {
            let bias = bias.map_or(0.0, |bias| bias[i % self.n_head]);
            softplus(dt + bias).clamp(self.dt_limit.0, self.dt_limit.1)
        };
        let delta: Vec<f32> = values[1].iter().enumerate().map(delta).collect();
        let [columns, channels] = self.carried(&values, &delta);
        Ok(StateUse {
            layer: self.layer,
            columns_for_most: for_most(&columns),
            channels_for_most: for_most(&channels),
            channels: channels.len(),
            half_lives: self.half_lives(&values[4], &delta),
            columns,
        })
    }

    /// Share of the squares of the terms C[t, n] h[t, p, n] by state column and by channel.
    fn carried(&self, values: &[Vec<f32>], delta: &[f32]) -> [Vec<f64>; 2] {
        let (x, b, c, a) = (&values[0], &values[2], &values[3], &values[4]);
        let channels = self.n_head * self.headdim;
        let tokens = x.len() / channels;
        let all = b.len() / tokens;
        let states = all / self.n_groups;
        let mut h = vec![0f32; channels * states];
        let (mut of_column, mut of_channel) = (vec![0f64; all], vec![0f64; channels]);
        for t in 0..tokens {
            for (p, of_channel) in of_channel.iter_mut().enumerate() {
                let head = p / self.headdim;
                let first = head / (self.n_head / self.n_groups) * states;
                let dt = delta[t * self.n_head + head];
                let input = dt * x[t * channels + p];
                // One number a head in Mamba-2, one a state in Mamba-1, whose heads are channels.
                let of_head = (a.len() == self.n_head).then(|| (dt * a[head]).exp());
                let mut sum = 0f64;
                for n in 0..states {
                    let cell = &mut h[p * states + n];
                    let decay = of_head.unwrap_or_else(|| (dt * a[p * states + n]).exp());
                    *cell = decay * *cell + input * b[t * all + first + n];
                    let square = f64::from(c[t * all + first + n] * *cell).powi(2);
                    of_column[first + n] += square;
                    sum += square;
                }
                *of_channel += sum;
            }
        }
        [shares(of_column), shares(of_channel)]
    }

    /// Share of the states in each class of half-lives.
    fn half_lives(&self, a: &[f32], delta: &[f32]) -> Vec<f64> {
        let tokens = (delta.len() / self.n_head) as f64;
        let mean = |head: usize| {
            let of_head = delta.iter().skip(head).step_by(self.n_head);
            of_head.map(|dt| f64::from(*dt)).sum::<f64>() / tokens
        };
        let states = (a.len() / self.n_head).max(1);
        let mut classes = vec![0f64; HALF_LIVES.len() + 1];
        for head in 0..self.n_head {
            let mean = mean(head);
            for n in 0..states {
                let tokens = LN_2 / (mean * f64::from(a[head * states + n].abs()));
                classes[HALF_LIVES.iter().filter(|end| tokens > **end).count()] += 1.0;
            }
        }
        shares(classes)
    }
}

/// Values as shares of their sum; of nothing, nothing.
fn shares(mut values: Vec<f64>) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    if sum > 0.0 && sum.is_finite() {
        values.iter_mut().for_each(|v| *v /= sum);
    } else {
        values.fill(0.0);
    }
    values
}

/// How many of the largest shares make 90 %.
fn for_most(shares: &[f64]) -> usize {
    let mut sorted = shares.to_vec();
    sort_f64(&mut sorted);
    let mut sum = 0.0;
    let reaches = |share: &f64| {
        sum += share;
        // A share short of the bound by rounding reaches it.
        sum >= 0.9 - 1e-9
    };
    sorted.iter().rev().position(reaches).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One head of two channels, two states, two tokens.
    fn scan() -> Scan {
        Scan { layer: 0, tensors: vec![], n_head: 1, headdim: 2, n_groups: 1, dt_limit: (0.0, 9.0) }
    }

    #[test]
    fn columns_and_channels_share_the_squares_of_what_they_give() {
        // Δ = 1 and A = -ln 2: a state halves with every token. x = (2, 0) then (0, 0); B = (1, 3); C = (1, 1), then (1, 0).
        let (x, b) = (vec![2.0, 0.0, 0.0, 0.0], vec![1.0, 3.0, 0.0, 0.0]);
        let (c, a) = (vec![1.0, 1.0, 1.0, 0.0], vec![-std::f32::consts::LN_2]);
        let values = [x, vec![1.0, 1.0], b, c, a];
        let [columns, channels] = scan().carried(&values, &[1.0, 1.0]);
        // Token 1: terms 2 and 6; token 2: terms 1 and 0. Squares: column 0 has 4 + 1, column 1 has 36.
        assert!((columns[0] - 5.0 / 41.0).abs() < 1e-6, "{columns:?}");
        assert!((columns[1] - 36.0 / 41.0).abs() < 1e-6, "{columns:?}");
        assert_eq!(channels, [1.0, 0.0]);
        assert_eq!((for_most(&columns), for_most(&channels)), (2, 1));
        // Half a token, then ten.
        let classes = scan().half_lives(&values[4], &[2.0, 2.0]);
        assert_eq!(classes[0], 1.0, "{classes:?}");
        let slower = scan().half_lives(&values[4], &[0.1, 0.1]);
        assert_eq!(slower[2], 1.0, "{slower:?}");
    }

    #[test]
    fn nothing_is_shared_out_as_nothing() {
        assert_eq!(shares(vec![0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(for_most(&[0.0, 0.0]), 0);
        assert_eq!(for_most(&[0.25; 4]), 4);
        assert_eq!(for_most(&[0.05, 0.9, 0.05]), 1);
    }
}
