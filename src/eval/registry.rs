//! The lists of evaluations, and finding one by its SPEC.

use super::evaluation::Evaluation;
use super::{arc, cloze, continuation, copy, hellaswag, induction, lambada, piqa, questions};
use super::{recall, rolling, text, wikitext, winogrande};
use crate::method::{About, Setting};
use crate::{Error, Result};

/// Every evaluation, in the order of the menus; one line each.
pub const EVALUATIONS: &[&dyn Evaluation] = &[
    &continuation::Continuation,
    &text::Text,
    &cloze::Cloze,
    &recall::Recall,
    &copy::Copy,
    &induction::Induction,
];

/// Evaluations whose data is the user's own: a file that is opened, one line each.
pub const OF_OWN_DATA: &[&dyn Evaluation] = &[
    &questions::Questions,
    &rolling::Rolling,
    &rolling::WikiText2,
    &wikitext::WikiText,
    &lambada::Lambada,
    &hellaswag::HellaSwag,
    &piqa::Piqa,
    &arc::ArcEasy,
    &arc::ArcChallenge,
    &winogrande::WinoGrande,
];

/// What the evaluations on bundled data say about themselves.
pub fn abouts() -> Vec<&'static About> {
    EVALUATIONS.iter().map(|evaluation| evaluation.about()).collect()
}

/// What those on the user's own data say.
pub fn own_abouts() -> Vec<&'static About> {
    OF_OWN_DATA.iter().map(|evaluation| evaluation.about()).collect()
}

/// Whether a setting is measured on the user's own data.
pub fn is_of_own_data(setting: &Setting) -> bool {
    OF_OWN_DATA.iter().any(|e| e.about().id == setting.about.id)
}

/// Lines of a file that are looked at for a row.
const LOOKED_AT: usize = 100;

/// The evaluations that can read a file of the user's own, the likeliest first: those whose fields are in its first row of
/// JSON, or, where there is no such row, those of a plain text. None where the file is no text or has other rows.
pub fn readers(bytes: &[u8]) -> Vec<&'static About> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let row = |line| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).ok();
    let row = text.lines().take(LOOKED_AT).find_map(row);
    let fits = |fields: &[&str]| match &row {
        Some(row) => !fields.is_empty() && fields.iter().all(|field| row.contains_key(*field)),
        None => fields.is_empty(),
    };
    let all = OF_OWN_DATA.iter().filter(|e| e.fields().is_some_and(fits));
    all.map(|evaluation| evaluation.about()).collect()
}

/// The evaluation of a setting.
pub fn evaluation_of(setting: &Setting) -> &'static dyn Evaluation {
    let found = EVALUATIONS.iter().chain(OF_OWN_DATA).find(|e| e.about().id == setting.about.id);
    *found.expect("a setting of an evaluation is parsed from these lists")
}

/// Reads an evaluation's SPEC. Errors: "off", or anything else that is none.
pub fn parse(spec: &str) -> Result<Setting> {
    let abouts = [abouts(), own_abouts()].concat();
    Setting::parse(spec, &abouts)?.ok_or_else(|| {
        let ids: Vec<&str> = abouts.iter().map(|a| a.id).collect();
        Error::input("evaluation", spec, format!("one of {}", ids.join(", ")))
    })
}

/// Files (below models/eval) that a setting reads.
pub fn files(setting: &Setting) -> Vec<String> {
    evaluation_of(setting).files(setting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_row() {
        let path =
            |name: &str| format!("{}/tests/fixtures/harness/{name}", env!("CARGO_MANIFEST_DIR"));
        let of = |bytes: &[u8]| -> Vec<&str> { readers(bytes).iter().map(|a| a.id).collect() };
        for (name, expected) in [
            ("hellaswag", &["hellaswag"][..]),
            ("piqa", &["piqa"]),
            ("arc-easy", &["arc-easy", "arc-challenge"]),
            ("winogrande", &["winogrande"]),
            ("lambada", &["lambada"]),
            ("wikitext", &["wikitext"]),
        ] {
            assert_eq!(of(&std::fs::read(path(&format!("{name}.jsonl"))).unwrap()), expected);
        }
        // A line that is none does not hide the next.
        assert_eq!(of(b"{\"context\n\n{\"context\": \"a\", \"target\": \"b\"}"), ["questions"]);
        assert_eq!(of(b"It was a fine evening."), ["rolling", "wikitext2-2048"]);
        assert!(of(b"{\"a\": 1}").is_empty() && of(&[0xff, 0xfe]).is_empty());
        assert!(OF_OWN_DATA.iter().all(|e| e.fields().is_some()));
        assert!(EVALUATIONS.iter().all(|e| e.fields().is_none()));
    }
}
