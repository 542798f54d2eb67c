//! The command line as a person meets it: one clear line and exit code 2 for wrong input, and a link that repeats a run.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

fn whittle(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_whittle");
    Command::new(program).args(arguments).output().expect("the program starts")
}

/// A folder of this test's own with the bundled recall model, `change` applied to its files.
fn folder(name: &str, change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> String {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&target);
    std::fs::create_dir_all(&target).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let source =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/recall-mamba2").join(file);
        if let Some(bytes) = change(file, std::fs::read(source).unwrap()) {
            std::fs::write(target.join(file), bytes).unwrap();
        }
    }
    target.to_string_lossy().into_owned()
}

fn refused(arguments: &[&str], parts: &[&str]) {
    let output = whittle(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{arguments:?} says {text}, not {part}");
    }
}

#[test]
fn wrong_settings_are_refused_in_one_line() {
    let text = folder("text", |_, _| None);
    let empty = format!("{text}/empty.txt");
    let prose = format!("{text}/prose.txt");
    std::fs::write(&empty, "").unwrap();
    std::fs::write(&prose, "n01 n02").unwrap();
    refused(&["score", "--model", "nope", "--text", &prose], &["nope", "lm-mamba2"]);
    refused(&["score", "--model", "recall-mamba2", "--text", &empty], &["empty.txt", "is empty"]);
    refused(&["run", "--link", "#v=9"], &["link version", "newer"]);
    refused(&["run", "--link", "#v=1&tr=utrc:layers=9"], &["layers", "0 to 5"]);
    refused(&["run", "--model", "lm-llama", "--reduce", "utrc:layers=7"], &["layers", "0 to 3"]);
    refused(
        &["reduce", "--model", "recall-mamba2", "--text", &prose, "--reduce", "utrc:layers=9"],
        &["layers", "0 to 1"],
    );
    refused(&["run", "--prune", "wanda:sparsity=2"], &["sparsity", "0 to 0.95"]);
    refused(&["run", "--reduce", "utrc:cut=0.6"], &["cut", "at most"]);
    refused(&["run", "--prune", "wanda:only=nope"], &["only", "nope", "in_proj"]);
    refused(&["run", "--calibration-beside", &prose], &["calibration-beside", "--prune"]);
    refused(
        &["run", "--model", "recall-llama", "--reduce", "evit:score=delta"],
        &["score", "llama"],
    );
    refused(
        &["run", "--model", "recall-llama", "--eval", "text"],
        &["heldout", "words that this model does not know"],
    );
    refused(&["run", "--eval", "recall:level=none"], &["level", "medium"]);
}

#[cfg(unix)]
#[test]
fn it_ends_quietly_where_its_reader_does() {
    use std::os::unix::process::ExitStatusExt;
    let mut command = Command::new(env!("CARGO_BIN_EXE_whittle"));
    command.arg("methods").stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // It was faster than the reader, or it was ended by SIGPIPE.
    assert!(output.status.success() || output.status.signal() == Some(13), "{}", output.status);
}

#[test]
fn broken_files_are_refused_by_name() {
    let score = |folder: &str, parts: &[&str]| {
        refused(
            &[
                "score",
                "--model",
                folder,
                "--text",
                concat!(env!("CARGO_MANIFEST_DIR"), "/models/eval/recall_calibration.txt"),
                "--backend",
                "cpu",
            ],
            parts,
        );
    };
    let cut = |file: &str, bytes: Vec<u8>| {
        Some(if file == "model.safetensors" { bytes[..9000].to_vec() } else { bytes })
    };
    score(&folder("cut", cut), &["model.safetensors", "truncated"]);
    score(
        &folder("no-tokenizer", |file, bytes| (file != "tokenizer.json").then_some(bytes)),
        &["tokenizer.json", "missing"],
    );
    let edit = |from: &'static str, to: &'static str| {
        move |file: &str, bytes: Vec<u8>| match file {
            "config.json" => Some(String::from_utf8(bytes).unwrap().replace(from, to).into_bytes()),
            _ => Some(bytes),
        }
    };
    score(&folder("bert", edit("\"mamba2\"", "\"bert\"")), &["model_type", "bert", "gpt_neox"]);
    score(
        &folder("shape", edit("\"vocab_size\": 84", "\"vocab_size\": 90")),
        &["backbone.embeddings.weight", "[84, 64]", "[90, 64]"],
    );
    score(&folder("act", edit("\"silu\"", "\"relu\"")), &["hidden_act", "relu"]);
}

