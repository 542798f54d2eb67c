//! The one error type. Its message names what was found, what was expected and what to do.

use std::borrow::Cow;
use std::fmt;

/// What can go wrong here is an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What the world can do wrong. Our own mistakes are asserts.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// A file is missing, truncated or not what its name promises.
    File {
        /// Its name, or whatever else says where the problem is.
        file: String,
        /// What is wrong and what to do, as the rest of a sentence.
        problem: String,
    },
    /// A checkpoint tensor is missing or has the wrong shape or dtype.
    Tensor {
        /// Of the checkpoint.
        file: String,
        /// The tensor's name in the checkpoint.
        tensor: String,
        /// What is wrong and what to do, as the rest of a sentence.
        problem: String,
    },
    /// config.json asks for something that would change the result and is not implemented.
    Config {
        /// Of config.json, as it is spelt there.
        field: String,
        /// Its value.
        found: String,
        /// Values that are implemented.
        expected: String,
    },
    /// A link, a SPEC or a command-line value could not be understood.
    Input {
        /// Which control, key or argument.
        what: String,
        /// What was given for it.
        found: String,
        /// What could be given.
        expected: String,
    },
    /// The GPU refused work or went away; the CPU backend still runs. What it said.
    Gpu(String),
    /// A model of the hub could not be fetched; a whole sentence that says why and what to do.
    Hub(String),
    /// The user cancelled or a newer request superseded this one.
    Cancelled,
}

impl Error {
    /// An [`Error::File`].
    pub fn file(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::File { file: file.into(), problem: problem.into() }
    }

    /// An [`Error::Tensor`].
    pub fn tensor(
        file: impl Into<String>,
        tensor: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self::Tensor { file: file.into(), tensor: tensor.into(), problem: problem.into() }
    }

    /// An [`Error::Config`].
    pub fn config(
        field: impl Into<String>,
        found: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::Config { field: field.into(), found: found.to_string(), expected: expected.into() }
    }

    /// An [`Error::Input`].
    pub fn input(
        what: impl Into<String>,
        found: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::Input { what: what.into(), found: found.to_string(), expected: expected.into() }
    }
}

/// Longest message in characters, and the longest of its parts that comes from a file, a link or a person.
const LONGEST: usize = 1200;
const LONGEST_PART: usize = 300;

/// Text that may be shown in a terminal or on a page: control characters, line ends and characters that change the
/// direction of the text or cannot be seen are written as escapes, and all beyond `most` characters is left out.
pub fn printable(text: &str, most: usize) -> String {
    let (mut out, mut length) = (String::new(), 0);
    for c in text.chars() {
        let before = out.len();
        match is_hidden(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
        length += out[before..].chars().count();
        if length > most {
            out.truncate(before);
            out.push_str("...");
            break;
        }
    }
    out
}

/// Control characters, direction marks, and what no screen shows.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The first characters of a text.
fn beginning(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_PART) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

/// A message is one line of bounded length, whatever a file or a link put into it.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |text| beginning(text);
        let sentence = match self {
            Self::File { file, problem } => format!("{}: {problem}", part(file)),
            Self::Tensor { file, tensor, problem } => {
                format!("{}: tensor {}: {problem}", part(file), part(tensor))
            }
            Self::Config { field, found, expected } => {
                format!("config.json: {} is {}; expected {expected}", part(field), part(found))
            }
            Self::Input { what, found, expected } => {
                format!("{}: found {:?}; expected {expected}", part(what), part(found))
            }
            Self::Gpu(problem) => {
                format!("GPU: {problem}. Choose the CPU backend or reload to try again")
            }
            Self::Hub(sentence) => sentence.clone(),
            Self::Cancelled => "cancelled".into(),
        };
        f.write_str(&printable(&sentence, LONGEST))
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_short_line_whatever_stood_in_the_file() {
        let hostile = format!("a\u{1b}[31m\r\n\u{202e}b\u{200b}{}", "x".repeat(5_000_000));
        let messages = [
            Error::file(&hostile, &hostile),
            Error::tensor(&hostile, &hostile, &hostile),
            Error::config(&hostile, &hostile, &hostile),
            Error::input(&hostile, &hostile, &hostile),
            Error::Gpu(hostile.clone()),
        ];
        for message in messages.map(|e| e.to_string()) {
            assert!(message.chars().count() <= LONGEST + 3, "{}", message.len());
            assert!(!message.contains(is_hidden), "{message:?}");
        }
    }

    #[test]
    fn ordinary_words_of_any_language_stay_as_they_are() {
        let text = "Größe 日本 العربية 👍🏽 -> \"x\"";
        assert_eq!(printable(text, 100), text);
        assert_eq!(printable("abc\u{7}d", 4), "abc...");
    }
}
