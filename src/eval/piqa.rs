//! PIQA (arXiv 1911.11641): rows with goal, sol1, sol2, label.

use super::evaluation::{Evaluation, Item};
use super::figures::Metric;
use super::harness::{CHOICE_METRICS, Choices, items};
use super::source::{CONTROLS, DATA, Line, N_OWN, PUBLISHED, Source};
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use crate::{Error, Result};
use serde::Deserialize;

static PIQA: About = About {
    id: "piqa",
    label: "PIQA",
    summary: "Which of two ways reaches a goal? Chance is 50 %.",
    source: "arXiv 1911.11641, rows of baber/piqa as JSON lines (goal, sol1, sol2, label), or the original rows with their file of labels. As PyPI lm_eval 0.4.13 scores it: the most likely answer, and the one most likely by character.",
    knobs: &[N_OWN, CONTROLS, PUBLISHED],
    families: &FAMILIES,
};

pub struct Piqa;

impl Evaluation for Piqa {
    fn about(&self) -> &'static About {
        &PIQA
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec![DATA.into()]
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&["goal", "sol1", "sol2"])
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        items(source, item)
    }

    fn metrics(&self) -> &'static [Metric] {
        CHOICE_METRICS
    }
}

#[derive(Deserialize)]
struct PiqaRow {
    goal: String,
    sol1: String,
    sol2: String,
    label: usize,
}

/// Rows whose labels stand in a file of their own, a number a line, as the authors give them: each row with its label.
///
/// Errors: no text, other than one label a row, or a row that is no JSON object.
pub fn with_labels(rows: &[u8], labels: &[u8]) -> Result<Vec<u8>> {
    let text = |name, bytes| {
        std::str::from_utf8(bytes).map_err(|_| Error::file(name, "is not UTF-8 text"))
    };
    let (rows, labels) = (text("data", rows)?.trim_end(), text("labels", labels)?.trim_end());
    let (n, m) = (rows.lines().count(), labels.lines().count());
    if n != m {
        return Err(Error::file("labels", format!("has {m} lines; expected {n}, one a row")));
    }
    let mut out = Vec::with_capacity(rows.len() + 16 * n);
    for (i, (row, label)) in rows.lines().zip(labels.lines()).enumerate() {
        let label = label.trim();
        let number: usize = label.parse().map_err(|_| {
            Error::file("labels", format!("line {} is {label:?}; expected 0 or 1", i + 1))
        })?;
        let mut row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(row)
            .map_err(|e| Error::file("data", format!("line {} is no row ({e})", i + 1)))?;
        row.insert("label".into(), number.into());
        serde_json::to_writer(&mut out, &row).expect("a map of strings serialises");
        out.push(b'\n');
    }
    Ok(out)
}

fn item(line: &Line<'_>, source: &Source<'_>) -> Result<Box<dyn Item>> {
    let row: PiqaRow = line.parse()?;
    let context = format!("Question: {}\nAnswer:", row.goal);
    let choices = [row.sol1, row.sol2];
    Ok(Box::new(Choices::after(line, &context, &choices, row.label, source)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_file_of_their_own_go_to_their_rows() {
        let rows = b"{\"goal\":\"g\",\"sol1\":\"a\",\"sol2\":\"b\"}\n{\"goal\":\"h\",\"sol1\":\"a\",\"sol2\":\"b\"}\n";
        let joined = with_labels(rows, b"1\n0\n").unwrap();
        let read = |line: &str| serde_json::from_str::<PiqaRow>(line).unwrap();
        let rows_read: Vec<PiqaRow> =
            std::str::from_utf8(&joined).unwrap().lines().map(read).collect();
        let found: Vec<(&str, usize)> = rows_read.iter().map(|r| (&*r.goal, r.label)).collect();
        assert_eq!(found, [("g", 1), ("h", 0)]);
        for (labels, part) in
            [(&b"1\n"[..], "has 1 lines"), (b"1\nx\n", "line 2"), (b"\xff", "UTF-8")]
        {
            let error = with_labels(rows, labels).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(with_labels(b"1\n", b"1\n").unwrap_err().to_string().contains("line 1"));
    }
}
