//! Sequences of tokens that a pruning gathers its input statistics on, from a text.

use crate::{Error, Result};

/// Tokens of one calibration sequence.
const TOKENS: usize = 512;
/// Fewest tokens of a text; below, one window and one held out say nothing.
const LEAST: usize = 64;

/// How a calibration text is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Prose, in windows.
    Windows,
    /// The text of a task model: one sequence a line.
    Lines,
}

/// At most `wanted` sequences, and one more that is held out, the last one.
///
/// Windows lie evenly over the text, the held-out one at its end. None is longer than the model can read. Errors: a text that is too short.
pub fn sequences(
    text: &str,
    cut: Cut,
    encode: &dyn Fn(&str) -> Result<Vec<u32>>,
    wanted: usize,
    longest: usize,
) -> Result<Vec<Vec<u32>>> {
    match cut {
        Cut::Windows => windows(&encode(text)?, wanted, longest),
        Cut::Lines => {
            let lines = text.lines().filter(|l| !l.trim().is_empty()).take(wanted + 1);
            let mut lines: Vec<Vec<u32>> = lines.map(encode).collect::<Result<_>>()?;
            lines.iter_mut().for_each(|ids| ids.truncate(longest));
            Ok(lines)
        }
    }
}

fn windows(ids: &[u32], wanted: usize, longest: usize) -> Result<Vec<Vec<u32>>> {
    if ids.len() < LEAST {
        let problem = format!("has {} tokens; calibration needs at least {LEAST}", ids.len());
        return Err(Error::file("calibration text", problem));
    }
    let length = TOKENS.min(ids.len() / 2).min(longest);
    let held_out = ids.len() - length;
    let n = wanted.min(held_out / length).max(1);
    let step = (ids.len() - length - 1) / n;
    let starts = (0..n).map(|i| i * step).chain([held_out]);
    Ok(starts.map(|start| ids[start..start + length].to_vec()).collect())
}
