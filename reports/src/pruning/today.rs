//! Methods beside those of the first tables: quantisation, newer masks and ratios, states and their decay rates.
//!
//! A row is one setting. Beside quality stand the bytes that a decoded token reads, which are counted, and how many times
//! as fast as the dense model the pruned one decodes, which is measured in turns.

use super::super::Size;
use super::{Bench, Cell, Column, ResultRow, row};
use std::collections::BTreeMap;
use std::fmt::Write;
use whittle::Result;
use whittle::eval::{PrunedModel, Quality, Timed, Verdict, speed};
use whittle::pace::Pace;

/// Rows, and the types of model that have what a method works on; none stands for all.
const ROWS: [(ResultRow, &[&str]); 30] = [
    (row("RTN int8, a scale a row", "rtn:bits=8,group=row"), &[]),
    (row("GPTQ int8, a scale a row", "gptq:bits=8,group=row"), &[]),
    (row("RTN int4, a scale a row", "rtn:bits=4,group=row"), &[]),
    (row("GPTQ int4, a scale a row", "gptq:bits=4,group=row"), &[]),
    (row("RTN int4, groups of 64", "rtn:bits=4,group=64"), &[]),
    (row("GPTQ int4, groups of 64", "gptq:bits=4,group=64"), &[]),
    (row("GPTQ int4, groups of 64, zero points", "gptq:bits=4,group=64,grid=range"), &[]),
    (row("GPTQ int4, groups of 32", "gptq:bits=4,group=32"), &[]),
    (row("MRP 2:4", "mrp:pattern=2:4"), &[]),
    (row("GPTQ int8 with 2:4", "gptq:bits=8,group=row,pattern=2:4"), &[]),
    (row("GPTQ int4 with 50 % zeros", "gptq:bits=4,group=64,sparsity=0.5"), &[]),
    (row("structured, a quarter of the channels", "structured:share=0.25"), &[]),
    (row("Wanda 60 %", "wanda:sparsity=0.6"), &[]),
    (row("Wanda 60 %, swaps", "wanda:sparsity=0.6,swaps=100"), &[]),
    (row("Wanda 60 %, refit", "wanda:sparsity=0.6,refit=row,inputs=pruned"), &[]),
    (row("Wanda 60 %, swaps, refit", "wanda:sparsity=0.6,swaps=100,refit=row,inputs=pruned"), &[]),
    (row("MRP 60 %, blocks of 128", "mrp:sparsity=0.6,block=128"), &[]),
    (row("MRP 60 %, blocks of 128, mask of Thanos", "mrp:sparsity=0.6,block=128,mask=W"), &[]),
    (row("SparseGPT 70 %", "sparsegpt:sparsity=0.7"), &[]),
    (row("SparseGPT 70 %, ratios of OWL", "sparsegpt:sparsity=0.7,ratios=owl"), &[]),
    (
        row("SparseGPT 70 %, ratios by sensitivity", "sparsegpt:sparsity=0.7,ratios=sensitivity"),
        &[],
    ),
    (row("half of the states", "structured:unit=states,share=0.5"), &["mamba", "mamba2"]),
    (row("half of the states, GHOST", "structured:unit=states,share=0.5,score=ghost"), &["mamba2"]),
    (
        row("three quarters of the states", "structured:unit=states,share=0.75"),
        &["mamba", "mamba2"],
    ),
    (
        row("three quarters of the states, GHOST", "structured:unit=states,share=0.75,score=ghost"),
        &["mamba2"],
    ),
    (row("SparseSSM 50 %, no memory", "sparsessm:sparsity=0.5"), &["mamba"]),
    (row("SparseSSM 50 %, A = -1", "sparsessm:sparsity=0.5,removed=rate"), &["mamba"]),
    (
        row("half of the states, SparseSSM", "structured:unit=states,share=0.5,score=sparsessm"),
        &["mamba"],
    ),
    (
        row(
            "three quarters of the states, SparseSSM",
            "structured:unit=states,share=0.75,score=sparsessm",
        ),
        &["mamba"],
    ),
    (
        row("SparseGPT 70 %, ratios of SparseSSM", "sparsegpt:sparsity=0.7,ratios=sparsessm"),
        &["mamba"],
    ),
];

