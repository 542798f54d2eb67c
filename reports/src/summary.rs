//! Methods against controls at the same FLOPs: which differences are significant.

use super::Results;
use super::Size;
use super::cases::{CONTROLS, Case, cuts, evals, is_task, rows, with_cut};
use std::collections::BTreeMap;
use std::fmt::Write;
use whittle::eval::{Quality, Verdict};
use whittle::session::bundle::{Entry, INDEX};

/// The figure that comparisons rest on.
pub fn headline(eval: &str) -> &'static str {
    match eval.split(':').next() {
        Some("text" | "continuation") => "bits_per_byte",
        Some("cloze") => "bits_per_target",
        _ => "accuracy",
    }
}

/// The headline figure of `case` with `against` as its baseline.
pub fn figure(results: &Results, case: &Case, against: &Case, metric: &str) -> Option<Quality> {
    let task = results.task(&case.model, &case.eval)?;
    let (base, this) = (results.get(against)?, results.get(case)?);
    task.figures(&base.scores, &this.scores).into_iter().find(|q| q.metric == metric)
}

/// A method beside one control in one cell of the page.
#[derive(Debug, Clone)]
pub struct Comparison {
    pub model: String,
    pub eval: String,
    /// Of the method, without its cut.
    pub spec: String,
    pub cut: f64,
    pub control: &'static str,
    pub verdict: Verdict,
}

impl Comparison {
    /// The same method in the same cell, whatever the control.
    pub fn is_beside(&self, other: &Comparison) -> bool {
        let cell =
            |c: &Comparison| (c.model.clone(), c.eval.clone(), c.spec.clone(), c.cut.to_bits());
        cell(self) == cell(other)
    }
}

/// Every method at every cut against every control, as far as it is measured.
pub fn comparisons(results: &Results, size: Size) -> Vec<Comparison> {
    let mut all = Vec::new();
    for entry in &INDEX.models {
        for eval in evals(entry, size) {
            for row in rows(entry).iter().filter(|row| !row.is_control) {
                for cut in cuts(entry) {
                    all.extend(against_controls(results, entry, &eval, &row.spec, cut));
                }
            }
        }
    }
    all
}

fn against_controls(
    results: &Results,
    entry: &Entry,
    eval: &str,
    spec: &str,
    cut: f64,
) -> Vec<Comparison> {
    let case = |spec: &str| Case::honest(&entry.id, eval, &with_cut(spec, cut));
    let of = |control: &'static str| {
        let q = figure(results, &case(spec), &case(control), headline(eval))?;
        let [model, eval, spec] = [&entry.id, eval, spec].map(String::from);
        Some(Comparison { model, eval, spec, cut, control, verdict: q.verdict })
    };
    CONTROLS.into_iter().filter_map(of).collect()
}

/// Verdicts of a kind.
#[derive(Debug, Default, Clone, Copy)]
pub struct Count {
    pub better: usize,
    pub worse: usize,
    pub all: usize,
}

impl Count {
    pub fn of<'a>(comparisons: impl Iterator<Item = &'a Comparison>) -> Count {
        let mut count = Count::default();
        comparisons.for_each(|c| count.add(c.verdict));
        count
    }

    fn add(&mut self, verdict: Verdict) {
        self.better += usize::from(verdict == Verdict::Better);
        self.worse += usize::from(verdict == Verdict::Worse);
        self.all += 1;
    }

    /// One side in most comparisons, and the other in no more than chance would give: a twentieth.
    pub fn verdict(&self) -> Verdict {
        if 2 * self.better > self.all && 20 * self.worse <= self.all {
            Verdict::Better
        } else if 2 * self.worse > self.all && 20 * self.better <= self.all {
            Verdict::Worse
        } else {
            Verdict::NotSignificant
        }
    }
}

/// Counts by method and control over models of one kind.
fn counts(comparisons: &[Comparison], of_tasks: bool) -> Counts {
    let mut counts = Counts::new();
    for entry in INDEX.models.iter().filter(|entry| is_task(entry) == of_tasks) {
        for c in comparisons.iter().filter(|c| c.model == entry.id) {
            counts.entry((c.spec.clone(), c.control)).or_default().add(c.verdict);
        }
    }
    counts
}

/// The section of the page: counts, then sentences made from them.
pub fn section(comparisons: &[Comparison], out: &mut String) {
    *out += "\n## Summary\n\n\
        A comparison is one method and one control on one model, task and cut, over the same items; a difference \
        counts where its paired 95 % interval leaves out 0. Nothing is corrected for the number of \
        comparisons: about one in twenty would come out significant by chance, half of them on either side. \
        Figures: bits per byte (text, true continuation), bits per word (cloze), accuracy (generated tasks).\n";
    for (of_tasks, name) in [(false, "language models"), (true, "task models")] {
        let counts = counts(comparisons, of_tasks);
        if !counts.is_empty() {
            let _ = write!(out, "\n### On the {name}\n\n");
            of_kind(&counts, out);
        }
    }
}

/// Counts of better and worse, by method and control.
type Counts = BTreeMap<(String, &'static str), Count>;

fn of_kind(counts: &Counts, out: &mut String) {
    let of = |method: &str, control: &'static str| {
        counts.get(&(method.to_string(), control)).copied().unwrap_or_default()
    };
    let beats = |control: &&'static str| of("utrc", control).better > of("utrc", control).worse;
    let (beaten, others): (Vec<&str>, Vec<&str>) = CONTROLS.into_iter().partition(beats);
    for (list, is_beaten) in [(beaten, "more often"), (others, "not more often")] {
        if !list.is_empty() {
            let list = list.join(", ");
            let _ = writeln!(
                out,
                "UTRC as the paper describes it is {is_beaten} significantly better than worse against {list}."
            );
        }
    }
    *out += "\nBetter / worse / comparisons:\n\n";
    let _ = writeln!(out, "| method | {} |\n|---|---|---|---|---|", CONTROLS.join(" | "));
    let mut methods: Vec<&String> = counts.keys().map(|(method, _)| method).collect();
    methods.dedup();
    for method in &methods {
        let cell = |control| {
            let c = of(method, control);
            format!("{} / {} / {}", c.better, c.worse, c.all)
        };
        let _ = writeln!(out, "| `{method}` | {} |", CONTROLS.map(cell).join(" | "));
    }
    *out += "\n";
    methods.into_iter().for_each(|method| *out += &sentence(method, counts));
}

fn sentence(method: &str, counts: &Counts) -> String {
    let of = |control: &'static str| {
        counts.get(&(method.to_string(), control)).map(|count| (control, *count))
    };
    let all: Vec<(&str, Count)> = CONTROLS.into_iter().filter_map(of).collect();
    let named = |wanted: Verdict| {
        let names = all.iter().filter(|(_, c)| c.verdict() == wanted).map(|(control, _)| *control);
        names.collect::<Vec<_>>().join(", ")
    };
    let [mostly_better, mostly_worse, undecided] =
        [Verdict::Better, Verdict::Worse, Verdict::NotSignificant].map(named);
    let mut parts = Vec::new();
    for (text, names) in [
        ("beats in most comparisons, and hardly ever loses to:", mostly_better),
        ("loses in most comparisons to, and hardly ever beats:", mostly_worse),
        ("no clear difference, or it depends on the case:", undecided),
    ] {
        if !names.is_empty() {
            parts.push(format!("{text} {names}"));
        }
    }
    format!("- `{method}`: {}.\n", parts.join("; "))
}
