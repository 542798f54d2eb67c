//! Text to token ids and back, as tokenizer.json of a published Hugging Face model says.
//!
//! Implemented: byte-level BPE (GPT-2, GPT-NeoX, SmolLM2, Llama 3, Qwen 2, OPT and their like), BPE over characters with
//! bytes for those it does not know, as converted from SentencePiece (Llama 2, TinyLlama, Mistral), and whole words between
//! white space. Any other component is an error naming it, never an approximation.
//! `encode` is HF's `encode(text, add_special_tokens=False)`, without truncation or padding; what its template puts before
//! a text is `prefix`.
//! Source: huggingface/tokenizers 0.23, against which tests/tokenizer.rs compares.

mod added;
mod bpe;
mod classes;
mod components;
mod json;
mod nfc;
mod parts;
mod split;

use std::collections::HashMap;
use std::ops::Range;

use added::{Added, Piece};
use parts::{Decoding, Normalizer, Place, Scheme};
use split::{Behavior, Split};

use crate::error::{Error, Result};

/// tokenizer.json, checked and ready: text to ids and back, as the tokenizers library does it.
pub struct Tokenizer {
    /// Found in the text as it is.
    raw_added: Added,
    /// Found in the text after normalisation.
    normalized_added: Added,
    normalizer: Normalizer,
    steps: Vec<Step>,
    model: Model,
    decoding: Decoding,
    /// What the template puts before a text.
    prefix: Vec<u32>,
    /// What each id stands for; `None` where the file leaves a hole. // [vocab_size]
    bytes: Vec<Option<Box<[u8]>>>,
}

/// One step of cutting text into words.
enum Step {
    Split(Split),
    /// A space goes before whatever has none.
    PrefixSpace,
    /// Cuts at every place where a string stands.
    Literal {
        pattern: String,
        behavior: Behavior,
    },
    /// Spaces become this character, which also goes before a text, or before each of its pieces.
    Metaspace {
        replacement: char,
        scheme: Scheme,
    },
}

enum Model {
    Bpe(Bpe),
    Words { ids: HashMap<String, u32>, unk: Option<u32> },
}

struct Bpe {
    symbols: Symbols,
    merges: bpe::Merges,
    unk: Option<u32>,
    /// Consecutive unknown symbols make one `unk`.
    fuse_unk: bool,
    /// Words that are tokens are taken whole, whatever the merges say.
    whole: Option<HashMap<Box<[u8]>, u32>>,
}

/// What a word is made of before anything is merged. What has no token is `unk`, or dropped without `unk`.
enum Symbols {
    /// The token of each byte. // [256]
    Bytes(Vec<Option<u32>>),
    /// The token of each character; one without is written as its bytes, where all of them have a token. // bytes: [256]
    Chars { ids: HashMap<char, u32>, bytes: Option<Vec<Option<u32>>> },
}

impl Tokenizer {
    /// Parses the bytes of tokenizer.json.
    ///
    /// # Errors
    /// `Error::File` naming the component found and those implemented.
    pub fn parse(tokenizer_json: &[u8]) -> Result<Self> {
        json::parse(tokenizer_json)
    }

