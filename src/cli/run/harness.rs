//! A run's figures in the columns of the public harness (PyPI `lm_eval`), as Markdown.

use crate::eval::{Estimate, Quality};

/// Our ids of figures and the harness's, where they differ.
const NAMES: [(&str, &str); 2] = [("accuracy", "acc"), ("accuracy_by_length", "acc_norm")];

/// Both sides of every figure of some evaluations. The standard error of a share is the harness's, that of a mean over
/// items; other figures have none here (the harness resamples some of them).
pub fn table(evaluations: &[(&str, &[Quality])]) -> String {
    let mut out = String::from("|Tasks|Version|Filter|n-shot|Metric|   |Value|   |Stderr|\n");
    out += "|---|---|---|---:|---|---|---:|---|---:|\n";
    for (name, figures) in evaluations {
        let sides = figures.iter().map(|q| ("baseline", q, &q.baseline));
        let sides = sides.chain(figures.iter().map(|q| ("compressed", q, &q.compressed)));
        for (side, q, figure) in sides {
            out += &line(&format!("{name} ({side})"), q, figure);
        }
    }
    out
}

fn line(task: &str, q: &Quality, figure: &Estimate) -> String {
    let name = NAMES.iter().find(|(ours, _)| q.metric == *ours).map_or(&*q.metric, |(_, n)| n);
    let arrow = if q.higher_is_better { "↑" } else { "↓" };
    let (value, version) = (figure.value, env!("CARGO_PKG_VERSION"));
    let error = (value * (1.0 - value) / (q.items as f64 - 1.0)).sqrt();
    let error = match &*q.unit {
        "share" if error.is_finite() => format!("{error:.4}"),
        _ => "N/A".into(),
    };
    format!("|{task}|whittle {version}|none|0|{name}|{arrow}|{value:.4}|±|{error}|\n")
}
