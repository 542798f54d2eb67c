//! Speed of two arms, measured in turns on one machine in one process.
//!
//! A round measures baseline, compressed, compressed, baseline: each side twice, at least 16 ms a time, so that a
//! span lasts at least 32 ms and a machine that slows down steadily favours neither. Each side is visited once before,
//! briefly, and that is dropped (shader compilation, cold caches). Speeds are shown as the median and the middle half of
//! the rounds; a ratio is formed within each round and shown as the median with its 95 % interval, from the order of the
//! rounds alone. Six rounds are enough where they agree on what they tell, else there are ten.

use super::Estimate;
use super::arm::{Arm, Context};
use super::generate::choose;
use crate::order::sort_f64;
use crate::pace::{Pace, now_ms};
use crate::{Result, Rng, threads};
use serde::Serialize;

/// Speed of the two, measured in turns in one process.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Speed {
    /// Tokens of a prefill.
    pub prompt_tokens: usize,
    /// Least tokens decoded in one of the two visits to a side in a round.
    pub decode_tokens: usize,
    /// The first arm.
    pub baseline: SpeedSide,
    /// The second arm.
    pub compressed: SpeedSide,
    /// Prefill speed, compressed / baseline, formed within each round; median and its 95 % interval.
    pub prefill_ratio: Estimate,
    /// The same of decoding.
    pub decode_ratio: Estimate,
}

/// Speeds of one side: medians, with the middle half of the rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SpeedSide {
    /// The whole prompt in one pass, without a head.
    pub prefill_tokens_per_s: Estimate,
    /// One token at a time, each read back before the next is chosen.
    pub decode_tokens_per_s: Estimate,
    /// Prefill of the prompt and the first token.
    pub first_token_ms: Estimate,
}

/// Least length of one of the two visits to a side in a round. A browser's clock goes in steps of 0.1 ms: 0.6 % of it.
const VISIT_MS: f64 = 16.0;
/// Rounds. Of ten the second and the second last hold the median of what is measured 98 % of the time, so that one disturbed
/// round does not widen the interval.
const ROUNDS: usize = 10;
/// Rounds after which it is asked whether they agree; the interval of six goes from the smallest to the largest. One or
/// the other misses the median 44 times of 1,024 at most, 4.3 %, whatever makes rounds agree: all six lie on one side of it
/// (32 of 1,024), or they do not, and at most one of ten lies on one side (12). Of five even the first misses it too often.
const FEW_ROUNDS: usize = 6;
/// Rounds agree where both ratios' intervals are at most so wide, or narrow beside what they tell: at most this share of the
/// ratio's distance from 1. Widths and distances are of logarithms: twice and half as fast are equally far.
const NARROW: f64 = 0.08;
const OF_WHAT_IS_TOLD: f64 = 1.0 / 3.0;
/// Rounds that are made whatever they take.
const LEAST_ROUNDS: usize = 3;

/// What one side did in one round.
#[derive(Clone, Copy, Default)]
struct Round {
    prefills: f64,
    prefill_ms: f64,
    tokens: f64,
    decode_ms: f64,
    heads: f64,
    head_ms: f64,
}

/// What is timed, and for how long.
pub struct Timed<'a> {
    /// Context tokens.
    pub prompt: &'a [u32],
    /// Least tokens decoded in a visit.
    pub decode_tokens: usize,
    /// No further round begins after so long, where there are a few.
    pub budget_ms: f64,
}