    /// Token ids of a text; added tokens in it (such as `<|endoftext|>`) are recognised.
    ///
    /// # Errors
    /// `Error::Input` for a word that is not in a vocabulary without an unknown token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_at(text, Place::Start)
    }

    /// Token ids of a text that goes on from another one: no stand-in for a space goes before it, where the tokenizer
    /// puts one before every text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_continued(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_at(text, Place::Continued)
    }

    fn encode_at(&self, text: &str, place: Place) -> Result<Vec<u32>> {
        let mut out = Encoding { ids: Vec::with_capacity(text.len() / 3), ..Encoding::default() };
        self.raw_added.each(text, &mut |piece| match piece {
            Piece::Token(id) => out.ids.push(id),
            Piece::Text(piece) => {
                let place = place.of_part(piece, text);
                self.encode_normalized(&self.normalizer.apply(piece, place), place, &mut out);
            }
        });
        out.problem.map_or(Ok(out.ids), Err)
    }

    /// The tokens that the tokenizer's template puts before a text, such as begin-of-text; often none.
    pub fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    /// What stands for a word that is not in a vocabulary of whole words.
    pub fn unknown(&self) -> Option<u32> {
        match self.model {
            Model::Words { unk, .. } => unk,
            Model::Bpe(_) => None,
        }
    }

    fn encode_normalized(&self, text: &str, place: Place, out: &mut Encoding) {
        self.normalized_added.each(text, &mut |piece| match piece {
            Piece::Token(id) => out.ids.push(id),
            Piece::Text(piece) => self.split(&self.steps, piece, place.of_part(piece, text), out),
        });
    }

    /// Applies the first of `steps` and the others to each of its words, then the model.
    fn split(&self, steps: &[Step], text: &str, place: Place, out: &mut Encoding) {
        let Some((step, rest)) = steps.split_first() else {
            return self.encode_word(text, out);
        };
        let mut word = |word: &str| self.split(rest, word, place.of_part(word, text), out);
        match step {
            Step::Split(split) => split.each(text, &mut word),
            Step::Literal { pattern, behavior } => behavior.each(pattern, text, &mut word),
            Step::PrefixSpace if !text.starts_with(' ') => {
                self.split(rest, &format!(" {text}"), place, out);
            }
            Step::PrefixSpace => word(text),
            Step::Metaspace { replacement, scheme } => {
                let text = scheme.apply(text, *replacement, place);
                self.split(rest, &text, place, out);
            }
        }
    }

    fn encode_word(&self, word: &str, out: &mut Encoding) {
        match &self.model {
            Model::Bpe(bpe) => out.word(word, |word, ids| bpe.encode(word, ids)),
            Model::Words { ids, unk } => match ids.get(word).copied().or(*unk) {
                Some(id) => out.ids.push(id),
                None => {
                    let expected = "a word of the vocabulary (this one has no unknown token)";
                    out.problem.get_or_insert(Error::input("text", word, expected));
                }
            },
        }
    }

    /// The bytes of some tokens. Those of a longer list begin with those of the shorter one, so that
    /// text can be shown as it grows. Ids without a token are passed over.
    pub fn decode_bytes(&self, ids: &[u32]) -> Vec<u8> {
        let tokens =
            ids.iter().filter_map(|&id| Some((id, self.bytes.get(id as usize)?.as_deref()?)));
        self.decoding.bytes(tokens)
    }

    /// The text of some tokens, added ones included; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        match self.decoding.is_mended() {
            true => String::from_utf8_lossy(&self.mended(ids)).into_owned(),
            false => String::from_utf8_lossy(&self.decode_bytes(ids)).into_owned(),
        }
    }

    /// The same without what may still change when more tokens follow, such as half a character: for text that is shown
    /// as it grows.
    pub fn decode_whole(&self, ids: &[u32]) -> String {
        let ids = &ids[..ids.len() - self.decoding.open_end(ids)];
        if self.decoding.is_mended() {
            return self.decode(ids);
        }
        let bytes = self.decode_bytes(ids);
        let last = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
        let whole = bytes.len() - if is_beginning(last) { last.len() } else { 0 };
        String::from_utf8_lossy(&bytes[..whole]).into_owned()
    }

    /// The bytes of some tokens where a run of single bytes that is no text stands as one U+FFFD for each.
    fn mended(&self, ids: &[u32]) -> Vec<u8> {
        let tokens =
            ids.iter().filter_map(|&id| Some((id, self.bytes.get(id as usize)?.as_deref()?)));
        self.decoding.mended(tokens)
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.bytes.len()
    }
}

/// Whether more bytes could make a character of these, which are none by themselves.
fn is_beginning(invalid: &[u8]) -> bool {
    std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none())
}

/// Ids of a text so far.
#[derive(Default)]
struct Encoding {
    ids: Vec<u32>,
    /// The first word that could not be encoded.
    problem: Option<Error>,
    /// Where the ids of the words stand that were met: most words of a text are among its few hundred common ones.
    met: HashMap<Box<str>, Range<usize>>,
}

/// Bytes of the longest word that is remembered.
const LONGEST_MET: usize = 32;

impl Encoding {
    /// Adds the ids of a word: those it got before, or those that `encode` adds.
    fn word(&mut self, word: &str, encode: impl Fn(&str, &mut Vec<u32>)) {
        if let Some(before) = self.met.get(word) {
            return self.ids.extend_from_within(before.clone());
        }
        let start = self.ids.len();
        encode(word, &mut self.ids);
        if word.len() <= LONGEST_MET {
            self.met.insert(word.into(), start..self.ids.len());
        }
    }
}

impl Bpe {
    fn encode(&self, word: &str, out: &mut Vec<u32>) {
        if let Some(&id) = self.whole.as_ref().and_then(|whole| whole.get(word.as_bytes())) {
            return out.push(id);
        }
        let mut ids = Vec::with_capacity(word.len());
        match &self.symbols {
            Symbols::Bytes(byte_ids) => self.of_bytes(word.as_bytes(), byte_ids, &mut ids),
            Symbols::Chars { ids: known, bytes } => {
                self.of_chars(word, known, bytes.as_deref(), &mut ids);
            }
        }
        bpe::merge(&ids, &self.merges, out);
    }

    fn of_bytes(&self, word: &[u8], byte_ids: &[Option<u32>], out: &mut Vec<u32>) {
        let mut after_unknown = false;
        for &byte in word {
            let known = byte_ids[usize::from(byte)];
            let repeated = known.is_none() && after_unknown && self.fuse_unk;
            out.extend(known.or(self.unk).filter(|_| !repeated));
            after_unknown = known.is_none();
        }
    }

    /// In HF an unknown character waits for the next known one, and bytes written meanwhile go before it.
    fn of_chars(
        &self,
        word: &str,
        known: &HashMap<char, u32>,
        bytes: Option<&[Option<u32>]>,
        out: &mut Vec<u32>,
    ) {
        let mut waiting = None;
        for c in word.chars() {
            if let Some(&id) = known.get(&c) {
                out.extend(waiting.take());
                out.push(id);
                continue;
            }
            let mut buffer = [0; 4];
            let as_bytes: Option<Vec<u32>> = bytes.and_then(|ids| {
                c.encode_utf8(&mut buffer).bytes().map(|byte| ids[usize::from(byte)]).collect()
            });
            match as_bytes {
                Some(ids) => out.extend(ids),
                None if waiting.is_some() && self.fuse_unk => {}
                None => {
                    out.extend(waiting.take());
                    waiting = self.unk;
                }
            }
        }
        out.extend(waiting);
    }
}
