//! The text that pruning gathers its input statistics on: the bundled one, or one of the user's own.

use super::engine::Engine;
use super::open::{CalibrationText, Loaded};
use crate::method::Setting;
use crate::{Error, Result};

/// Tokens of one calibration sequence.
const TOKENS: usize = 512;
/// Fewest tokens of a text of the user's own; below, one window and one held out say nothing.
const LEAST: usize = 64;

/// Sequences of tokens for a pruning; the last one is held out.
///
/// Errors: a file that is missing, or a text that is too short.
pub async fn sequences(
    engine: &Engine,
    loaded: &Loaded,
    setting: &Setting,
) -> Result<Vec<Vec<u32>>> {
    let wanted = setting.number("sequences") as usize;
    match &loaded.calibration {
        CalibrationText::Own(text) => windows(text, loaded, wanted),
        CalibrationText::Bundled(file) => {
            let bytes = engine.data(file).await?;
            let text = String::from_utf8_lossy(&bytes);
            match is_lines(file) {
                true => lines(&text, loaded, wanted),
                false => windows(&text, loaded, wanted),
            }
        }
    }
}

/// The calibration text of a task model (`recall_calibration.txt`) has one sequence a line, and no prose.
pub fn is_lines(file: &str) -> bool {
    file.ends_with("_calibration.txt")
}

fn lines(text: &str, loaded: &Loaded, wanted: usize) -> Result<Vec<Vec<u32>>> {
    let lines = text.lines().filter(|l| !l.trim().is_empty()).take(wanted + 1);
    lines.map(|line| loaded.encode(line)).collect()
}

/// Windows spread evenly over the text; one sequence more than asked for, from the end of the text.
fn windows(text: &str, loaded: &Loaded, wanted: usize) -> Result<Vec<Vec<u32>>> {
    let ids = loaded.encode(text)?;
    if ids.len() < LEAST {
        let problem = format!("has {} tokens; calibration needs at least {LEAST}", ids.len());
        return Err(Error::file("calibration text", problem));
    }
    let length = TOKENS.min(ids.len() / 2);
    let held_out = ids.len() - length;
    let n = wanted.min(held_out / length).max(1);
    let step = (ids.len() - length - 1) / n;
    let starts = (0..n).map(|i| i * step).chain([held_out]);
    Ok(starts.map(|start| ids[start..start + length].to_vec()).collect())
}
