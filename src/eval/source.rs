//! What items are made from: a setting, its files, a seed and a tokenizer.

use crate::config::ModelConfig;
use crate::method::{Knob, KnobKind, Setting};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result, Rng};
use serde::Deserialize;
use std::cell::RefCell;
use std::rc::Rc;

/// Name and bytes of an evaluation file.
pub type File = (String, Rc<Vec<u8>>);

/// Everything that decides the items.
pub struct Source<'a> {
    /// Of the evaluation.
    pub setting: &'a Setting,
    /// Those that the evaluation asked for, in that order.
    pub files: &'a [File],
    /// Chooses items and, where there are any, their random parts.
    pub seed: u64,
    /// The model's, so that items are made of its tokens.
    pub tokenizer: &'a Tokenizer,
    /// For begin-of-text and the longest sequence.
    pub config: &'a ModelConfig,
    /// What was left out of the user's own data, and why.
    pub problems: RefCell<Vec<String>>,
}

/// The one file of an evaluation whose data is the user's own.
pub const DATA: &str = "data";

/// A line of a file, and where it stands.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub file: &'a str,
    /// From 1.
    pub number: usize,
    pub text: &'a str,
}

pub const N: Knob = Knob {
    id: "n",
    label: "Items",
    help: "Items scored; a seeded choice when there are more",
    kind: KnobKind::Number { min: 1.0, max: 2000.0, step: 1.0, default: 100.0 },
};

/// Of the user's own data, of which a paper scores all.
pub const N_OWN: Knob =
    Knob { kind: KnobKind::Number { min: 1.0, max: 20000.0, step: 1.0, default: 100.0 }, ..N };

pub const CONTROLS: Knob = Knob {
    id: "controls",
    label: "Items for controls",
    help: "Items on which a token reduction is compared with controls at the same lengths, once all else is measured; 0 leaves them out",
    kind: KnobKind::Number { min: 0.0, max: 2000.0, step: 1.0, default: 50.0 },
};

pub const PUBLISHED: Knob = Knob {
    id: "published",
    label: "Scorer as published",
    help: "Warning: rows and labels slip in it. Shows what the released code would report of a token reduction, beside the honest figures",
    kind: KnobKind::Choice {
        options: &[("off", "off"), ("on", "beside the honest one")],
        default: "off",
    },
};

impl Source<'_> {
    /// `n` lines of the first file; chosen before they are read: most of the time would go into lines that nobody scores.
    pub fn chosen_lines(&self) -> Result<Vec<Line<'_>>> {
        let (file, _) = &self.files[0];
        let text = text(&self.files[0])?;
        let line = |(i, text)| Line { file, number: i + 1, text };
        let lines = text.lines().enumerate().map(line).collect();
        Ok(pick(lines, self.setting.number("n") as usize, self.seed))
    }
}

impl Line<'_> {
    /// FILE:LINE
    pub fn id(&self) -> String {
        format!("{}:{}", self.file, self.number)
    }

    /// Reads the line as JSON. Errors: it is none, or lacks a field.
    pub fn parse<T: for<'a> Deserialize<'a>>(&self) -> Result<T> {
        serde_json::from_slice(self.text.as_bytes())
            .map_err(|e| Error::file(self.file, format!("a line is not an item ({e})")))
    }
}

/// A file as text. Errors: it is none; of a parquet file the error says how to make JSON lines of it.
pub fn text(file: &File) -> Result<&str> {
    let (name, bytes) = file;
    std::str::from_utf8(bytes).map_err(|_| match bytes.starts_with(b"PAR1") {
        true => {
            Error::file(name, format!("is a parquet file, expected JSON lines; {FROM_PARQUET}"))
        }
        false => Error::file(name, "is not UTF-8 text"),
    })
}

const FROM_PARQUET: &str = "convert it with: python -c \"import sys, pyarrow.parquet as p, json; [print(json.dumps(r)) for f in sys.argv[1:] for r in p.read_table(f).to_pylist()]\" FILE.parquet > FILE.jsonl";

/// Ids of a text of `file`. Errors: most of it is outside the vocabulary; a figure would tell of the unknown token only.
pub fn encode(file: &str, text: &str, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let ids = tokenizer.encode(text)?;
    let unknown = ids.iter().filter(|&&id| Some(id) == tokenizer.unknown()).count();
    match 2 * unknown > ids.len() {
        true => {
            let n = ids.len();
            let problem = format!(
                "has {unknown} of {n} words that this model does not know; choose an evaluation in its words"
            );
            Err(Error::file(file, problem))
        }
        false => Ok(ids),
    }
}

/// The last `most` tokens of a context, behind what the tokenizer puts before a text (begin-of-text, where it does).
pub fn context(ids: &[u32], most: usize, tokenizer: &Tokenizer) -> Vec<u32> {
    [tokenizer.prefix(), &ids[ids.len().saturating_sub(most)..]].concat()
}

/// A seeded choice of `n` items in their old order; all of them when there are no more.
fn pick<T>(items: Vec<T>, n: usize, seed: u64) -> Vec<T> {
    let mut order: Vec<u64> = shuffled(items.len(), n, seed).iter().map(|&i| i as u64).collect();
    crate::order::sort(&mut order);
    let mut wanted = order.into_iter().peekable();
    let numbered = items.into_iter().enumerate();
    numbered.filter_map(|(i, item)| wanted.next_if_eq(&(i as u64)).map(|_| item)).collect()
}

/// The first `n` of `0..len` in a seeded order (Fisher and Yates).
pub fn shuffled(len: usize, n: usize, seed: u64) -> Vec<usize> {
    let mut rng = Rng::new(seed);
    let mut order: Vec<usize> = (0..len).collect();
    for i in 0..n.min(len) {
        let j = i + rng.below(len - i);
        order.swap(i, j);
    }
    order.truncate(n);
    order
}
