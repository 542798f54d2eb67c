//! The recurrence of one Mamba layer on the CPU in f64, for scores that need the state itself and not only the output.
//!
//!   h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t,  y_t = C_t h_t (+ D x_t, which no score here needs)
//!
//! Shapes: x `[tokens, n_head * headdim]`, delta `[tokens, n_head]`, B and C `[tokens, n_groups * d_state]`; a Mamba-1 has
//! d_inner heads of one channel and one group. Sources: Gu & Dao 2023 (arXiv 2312.00752), Dao & Gu 2024 (arXiv 2405.21060).

use crate::backend::{Device, Tensor};
use crate::kernels::rows::copy;
use crate::models::{Hooks, LayerOutput, MixerInputs, Model, Reduced};
use crate::pace::Pace;
use crate::{Error, Result};

/// What entered the scan of one layer, on one sequence.
pub struct HostScan {
    x: Vec<f32>,
    delta: Vec<f64>,
    b: Vec<f32>,
    c: Vec<f32>,
    pub tokens: usize,
    pub n_head: usize,
    pub headdim: usize,
    pub n_groups: usize,
    pub d_state: usize,
}

/// One token of one channel.
pub struct ScanStep<'a> {
    pub t: usize,
    /// exp(delta A) `[d_state]`
    pub decay: &'a [f64],
    /// h before and after the token `[d_state]`
    pub before: &'a [f64],
    pub after: &'a [f64],
    pub c: &'a [f32],
}

/// The hook that looks on.
#[derive(Default)]
struct Look(Option<Seen>);

struct Seen {
    x: Tensor,
    dt: Tensor,
    dt_bias: Option<Tensor>,
    b: Tensor,
    c: Tensor,
    n_head: usize,
    headdim: usize,
    n_groups: usize,
    dt_limit: (f32, f32),
}

impl Hooks for Look {
    fn wants_layer(&self, _: usize, _: usize) -> bool {
        true
    }

    fn reduce(&mut self, device: &Device, output: LayerOutput<'_>) -> Option<Reduced> {
        if let MixerInputs::Ssm(s) = output.inputs {
            self.0 = Some(Seen {
                x: copy(device, s.x),
                dt: copy(device, s.dt),
                dt_bias: s.dt_bias.cloned(),
                b: copy(device, s.b),
                c: copy(device, s.c),
                n_head: s.n_head,
                headdim: s.headdim,
                n_groups: s.n_groups,
                dt_limit: s.dt_limit,
            });
        }
        None
    }
}

impl HostScan {
    /// What enters the scan of a layer that is fed `rows` `[tokens, d_model]`.
    ///
    /// Errors: an attention layer, or the GPU failed.
    pub async fn of(
        device: &Device,
        model: &Model,
        layer: usize,
        rows: &Tensor,
    ) -> Result<HostScan> {
        let mut look = Look::default();
        model.run_layer(device, layer, rows.clone(), &mut look);
        let Some(seen) = look.0 else {
            return Err(Error::input("layer", layer, "a Mamba layer"));
        };
        let dt = device.read(&seen.dt).await?;
        let bias = match &seen.dt_bias {
            Some(bias) => device.read(bias).await?,
            None => vec![0.0; seen.n_head],
        };
        let limit = [seen.dt_limit.0, seen.dt_limit.1].map(f64::from);
        let delta = |(dt, bias): (&f32, &f32)| {
            let x = f64::from(*dt) + f64::from(*bias);
            let softplus = if x > 30.0 { x } else { x.exp().ln_1p() };
            softplus.clamp(limit[0], limit[1])
        };
        Ok(HostScan {
            delta: dt.iter().zip(bias.iter().cycle()).map(delta).collect(),
            x: device.read(&seen.x).await?,
            b: device.read(&seen.b).await?,
            c: device.read(&seen.c).await?,
            tokens: seen.x.rows(),
            n_head: seen.n_head,
            headdim: seen.headdim,
            n_groups: seen.n_groups,
            d_state: seen.b.cols() / seen.n_groups,
        })
    }

    pub fn channels(&self) -> usize {
        self.n_head * self.headdim
    }

    /// The group of a channel.
    pub fn group(&self, channel: usize) -> usize {
        channel / self.headdim / (self.n_head / self.n_groups)
    }

    /// Goes through the tokens of one channel, whose decay rates are `a` `[d_state]` (negative).
    pub fn channel(&self, channel: usize, a: &[f64], each: &mut dyn FnMut(ScanStep<'_>)) {
        let (n, head) = (self.d_state, channel / self.headdim);
        let first = self.group(channel) * n;
        let [mut before, mut after, mut decay] = [(); 3].map(|()| vec![0.0; n]);
        for t in 0..self.tokens {
            let delta = self.delta[t * self.n_head + head];
            let x = f64::from(self.x[t * self.channels() + channel]);
            let row = t * self.n_groups * n + first..t * self.n_groups * n + first + n;
            let (b, c) = (&self.b[row.clone()], &self.c[row]);
            for i in 0..n {
                decay[i] = (delta * a[i]).exp();
                after[i] = decay[i] * before[i] + delta * f64::from(b[i]) * x;
            }
            each(ScanStep { t, decay: &decay, before: &before, after: &after, c });
            std::mem::swap(&mut before, &mut after);
        }
    }
}

/// GHOST: of every state column, all groups one after the other, the mean over tokens of C_tn² times the sum over the
/// group's channels of h_tn². It is the mean squared error of the scan's output without the column.
///
/// `a` `[n_head, d_state]`: -exp(A_log). `sequences`: rows that enter the layer. Errors: there are none, cancelled, or
/// the GPU failed. Source: GHOST (arXiv 2602.11408); its threshold across groups is an equal number of every group here, because
/// config.json knows one state size.
pub async fn ghost(
    device: &Device,
    model: &Model,
    layer: usize,
    a: &[f64],
    sequences: impl Iterator<Item = &Tensor>,
    pace: &Pace,
) -> Result<Vec<f64>> {
    let (mut scores, mut tokens) = (Vec::new(), 0);
    for rows in sequences {
        let scan = HostScan::of(device, model, layer, rows).await?;
        scores.resize(scan.n_groups * scan.d_state, 0.0);
        tokens += scan.tokens;
        for channel in 0..scan.channels() {
            let rates = &a[channel / scan.headdim * scan.d_state..][..scan.d_state];
            let at = scan.group(channel) * scan.d_state;
            let scores = &mut scores[at..at + scan.d_state];
            scan.channel(channel, rates, &mut |step| {
                for ((score, h), c) in scores.iter_mut().zip(step.after).zip(step.c) {
                    *score += (f64::from(*c) * h).powi(2);
                }
            });
            if channel % 8 == 0 {
                pace.breathe().await?;
            }
        }
    }
    if tokens == 0 {
        return Err(Error::input("calibration", "no text", "at least one sequence"));
    }
    scores.iter_mut().for_each(|s| *s /= tokens as f64);
    Ok(scores)
}
