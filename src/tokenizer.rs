//! Text to token ids and back, as tokenizer.json of a published Hugging Face model says.
//!
//! Implemented: byte-level BPE (GPT-2, GPT-NeoX, SmolLM2, Llama 3, Qwen 2 and their like) and whole
//! words between white space. Any other component is an error naming it, never an approximation.
//! `encode` is HF's `encode(text, add_special_tokens=False)`, without truncation or padding.
//! Source: huggingface/tokenizers 0.23, against which tests/tokenizer.rs compares.

mod added;
mod bpe;
mod classes;
mod json;
mod nfc;
mod split;

use std::collections::HashMap;
use std::ops::Range;

use added::{Added, Piece};
use split::Split;

use crate::error::{Error, Result};

pub struct Tokenizer {
    /// Found in the text as it is.
    raw_added: Added,
    /// Found in the text after normalisation.
    normalized_added: Added,
    nfc: bool,
    steps: Vec<Step>,
    model: Model,
    /// What each id stands for; `None` where the file leaves a hole. // [vocab_size]
    bytes: Vec<Option<Box<[u8]>>>,
    /// Put between tokens when decoding: nothing, or a space for whole words.
    separator: &'static [u8],
}

/// One step of cutting text into words.
enum Step {
    Split(Split),
    /// A space goes before whatever has none.
    PrefixSpace,
}

enum Model {
    Bpe(Bpe),
    Words { ids: HashMap<String, u32>, unk: Option<u32> },
}

struct Bpe {
    /// The token of each byte; a byte without one is `unk`, or dropped without `unk`. // [256]
    byte_ids: Vec<Option<u32>>,
    merges: bpe::Merges,
    unk: Option<u32>,
    /// Consecutive unknown bytes make one `unk`.
    fuse_unk: bool,
    /// Words that are tokens are taken whole, whatever the merges say.
    whole: Option<HashMap<Box<[u8]>, u32>>,
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
        let mut out = Encoding { ids: Vec::with_capacity(text.len() / 3), ..Encoding::default() };
        self.raw_added.each(text, &mut |piece| match piece {
            Piece::Token(id) => out.ids.push(id),
            Piece::Text(text) if self.nfc => self.encode_normalized(&nfc::nfc(text), &mut out),
            Piece::Text(text) => self.encode_normalized(text, &mut out),
        });
        out.problem.map_or(Ok(out.ids), Err)
    }

    /// What stands for a word that is not in a vocabulary of whole words.
    pub fn unknown(&self) -> Option<u32> {
        match self.model {
            Model::Words { unk, .. } => unk,
            Model::Bpe(_) => None,
        }
    }

    fn encode_normalized(&self, text: &str, out: &mut Encoding) {
        self.normalized_added.each(text, &mut |piece| match piece {
            Piece::Token(id) => out.ids.push(id),
            Piece::Text(text) => self.split(&self.steps, text, out),
        });
    }

    /// Applies the first of `steps` and the others to each of its words, then the model.
    fn split(&self, steps: &[Step], text: &str, out: &mut Encoding) {
        match steps.split_first() {
            None => self.encode_word(text, out),
            Some((Step::Split(split), rest)) => {
                split.each(text, &mut |word| self.split(rest, word, out));
            }
            Some((Step::PrefixSpace, rest)) if !text.starts_with(' ') => {
                self.split(rest, &format!(" {text}"), out);
            }
            Some((Step::PrefixSpace, rest)) => self.split(rest, text, out),
        }
    }

    fn encode_word(&self, word: &str, out: &mut Encoding) {
        match &self.model {
            Model::Bpe(bpe) => out.word(word.as_bytes(), |word, ids| bpe.encode(word, ids)),
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
        let tokens = ids.iter().filter_map(|&id| self.bytes.get(id as usize)?.as_deref());
        let mut out = Vec::new();
        for (i, token) in tokens.enumerate() {
            if i > 0 {
                out.extend_from_slice(self.separator);
            }
            out.extend_from_slice(token);
        }
        out
    }

    /// The text of some tokens, added ones included; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        String::from_utf8_lossy(&self.decode_bytes(ids)).into_owned()
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.bytes.len()
    }
}

/// Ids of a text so far.
#[derive(Default)]
struct Encoding {
    ids: Vec<u32>,
    /// The first word that could not be encoded.
    problem: Option<Error>,
    /// Where the ids of the words stand that were met: most words of a text are among its few hundred common ones.
    met: HashMap<Box<[u8]>, Range<usize>>,
}

/// Bytes of the longest word that is remembered.
const LONGEST_MET: usize = 32;

impl Encoding {
    /// Adds the ids of a word: those it got before, or those that `encode` adds.
    fn word(&mut self, word: &[u8], encode: impl Fn(&[u8], &mut Vec<u32>)) {
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
    fn encode(&self, word: &[u8], out: &mut Vec<u32>) {
        if let Some(&id) = self.whole.as_ref().and_then(|whole| whole.get(word)) {
            return out.push(id);
        }
        let mut ids = Vec::with_capacity(word.len());
        let mut after_unknown = false;
        for &byte in word {
            let known = self.byte_ids[usize::from(byte)];
            let repeated = known.is_none() && after_unknown && self.fuse_unk;
            ids.extend(known.or(self.unk).filter(|_| !repeated));
            after_unknown = known.is_none();
        }
        bpe::merge(&ids, &self.merges, out);
    }
}
