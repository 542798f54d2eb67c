//! A reduction's trace, token by token: the picture that the page draws.

use super::protocol::{Fate, TraceToken, TraceView};
use crate::order;
use crate::reduce::LayerTrace;
use crate::tokenizer::Tokenizer;

/// More tokens than this are no picture any more.
const MAX_TOKENS: usize = 256;

/// What became of every token of a prompt; `None` where nothing went.
pub(super) fn view(ids: &[u32], layers: &[LayerTrace], tokenizer: &Tokenizer) -> Option<TraceView> {
    if layers.is_empty() {
        return None;
    }
    let mut fates = vec![Vec::with_capacity(layers.len()); ids.len()];
    for layer in layers {
        put(layer, &mut fates);
    }
    let left_out = ids.len().saturating_sub(MAX_TOKENS);
    let tokens = ids.iter().zip(fates).enumerate().skip(left_out);
    let tokens = tokens.map(|(position, (&id, fates))| {
        let text = tokenizer.decode(&[id]);
        TraceToken { position, text, fates }
    });
    let tokens = tokens.collect();
    Some(TraceView { layers: layers.iter().map(|l| l.layer).collect(), tokens, left_out })
}

/// Adds one fate to every token.
fn put(layer: &LayerTrace, fates: &mut [Vec<Fate>]) {
    let left = layer.pruned.iter().copied().chain(layer.merged.iter().map(|m| m.source));
    let mut entered: Vec<u64> = layer.kept.iter().copied().chain(left).map(u64::from).collect();
    order::sort(&mut entered);
    // Scores stand in the order of the positions that entered. A NaN has no place in JSON.
    let score = |position: u32| {
        let row = entered.binary_search(&u64::from(position)).ok()?;
        layer.scores.get(row).copied().filter(|s| s.is_finite())
    };
    let mut now = vec![Fate::Gone; fates.len()];
    for &t in &layer.kept {
        now[t as usize] = Fate::Kept { score: score(t) };
    }
    for &t in &layer.pruned {
        now[t as usize] = Fate::Pruned { score: score(t) };
    }
    for m in &layer.merged {
        let (into, hidden, residual) = (m.target, m.hidden, m.residual);
        now[m.source as usize] = Fate::Merged { into, hidden, residual, score: score(m.source) };
    }
    fates.iter_mut().zip(now).for_each(|(fates, fate)| fates.push(fate));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reduce::Merge;

    #[test]
    fn every_token_has_one_fate_a_layer() {
        let merged = vec![Merge { source: 2, target: 0, hidden: false, residual: true }];
        let first = LayerTrace {
            layer: 3,
            scores: vec![4.0, 5.0, 6.0, f32::NAN],
            kept: vec![0, 3],
            pruned: vec![1],
            merged,
        };
        let second =
            LayerTrace { layer: 5, scores: vec![], kept: vec![3], pruned: vec![0], merged: vec![] };
        let mut fates = vec![Vec::new(); 4];
        put(&first, &mut fates);
        put(&second, &mut fates);
        let kept = |score| Fate::Kept { score };
        let folded = Fate::Merged { into: 0, hidden: false, residual: true, score: Some(6.0) };
        assert_eq!(fates[0], [kept(Some(4.0)), Fate::Pruned { score: None }]);
        assert_eq!(fates[1], [Fate::Pruned { score: Some(5.0) }, Fate::Gone]);
        assert_eq!(fates[2], [folded, Fate::Gone]);
        assert_eq!(fates[3], [kept(None), kept(None)]);
    }
}
