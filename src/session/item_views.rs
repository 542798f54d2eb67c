//! What became of every item, for people to read.

use super::insight::ItemView;
use crate::eval::Comparison;
use crate::tokenizer::Tokenizer;

/// Characters of a context's end, and of an option's beginning, that are shown.
const CONTEXT: usize = 240;
const OPTION: usize = 80;

/// Every item that both arms have scored, in the order of the data.
pub(super) fn item_views(comparison: &Comparison<'_>, tokenizer: &Tokenizer) -> Vec<ItemView> {
    let of = |i: usize| {
        let item = comparison.task.item(i);
        let [baseline, compressed] = [0, 1].map(|side| comparison.sheets[side].score(i).cloned());
        let read = [item.context(), item.query()].concat();
        Some(ItemView {
            item: item.id(),
            context: end(&tokenizer.decode(&read), CONTEXT),
            options: item.options().iter().map(|ids| beginning(&tokenizer.decode(ids))).collect(),
            baseline: baseline?,
            compressed: compressed?,
        })
    };
    (0..comparison.task.len()).filter_map(of).collect()
}

fn end(text: &str, most: usize) -> String {
    match text.char_indices().rev().nth(most - 1) {
        Some((at, _)) if at > 0 => format!("…{}", &text[at..]),
        _ => text.to_string(),
    }
}

fn beginning(text: &str) -> String {
    match text.char_indices().nth(OPTION) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(end("größer", 4), "…ößer");
        assert_eq!(end("größer", 6), "größer");
        assert_eq!(beginning(&"ß".repeat(81)), format!("{}…", "ß".repeat(80)));
        assert_eq!(beginning("kurz"), "kurz");
    }
}