/// Labels: the one that is expected to be better, and the other.
const PAIRS: [(&str, &str); 14] = [
    ("GPTQ int4, a scale a row", "RTN int4, a scale a row"),
    ("GPTQ int4, groups of 64", "RTN int4, groups of 64"),
    ("GPTQ int4, groups of 64", "MRP 2:4"),
    ("GPTQ int8, a scale a row", "MRP 2:4"),
    ("Wanda 60 %, swaps", "Wanda 60 %"),
    ("Wanda 60 %, swaps, refit", "Wanda 60 %, refit"),
    ("MRP 60 %, blocks of 128", "MRP 60 %, blocks of 128, mask of Thanos"),
    ("SparseGPT 70 %, ratios of OWL", "SparseGPT 70 %"),
    ("SparseGPT 70 %, ratios by sensitivity", "SparseGPT 70 %, ratios of OWL"),
    ("half of the states, GHOST", "half of the states"),
    ("three quarters of the states, GHOST", "three quarters of the states"),
    ("half of the states, SparseSSM", "half of the states"),
    ("three quarters of the states, SparseSSM", "three quarters of the states"),
    ("SparseGPT 70 %, ratios of SparseSSM", "SparseGPT 70 %"),
];

/// The int8 whose perplexity is set against the dense one in a sentence.
const INT8: &str = "GPTQ int8, a scale a row";

/// Rows that a model of this type has.
pub fn rows_of(family: &str) -> impl Iterator<Item = (usize, &'static str)> {
    let rows = ROWS.iter().enumerate();
    rows.filter(move |(_, (_, only))| only.is_empty() || only.contains(&family))
        .map(|(i, (r, _))| (i, r.spec))
}

const PROMPT_TOKENS: usize = 16;
const DECODE_TOKENS: usize = 16;
const BUDGET_MS: f64 = 4000.0;

/// Adds what a decoded token reads and how fast it is.
pub async fn time(bench: &Bench<'_>, pruned: &PrunedModel, cell: Cell) -> Result<Cell> {
    let arms = [bench.placed.arm(None), bench.placed.compressed(pruned, None)];
    // What the tokens are does not change how long one takes.
    let prompt = [1; PROMPT_TOKENS];
    let timed = Timed { prompt: &prompt, decode_tokens: DECODE_TOKENS, budget_ms: BUDGET_MS };
    let measured = speed([&arms[0], &arms[1]], &timed, &Pace::default(), &mut |_, _| {}).await?;
    let bytes = pruned.decode.as_ref().map(|d| [d.bytes, d.bytes_dense]);
    Ok(Cell { bytes, decode: Some(measured.decode_ratio), ..cell })
}

fn find(column: &Column, label: &str) -> Option<usize> {
    let at = ROWS.iter().position(|(row, _)| row.label == label)?;
    column.today.contains_key(&at).then_some(at)
}

fn quality(column: &Column, at: usize, against: Option<usize>) -> Option<Quality> {
    let base = against.map_or(Some(&column.dense), |other| column.today.get(&other))?;
    column.compare(base, column.today.get(&at)?)
}

const HEAD: &str = "# Quantisation and pruning of today: measured

Generated by `cargo run -p whittle-reports -- pruning-today`; do not edit. Device: CPU, arithmetic of the methods in f64. Knobs as in the
SPEC, 16 calibration windows of 512 tokens. Perplexity on held-out text that no method saw, windows of 512 tokens; intervals are
95 % intervals of paired differences over the same windows. Bytes: weights that a decoded token reads, linear layers and head,
counted, and as a share of dense f16. Decoding: how many times as fast as dense f16, one thread, measured in turns in one process,
median of the rounds with its 95 % interval; small models do much beside reading weights. Methods: docs/pruning.md and `whittle methods`.
";

