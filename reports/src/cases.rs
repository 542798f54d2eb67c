//! What is measured: models, tasks, methods, cuts.

use super::Size;
use super::removal;
use whittle::method::Setting;
pub use whittle::reduce::CONTROLS;
use whittle::reduce::{METHODS, abouts, runs_on};
use whittle::session::bundle::Entry;

/// How an item is scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scorer {
    /// Only the context is reduced.
    Honest,
    /// As the released code does: see `eval::published`.
    Published,
}

/// One model on one task under one reduction.
#[derive(Debug, Clone)]
pub struct Case {
    pub model: String,
    pub eval: String,
    /// SPEC or "off".
    pub reduce: String,
    pub scorer: Scorer,
}

impl Scorer {
    pub fn id(self) -> &'static str {
        match self {
            Scorer::Honest => "honest",
            Scorer::Published => "published",
        }
    }
}

impl Case {
    pub fn honest(model: &str, eval: &str, reduce: &str) -> Case {
        Case {
            model: model.into(),
            eval: eval.into(),
            reduce: reduce.into(),
            scorer: Scorer::Honest,
        }
    }
}

/// A method as it stands in the tables.
#[derive(Debug, Clone)]
pub struct CaseRow {
    /// SPEC without a cut.
    pub spec: String,
    pub is_control: bool,
}

/// Scores beside a method's default that are worth a row.
const MORE: [&str; 6] = [
    "evit:score=delta",
    "evit:score=implicit",
    "evit:score=row",
    "evit:score=column",
    "utrc:score=delta",
    "utrc:score=column",
];
const ORACLE: &str = "evit:score=oracle";

/// A model of a generated task, with no prose.
pub fn is_task(entry: &Entry) -> bool {
    !entry.evaluations.iter().any(|e| e == "text")
}

/// Rows of a model's tables, controls last. A method of another family has no row.
pub fn rows(entry: &Entry) -> Vec<CaseRow> {
    let fits = |spec: &&str| {
        let setting = Setting::parse(spec, &abouts()).ok().flatten();
        setting.is_some_and(|s| runs_on(&entry.family, &s))
    };
    let mut ids: Vec<&str> = METHODS.iter().map(|m| m.about().id).collect();
    ids.retain(|id| !CONTROLS.contains(id));
    let free = ids.into_iter().chain(MORE).filter(fits);
    let mut rows: Vec<CaseRow> =
        free.map(|s| CaseRow { spec: s.into(), is_control: false }).collect();
    let oracle = is_task(entry).then_some(ORACLE);
    let controls = CONTROLS.into_iter().chain(oracle);
    rows.extend(controls.map(|s| CaseRow { spec: s.into(), is_control: true }));
    rows
}

/// Shares of the layers' FLOPs. With two layers there is one anchor, which reaches a quarter.
pub fn cuts(entry: &Entry) -> [f64; 3] {
    if is_task(entry) { [0.1, 0.2, 0.25] } else { [0.1, 0.2, 0.3] }
}

/// Items of the continuation task, for both scorers.
const CONTINUATIONS: usize = 200;

/// SPECs of the tasks. All methods get the same items; there are as many as make a complete report in about 40 minutes on
/// one core.
pub fn evals(entry: &Entry, size: Size) -> Vec<String> {
    let n = |full: usize| if size == Size::Fast { full.div_ceil(10) } else { full };
    match entry.evaluations[0].as_str() {
        "recall" => {
            ["medium", "hard"].map(|level| format!("recall:level={level},n={}", n(600))).into()
        }
        "copy" => {
            ["copy", "induction"].map(|task| format!("{task}:level=hard,n={}", n(300))).into()
        }
        _ => vec![
            format!("text:windows={}", n(20)),
            format!("continuation:n={}", n(CONTINUATIONS)),
            format!("cloze:n={}", n(200)),
        ],
    }
}

pub fn with_cut(spec: &str, cut: f64) -> String {
    let mark = if spec.contains(':') { ',' } else { ':' };
    format!("{spec}{mark}cut={cut}")
}

/// Methods whose figures by the released code's scorer are set beside the honest ones, at a cut of 20 %.
pub const PUBLISHED: [&str; 6] = [
    "utrc:guard=off,cut=0.2",
    "utrc-released:guard=off,cut=0.2",
    "evit:guard=off,cut=0.2",
    "evit-released:guard=off,cut=0.2",
    "tome:guard=off,features=mixer,cut=0.2",
    "random:guard=off,cut=0.2",
];

pub fn published_eval(size: Size) -> String {
    let n = if size == Size::Fast { CONTINUATIONS.div_ceil(10) } else { CONTINUATIONS };
    format!("continuation:n={n}")
}

/// Both scorers on the methods of [`PUBLISHED`].
fn published(entry: &Entry, size: Size) -> Vec<Case> {
    let eval = published_eval(size);
    let both = |spec: &str| {
        let honest = Case::honest(&entry.id, &eval, spec);
        [Case { scorer: Scorer::Published, ..honest.clone() }, honest]
    };
    ["off"].into_iter().chain(PUBLISHED).flat_map(both).collect()
}

/// Everything that is measured on a model; 20 % first, since it says most.
pub fn of_model(entry: &Entry, size: Size) -> Vec<Case> {
    let mut cases = Vec::new();
    let [low, middle, high] = cuts(entry);
    let evals = evals(entry, size);
    cases.extend(evals.iter().map(|eval| Case::honest(&entry.id, eval, "off")));
    let at = |cut: f64| -> Vec<Case> {
        let of = |eval: &String| {
            let specs = rows(entry).into_iter().map(move |row| with_cut(&row.spec, cut));
            specs.map(|spec| Case::honest(&entry.id, eval, &spec)).collect::<Vec<_>>()
        };
        evals.iter().flat_map(of).collect()
    };
    cases.extend(at(middle));
    match is_task(entry) {
        true => cases.extend(removal::cases(&entry.id, size)),
        false => cases.extend(published(entry, size)),
    }
    cases.extend(at(high));
    cases.extend(at(low));
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spec_of_the_report_can_be_read() {
        let abouts = abouts();
        let specs = MORE.into_iter().chain(PUBLISHED).chain(CONTROLS).chain([ORACLE]);
        for spec in specs {
            let setting = Setting::parse(spec, &abouts).unwrap().unwrap();
            assert!(Setting::parse(&with_cut(spec, 0.1), &abouts).is_ok(), "{setting}");
        }
    }
}
