//! A sweep as its user meets it: killed, taken up again, with several workers.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const GRID: &str = r#"
models = ["recall-mamba2", "recall-llama"]
eval = ["recall:n=8"]
reduce = ["off", "stride:cut=0.2", "utrc:cut=0.2"]
prune = ["off", "magnitude:sparsity=0.5"]
"#;
const CELLS: usize = 12;

/// Sixty cells.
const LARGE: &str = r#"
models = ["recall-mamba2", "recall-mamba", "recall-llama"]
eval = ["recall:n=8"]
reduce = ["off", "stride:cut=0.2", "utrc:cut=0.2", "random:cut=0.2", "last:cut=0.2"]
prune = ["off", "magnitude:sparsity=0.5", "wanda:sparsity=0.5", "mrp:pattern=2:4"]
"#;

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

/// Runs a grid in one piece, and again with a kill whenever so many cells are there; gives the two files' names.
fn killed_and_whole(name: &str, text: &str, cells: usize, kills: &[usize]) -> [PathBuf; 3] {
    let folder = folder(name);
    let files = ["grid.toml", "whole.jsonl", "killed.jsonl"].map(|name| folder.join(name));
    let [grid, whole, killed] = &files;
    std::fs::write(grid, text).unwrap();
    let [grid, whole_name, killed_name] =
        [grid, whole, killed].map(|p| p.to_string_lossy().into_owned());
    assert_eq!(done(&[&grid, "--list"]).lines().count(), cells);
    done(&[&grid, "--out", &whole_name]);
    assert_eq!(lines(whole), cells);
    for (round, &there) in kills.iter().enumerate() {
        let mut child = sweep(&[&grid, "--out", &killed_name, "--jobs", "2"]).spawn().unwrap();
        // The next cells are on their way then.
        while lines(killed) < there && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!((there..cells).contains(&lines(killed)), "{} of {cells}", lines(killed));
        if round == 1 {
            // What a kill in the middle of a line would leave.
            let mut bytes = std::fs::read(killed).unwrap_or_default();
            bytes.extend(br#"{"key":"cut sho"#);
            std::fs::write(killed, bytes).unwrap();
        }
    }
    done(&[&grid, "--out", &killed_name, "--jobs", "2"]);
    assert_eq!(lines(killed), cells, "each cell once");
    let table = |file: &str| done(&["table", file]);
    assert_eq!(table(&killed_name), table(&whole_name));
    files
}

#[test]
fn sixty_cells_killed_five_times_are_sixty_lines_and_the_same_table() {
    killed_and_whole("sweep-sixty", LARGE, 60, &[0, 7, 19, 20, 44]);
}

#[test]
fn a_sweep_killed_again_and_again_ends_with_every_cell_once_and_the_same_table() {
    let [grid, whole, killed] = killed_and_whole("sweep-killed", GRID, CELLS, &[0, 2, 5, 8]);
    let [grid, whole_name, killed_name] =
        [&grid, &whole, &killed].map(|p| p.to_string_lossy().into_owned());
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

#[test]
fn the_grids_of_the_repository_can_be_read_and_every_cell_has_a_key() {
    let folder = folder("sweep-grids");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixtures = root.join("tests/fixtures/harness");
    for (task, file) in [
        ("lambada", "lambada"),
        ("hellaswag", "hellaswag"),
        ("piqa", "piqa"),
        ("arc-easy", "arc-easy"),
        ("arc-challenge", "arc-easy"),
        ("winogrande", "winogrande"),
    ] {
        let from = fixtures.join(format!("{file}.jsonl"));
        std::fs::copy(from, folder.join(format!("{task}.jsonl"))).unwrap();
    }
    std::fs::write(folder.join("wiki.test.raw"), " = A = \n").unwrap();
    for (grid, cells) in [("utrc.toml", 96), ("wikitext2.toml", 7), ("sensitivity.toml", 13)] {
        let grid = root.join("sweep").join(grid).to_string_lossy().into_owned();
        let mut command = sweep(&[&grid, "--list", "--json", "--model", "lm-mamba2"]);
        let output = command.current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let listed: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut keys: Vec<&str> = listed.iter().map(|cell| cell["key"].as_str().unwrap()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), cells, "{grid}");
    }
}

#[test]
fn a_grid_shows_the_honest_figure_and_the_released_scorers_one_below_it() {
    let folder = folder("sweep-published");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows = std::fs::read_to_string(root.join("tests/fixtures/harness/lambada.jsonl")).unwrap();
    let [grid, out, data] = ["grid.toml", "out.jsonl", "data.jsonl"]
        .map(|name| folder.join(name).to_string_lossy().into_owned());
    let rows: Vec<&str> = rows.lines().take(6).collect();
    std::fs::write(&data, rows.join("\n")).unwrap();
    let text = format!(
        "models = [\"lm-mamba2\"]\neval = [\"lambada:published=on\"]\nreduce = [\"off\", \"evit:cut=0.3\"]\n[data]\nlambada = {data:?}\n"
    );
    std::fs::write(&grid, text).unwrap();
    done(&[&grid, "--out", &out]);
    let table = done(&["table", &out]);
    let rows: Vec<&str> = table.lines().skip(2).collect();
    assert_eq!(rows.len(), 3, "{table}");
    let slips = |row: &&&str| row.contains("scorer as published");
    assert_eq!(rows.iter().filter(slips).count(), 1, "{table}");
    // Of a part of what stands in the file; the link says which file.
    let points = std::fs::read_to_string(&out).unwrap();
    let hash = whittle::bundle::sha256_hex(&std::fs::read(&data).unwrap());
    assert!(points.lines().all(|line| line.contains(&format!("&d={}&", &hash[..16]))), "{points}");
}

/// Every pruning of a table's rows.
fn prunings(table: &str) -> Vec<&str> {
    table.lines().skip(2).map(|row| row.split(" | ").nth(4).unwrap()).collect()
}

#[test]
fn every_matrix_alone_is_a_grid_and_its_table_begins_with_what_hurts_most() {
    let folder = folder("sweep-each");
    let [grid, out] =
        ["grid.toml", "out.jsonl"].map(|name| folder.join(name).to_string_lossy().into_owned());
    let spec = "magnitude:sparsity=0.9";
    let each = ["each", spec, "--model", "recall-mamba2", "--eval", "recall:n=8", "--by", "matrix"];
    std::fs::write(&grid, done(&each)).unwrap();
    done(&[&grid, "--out", &out]);
    let table = done(&["table", &out, "--metric", "accuracy", "--by-change"]);
    let found = prunings(&table);
    // All of it, and in_proj and out_proj of two layers.
    let mut expected = vec![spec.to_string()];
    for layer in 0..2 {
        let one = |name| format!("{spec},only=mixer.{name},layers={layer}");
        expected.extend(["in_proj", "out_proj"].map(one));
    }
    let mut sorted: Vec<&str> = found.clone();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected, "{table}");
    let points = std::fs::read_to_string(&out).unwrap();
    let points: Vec<Value> = points.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let change = |pruning: &&str| {
        let point = points.iter().find(|p| p["prune"] == **pruning).unwrap();
        let quality = point["quality"].as_array().unwrap();
        let accuracy = quality.iter().find(|q| q["metric"] == "accuracy").unwrap();
        accuracy["change"]["value"].as_f64().unwrap()
    };
    let changes: Vec<f64> = found.iter().map(change).collect();
    assert!(changes.is_sorted() && changes[0] < 0.0, "{changes:?}");
}

#[test]
fn the_grid_of_single_matrices_is_the_one_that_its_command_writes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kept = std::fs::read_to_string(root.join("sweep/sensitivity.toml")).unwrap();
    let spec = "wanda:sparsity=0.7";
    let made = done(&[
        "each",
        spec,
        "--model",
        "lm-mamba2",
        "--eval",
        "text:windows=64",
        "--by",
        "matrix",
    ]);
    assert!(kept.ends_with(&made), "{made}");
}
