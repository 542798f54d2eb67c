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
