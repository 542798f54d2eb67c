//! What is measured: models, tasks, methods, cuts.

use super::removal;
use crate::config::FAMILIES;
use crate::reduce::METHODS;
use crate::session::bundle::Entry;

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
pub struct Row {
    /// SPEC without a cut.
    pub spec: String,
    pub is_control: bool,
}

/// Controls that every method is compared with at the same cut.
pub const CONTROLS: [&str; 4] = ["random", "stride", "last", "prefix"];
/// Scores beside a method's default that are worth a row.
const MORE: [&str; 7] = [
    "evit:score=delta",
    "evit:score=implicit",
    "evit:score=row",
    "evit:score=column",
    "evit:score=recency",
    "utrc:score=delta",
    "utrc:score=column",
];
const ORACLE: &str = "evit:score=oracle";

pub fn is_recall(entry: &Entry) -> bool {
    entry.evaluations.iter().any(|e| e == "recall")
}

/// Rows of a model's tables, controls last. A method of another family has no row.
pub fn rows(entry: &Entry) -> Vec<Row> {
    let family = entry.family.as_str();
    let method = |spec: &str| {
        let id = spec.split(':').next().unwrap_or(spec);
        METHODS.iter().find(|m| m.about().id == id).map_or(&FAMILIES[..], |m| m.about().families)
    };
    let is_ssm = family.starts_with("mamba");
    let fits = |spec: &&str| {
        let needs_ssm = spec.ends_with("delta") || spec.ends_with("implicit");
        let needs_attention = spec.ends_with("row") || spec.ends_with("column");
        method(spec).contains(&family) && (is_ssm || !needs_ssm) && !(is_ssm && needs_attention)
    };
    let mut ids: Vec<&str> = METHODS.iter().map(|m| m.about().id).collect();
    ids.retain(|id| !CONTROLS.contains(id));
    let free = ids.into_iter().chain(MORE).filter(fits);
    let mut rows: Vec<Row> = free.map(|s| Row { spec: s.into(), is_control: false }).collect();
    let oracle = is_recall(entry).then_some(ORACLE);
    let controls = CONTROLS.into_iter().chain(oracle);
    rows.extend(controls.map(|s| Row { spec: s.into(), is_control: true }));
    rows
}

/// Shares of the layers' FLOPs. With two layers there is one anchor, which reaches a quarter.
pub fn cuts(entry: &Entry) -> [f64; 3] {
    if is_recall(entry) { [0.1, 0.2, 0.25] } else { [0.1, 0.2, 0.3] }
}

/// SPECs of the tasks.
pub fn evals(entry: &Entry, is_fast: bool) -> Vec<String> {
    let n = |full: usize| if is_fast { full.div_ceil(10) } else { full };
    match is_recall(entry) {
        true => ["medium", "hard"].map(|level| format!("recall:level={level},n={}", n(300))).into(),
        false => vec![
            format!("text:windows={}", n(8)),
            format!("continuation:n={}", n(100)),
            format!("cloze:n={}", n(120)),
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

pub fn published_eval(is_fast: bool) -> String {
    format!("continuation:n={}", if is_fast { 6 } else { 60 })
}

/// Everything that is measured on a model; 20 % first, since it says most.
pub fn of_model(entry: &Entry, is_fast: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    let [low, middle, high] = cuts(entry);
    let evals = evals(entry, is_fast);
    cases.extend(evals.iter().map(|eval| Case::honest(&entry.id, eval, "off")));
    for cut in [middle, high, low] {
        for eval in &evals {
            let rows = rows(entry).into_iter();
            cases.extend(rows.map(|row| Case::honest(&entry.id, eval, &with_cut(&row.spec, cut))));
        }
    }
    match is_recall(entry) {
        true => cases.extend(removal::cases(&entry.id, is_fast)),
        false => {
            let eval = published_eval(is_fast);
            for spec in ["off"].into_iter().chain(PUBLISHED) {
                let honest = Case::honest(&entry.id, &eval, spec);
                cases.push(Case { scorer: Scorer::Published, ..honest.clone() });
                cases.push(honest);
            }
        }
    }
    cases
}
