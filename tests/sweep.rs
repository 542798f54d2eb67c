//! A sweep as its user meets it: killed, taken up again, with several workers.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const GRID: &str = r#"
models = ["recall-mamba2", "recall-llama"]
eval = ["recall:n=8"]
reduce = ["off", "stride:cut=0.2", "utrc:cut=0.2"]
prune = ["off", "magnitude:sparsity=0.5"]
"#;
const CELLS: usize = 12;

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn sweep(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whittle"));
    command.arg("sweep").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn done(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = sweep(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{arguments:?}: {said}");
    String::from_utf8(stdout).unwrap()
}

fn lines(file: &Path) -> usize {
    std::fs::read(file).unwrap_or_default().iter().filter(|b| **b == b'\n').count()
}

#[test]
fn a_sweep_killed_again_and_again_ends_with_every_cell_once_and_the_same_table() {
    let folder = folder("sweep-killed");
    let [grid, whole, killed] =
        ["grid.toml", "whole.jsonl", "killed.jsonl"].map(|name| folder.join(name));
    std::fs::write(&grid, GRID).unwrap();
    let [grid, whole_name, killed_name] =
        [&grid, &whole, &killed].map(|p| p.to_string_lossy().into_owned());
    assert_eq!(done(&[&grid, "--list"]).lines().count(), CELLS);
    done(&[&grid, "--out", &whole_name]);
    assert_eq!(lines(&whole), CELLS);

    for (round, ms) in [300, 1500, 700, 2200].into_iter().enumerate() {
        let mut child = sweep(&[&grid, "--out", &killed_name, "--jobs", "2"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(ms));
        child.kill().unwrap();
        child.wait().unwrap();
        if round == 1 {
            // What a kill in the middle of a line would leave.
            let mut bytes = std::fs::read(&killed).unwrap_or_default();
            bytes.extend(br#"{"key":"cut sho"#);
            std::fs::write(&killed, bytes).unwrap();
        }
    }
    done(&[&grid, "--out", &killed_name, "--jobs", "2"]);
    assert_eq!(lines(&killed), CELLS, "each cell once");
    let table = |file: &str| done(&["table", file]);
    assert_eq!(table(&killed_name), table(&whole_name));
    // Nothing is left to do.
    let again = sweep(&[&grid, "--out", &killed_name]).output().unwrap();
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("12 of them measured already"), "{said}");
    assert_eq!(lines(&killed), CELLS);

    // The dense model costs all of itself and differs from itself in nothing.
    let points = std::fs::read_to_string(&whole).unwrap();
    let dense = points.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let dense: Vec<Value> = dense.filter(|p| p["reduce"] == "off" && p["prune"] == "off").collect();
    assert_eq!(dense.len(), 2);
    for point in dense {
        assert_eq!(point["cost"]["flops_share"], 1.0);
        assert_eq!(point["quality"][0]["change"]["value"], 0.0);
        assert!(point["fragment"].as_str().unwrap().contains("recall"), "{point}");
    }
    assert!(done(&["frontier", &whole_name]).lines().count() > 2);
    assert!(done(&["table", &whole_name, "--csv"]).lines().count() == CELLS + 1);
}

#[test]
fn a_cell_that_cannot_run_is_named_and_the_others_are_measured() {
    let folder = folder("sweep-failing");
    let [grid, out] = ["grid.toml", "out.jsonl"].map(|name| folder.join(name));
    // A score that a Llama has not.
    let text = r#"
models = ["recall-llama"]
eval = ["recall:n=8"]
reduce = ["off", "evit:score=delta", "stride"]
"#;
    std::fs::write(&grid, text).unwrap();
    let [grid, out_name] = [&grid, &out].map(|p| p.to_string_lossy().into_owned());
    let output = sweep(&[&grid, "--out", &out_name]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("not measured") && said.contains("score=delta"), "{said}");
    assert_eq!(lines(&out), 2);
}
