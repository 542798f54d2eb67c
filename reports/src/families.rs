//! What is significant and what is not, in sentences: one passage for each family of models.

use super::Results;
use super::cases::{CONTROLS, is_task, rows};
use super::summary::{Comparison, Count};
use std::fmt::Write;
use whittle::eval::Verdict;
use whittle::session::bundle::{Entry, INDEX};

/// The section of the page.
pub fn section(results: &Results, comparisons: &[Comparison], out: &mut String) {
    *out += "\n## Family by family\n\n\
        UTRC beats a control here where it is significantly better in most comparisons with it and worse in no more \
        than a twentieth of them, and loses to it the other way round. Where each is significantly better in more than a \
        twentieth, it depends on the task. What is left is named as it is, down to no clear difference.\n";
    for family in distinct(INDEX.models.iter().map(|e| e.family.as_str())) {
        let of_family = |entry: &&Entry| entry.family == family;
        for of_tasks in [false, true] {
            let entries = INDEX.models.iter().filter(of_family);
            let entries: Vec<&Entry> = entries.filter(|e| is_task(e) == of_tasks).collect();
            let is_of = |c: &&Comparison| entries.iter().any(|e| e.id == c.model);
            let found: Vec<&Comparison> = comparisons.iter().filter(is_of).collect();
            if !found.is_empty() {
                passage(results, &entries, &found, out);
            }
        }
    }
}

/// Each once, in the order in which they come.
fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

fn passage(results: &Results, entries: &[&Entry], found: &[&Comparison], out: &mut String) {
    let ids = entries.iter().map(|e| format!("`{}`", e.id)).collect::<Vec<_>>().join(", ");
    let family = entries[0].label.split(',').next().unwrap_or(&entries[0].family);
    let kind = if is_task(entries[0]) { "generated tasks" } else { "prose" };
    let _ = write!(out, "\n### {family}, {kind} ({ids})\n\n");
    utrc(found, out);
    by_task(found, out);
    better_than_all(entries, found, out);
    let all = Count::of(found.iter().copied());
    let _ = writeln!(
        out,
        "Of {} comparisons of a method with a control {} are significant for the method, {} for the control, and {} are \
         not significant.",
        all.all,
        all.better,
        all.worse,
        all.all - all.better - all.worse
    );
    if !results.is_complete {
        *out += "Not everything is measured yet.\n";
    }
}

/// What several comparisons with one control come to.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Beats,
    Loses,
    /// Significant both ways, more often than chance.
    Mixed,
    /// Significant one way more often than chance, but not in most comparisons.
    SometimesBetter,
    SometimesWorse,
    Open,
}

fn outcome(count: &Count) -> Outcome {
    let is_more_than_chance = |n: usize| 20 * n > count.all;
    let (better, worse) = (is_more_than_chance(count.better), is_more_than_chance(count.worse));
    match (count.verdict(), better, worse) {
        (Verdict::Better, ..) => Outcome::Beats,
        (Verdict::Worse, ..) => Outcome::Loses,
        (_, true, true) => Outcome::Mixed,
        (_, true, false) => Outcome::SometimesBetter,
        (_, false, true) => Outcome::SometimesWorse,
        (_, false, false) => Outcome::Open,
    }
}

/// UTRC task by task, all controls and cuts together.
fn by_task(found: &[&Comparison], out: &mut String) {
    let of_utrc = found.iter().filter(|c| c.spec == "utrc");
    let tasks = distinct(of_utrc.map(|c| (c.model.as_str(), c.eval.as_str())));
    let part = |&(model, eval): &(&str, &str)| {
        let is_it = |c: &&&Comparison| c.spec == "utrc" && c.model == model && c.eval == eval;
        let c = Count::of(found.iter().filter(is_it).copied());
        format!("`{eval}` {} / {} / {}", c.better, c.worse, c.all - c.better - c.worse)
    };
    let parts = tasks.iter().map(part).collect::<Vec<_>>().join(", ");
    let _ = writeln!(out, "UTRC by task, all controls and cuts together: {parts}.\n");
}

