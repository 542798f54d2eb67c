//! What the baseline gave, kept: it does not depend on any setting of compression, so it is measured once.

use super::protocol::Side;
use super::spec::RunSpec;
use crate::eval::{Sheet, StateUse};

/// Different evaluations or texts that are kept.
const MOST: usize = 16;

/// Of one model on one device.
#[derive(Default)]
pub(super) struct Known {
    /// The text and its tokens.
    texts: Vec<(String, (Side, Vec<u32>))>,
    sheets: Vec<(String, Sheet)>,
    /// By prompt: how many tokens of it, and what they use of the states.
    pub states: Option<(String, (usize, Vec<StateUse>))>,
}

impl Known {
    /// The text that a spec's settings give, if it was written to its end.
    pub fn text(&self, spec: &RunSpec) -> Option<(Side, Vec<u32>)> {
        let key = text_key(spec);
        self.texts.iter().find(|(known, _)| *known == key).map(|(_, text)| text.clone())
    }

    pub fn keep_text(&mut self, spec: &RunSpec, side: &Side, ids: &[u32]) {
        let side = Side { differs_at: None, ..side.clone() };
        put(&mut self.texts, text_key(spec), (side, ids.to_vec()));
    }

    /// What is scored of a spec's items.
    pub fn sheet(&self, spec: &RunSpec) -> Option<Sheet> {
        let key = sheet_key(spec);
        self.sheets.iter().find(|(known, _)| *known == key).map(|(_, sheet)| sheet.clone())
    }

    pub fn keep_sheet(&mut self, spec: &RunSpec, sheet: &Sheet) {
        put(&mut self.sheets, sheet_key(spec), sheet.clone());
    }
}

fn put<T>(list: &mut Vec<(String, T)>, key: String, value: T) {
    list.retain(|(known, _)| *known != key);
    if list.len() == MOST {
        list.remove(0);
    }
    list.push((key, value));
}

fn text_key(spec: &RunSpec) -> String {
    format!("{} {} {} {}", spec.tokens, spec.temperature, spec.seed, spec.prompt)
}

fn sheet_key(spec: &RunSpec) -> String {
    format!("{} {} {}", spec.evaluation, spec.data_hash(), spec.seed)
}
