//! Pre-tokenizers: cut text into words, each of which is encoded by itself.
//!
//! The published regular expressions are matched by hand: a regex engine with Unicode tables costs
//! more than the rest of the tokenizer (docs/tokenizer-size.md). `\p{L}` and `\p{N}` come from tables
//! of Unicode 16, as HF's engine has them; `\s` and the Digits step from the standard library, as in HF.

use super::classes;

/// The Split expressions that are recognised, with the longest run of digits of each.
pub(super) const PATTERNS: [(&str, usize); 2] = [
    // Llama 3
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        3,
    ),
    // Qwen 2
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        1,
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// Words between white space, which is dropped.
    Whitespace,
    /// Every digit by itself.
    EachDigit,
    /// Runs of digits.
    DigitRuns,
    /// GPT-2's expression, built into ByteLevel.
    Gpt2,
    /// The expression of Llama 3 and Qwen 2, by its longest run of digits.
    Llama3 { max_digits: usize },
}

/// What happens to a string that a text is cut at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behavior {
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
}

impl Behavior {
    /// Cuts `text` wherever `pattern` (not empty) stands. Words are never empty.
    pub fn each<'a>(self, pattern: &str, text: &'a str, word: &mut dyn FnMut(&'a str)) {
        let mut from = 0;
        for (start, found) in text.match_indices(pattern) {
            let end = start + found.len();
            let cuts = match self {
                Self::Removed | Self::Isolated => [start, end],
                Self::MergedWithPrevious => [end, end],
                Self::MergedWithNext => [start, start],
            };
            for (number, cut) in cuts.into_iter().enumerate() {
                let is_pattern = number == 1;
                if from < cut && !(is_pattern && self == Self::Removed) {
                    word(&text[from..cut]);
                }
                from = cut;
            }
        }
        if from < text.len() {
            word(&text[from..]);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

impl Class {
    fn of(c: char) -> Self {
        if c.is_ascii_alphabetic() {
            return Self::Letter;
        }
        if c.is_whitespace() {
            return Self::Space;
        }
        match classes::class_of(c) {
            classes::Class::Letter => Self::Letter,
            classes::Class::Number => Self::Number,
            classes::Class::Other => Self::Other,
        }
    }
}

impl Split {
    /// Cuts `text`, passing each word to `word` in order. Words are never empty.
    pub fn each<'a>(self, mut text: &'a str, word: &mut dyn FnMut(&'a str)) {
        if self == Self::Whitespace {
            return text.split_whitespace().for_each(word);
        }
        while !text.is_empty() {
            // At least one character, so that the loop ends.
            let first = text.chars().next().map_or(text.len(), char::len_utf8);
            let (head, tail) = text.split_at(self.first(text).max(first));
            word(head);
            text = tail;
        }
    }

    /// Bytes of the first word of a text that is not empty.
    fn first(self, text: &str) -> usize {
        let digit_start = text.starts_with(char::is_numeric);
        match self {
            Self::Whitespace => text.len(),
            Self::EachDigit if digit_start => 0,
            Self::EachDigit => text.find(char::is_numeric).unwrap_or(text.len()),
            Self::DigitRuns => {
                text.find(|c: char| c.is_numeric() != digit_start).unwrap_or(text.len())
            }
            Self::Gpt2 => gpt2(text),
            Self::Llama3 { max_digits } => llama3(text, max_digits),
        }
    }
}

/// Bytes of the leading characters of this class.
fn run(text: &str, class: Class) -> usize {
    text.find(|c| Class::of(c) != class).unwrap_or(text.len())
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
fn gpt2(text: &str) -> usize {
    const ENDINGS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];
    if let Some(ending) = ENDINGS.iter().find(|ending| text.starts_with(**ending)) {
        return ending.len();
    }
    let bare = text.strip_prefix(' ').unwrap_or(text);
    match bare.chars().next().map(Class::of) {
        None | Some(Class::Space) => spaces(text),
        Some(class) => text.len() - bare.len() + run(bare, class),
    }
}

/// `\s+(?!\S)|\s+`: white space, less its last character when a word follows (it belongs there).
fn spaces(text: &str) -> usize {
    let end = run(text, Class::Space);
    match text[..end].char_indices().next_back() {
        Some((last, _)) if end < text.len() && last > 0 => last,
        _ => end,
    }
}

/// The alternatives of `PATTERNS` in their order.
fn llama3(text: &str, max_digits: usize) -> usize {
    let newline = |c: char| c == '\r' || c == '\n';
    let Some(first) = text.chars().next() else { return 0 };
    let class = Class::of(first);
    if let Some(length) = any_case_ending(text) {
        return length;
    }
    // One leading character may be anything but a line end, a letter or a number.
    let lead = if class == Class::Letter || class == Class::Number || newline(first) {
        0
    } else {
        first.len_utf8()
    };
    let letters = run(&text[lead..], Class::Letter);
    if letters > 0 {
        return lead + letters;
    }
    if class == Class::Number {
        let digits = text.chars().take(max_digits).take_while(|c| Class::of(*c) == Class::Number);
        return digits.map(char::len_utf8).sum();
    }
    let bare = text.strip_prefix(' ').unwrap_or(text);
    let others = run(bare, Class::Other);
    if others > 0 {
        let tail = &bare[others..];
        let line_ends = tail.find(|c| !newline(c)).unwrap_or(tail.len());
        return text.len() - tail.len() + line_ends;
    }
    let space = &text[..run(text, Class::Space)];
    space.rfind(newline).map_or_else(|| spaces(text), |last| last + 1)
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)`; without case, the long s is an s.
fn any_case_ending(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\'')?;
    let mut chars = rest.chars();
    let first = chars.next()?;
    let second = chars.next().map(|c| c.to_ascii_lowercase());
    match (first.to_ascii_lowercase(), second) {
        ('s' | '\u{17f}' | 't' | 'm' | 'd', _) => Some(1 + first.len_utf8()),
        ('r' | 'v', Some('e')) | ('l', Some('l')) => Some(3),
        _ => None,
    }
}
