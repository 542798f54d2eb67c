//! Token by token: what the two models think of the prompt and of what each of them wrote.

use super::insight::{PromptToken, WordsView, WrittenToken};
use super::protocol::Side;
use crate::Result;
use crate::eval::{Arm, Context};
use crate::pace::Pace;
use crate::reduce::LayerTrace;
use crate::tokenizer::Tokenizer;

/// More tokens of a prompt than this are no picture any more.
const MAX_TOKENS: usize = 256;

/// A prompt, what the two arms wrote after it, and what the second one's reduction did to the prompt (nothing without one).
pub(super) struct Written<'a> {
    pub prompt: &'a [u32],
    pub by: [&'a [u32]; 2],
    pub layers: &'a [LayerTrace],
}

/// Asks both arms of every token. Under a reduction the prompt is a context, whose tokens nobody predicts; without one it is
/// predicted from its second token on.
pub(super) async fn view(
    arms: [&Arm<'_>; 2],
    written: &Written<'_>,
    tokenizer: &Tokenizer,
    pace: &Pace,
) -> Result<WordsView> {
    let Written { prompt, by, layers } = *written;
    let predicts = arms[1].reduction.is_none() && prompt.len() > 1;
    let (mut of_prompt, mut of_written) = (Vec::new(), Vec::new());
    for arm in arms {
        of_prompt.push(if predicts {
            costs(arm, &arm.read_in_steps(&prompt[..1]).await?, &prompt[1..]).await?
        } else {
            vec![]
        });
        pace.breathe().await?;
        let (read, mut both) = (arm.read_in_steps(prompt).await?, Vec::new());
        for ids in by {
            both.push(costs(arm, &read, ids).await?);
            pace.breathe().await?;
        }
        of_written.push(both);
    }
    let left_out = prompt.len().saturating_sub(MAX_TOKENS);
    let token = |(i, id): (usize, &u32)| PromptToken {
        text: tokenizer.decode(&[*id]),
        went_after: went_after(layers, i as u32),
        baseline: i.checked_sub(1).and_then(|at| finite(&of_prompt[0], at)),
        compressed: i.checked_sub(1).and_then(|at| finite(&of_prompt[1], at)),
    };
    let side = |which: usize| {
        let token = |(i, id): (usize, &u32)| WrittenToken {
            text: tokenizer.decode(&[*id]),
            baseline: finite(&of_written[0][which], i),
            compressed: finite(&of_written[1][which], i),
        };
        by[which].iter().enumerate().map(token).collect()
    };
    Ok(WordsView {
        left_out,
        prompt: prompt.iter().enumerate().skip(left_out).map(token).collect(),
        baseline: side(0),
        compressed: side(1),
    })
}

/// -log p of `ids` after a context, in nats.
async fn costs(arm: &Arm<'_>, context: &Context, ids: &[u32]) -> Result<Vec<f32>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let values = arm.device.read(&arm.nll(context, ids).await?).await?;
    Ok(values.chunks_exact(2).map(|pair| pair[0]).collect())
}

fn finite(costs: &[f32], at: usize) -> Option<f32> {
    costs.get(at).copied().filter(|x| x.is_finite())
}

fn went_after(layers: &[LayerTrace], position: u32) -> Option<usize> {
    let goes = |l: &&LayerTrace| {
        l.pruned.contains(&position) || l.merged.iter().any(|m| m.source == position)
    };
    layers.iter().find(goes).map(|l| l.layer)
}

/// Characters that agree, where the texts part within what the shorter one says so far.
pub(super) fn first_difference(a: &Side, b: &Side) -> Option<usize> {
    let (mut x, mut y) = (a.text.chars(), b.text.chars());
    let mut count = 0;
    loop {
        match (x.next(), y.next()) {
            (Some(p), Some(q)) if p == q => count += 1,
            (Some(_), Some(_)) => return Some(count),
            // One is a beginning of the other: they part only if the shorter one has ended.
            (Some(_), None) if b.done => return Some(count),
            (None, Some(_)) if a.done => return Some(count),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reduce::Merge;

    #[test]
    fn a_token_went_after_the_layer_that_dropped_or_folded_it() {
        let layer = |layer, pruned: Vec<u32>, merged: Vec<u32>| LayerTrace {
            layer,
            scores: vec![],
            kept: vec![0],
            pruned,
            merged: merged
                .into_iter()
                .map(|source| Merge { source, target: 0, hidden: true, residual: true })
                .collect(),
        };
        let layers = [layer(2, vec![1], vec![3]), layer(4, vec![2], vec![])];
        let went: Vec<_> = (0..4).map(|i| went_after(&layers, i)).collect();
        assert_eq!(went, [None, Some(2), Some(4), Some(2)]);
        assert_eq!(finite(&[0.5, f32::NAN], 1), None);
        assert_eq!(finite(&[0.5], 0), Some(0.5));
    }
}
