//! Text, token by token: greedy at temperature 0, else sampled with a seed.

use super::arm::{Arm, Context};
use crate::backend::Device;
use crate::kernels::greedy::{greedy, largest};
use crate::pace::Pace;
use crate::{Result, Rng};

/// Most tokens a GPU chooses before any of them is read back.
const AHEAD: usize = 8;

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 takes the most likely token; 1 samples from the model's distribution.
    pub temperature: f64,
    /// Of the draws; means nothing at temperature 0.
    pub seed: u64,
}

/// Continues a context by up to `max_tokens` tokens; stops at an end-of-text token. `each` hears every token.
///
/// Errors: cancelled, the GPU failed, or the model gives values that are not finite.
pub async fn generate(
    arm: &Arm<'_>,
    mut context: Context,
    max_tokens: usize,
    sampling: Sampling,
    pace: &Pace,
    each: &mut dyn FnMut(u32),
) -> Result<Vec<u32>> {
    if sampling.temperature <= 0.0 && matches!(arm.device, Device::Gpu(_)) {
        return generate_ahead(arm, context, max_tokens, pace, each).await;
    }
    let mut rng = Rng::new(sampling.seed);
    let mut out = Vec::new();
    while out.len() < max_tokens {
        let logits = arm.device.read(&arm.next_logits(&context)).await?;
        if !logits.iter().all(|x| x.is_finite()) {
            let last = [out.last().copied().unwrap_or(0)];
            return Err(arm.model.not_finite(arm.device, arm.config, &last).await?);
        }
        let id = choose(&logits, sampling.temperature, &mut rng);
        if arm.config.eos_token_ids().contains(&id) {
            break;
        }
        out.push(id);
        each(id);
        pace.breathe().await?;
        if out.len() < max_tokens {
            arm.extend(&mut context, &[id])?;
        }
    }
    Ok(out)
}

/// The same tokens at temperature 0, chosen on the device: 1, 2, 4 and then always [`AHEAD`] of them are recorded before
/// they are read back together, because reading one takes longer than computing it. What follows an end-of-text token
/// was computed for nothing and is dropped.
async fn generate_ahead(
    arm: &Arm<'_>,
    mut context: Context,
    max_tokens: usize,
    pace: &Pace,
    each: &mut dyn FnMut(u32),
) -> Result<Vec<u32>> {
    let (mut out, mut ahead) = (Vec::new(), 1);
    while out.len() < max_tokens {
        let wanted = ahead.min(max_tokens - out.len());
        let mut chosen = Vec::with_capacity(wanted);
        for number in 1..=wanted {
            let id = greedy(arm.device, &arm.next_logits(&context));
            if out.len() + number < max_tokens {
                arm.follow(&mut context, &id);
            }
            chosen.push(id);
        }
        for id in arm.device.read_all_ids(&chosen).await? {
            if arm.config.eos_token_ids().contains(&id) {
                return Ok(out);
            }
            out.push(id);
            each(id);
        }
        pace.breathe().await?;
        ahead = AHEAD.min(2 * ahead);
    }
    Ok(out)
}

/// The most likely token (ties: the smaller id), or one drawn from softmax(logits / temperature).
pub fn choose(logits: &[f32], temperature: f64, rng: &mut Rng) -> u32 {
    let best = largest(logits);
    if temperature <= 0.0 {
        return best;
    }
    let top = f64::from(logits[best as usize]);
    let weight = |x: &f32| ((f64::from(*x) - top) / temperature).exp();
    let total: f64 = logits.iter().map(weight).sum();
    let mut left = f64::from(rng.uniform()) * total;
    for (i, x) in logits.iter().enumerate() {
        left -= weight(x);
        if left < 0.0 {
            return i as u32;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_follows_the_softmax() {
        let logits = [0.0f32, 1.0, 2.0];
        let total: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
        let mut rng = Rng::new(5);
        let mut count = [0usize; 3];
        for _ in 0..20_000 {
            count[choose(&logits, 1.0, &mut rng) as usize] += 1;
        }
        for (c, x) in count.iter().zip(&logits) {
            let expected = f64::from(*x).exp() / total;
            // Four standard errors of a share among 20,000.
            let bound = 4.0 * (expected * (1.0 - expected) / 20_000.0).sqrt();
            assert!((*c as f64 / 20_000.0 - expected).abs() < bound);
        }
        assert_eq!(choose(&[1.0, 3.0, 3.0], 0.0, &mut rng), 1);
    }
}
