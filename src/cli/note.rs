//! One line on standard error.

use crate::error::printable;

/// What a person should know, beside the results on standard output.
pub fn note(text: &str) {
    eprintln!("whittle: {}", printable(text, 1000));
}