/// UTRC, control by control, and the sentence that follows.
fn utrc(found: &[&Comparison], out: &mut String) {
    let against = |control: &str| {
        let is_it = |c: &&&Comparison| c.spec == "utrc" && c.control == control;
        Count::of(found.iter().filter(is_it).copied())
    };
    let counts = CONTROLS.map(|control| (control, against(control)));
    let named = |wanted: Outcome| -> String {
        let names = counts.iter().filter(|(_, c)| c.all > 0 && outcome(c) == wanted);
        names.map(|(control, _)| *control).collect::<Vec<_>>().join(", ")
    };
    let part = |(control, c): &(&str, Count)| {
        format!("{control} {} / {} / {}", c.better, c.worse, c.all - c.better - c.worse)
    };
    let parts = counts.iter().map(part).collect::<Vec<_>>().join(", ");
    let _ = write!(out, "UTRC, significantly better / worse / neither: {parts}. ");
    let _ = match (named(Outcome::Beats).as_str(), named(Outcome::Mixed).as_str()) {
        ("", "") => write!(out, "**UTRC beats no control.** "),
        ("", mixed) => write!(
            out,
            "**UTRC beats no control throughout; against {mixed} it wins on some tasks and loses on others.** "
        ),
        (names, "") => write!(out, "**UTRC beats {names}.** "),
        (names, mixed) => write!(
            out,
            "**UTRC beats {names}; against {mixed} it wins on some tasks and loses on others.** "
        ),
    };
    for (text, wanted) in [
        ("It loses to", Outcome::Loses),
        ("Better in some cases and hardly ever worse than", Outcome::SometimesBetter),
        ("Worse in some cases and hardly ever better than", Outcome::SometimesWorse),
        ("No clear difference from", Outcome::Open),
    ] {
        let names = named(wanted);
        if !names.is_empty() {
            let _ = write!(out, "{text} {names}. ");
        }
    }
    out.truncate(out.trim_end().len());
    *out += "\n\n";
}

/// The methods that are significantly better than every control at once, and in how many cells.
fn better_than_all(entries: &[&Entry], found: &[&Comparison], out: &mut String) {
    let specs = distinct(entries.iter().flat_map(|e| rows(e)).map(|r| r.spec));
    let cells = |spec: &str| -> (usize, usize) {
        let of: Vec<&&Comparison> = found.iter().filter(|c| c.spec == spec).collect();
        let is_first = |c: &&&&Comparison| c.control == CONTROLS[0];
        let wins = |first: &&&&Comparison| {
            of.iter().filter(|c| c.is_beside(first)).all(|c| c.verdict == Verdict::Better)
        };
        (of.iter().filter(is_first).filter(wins).count(), of.iter().filter(is_first).count())
    };
    let named = specs.iter().map(|spec| (spec, cells(spec))).filter(|(_, (wins, _))| *wins > 0);
    let named = named.map(|(spec, (wins, all))| format!("`{spec}` in {wins} of {all}"));
    let list = named.collect::<Vec<_>>().join(", ");
    let _ = match list.as_str() {
        "" => writeln!(out, "No method is better than all four controls at once in any cell.\n"),
        list => writeln!(out, "Better than all four controls at once: {list} cells.\n"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(control: &'static str, cut: f64, verdict: Verdict) -> Comparison {
        let [model, eval, spec] = ["lm-mamba2", "text", "utrc"].map(String::from);
        Comparison { model, eval, spec, cut, control, verdict }
    }

    #[test]
    fn a_method_that_wins_nowhere_is_said_to_beat_no_control() {
        let all: Vec<Comparison> =
            CONTROLS.into_iter().map(|c| comparison(c, 0.1, Verdict::NotSignificant)).collect();
        let mut out = String::new();
        utrc(&all.iter().collect::<Vec<_>>(), &mut out);
        assert!(out.contains("UTRC beats no control"), "{out}");
        assert!(out.contains("random 0 / 0 / 1"), "{out}");
    }

    #[test]
    fn a_method_that_wins_on_one_task_and_loses_on_another_is_said_to_do_so() {
        let verdicts = [Verdict::Better, Verdict::Better, Verdict::Worse];
        let all: Vec<Comparison> =
            verdicts.into_iter().map(|v| comparison(CONTROLS[0], 0.1, v)).collect();
        let mut out = String::new();
        utrc(&all.iter().collect::<Vec<_>>(), &mut out);
        assert!(out.contains("against random it wins on some tasks and loses on others"), "{out}");
    }

    #[test]
    fn a_cell_counts_only_where_every_control_is_beaten() {
        let mut all = Vec::new();
        for control in CONTROLS {
            all.push(comparison(control, 0.1, Verdict::Better));
            let at_20 =
                if control == CONTROLS[3] { Verdict::NotSignificant } else { Verdict::Better };
            all.push(comparison(control, 0.2, at_20));
        }
        let entry = Entry::find("lm-mamba2").unwrap();
        let mut out = String::new();
        better_than_all(&[entry], &all.iter().collect::<Vec<_>>(), &mut out);
        assert!(out.contains("`utrc` in 1 of 2 cells"), "{out}");
    }
}
