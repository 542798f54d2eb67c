//! What stands before and behind the model of a tokenizer: normalisation of a text, the stand-in for a space, and how
//! tokens become text again. The readers of their JSON are in `json`.

use super::nfc;
use std::borrow::Cow;
use std::collections::HashMap;

pub(super) const FILE: &str = "tokenizer.json";
pub(super) const MAX_VOCAB: u32 = 1_000_000;
/// Each step is a level of recursion.
pub(super) const MAX_STEPS: usize = 16;

/// Steps that change a text before it is cut.
#[derive(Default)]
pub(super) struct Normalizer(pub Vec<Norm>);

pub(super) enum Norm {
    Nfc,
    /// Before a text that is not empty.
    Prepend(String),
    /// One string for another, everywhere.
    Replace(String, String),
}

impl Normalizer {
    pub fn apply<'a>(&self, text: &'a str, place: Place) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for norm in &self.0 {
            let changed = match norm {
                Norm::Nfc => match nfc::nfc(&text) {
                    Cow::Owned(changed) => changed,
                    Cow::Borrowed(_) => continue,
                },
                Norm::Prepend(_) if text.is_empty() || place == Place::Continued => continue,
                Norm::Prepend(front) => format!("{front}{text}"),
                Norm::Replace(from, to) if text.contains(from.as_str()) => {
                    text.replace(from.as_str(), to)
                }
                Norm::Replace(..) => continue,
            };
            text = Cow::Owned(changed);
        }
        text
    }
}

/// Where a piece of text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At the beginning of a text.
    Start,
    /// Behind an added token or another piece.
    Piece,
    /// Behind a text that was encoded by itself, which it goes on from.
    Continued,
}

impl Place {
    /// Of a part of a piece at this place.
    pub fn of_part(self, part: &str, whole: &str) -> Place {
        match std::ptr::eq(part.as_ptr(), whole.as_ptr()) {
            true => self,
            false => Place::Piece,
        }
    }
}

/// Where the stand-in for a space goes although no space is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Before each piece between added tokens.
    Always,
    /// Before the text.
    First,
    Never,
}

impl Scheme {
    pub fn apply(self, text: &str, replacement: char, place: Place) -> String {
        let text = text.replace(' ', replacement.encode_utf8(&mut [0; 4]));
        let wanted = match self {
            Self::Always => place != Place::Continued,
            Self::First => place == Place::Start,
            Self::Never => false,
        };
        match wanted && !text.starts_with(replacement) {
            true => format!("{replacement}{text}"),
            false => text,
        }
    }
}

/// How tokens become text.
pub(super) enum Decoding {
    /// Their bytes, with this between them.
    Plain { separator: &'static [u8] },
    /// Their text, with one string put for another.
    Pieces(Pieces),
}

#[derive(Default)]
pub(super) struct Pieces {
    /// What is put for what; nothing for an empty string.
    pub replace: (String, String),
    /// Tokens that stand for one byte.
    pub bytes: HashMap<u32, u8>,
    /// One leading space goes.
    pub strips: bool,
    /// The first token loses every stand-in for a space.
    pub first: Option<char>,
}

impl Decoding {
    /// Bytes of (id, bytes of the token).
    pub fn bytes<'a>(&self, tokens: impl Iterator<Item = (u32, &'a [u8])>) -> Vec<u8> {
        let mut out = Vec::new();
        for (i, (id, token)) in tokens.enumerate() {
            match self {
                Self::Plain { separator } => {
                    out.extend_from_slice(if i > 0 { separator } else { b"" });
                    out.extend_from_slice(token);
                }
                Self::Pieces(pieces) => match pieces.bytes.get(&id) {
                    Some(byte) => out.push(*byte),
                    None => out.extend(pieces.text(token, i == 0).bytes()),
                },
            }
        }
        self.stripped(out)
    }

    /// Whether single bytes are mended run by run.
    pub fn is_mended(&self) -> bool {
        matches!(self, Self::Pieces(pieces) if !pieces.bytes.is_empty())
    }

    /// Tokens at the end whose text depends on what follows: a run of single bytes.
    pub fn open_end(&self, ids: &[u32]) -> usize {
        match self {
            Self::Pieces(pieces) => {
                ids.iter().rev().take_while(|id| pieces.bytes.contains_key(id)).count()
            }
            Self::Plain { .. } => 0,
        }
    }

    /// Bytes of (id, bytes of the token), each run of single bytes that is not UTF-8 as one U+FFFD a byte.
    pub fn mended<'a>(&self, tokens: impl Iterator<Item = (u32, &'a [u8])>) -> Vec<u8> {
        let Self::Pieces(pieces) = self else { return self.bytes(tokens) };
        let (mut out, mut run) = (Vec::new(), Vec::new());
        let end = |out: &mut Vec<u8>, run: &mut Vec<u8>| {
            match std::str::from_utf8(run) {
                Ok(_) => out.append(run),
                Err(_) => run.iter().for_each(|_| out.extend("\u{fffd}".bytes())),
            }
            run.clear();
        };
        for (i, (id, token)) in tokens.enumerate() {
            match pieces.bytes.get(&id) {
                Some(byte) => run.push(*byte),
                None => {
                    end(&mut out, &mut run);
                    out.extend(pieces.text(token, i == 0).bytes());
                }
            }
        }
        end(&mut out, &mut run);
        self.stripped(out)
    }

    fn stripped(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if matches!(self, Self::Pieces(pieces) if pieces.strips) && bytes.first() == Some(&b' ') {
            bytes.remove(0);
        }
        bytes
    }
}

impl Pieces {
    /// A token's text; the first one's without the stand-in where it was put there.
    fn text(&self, token: &[u8], is_first: bool) -> String {
        let text = String::from_utf8_lossy(token);
        let (from, to) = &self.replace;
        match self.first.filter(|_| is_first) {
            Some(first) => text.replace(first, ""),
            None if from.is_empty() => text.into_owned(),
            None => text.replace(from.as_str(), to),
        }
    }
}