/// The page.
pub fn page(columns: &[Column], size: Size, is_complete: bool) -> String {
    let mut out = String::from(HEAD);
    if size == Size::Fast {
        out += "\n**Fast form: an eighth of the windows. Intervals are wide and worth little.**\n";
    }
    if !is_complete {
        out += "\n**Not complete: rows are missing that were not measured yet.**\n";
    }
    for column in columns {
        let _ = write!(out, "\n## {}, weights {}\n\n", column.label, &column.sha256[..12]);
        if let Some(q) = column.dense() {
            let b = q.baseline;
            let _ = writeln!(
                out,
                "Evaluation `{}`. Dense: perplexity {:.2} [{:.2}, {:.2}], {} windows.\n",
                column.evaluation, b.value, b.low, b.high, q.items
            );
        }
        tables(column, &mut out);
    }
    out
}

/// The tables of a model.
fn tables(column: &Column, out: &mut String) {
    *out +=
        "| method | SPEC | perplexity (change) | MB a token | decoding |\n|---|---|---|---|---|\n";
    for (at, (row, _)) in ROWS.iter().enumerate() {
        let Some((q, cell)) = quality(column, at, None).zip(column.today.get(&at)) else {
            continue;
        };
        let [mb, dense] = cell.bytes.unwrap_or([f64::NAN; 2]).map(|b| b / 1e6);
        let bytes =
            if mb.is_finite() { format!("{mb:.2} ({:.2})", mb / dense) } else { "-".into() };
        let decode = cell.decode.as_ref().map_or_else(
            || "-".into(),
            |e| format!("{:.2} [{:.2}, {:.2}]", e.value, e.low, e.high),
        );
        let _ = writeln!(
            out,
            "| {} | `{}` | {:.2} ({}) | {bytes} | {decode} |",
            row.label,
            row.spec,
            q.compressed.value,
            change(&q)
        );
    }
    pairs(column, out);
}

fn pairs(column: &Column, out: &mut String) {
    *out += "\nChange of perplexity from the second to the first, paired; below 0 the first is better, as expected.\n\n\
        | first | second | change | |\n|---|---|---|---|\n";
    for (first, second) in PAIRS {
        let both = find(column, first).zip(find(column, second));
        let Some(q) = both.and_then(|(a, b)| quality(column, a, Some(b))) else { continue };
        let word = match q.verdict {
            Verdict::Better => "as expected",
            Verdict::Worse => "**the other way round**",
            _ => "cannot be told apart",
        };
        let _ = writeln!(out, "| {first} | {second} | {} | {word} |", change(&q));
    }
    if let Some(q) = find(column, INT8).and_then(|at| quality(column, at, None)) {
        let share = |x: f64| 100.0 * x / q.baseline.value;
        let _ = writeln!(
            out,
            "\n{INT8}: perplexity {:+.2} % [{:+.2}, {:+.2}] of the dense model's.",
            share(q.change.value),
            share(q.change.low),
            share(q.change.high)
        );
    }
}

fn change(q: &Quality) -> String {
    format!("{:+.2} [{:+.2}, {:+.2}]", q.change.value, q.change.low, q.change.high)
}

/// Cells of the rows that a column's model has, as far as they are measured.
pub type Cells = BTreeMap<usize, Cell>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pruning::setting;
    use whittle::prune::check_setting;

    #[test]
    fn every_row_can_be_run_and_every_pair_names_two() {
        let specs: Vec<String> = ROWS
            .iter()
            .map(|(row, _)| {
                let setting = setting(row.spec).unwrap();
                assert!(check_setting(&setting).is_ok(), "{}", row.spec);
                setting.to_string()
            })
            .collect();
        assert!(specs.iter().enumerate().all(|(i, s)| !specs[..i].contains(s)));
        let is_row = |label: &str| ROWS.iter().any(|(row, _)| row.label == label);
        assert!(PAIRS.iter().all(|(a, b)| is_row(a) && is_row(b)) && is_row(INT8));
    }
}
