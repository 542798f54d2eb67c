//! tokenizer.json into a `Tokenizer`; whatever is not implemented is refused by its name.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::added::Added;
use super::bpe::{Merge, Merges};
use super::components::{
    byte_of, check_decoder, flag, kind, list, metaspace, pieces, prefix, read_normalizer, refuse,
    split,
};
use super::parts::{Decoding, FILE, MAX_STEPS, MAX_VOCAB, Normalizer, Place};
use super::split::{Behavior, Split};
use super::{Bpe, Model, Step, Symbols, Tokenizer};
use crate::error::{Error, Result};
use crate::sniff;

#[derive(Deserialize)]
struct Head {
    model: Kind,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// Truncation and padding are not read: neither acts on a text as it is encoded here.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
    model: ModelFile,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
}

impl AddedToken {
    /// The text that is looked for, and what the token decodes to.
    fn sought(&self, normalizer: &Normalizer) -> Cow<'_, str> {
        match self.normalized {
            true => normalizer.apply(&self.content, Place::Piece),
            false => self.content.as_str().into(),
        }
    }
}

#[derive(Deserialize)]
struct ModelFile {
    vocab: HashMap<String, u32>,
    #[serde(default)]
    merges: Vec<Value>,
    unk_token: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Tokenizer> {
    if let Some(problem) = sniff::foreign(bytes) {
        return Err(Error::file(FILE, problem));
    }
    let bad = |e: serde_json::Error| Error::file(FILE, format!("is not a tokenizer: {e}"));
    let head: Head = serde_json::from_slice(bytes).map_err(bad)?;
    // The first GPT-2 files have no type.
    let kind = head.model.kind.unwrap_or_else(|| "BPE".into());
    if kind != "BPE" && kind != "WordLevel" {
        return Err(refuse("model.type", &kind.into(), "BPE or WordLevel"));
    }
    let file: File = serde_json::from_slice(bytes).map_err(bad)?;
    let mut pre = Pre::default();
    pre.read(file.pre_tokenizer.as_ref())?;
    let mut normalizer = Normalizer::default();
    read_normalizer(file.normalizer.as_ref(), &mut normalizer)?;
    let (raw_added, normalized_added) = added_tokens(&file, &normalizer)?;
    let pieces = match kind.as_str() {
        "BPE" => pieces(file.decoder.as_ref())?,
        _ => None,
    };
    let byte_level = kind == "BPE" && pieces.is_none();
    if pieces.is_none() {
        check_decoder(file.decoder.as_ref(), byte_level)?;
    }
    let bytes = token_bytes(&file, &normalizer, byte_level)?;
    if pre.byte_level && pieces.is_some() {
        let found = file.decoder.unwrap_or_default();
        return Err(refuse("decoder", &found, "ByteLevel, as the pre_tokenizer is"));
    }
    if pre.byte_level != byte_level || (pre.metaspace && pieces.is_none()) {
        let expected = "ByteLevel, last, for a BPE model with that decoder, and none for others";
        return Err(refuse("pre_tokenizer", &file.pre_tokenizer.unwrap_or_default(), expected));
    }
    let prefix = prefix(file.post_processor.as_ref())?;
    let decoding = match pieces {
        Some((mut pieces, falls_back)) => {
            if falls_back {
                let all = bytes.iter().enumerate();
                pieces.bytes =
                    all.filter_map(|(id, t)| Some((id as u32, byte_of(t.as_deref()?)?))).collect();
            }
            Decoding::Pieces(pieces)
        }
        None => Decoding::Plain { separator: if byte_level { b"" } else { b" " } },
    };
    let model = match kind.as_str() {
        "BPE" => bpe(file.model, byte_level)?,
        _ => words(file.model),
    };
    let steps = pre.steps;
    Ok(Tokenizer { raw_added, normalized_added, normalizer, steps, model, decoding, prefix, bytes })
}

#[derive(Default)]
struct Pre {
    steps: Vec<Step>,
    byte_level: bool,
    metaspace: bool,
}

impl Pre {
    fn read(&mut self, component: Option<&Value>) -> Result<()> {
        let Some(component) = component else { return Ok(()) };
        if self.steps.len() >= MAX_STEPS {
            return Err(refuse("pre_tokenizer", &MAX_STEPS.into(), "fewer steps"));
        }
        if self.byte_level {
            return Err(refuse("pre_tokenizer", component, "nothing behind ByteLevel"));
        }
        match kind(component) {
            "Sequence" => {
                let parts = list(component, "pretokenizers").iter();
                return parts.map(Some).try_for_each(|part| self.read(part));
            }
            "ByteLevel" => {
                self.byte_level = true;
                if flag(component, "add_prefix_space", true) {
                    self.steps.push(Step::PrefixSpace);
                }
                if flag(component, "use_regex", true) {
                    self.steps.push(Step::Split(Split::Gpt2));
                }
            }
            "Digits" if flag(component, "individual_digits", false) => {
                self.steps.push(Step::Split(Split::EachDigit));
            }
            "Digits" => self.steps.push(Step::Split(Split::DigitRuns)),
            "WhitespaceSplit" => self.steps.push(Step::Split(Split::Whitespace)),
            "Split" => self.steps.push(split(component)?),
            "Metaspace" => {
                let (replacement, scheme) = metaspace(component)?;
                self.metaspace = true;
                self.steps.push(Step::Metaspace { replacement, scheme });
                if flag(component, "split", true) {
                    let (pattern, behavior) = (replacement.to_string(), Behavior::MergedWithNext);
                    self.steps.push(Step::Literal { pattern, behavior });
                }
            }
            _ => {
                let expected =
                    "ByteLevel, Digits, Metaspace, Split, WhitespaceSplit or a Sequence of them";
                return Err(refuse("pre_tokenizer", component, expected));
            }
        }
        Ok(())
    }
}

/// Tokens looked for before and after normalisation.
fn added_tokens(file: &File, normalizer: &Normalizer) -> Result<(Added, Added)> {
    let (mut raw, mut normalized) = (Added::default(), Added::default());
    for token in &file.added_tokens {
        let content = &token.content;
        if token.single_word {
            let what = format!("single_word of added token {content:?}");
            return Err(refuse(&what, &true.into(), "false"));
        }
        let strip = [token.lstrip, token.rstrip];
        if let Some(id) = file.model.vocab.get(content)
            && *id != token.id
        {
            let problem =
                format!("added token {content:?} is {} here and {id} in the vocabulary", token.id);
            return Err(Error::file(FILE, problem));
        }
        match (content.is_empty(), token.normalized) {
            (true, _) => {}
            (false, false) => raw.insert(content, token.id, strip),
            (false, true) => normalized.insert(&token.sought(normalizer), token.id, strip),
        }
    }
    Ok((raw, normalized))
}

/// GPT-2's printable stand-in for each byte, whose characters tokens are written in.
fn byte_chars() -> [char; 256] {
    let mut stand_ins = '\u{100}'..;
    std::array::from_fn(|byte| match byte as u8 {
        byte @ (b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff) => char::from(byte),
        // There are more characters than bytes.
        _ => stand_ins.next().unwrap_or('\u{fffd}'),
    })
}

fn char_bytes() -> HashMap<char, u8> {
    byte_chars().into_iter().zip(0..=255).collect()
}

/// What each id decodes to. A token that is not wholly in the byte alphabet stands for itself.
fn token_bytes(
    file: &File,
    normalizer: &Normalizer,
    byte_level: bool,
) -> Result<Vec<Option<Box<[u8]>>>> {
    let vocab = file.model.vocab.iter().map(|(token, id)| (Cow::Borrowed(token.as_str()), *id));
    let all =
        vocab.chain(file.added_tokens.iter().map(|token| (token.sought(normalizer), token.id)));
    let largest = all.clone().map(|(_, id)| id).max();
    let Some(largest) = largest.filter(|id| *id < MAX_VOCAB) else {
        let problem =
            format!("its largest token id is {largest:?}; expected 0 to {}", MAX_VOCAB - 1);
        return Err(Error::file(FILE, problem));
    };
    let bytes_of = char_bytes();
    let mut table = vec![None; largest as usize + 1];
    for (token, id) in all {
        let decoded: Option<Vec<u8>> = token.chars().map(|c| bytes_of.get(&c).copied()).collect();
        let bytes = decoded.filter(|_| byte_level).unwrap_or_else(|| token.as_bytes().to_vec());
        table[id as usize] = Some(bytes.into_boxed_slice());
    }
    Ok(table)
}

fn words(model: ModelFile) -> Model {
    let unk = model.unk_token.and_then(|token| model.vocab.get(&token).copied());
    Model::Words { ids: model.vocab, unk }
}

fn bpe(model: ModelFile, byte_level: bool) -> Result<Model> {
    let affix = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let refused = [
        ("byte_fallback", model.byte_fallback && byte_level),
        ("dropout", model.dropout.is_some_and(|p| p != 0.0)),
        ("continuing_subword_prefix", affix(&model.continuing_subword_prefix)),
        ("end_of_word_suffix", affix(&model.end_of_word_suffix)),
    ];
    if let Some((name, _)) = refused.iter().find(|(_, set)| *set) {
        return Err(refuse(
            &format!("model.{name}"),
            &"set".into(),
            "it absent in BPE of this kind",
        ));
    }
    let id = |token: &str, role: &str| {
        let problem = || Error::file(FILE, format!("{role} {token:?} is not in the vocabulary"));
        model.vocab.get(token).copied().ok_or_else(problem)
    };
    let mut merges = Merges::with_capacity(model.merges.len());
    for (rank, line) in model.merges.iter().enumerate() {
        let Some((left, right)) = sides(line) else {
            return Err(refuse("a merge", line, "\"LEFT RIGHT\" or [\"LEFT\", \"RIGHT\"]"));
        };
        let pair = (id(left, "a merge's left side")?, id(right, "a merge's right side")?);
        let into = id(&format!("{left}{right}"), "a merge's result")?;
        merges.insert(pair, Merge { rank: rank as u32, into });
    }
    let unk = model.unk_token.as_deref().map(|token| id(token, "unk_token")).transpose()?;
    let symbols = match byte_level {
        true => Symbols::Bytes(
            byte_chars().iter().map(|c| model.vocab.get(&c.to_string()).copied()).collect(),
        ),
        false => Symbols::Chars { ids: single_chars(&model.vocab), bytes: fallback(&model) },
    };
    let whole = model.ignore_merges.then(|| match byte_level {
        true => whole_words(&model.vocab),
        false => model.vocab.iter().map(|(token, id)| (token.as_bytes().into(), *id)).collect(),
    });
    Ok(Model::Bpe(Bpe { symbols, merges, unk, fuse_unk: model.fuse_unk, whole }))
}

fn single_chars(vocab: &HashMap<String, u32>) -> HashMap<char, u32> {
    let single = |(token, id): (&String, &u32)| {
        let mut chars = token.chars();
        let (Some(c), None) = (chars.next(), chars.next()) else { return None };
        Some((c, *id))
    };
    vocab.iter().filter_map(single).collect()
}

/// The tokens of single bytes, where the model falls back to them.
fn fallback(model: &ModelFile) -> Option<Vec<Option<u32>>> {
    let token = |byte: u8| model.vocab.get(&format!("<0x{byte:02X}>")).copied();
    model.byte_fallback.then(|| (0..=255).map(token).collect())
}

/// Both published spellings of a merge.
fn sides(line: &Value) -> Option<(&str, &str)> {
    match (line, line.as_array().map(Vec::as_slice)) {
        (Value::String(line), _) => line.split_once(' '),
        (_, Some([left, right])) => left.as_str().zip(right.as_str()),
        _ => None,
    }
}

/// Tokens by the bytes of the word they are; those outside the byte alphabet match no word.
fn whole_words(vocab: &HashMap<String, u32>) -> HashMap<Box<[u8]>, u32> {
    let bytes_of = char_bytes();
    let word =
        |token: &str| token.chars().map(|c| bytes_of.get(&c).copied()).collect::<Option<_>>();
    vocab.iter().filter_map(|(token, id)| Some((word(token)?, *id))).collect()
}