/// Measures prefill of a prompt, decoding, and time to the first token. `each` hears what came out after every round:
/// the figures so far, and the share of the rounds that are done.
///
/// Errors: cancelled, or the GPU failed.
pub async fn speed(
    arms: [&Arm<'_>; 2],
    timed: &Timed<'_>,
    pace: &Pace,
    each: &mut dyn FnMut(&Speed, f64),
) -> Result<Speed> {
    let Timed { prompt, decode_tokens, budget_ms } = *timed;
    let mut rounds = [Vec::new(), Vec::new()];
    let start = now_ms();
    for arm in arms {
        visit(arm, prompt, 1, 0.0, &mut Round::default()).await?;
        pace.breathe().await?;
    }
    for number in 1..=ROUNDS {
        if number > LEAST_ROUNDS && now_ms() - start > budget_ms {
            break;
        }
        let mut round = [Round::default(); 2];
        let first = number % 2;
        for side in [first, 1 - first, 1 - first, first] {
            visit(arms[side], prompt, decode_tokens, VISIT_MS, &mut round[side]).await?;
            pace.breathe().await?;
        }
        rounds[0].push(round[0]);
        rounds[1].push(round[1]);
        let so_far = summary(&rounds, prompt.len(), decode_tokens);
        each(&so_far, number as f64 / ROUNDS as f64);
        if number == FEW_ROUNDS && agree(&so_far.prefill_ratio) && agree(&so_far.decode_ratio) {
            break;
        }
    }
    Ok(summary(&rounds, prompt.len(), decode_tokens))
}

/// Whether the rounds behind a ratio agree.
fn agree(ratio: &Estimate) -> bool {
    let width = (ratio.high / ratio.low).ln();
    width <= NARROW.max(OF_WHAT_IS_TOLD * ratio.value.ln().abs())
}

fn summary(rounds: &[Vec<Round>; 2], prompt_tokens: usize, decode_tokens: usize) -> Speed {
    let prefill = |r: &Round| r.prefills * prompt_tokens as f64 * 1e3 / r.prefill_ms;
    let decode = |r: &Round| r.tokens * 1e3 / r.decode_ms;
    let first = |r: &Round| r.prefill_ms / r.prefills + r.head_ms / r.heads;
    let side = |list: &[Round]| SpeedSide {
        prefill_tokens_per_s: middle(list.iter().map(prefill).collect()),
        decode_tokens_per_s: middle(list.iter().map(decode).collect()),
        first_token_ms: middle(list.iter().map(first).collect()),
    };
    let ratio = |f: &dyn Fn(&Round) -> f64| {
        let pairs = rounds[0].iter().zip(&rounds[1]);
        median_interval(&pairs.map(|(b, c)| f(c) / f(b)).collect::<Vec<f64>>())
    };
    Speed {
        prompt_tokens,
        decode_tokens,
        baseline: side(&rounds[0]),
        compressed: side(&rounds[1]),
        prefill_ratio: ratio(&prefill),
        decode_ratio: ratio(&decode),
    }
}

/// How long a context takes to read, up to the logits of the next token, in turns: milliseconds of the first arm (median),
/// and how many times as long it takes as the second.
///
/// A round is first, second, second, first, each at least `visit_ms`; one more than `rounds` are made, and the first is
/// dropped.
pub async fn reading(
    arms: &[Arm<'_>; 2],
    context: &[u32],
    rounds: usize,
    visit_ms: f64,
) -> Result<(f64, Estimate)> {
    let (mut first, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let mut ms = [0.0; 2];
        for side in [0, 1, 1, 0] {
            ms[side] += read_for(&arms[side], context, visit_ms).await? / 2.0;
        }
        if round > 0 {
            first.push(ms[0]);
            ratios.push(ms[0] / ms[1]);
        }
    }
    Ok((median_interval(&first).value, median_interval(&ratios)))
}

/// Milliseconds of one reading, from as many as last `least_ms`.
async fn read_for(arm: &Arm<'_>, context: &[u32], least_ms: f64) -> Result<f64> {
    let (start, mut times) = (now_ms(), 0.0);
    loop {
        let read = arm.read(context)?;
        arm.device.read(&arm.next_logits(&read)).await?;
        times += 1.0;
        let ms = now_ms() - start;
        if ms >= least_ms {
            return Ok(ms / times);
        }
    }
}

/// Prefills, then decodes, each for at least `least_ms`.
async fn visit(
    arm: &Arm<'_>,
    prompt: &[u32],
    tokens: usize,
    least_ms: f64,
    round: &mut Round,
) -> Result<()> {
    let _one_thread = threads::alone();
    let start = now_ms();
    let mut context = loop {
        // With breaths, so that it can be cancelled: a large model takes seconds.
        let context = arm.read_in_steps(prompt).await?;
        arm.device.finish().await?;
        round.prefills += 1.0;
        if now_ms() - start >= least_ms {
            break context;
        }
    };
    round.prefill_ms += now_ms() - start;
    let start = now_ms();
    arm.device.read(&arm.next_logits(&context)).await?;
    round.head_ms += now_ms() - start;
    round.heads += 1.0;
    decode(arm, &mut context, tokens, least_ms, round).await
}

async fn decode(
    arm: &Arm<'_>,
    context: &mut Context,
    tokens: usize,
    least_ms: f64,
    round: &mut Round,
) -> Result<()> {
    let mut rng = Rng::new(0);
    let mut done = 0;
    let start = now_ms();
    while done < tokens || now_ms() - start < least_ms {
        arm.pace.breathe().await?;
        let logits = arm.device.read(&arm.next_logits(context)).await?;
        arm.extend(context, &[choose(&logits, 0.0, &mut rng)])?;
        done += 1;
    }
    arm.device.finish().await?;
    round.tokens += done as f64;
    round.decode_ms += now_ms() - start;
    Ok(())
}

/// Median and quartiles (nearest rank).
fn middle(mut values: Vec<f64>) -> Estimate {
    sort_f64(&mut values);
    let n = values.len();
    Estimate { value: median(&values), low: values[n / 4], high: values[n - 1 - n / 4], n }
}

/// Of values in order: the one in the middle, or halfway between the two.
fn median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0
}

/// Median with the interval that holds the median of what is measured at least 95 % of the time, whatever its distribution:
/// as many values are left out at either end as Binomial(n, 1/2) allows. Below six values even the smallest and the largest
/// hold it less often: 94 % of five, 75 % of three.
///
/// Source: the order statistics' interval, David and Nagaraja 2003, Order Statistics, section 7.1.
pub fn median_interval(values: &[f64]) -> Estimate {
    let mut sorted = values.to_vec();
    sort_f64(&mut sorted);
    let n = sorted.len();
    // chance: that exactly `left_out` of the values lie below the median; below: that so many or fewer do.
    let (mut left_out, mut chance) = (0, 0.5f64.powi(n as i32));
    let mut below = chance;
    while 2 * (left_out + 1) < n {
        chance *= (n - left_out) as f64 / (left_out + 1) as f64;
        below += chance;
        if below > 0.025 {
            break;
        }
        left_out += 1;
    }
    Estimate { value: median(&sorted), low: sorted[left_out], high: sorted[n - 1 - left_out], n }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_disturbed_round_on_either_side_does_not_move_the_interval() {
        let calm: Vec<f64> = (0..10).map(|i| 0.992 + 0.002 * f64::from(i)).collect();
        let e = median_interval(&calm);
        assert_eq!((e.low, e.value, e.high), (calm[1], (calm[4] + calm[5]) / 2.0, calm[8]));
        let mut disturbed = calm.clone();
        (disturbed[0], disturbed[9]) = (0.2, 5.0);
        assert_eq!(median_interval(&disturbed), e);
        // As many as Binomial(n, 1/2) allows: the tables of the sign test.
        for (n, left_out) in
            [(1, 0), (3, 0), (5, 0), (6, 0), (8, 0), (9, 1), (11, 1), (12, 2), (25, 7), (100, 39)]
        {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            let e = median_interval(&values);
            assert_eq!((e.low, e.high), (f64::from(left_out), f64::from(n - 1 - left_out)), "{n}");
        }
    }

    #[test]
    fn the_interval_of_all_rounds_holds_the_median_of_a_crooked_distribution() {
        let mut rng = Rng::new(3);
        // e^x of a normal x: most rounds are calm, some are slow. Its median is 1.
        let holds = |rng: &mut Rng| {
            let rounds: Vec<f64> =
                rng.normals(ROUNDS, 0.2).iter().map(|x| f64::from(*x).exp()).collect();
            let e = median_interval(&rounds);
            e.low <= 1.0 && 1.0 <= e.high
        };
        let share = (0..2000).filter(|_| holds(&mut rng)).count() as f64 / 2000.0;
        // 1 - 22/1024 = 97.9 %; two standard errors among 2000 are 0.64 %.
        assert!((share - 0.979).abs() < 0.0065, "{share}");
    }

    #[test]
    fn whether_it_ends_early_or_not_the_interval_holds_the_median_95_times_of_100() {
        // How often rounds agree: calm, noisy, very noisy; and the worst case, two speeds that are each exact, so that those
        // that agree are those that miss.
        let normal = |noise: f64| move |x: f32| (noise * f64::from(x)).exp();
        let two = |x: f32| 1.0 + 0.1 * f64::from(x.signum()) + 1e-3 * f64::from(x);
        type Round<'a> = &'a dyn Fn(f32) -> f64;
        // The last two: the same noise leaves a ratio of 2 clear, and one near 1 not.
        let cases: [(Round<'_>, f64, f64, f64); 6] = [
            (&normal(0.01), 1.0, 0.99, 1.0),
            (&normal(0.03), 1.0, 0.3, 0.7),
            (&normal(0.2), 1.0, 0.0, 0.01),
            (&two, 1.0, 0.02, 0.045),
            (&normal(0.06), 2.0, 0.7, 1.0),
            (&normal(0.06), 1.0, 0.0, 0.1),
        ];
        for (i, (round, centre, least, most)) in cases.into_iter().enumerate() {
            let mut rng = Rng::new(4);
            let (mut held, mut few) = (0.0, 0.0);
            for _ in 0..4000 {
                let rounds: Vec<f64> =
                    rng.normals(ROUNDS, 1.0).into_iter().map(|x| centre * round(x)).collect();
                let first = median_interval(&rounds[..FEW_ROUNDS]);
                let e = if agree(&first) { first } else { median_interval(&rounds) };
                few += f64::from(u8::from(e.n == FEW_ROUNDS)) / 4000.0;
                held += f64::from(u8::from(e.low <= centre && centre <= e.high)) / 4000.0;
            }
            assert!((least..=most).contains(&few), "case {i}: {few} end early");
            assert!(held >= 0.95, "case {i}: {held}");
        }
    }
}
