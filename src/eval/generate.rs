//! Text, token by token: greedy at temperature 0, else sampled with a seed.

use super::arm::{Arm, Context};
use crate::pace::Pace;
use crate::{Result, Rng};

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 takes the most likely token; 1 samples from the model's distribution.
    pub temperature: f64,
    pub seed: u64,
}

/// Continues a context by up to `max_tokens` tokens; stops at an end-of-text token. `each` hears every token.
///
/// Errors: cancelled, or the GPU failed.
pub async fn generate(
    arm: &Arm<'_>,
    mut context: Context,
    max_tokens: usize,
    sampling: Sampling,
    pace: &Pace,
    each: &mut dyn FnMut(u32),
) -> Result<Vec<u32>> {
    let mut rng = Rng::new(sampling.seed);
    let mut out = Vec::new();
    while out.len() < max_tokens {
        let logits = arm.device.read(&arm.next_logits(&context)).await?;
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

/// The most likely token (ties: the smaller id), or one drawn from softmax(logits / temperature).
pub fn choose(logits: &[f32], temperature: f64, rng: &mut Rng) -> u32 {
    let best = (0..logits.len()).fold(0, |b, i| if logits[i] > logits[b] { i } else { b });
    if temperature <= 0.0 {
        return best as u32;
    }
    let top = f64::from(logits[best]);
    let weight = |x: &f32| ((f64::from(*x) - top) / temperature).exp();
    let total: f64 = logits.iter().map(weight).sum();
    let mut left = f64::from(rng.uniform()) * total;
    for (i, x) in logits.iter().enumerate() {
        left -= weight(x);
        if left < 0.0 {
            return i as u32;
        }
    }
    best as u32
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
