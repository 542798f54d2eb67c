//! Unicode normal form C: decompose, order the marks by class, compose. Source: UAX #15.
//!
//! Natively built on the crate's per-character functions, at the Unicode version that Hugging Face's tokenizers
//! use. In a browser the platform does it: the tables would cost 31 kB of the wasm (docs/tokenizer-size.md). The two
//! can differ only in characters that came after that version: the form of an older one never changes (UAX #15,
//! stability policy).

use std::borrow::Cow;

pub(super) fn nfc(text: &str) -> Cow<'_, str> {
    // Below U+0300 every character is its own normal form and combines with none before it.
    if text.chars().all(|c| c < '\u{300}') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(platform::nfc(text))
}

#[cfg(target_arch = "wasm32")]
mod platform {
    pub fn nfc(text: &str) -> String {
        js_sys::JsString::from(text).normalize("NFC").into()
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod platform {
    use unicode_normalization::char::{canonical_combining_class, compose, decompose_canonical};

    pub fn nfc(text: &str) -> String {
        let mut decomposed = Vec::with_capacity(text.len());
        for c in text.chars() {
            decompose_canonical(c, |part| decomposed.push((canonical_combining_class(part), part)));
        }
        for marks in decomposed.split_mut(|(class, _)| *class == 0) {
            marks.sort_by_key(|(class, _)| *class);
        }
        composed(&decomposed)
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
}
