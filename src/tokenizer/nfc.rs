//! Unicode normal form C: decompose, order the marks by class, compose. Source: UAX #15.
//!
//! Built on the crate's per-character functions, since its iterator brings the compatibility tables
//! into the wasm (docs/tokenizer-size.md).

use std::borrow::Cow;

use unicode_normalization::char::{canonical_combining_class, compose, decompose_canonical};

pub(super) fn nfc(text: &str) -> Cow<'_, str> {
    // Below U+0300 every character is its own normal form and combines with none before it.
    if text.chars().all(|c| c < '\u{300}') {
        return Cow::Borrowed(text);
    }
    let mut decomposed = Vec::with_capacity(text.len());
    for c in text.chars() {
        decompose_canonical(c, |part| decomposed.push((canonical_combining_class(part), part)));
    }
    for marks in decomposed.split_mut(|(class, _)| *class == 0) {
        marks.sort_by_key(|(class, _)| *class);
    }
    Cow::Owned(composed(&decomposed))
}

/// Joins each character with the last starter, unless a mark of the same or a higher class is between.
fn composed(decomposed: &[(u8, char)]) -> String {
    let mut out: Vec<char> = Vec::with_capacity(decomposed.len());
    let mut starter = None;
    let mut between = None; // class of the last character kept behind the starter
    for &(class, c) in decomposed {
        let blocked = between.is_some_and(|last| last >= class);
        let whole = starter.filter(|_| !blocked).and_then(|at: usize| compose(out[at], c));
        if let (Some(at), Some(whole)) = (starter, whole) {
            out[at] = whole;
            continue;
        }
        if class == 0 {
            starter = Some(out.len());
            between = None;
        } else {
            between = Some(class);
        }
        out.push(c);
    }
    out.into_iter().collect()
}
