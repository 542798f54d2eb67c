//! What became of every item on both arms, for whoever wants to look at single ones.

use super::compare::Comparison;
use super::score::Score;
use crate::bundle::sha256_hex;
use crate::tokenizer::Tokenizer;
use serde::Serialize;
use std::fmt::Write;

/// One item on both arms.
#[derive(Debug, Clone, Serialize)]
pub struct ItemResult {
    /// FILE:LINE, or FILE:WINDOW
    pub item: String,
    /// First 16 hex digits of the sha256 of the context, as text.
    pub prompt_hash: String,
    /// Length of the context before any reduction.
    pub context_tokens: usize,
    /// What the dense arm scored.
    pub baseline: Score,
    /// What the other arm scored, on the same item.
    pub compressed: Score,
}

/// Every item that both arms have scored, in the order of the data.
pub fn results(comparison: &Comparison<'_>, tokenizer: &Tokenizer) -> Vec<ItemResult> {
    let of = |i: usize| {
        let item = comparison.task.item(i);
        let [baseline, compressed] = [0, 1].map(|side| comparison.sheets[side].score(i));
        let prompt = tokenizer.decode_bytes(item.context());
        Some(ItemResult {
            item: item.id(),
            prompt_hash: sha256_hex(&prompt)[..16].to_string(),
            context_tokens: item.context().len(),
            baseline: baseline?.clone(),
            compressed: compressed?.clone(),
        })
    };
    (0..comparison.task.len()).filter_map(of).collect()
}

/// One JSON object a line.
pub fn jsonl(results: &[ItemResult]) -> String {
    let line = |r| serde_json::to_string(r).expect("numbers and strings serialise") + "\n";
    results.iter().map(line).collect()
}

/// Comma-separated values, two lines an item. Lists have their elements between semicolons; what a kind of item does not
/// have is empty.
pub fn csv(results: &[ItemResult]) -> String {
    let mut out = String::from(
        "item,prompt_hash,context_tokens,side,kind,log_likelihoods,bytes,tokens,words,chosen,label,right\n",
    );
    for r in results {
        for (side, score) in [("baseline", &r.baseline), ("compressed", &r.compressed)] {
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{},{},{},{side},{}",
                quoted(&r.item),
                r.prompt_hash,
                r.context_tokens,
                columns(score)
            );
        }
    }
    out
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}

fn columns(score: &Score) -> String {
    let list = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(";");
    match score {
        Score::Choice { nats, bytes, chosen, label, .. } => {
            let nats = list(&mut nats.iter().map(|x| (-x).to_string()));
            let bytes = list(&mut bytes.iter().map(usize::to_string));
            format!("choice,{nats},{bytes},,,{chosen},{label},{}", chosen == label)
        }
        Score::Span { nats, tokens, bytes, .. } => format!("span,{},{bytes},{tokens},,,,", -nats),
        Score::Document { nats, words, bytes } => format!("document,{},{bytes},,{words},,,", -nats),
        Score::Answer { nats, tokens, bytes, right } => {
            format!("answer,{},{bytes},{tokens},,,,{right}", -nats)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_every_column() {
        let choice = Score::Choice {
            nats: vec![1.5, 2.0],
            prior: vec![],
            bytes: vec![3, 4],
            chars: vec![3, 4],
            chosen: 0,
            label: 1,
        };
        let span = Score::Span { nats: 1.0, prior: None, tokens: 2, bytes: 7.5 };
        let document = Score::Document { nats: 1.0, words: 2, bytes: 7 };
        let answer = Score::Answer { nats: 0.5, tokens: 1, bytes: 4, right: true };
        let result = |score: &Score| ItemResult {
            item: "a,b.jsonl:3".into(),
            prompt_hash: "00".into(),
            context_tokens: 5,
            baseline: score.clone(),
            compressed: score.clone(),
        };
        let text = csv(&[result(&choice), result(&span), result(&answer), result(&document)]);
        assert_eq!(text.lines().count(), 9);
        for line in text.lines().skip(1) {
            assert!(line.starts_with("\"a,b.jsonl:3\","), "{line}");
            assert_eq!(
                line.matches(',').count(),
                1 + text.lines().next().unwrap().matches(',').count()
            );
        }
        assert!(text.contains("choice,-1.5;-2,3;4,,,0,1,false"), "{text}");
    }
}