#[test]
fn a_link_repeats_a_run() {
    let first = json(&[
        "run",
        "--model",
        "recall-mamba",
        "--eval",
        "recall:level=easy,n=8",
        "--reduce",
        "random",
        "--prune",
        "wanda:pattern=2:4",
        "--tokens",
        "3",
        "--seed",
        "5",
        "--backend",
        "cpu",
        "--json",
    ]);
    let link = first["link"].as_str().unwrap();
    let second = json(&["run", "--link", link, "--json"]);
    for part in ["link", "quality", "baseline", "compressed"] {
        assert_eq!(first[part], second[part], "{part}");
    }
    assert_eq!(first["cost"]["sparsity"], 0.5);
}

fn json(arguments: &[&str]) -> Value {
    let output = whittle(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}

#[test]
fn a_smaller_model_is_written_with_its_shape_and_runs_as_the_one_in_memory() {
    let (recall, text) = ("recall:level=hard,n=40", "text:context=64,target=16,windows=1");
    for (id, spec, eval, width, layers) in [
        ("recall-mamba", "structured:share=0.25,sequences=4", recall, 96, 2),
        ("recall-mamba2", "structured:sequences=4", recall, 64, 2),
        ("recall-llama", "structured:sequences=4", recall, 64, 2),
        ("lm-mamba", "structured:unit=layers,share=0.34,sequences=1", text, 256, 4),
    ] {
        let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("smaller-{id}"));
        let _ = std::fs::remove_dir_all(&out);
        let folder = out.to_string_lossy().into_owned();
        json(&[
            "prune",
            "--model",
            id,
            "--prune",
            spec,
            "--out",
            &folder,
            "--backend",
            "cpu",
            "--json",
        ]);
        let config: Value =
            serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
        let stated = config["intermediate_size"].as_u64();
        let expanded =
            || config["expand"].as_u64().unwrap() * config["hidden_size"].as_u64().unwrap();
        assert_eq!(stated.unwrap_or_else(expanded), width, "{id}");
        assert_eq!(config["num_hidden_layers"], layers, "{id}");
        let run = |model: &str, extra: &[&str]| {
            let common =
                ["run", "--model", model, "--eval", eval, "--backend", "cpu", "--tokens", "1"];
            json(&[&common[..], extra, &["--json"]].concat())
        };
        // Both compressions together, on the layers that are left.
        let memory = run(id, &["--prune", spec, "--reduce", "random"]);
        let written = run(&folder, &["--reduce", "random"]);
        let side = |view: &Value| view["quality"][0]["compressed"]["value"].clone();
        assert_eq!(side(&memory), side(&written), "{id}");
        let saved = |view: &Value| view["cost"]["flops_saved_total"].as_f64().unwrap();
        assert!(
            saved(&memory) > saved(&written) + 0.1,
            "{id}: of the dense model, of the small one"
        );
        assert_eq!(memory["cost"]["lengths"], written["cost"]["lengths"], "{id}");
    }
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-such-width");
    let share = ["--prune", "structured:share=0.25,sequences=2", "--out", &out.to_string_lossy()];
    refused(
        &[&["prune", "--model", "recall-mamba2"][..], &share].concat(),
        &["expand", "hidden_size"],
    );
    assert!(!out.exists());
}

#[test]
fn a_pruned_model_that_was_written_runs_as_the_one_in_memory() {
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pruned");
    let _ = std::fs::remove_dir_all(&out);
    let folder = out.to_string_lossy().into_owned();
    let (spec, eval) = ("magnitude:sparsity=0.7", "recall:level=hard,n=40");
    let prune = ["prune", "--model", "recall-mamba2", "--prune", spec, "--out", &folder];
    let report = json(&[&prune[..], &["--backend", "cpu", "--json"]].concat());
    assert!((report["matrices"][0]["achieved"].as_f64().unwrap() - 0.7).abs() < 0.01);
    let run = |model: &str, extra: &[&str]| {
        let common = ["run", "--model", model, "--eval", eval, "--backend", "cpu", "--tokens", "1"];
        json(&[&common[..], extra, &["--json"]].concat())
    };
    let memory = run("recall-mamba2", &["--prune", spec]);
    let written = run(&folder, &[]);
    let (compressed, dense) =
        (&memory["quality"][0]["compressed"], &written["quality"][0]["baseline"]);
    assert!(dense["value"].as_f64().unwrap() < 0.99, "the pruning shows: {dense}");
    assert_eq!(compressed["value"], dense["value"]);
    // What is there is not written over.
    refused(&prune, &["--out", "does not exist yet"]);
    // The same recipe, the same bytes, with any number of threads.
    let first = std::fs::read(out.join("model.safetensors")).unwrap();
    std::fs::remove_dir_all(&out).unwrap();
    refused(&[&prune[..], &["--threads", "0"]].concat(), &["--threads", "1 to 1024"]);
    let report = json(&[&prune[..], &["--backend", "cpu", "--threads", "3", "--json"]].concat());
    assert_eq!(report["threads"], 3);
    assert!(first == std::fs::read(out.join("model.safetensors")).unwrap(), "other bytes");
}

