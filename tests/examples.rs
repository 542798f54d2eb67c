//! The programs of examples/ run, and say what the command line says.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MODEL: &str = "models/lm-mamba2";

fn in_checkout(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let [out, err] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(status.success(), "{command:?}: {err}");
    out
}

/// Runs an example; cargo has built it, or does so now.
fn example(name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--locked", "--offline", "--example", name, "--"]);
    in_checkout(command.args(arguments))
}

fn whittle(arguments: &[&str]) -> Value {
    let out = in_checkout(Command::new(env!("CARGO_BIN_EXE_whittle")).args(arguments));
    serde_json::from_str(&out).unwrap()
}

/// A folder of this test's own, for what it writes.
fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::remove_dir_all(&place).ok();
    std::fs::create_dir_all(&place).unwrap();
    place
}

/// The first 4,000 bytes of the bundled calibration text, as a file.
fn text(place: &Path) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/eval/calibration.txt");
    let text: String = std::fs::read_to_string(source).unwrap().chars().take(4000).collect();
    let path = place.join("text.txt");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn mean_nll(model: &str, text: &str) -> f64 {
    let args = ["score", "--json", "--backend", "cpu", "--model", model, "--text", text];
    whittle(&args)["mean_nll"].as_f64().unwrap()
}

#[test]
fn score_says_what_the_command_says() {
    let text = text(&place("example-score"));
    let out = example("score", &[MODEL, &text]);
    let expected = format!(" {:.4} nats a token", mean_nll(MODEL, &text));
    assert!(out.contains(&expected), "{out} has no {expected}");
}

#[test]
fn prune_and_export_writes_a_model_that_opens() {
    let place = place("example-prune");
    let (text, out) = (text(&place), place.join("half").display().to_string());
    example("prune_and_export", &[MODEL, "wanda:pattern=2:4", &out]);
    let theirs = place.join("theirs").display().to_string();
    let prune = ["prune", "--json", "--backend", "cpu", "--model", MODEL];
    whittle(&[&prune[..], &["--prune", "wanda:pattern=2:4", "--out", &theirs]].concat());
    let (ours, theirs, dense) =
        (mean_nll(&out, &text), mean_nll(&theirs, &text), mean_nll(MODEL, &text));
    assert_eq!(ours, theirs);
    assert!(ours > dense, "{ours} is no dearer than the dense {dense}");
}

#[test]
fn reduce_and_compare_gives_the_change_of_a_run() {
    let out = example("reduce_and_compare", &[MODEL, "utrc:keep=0.7"]);
    let run = ["run", "--json", "--backend", "cpu", "--model", "lm-mamba2", "--seed", "1"];
    let more = ["--eval", "continuation:n=40,controls=0", "--reduce", "utrc:keep=0.7"];
    let run = whittle(&[&run[..], &more].concat());
    let figures = run["run"]["quality"].as_array().or(run["quality"].as_array()).unwrap();
    assert_eq!(figures.len(), out.lines().count());
    for (figure, line) in figures.iter().zip(out.lines()) {
        let [value, low, high] =
            ["value", "low", "high"].map(|end| figure["change"][end].as_f64().unwrap());
        let label = figure["label"].as_str().unwrap();
        assert_eq!(line, format!("{label}: {value:+.4} [{low:+.4}, {high:+.4}]"));
    }
}
