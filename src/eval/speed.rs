//! Speed of two arms, measured in turns on one machine in one process.
//!
//! A measurement repeats its work until it has lasted at least 50 ms. The first round (shader compilation, cold
//! caches) is dropped. The order of the two changes from round to round, so that a machine that warms up or fills
//! with other work favours neither. Shown are the median and the middle half of the rounds; ratios are formed
//! within a round.

use super::arm::{Arm, Context};
use super::generate::choose;
use super::{Estimate, Speed, SpeedSide};
use crate::pace::{Pace, now_ms};
use crate::{Result, Rng};

const SPAN_MS: f64 = 50.0;
/// Rounds that count; odd, so that the median is one of them and the quartiles lie evenly around it.
const ROUNDS: usize = 9;

/// One round of one arm.
#[derive(Clone, Copy)]
struct Round {
    prefill_tokens_per_s: f64,
    decode_tokens_per_s: f64,
    first_token_ms: f64,
}

/// Measures prefill of `prompt`, decoding of `decode_tokens` and time to the first token.
///
/// Errors: cancelled, or the GPU failed.
pub async fn speed(
    arms: [&Arm<'_>; 2],
    prompt: &[u32],
    decode_tokens: usize,
    pace: &Pace,
) -> Result<Speed> {
    let mut rounds = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for side in [round % 2, 1 - round % 2] {
            let measured = one_round(arms[side], prompt, decode_tokens, pace).await?;
            if round > 0 {
                rounds[side].push(measured);
            }
        }
    }
    let [base, compressed] = &rounds;
    let ratio = |f: fn(&Round) -> f64| {
        middle(base.iter().zip(compressed).map(|(b, c)| f(c) / f(b)).collect())
    };
    Ok(Speed {
        prompt_tokens: prompt.len(),
        decode_tokens,
        baseline: side(base),
        compressed: side(compressed),
        prefill_ratio: ratio(|r| r.prefill_tokens_per_s),
        decode_ratio: ratio(|r| r.decode_tokens_per_s),
    })
}

async fn one_round(
    arm: &Arm<'_>,
    prompt: &[u32],
    decode_tokens: usize,
    pace: &Pace,
) -> Result<Round> {
    let mut times = 0;
    let start = now_ms();
    let mut context = loop {
        let context = arm.read(prompt)?;
        arm.device.finish().await?;
        times += 1;
        if now_ms() - start >= SPAN_MS {
            break context;
        }
    };
    let prefill_ms = (now_ms() - start) / f64::from(times);
    pace.breathe().await?;
    let start = now_ms();
    arm.device.read(&arm.next_logits(&context)).await?;
    let head_ms = now_ms() - start;
    let decode_ms = decode(arm, &mut context, decode_tokens).await?;
    pace.breathe().await?;
    Ok(Round {
        prefill_tokens_per_s: prompt.len() as f64 * 1e3 / prefill_ms,
        decode_tokens_per_s: 1e3 / decode_ms,
        first_token_ms: prefill_ms + head_ms,
    })
}

/// Milliseconds a token, greedy, at least `tokens` of them and at least 50 ms in all.
async fn decode(arm: &Arm<'_>, context: &mut Context, tokens: usize) -> Result<f64> {
    let mut rng = Rng::new(0);
    let mut done = 0;
    let start = now_ms();
    while done < tokens || now_ms() - start < SPAN_MS {
        let logits = arm.device.read(&arm.next_logits(context)).await?;
        arm.extend(context, &[choose(&logits, 0.0, &mut rng)])?;
        done += 1;
    }
    arm.device.finish().await?;
    Ok((now_ms() - start) / done as f64)
}

fn side(rounds: &[Round]) -> SpeedSide {
    let of = |f: fn(&Round) -> f64| middle(rounds.iter().map(f).collect());
    SpeedSide {
        prefill_tokens_per_s: of(|r| r.prefill_tokens_per_s),
        decode_tokens_per_s: of(|r| r.decode_tokens_per_s),
        first_token_ms: of(|r| r.first_token_ms),
    }
}

/// Median and quartiles (nearest rank).
fn middle(mut values: Vec<f64>) -> Estimate {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    Estimate { value: values[n / 2], low: values[n / 4], high: values[n - 1 - n / 4], n }
}
