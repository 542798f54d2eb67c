//! `whittle run --beside` and `--markdown`: several protocols in one run say what the separate runs say.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A pruning and a reduction, so that the two sides differ.
const SIDES: [&str; 8] = [
    "--reduce",
    "random:cut=0.2",
    "--prune",
    "magnitude:sparsity=0.6",
    "--backend",
    "cpu",
    "--tokens",
    "1",
];

fn printed(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whittle"));
    let output = command.arg("run").args(arguments).args(SIDES).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(&[arguments, &["--json"]].concat())).unwrap()
}

fn fixture(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/harness");
    path.join(name).to_string_lossy().into_owned()
}

#[test]
fn two_protocols_on_the_same_items_are_the_two_separate_runs() {
    let data = fixture("hellaswag.jsonl");
    let alone = |eval: &str| json(&["--model", "lm-llama", "--data", &data, "--eval", eval]);
    let (first, second) = ("hellaswag:n=6,controls=0", "hellaswag:n=3,controls=0");
    let both = ["--model", "lm-llama", "--data", &data, "--eval", first, "--beside", second];
    let both = json(&both);
    assert_eq!(both["quality"], alone(first)["quality"]);
    let beside = both["beside"].as_array().unwrap();
    assert_eq!(beside.len(), 1);
    assert_eq!(beside[0]["evaluation"], second);
    assert_eq!(beside[0]["quality"], alone(second)["quality"]);
    assert_ne!(both["quality"], beside[0]["quality"], "the two protocols are different ones");
    // The link of the second gives the second.
    let link = beside[0]["fragment"].as_str().unwrap();
    assert_eq!(json(&["--link", link, "--data", &data])["quality"], beside[0]["quality"]);
    assert!(alone(first).get("beside").is_none());
}

#[test]
fn protocols_of_a_text_stand_beside_each_other_in_the_order_given() {
    let text = std::fs::read_to_string(fixture("wikitext.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().take(12).collect();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("beside.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let text = file.to_string_lossy().into_owned();
    let of = |eval: &str| {
        let view = json(&["--model", "lm-mamba2", "--data", &text, "--eval", eval]);
        view["quality"].clone()
    };
    let (pieces, windows) = ("wikitext2-2048", "rolling:window=600,stride=300");
    let documents = "wikitext:n=4,controls=0";
    let all = ["--model", "lm-mamba2", "--data", &text, "--eval", pieces];
    let all = json(&[&all[..], &["--beside", windows, "--beside", documents]].concat());
    let beside = all["beside"].as_array().unwrap();
    let named: Vec<&Value> = beside.iter().map(|point| &point["evaluation"]).collect();
    assert_eq!(named, [windows, documents]);
    assert_eq!(beside[0]["quality"], of(windows));
    assert_eq!(beside[1]["quality"], of(documents));
}

#[test]
fn the_markdown_table_holds_both_sides_of_each_run_in_the_harness_columns() {
    let data = fixture("hellaswag.jsonl");
    let evals = ["hellaswag:n=6,controls=0", "hellaswag:n=3,controls=0"];
    let [first, second] = evals;
    let of = ["--model", "lm-llama", "--data", &data, "--eval"];
    let table = [&of[..], &[first, "--beside", second, "--markdown"]].concat();
    let table = printed(&table);
    let mut rows = table.lines().map(cells);
    let head = ["Tasks", "Version", "Filter", "n-shot", "Metric", "", "Value", "", "Stderr"];
    assert_eq!(rows.next().unwrap(), head);
    rows.next();
    for eval in evals {
        let view = json(&[&of[..], &[eval]].concat());
        for side in ["baseline", "compressed"] {
            for (quality, name) in
                view["quality"].as_array().unwrap().iter().zip(["acc", "acc_norm"])
            {
                let value = quality[side]["value"].as_f64().unwrap();
                // Of n answers that are right or wrong, as the harness has it: the sample's deviation over the root of n.
                let n = quality["items"].as_f64().unwrap();
                let deviation = (value * (1.0 - value) * n / (n - 1.0)).sqrt();
                let row = rows.next().unwrap();
                let error = format!("{:.4}", deviation / n.sqrt());
                let value = format!("{value:.4}");
                assert_eq!(row[0], format!("{eval} ({side})"));
                assert_eq!(row[2..], ["none", "0", name, "↑", &value, "±", &error], "{table}");
            }
        }
    }
    assert!(rows.next().is_none(), "{table}");
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.strip_prefix('|').and_then(|rest| rest.strip_suffix('|')).expect("a row");
    inner.split('|').map(|cell| cell.trim().to_string()).collect()
}

#[test]
fn a_protocol_that_does_not_exist_is_refused_by_name() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whittle"));
    command.args(["run", "--model", "recall-llama", "--eval", "recall:n=2", "--beside", "nope"]);
    let output = command.args(["--backend", "cpu", "--tokens", "1"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("nope") && said.contains("wikitext2-2048"), "{said}");
}