#[test]
fn a_calibration_text_that_is_too_short_is_refused() {
    let text = folder("short", |_, _| None);
    let short = format!("{text}/short.txt");
    std::fs::write(&short, "n01 n02").unwrap();
    let out = format!("{text}/out");
    let prune = ["prune", "--model", "recall-mamba2", "--prune", "wanda", "--out", &out];
    refused(&[&prune[..], &["--calibration", &short]].concat(), &["calibration", "2 tokens", "64"]);
}

#[test]
fn a_tokenizer_from_elsewhere_opens_a_model_that_has_none() {
    let all = folder("with-tokenizer", |_, bytes| Some(bytes));
    let without =
        folder("without-tokenizer", |file, bytes| (file != "tokenizer.json").then_some(bytes));
    let text = format!("{without}/text.txt");
    std::fs::write(&text, "k01 v02 n03 n04").unwrap();
    let score = |model: &str, more: &[&str]| {
        json(
            &[&["score", "--model", model, "--text", &text, "--backend", "cpu", "--json"], more]
                .concat(),
        )
    };
    let tokenizer = format!("{all}/tokenizer.json");
    assert_eq!(score(&without, &["--tokenizer", &tokenizer])["nll"], score(&all, &[])["nll"]);
    refused(&["score", "--model", &without, "--text", &text], &["tokenizer.json", "is missing"]);
    let named = ["--tokenizer", &tokenizer];
    for model in ["recall-mamba2", "shape:mamba-130m"] {
        let asked = [&["score", "--model", model, "--text", &text], &named[..]].concat();
        refused(&asked, &["--tokenizer", "folder or of the hub"]);
    }
    let asked = ["score", "--model", &without, "--text", &text, "--tokenizer", "nowhere.json"];
    refused(&asked, &["nowhere.json"]);
}

/// The lines of JSON that a run prints.
fn json_lines(arguments: &[&str]) -> Vec<Value> {
    let output = whittle(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_text_that_a_pruning_was_calibrated_on_is_set_against_another() {
    let eval = concat!(env!("CARGO_MANIFEST_DIR"), "/models/eval/");
    let [same, other] = ["calibration.txt", "recall_calibration.txt"].map(|f| format!("{eval}{f}"));
    let beside = ["--calibration-beside", &same, "--calibration-beside", &other];
    let measured = |eval: &str| {
        let run = ["run", "--model", "lm-mamba2", "--eval", eval, "--tokens", "1", "--json"];
        let prune = ["--prune", "wanda:sparsity=0.7,sequences=2", "--backend", "cpu"];
        json_lines(&[&run[..], &prune, &beside].concat())
    };
    let value = |of: &Value, side: &str| of[side]["value"].as_f64().unwrap();
    let figure = |line: &Value, side: &str| value(&line["quality"][0], side);
    // What a context is worth is set against the dense model without it, a choice against the chooser's own word.
    let [windows, choices] =
        ["text:context=1,target=64,windows=8", "continuation:n=20,controls=0"].map(measured);
    for lines in [&windows, &choices] {
        let [run, same, other] = &lines[..] else { panic!("{} lines", lines.len()) };
        let own = |id: &Value| {
            let all = run["quality"].as_array().unwrap();
            value(all.iter().find(|q| q["metric"] == *id).unwrap(), "compressed")
        };
        // The first side is the run's compressed one; the same text makes the same model.
        for quality in
            [same, other].into_iter().flat_map(|line| line["quality"].as_array().unwrap())
        {
            assert_eq!(value(quality, "baseline"), own(&quality["metric"]), "{quality}");
        }
        assert_eq!(figure(same, "change"), 0.0);
    }
    let [_, _, other] = &windows[..] else { panic!("{} lines", windows.len()) };
    // Keys and values teach nothing of prose.
    let change = &other["quality"][0]["change"];
    assert!(figure(other, "change") > 0.0, "{change}");
    let [low, high] = ["low", "high"].map(|end| change[end].as_f64().unwrap());
    assert!(low < figure(other, "change") && figure(other, "change") < high, "{change}");
}
