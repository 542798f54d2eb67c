//! The text that pruning gathers its input statistics on: the bundled one, or one of the user's own.

use super::engine::Engine;
use super::open::{CalibrationText, Loaded};
use crate::Result;
use crate::eval::calibration::{self, Cut};
use crate::method::Setting;

/// Sequences of tokens for a pruning; the last one is held out.
///
/// Errors: a file that is missing, or a text that is too short.
pub async fn sequences(
    engine: &Engine,
    loaded: &Loaded,
    setting: &Setting,
) -> Result<Vec<Vec<u32>>> {
    of_text(engine, loaded, setting, &loaded.calibration).await
}

/// The same of another text than the model's. Errors: as [`sequences`].
pub async fn of_text(
    engine: &Engine,
    loaded: &Loaded,
    setting: &Setting,
    text: &CalibrationText,
) -> Result<Vec<Vec<u32>>> {
    let encode = |text: &str| loaded.encode(text);
    let wanted = setting.number("sequences") as usize;
    let longest = loaded.config.longest();
    match text {
        CalibrationText::Own(text) => {
            calibration::sequences(text, Cut::Windows, &encode, wanted, longest)
        }
        CalibrationText::Bundled(file) => {
            let bytes = engine.data(file).await?;
            let text = String::from_utf8_lossy(&bytes);
            calibration::sequences(&text, cut(file), &encode, wanted, longest)
        }
    }
}

/// The calibration text of a task model (`recall_calibration.txt`) has one sequence a line, and no prose.
pub fn cut(file: &str) -> Cut {
    if file.ends_with("_calibration.txt") { Cut::Lines } else { Cut::Windows }
}
