//! The one error type. Its message names what was found, what was expected and what to do.

use std::fmt;

pub type Result<T> = std::result::Result<T, Error>;

/// What the world can do wrong. Our own mistakes are asserts.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// A file is missing, truncated or not what its name promises.
    File { file: String, problem: String },
    /// A checkpoint tensor is missing or has the wrong shape or dtype.
    Tensor { file: String, tensor: String, problem: String },
    /// config.json asks for something that would change the result and is not implemented.
    Config { field: String, found: String, expected: String },
    /// A link, a SPEC or a command-line value could not be understood.
    Input { what: String, found: String, expected: String },
    /// The GPU refused work or went away; the CPU backend still runs.
    Gpu(String),
    /// The user cancelled or a newer request superseded this one.
    Cancelled,
}

impl Error {
    pub fn file(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::File { file: file.into(), problem: problem.into() }
    }

    pub fn tensor(
        file: impl Into<String>,
        tensor: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self::Tensor { file: file.into(), tensor: tensor.into(), problem: problem.into() }
    }

    pub fn config(
        field: impl Into<String>,
        found: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::Config { field: field.into(), found: found.to_string(), expected: expected.into() }
    }

    pub fn input(
        what: impl Into<String>,
        found: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::Input { what: what.into(), found: found.to_string(), expected: expected.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, problem } => write!(f, "{file}: {problem}"),
            Self::Tensor { file, tensor, problem } => {
                write!(f, "{file}: tensor {tensor}: {problem}")
            }
            Self::Config { field, found, expected } => {
                write!(f, "config.json: {field} is {found}; expected {expected}")
            }
            Self::Input { what, found, expected } => {
                write!(f, "{what}: found {found:?}; expected {expected}")
            }
            Self::Gpu(problem) => {
                write!(f, "GPU: {problem}. Choose the CPU backend or reload to try again")
            }
            Self::Cancelled => write!(f, "cancelled"),
        }
    }
}

impl std::error::Error for Error {}
