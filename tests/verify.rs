//! `whittle verify` through its front door: what a run or a sweep wrote is the same here, and what was changed is found.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn whittle(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_whittle");
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verify");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Verifies; the exit code and all that was said.
fn verified(published: &str) -> (Option<i32>, String) {
    let output = whittle(&["verify", published]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// The run that is published: 16 items, so that there are intervals.
fn run() -> Value {
    let args = "run --model recall-mamba --eval recall:level=hard,n=16,controls=0 --reduce random --tokens 3 --backend cpu --json";
    let output = whittle(&args.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}

#[test]
fn a_run_is_the_same_within_noise_or_different_and_the_exit_code_says_which() {
    let sound = run();
    let path = folder().join("run.json");
    let check = |json: &Value, code: i32, parts: &[&str]| {
        std::fs::write(&path, json.to_string()).unwrap();
        let (found, text) = verified(path.to_str().unwrap());
        assert_eq!(found, Some(code), "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "{text} lacks {part}"));
    };
    check(&sound, 0, &["\nthe same\n"]);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut json = sound.clone();
        change(&mut json);
        json
    };
    // A little beside the figure measured here: one item of 16 would be more.
    let shift = |json: &mut Value, by: f64| {
        for part in ["value", "low", "high"] {
            let number = &mut json["quality"][0]["compressed"][part];
            *number = json!(number.as_f64().unwrap() + by);
        }
    };
    check(&changed(&|json| shift(json, 0.01)), 3, &["within noise: Accuracy"]);
    check(&changed(&|json| shift(json, -0.6)), 4, &["different, here: Accuracy"]);
    // Noise does not hide what is different elsewhere.
    let both = changed(&|json| {
        shift(json, 0.01);
        json["cost"]["flops_saved_total"] = json!(0.5);
    });
    check(&both, 4, &["different, here: flops_saved_total", "flops_saved_total: published 0.5"]);
    let text = changed(&|json| json["baseline"]["text"] = json!("Another text."));
    check(&text, 3, &["within noise: the baseline text", "parts after 0 characters"]);
    let fewer = changed(&|json| {
        json["quality"][0]["items"] = json!(15);
        json["quality"][0]["items_total"] = json!(15);
    });
    check(&fewer, 4, &["15 items and here 16"]);
    let metric = changed(&|json| json["quality"][0]["metric"] = json!("charm"));
    check(&metric, 4, &["not measured here"]);
    let link = sound["link"].as_str().unwrap();
    let (front, rest) = link.split_once('@').unwrap();
    let weights = format!("{front}@0000000000000000{}", &rest[16..]);
    check(&changed(&|json| json["link"] = json!(weights)), 4, &["different, here: the weights"]);
    let data = link.replace("&d=", "&d=0");
    check(&changed(&|json| json["link"] = json!(data)), 4, &["the evaluation data"]);

    // A link alone carries no figures: the code tells of weights and data.
    let (code, text) = verified(link);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("carries no figures") && text.contains("Accuracy, change, n = 16"),
        "{text}"
    );
    let (code, text) = verified(&weights);
    assert_eq!(code, Some(4), "{text}");
}

#[test]
fn the_cells_of_a_sweep_are_the_same_as_runs_and_so_is_the_pages_history() {
    let grid = folder().join("grid.toml");
    let out = folder().join("points.jsonl");
    let _ = std::fs::remove_file(&out);
    let toml = "models = [\"recall-llama\"]\neval = [\"recall:level=easy,n=8,controls=0\"]\nreduce = [\"off\", \"stride\"]\nprune = [\"wanda\"]\n";
    std::fs::write(&grid, toml).unwrap();
    let sweep = whittle(&["sweep", grid.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert!(sweep.status.success(), "{}", String::from_utf8_lossy(&sweep.stderr));
    let (code, text) = verified(out.to_str().unwrap());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("run 2 of 2"), "{text}");

    let lines = std::fs::read_to_string(&out).unwrap();
    let mut point: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    point["cost"]["bytes_per_token"] = json!(1);
    let history = folder().join("history.json");
    let kept =
        json!({"format": "whittle-runs", "version": 1, "runs": [{"name": "x", "point": point}]});
    std::fs::write(&history, kept.to_string()).unwrap();
    let (code, text) = verified(history.to_str().unwrap());
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("different, here: bytes_per_token"), "{text}");
}

#[test]
fn what_cannot_be_verified_is_refused_in_one_line() {
    let path = folder().join("odd.json");
    let name = path.to_str().unwrap();
    let refused = |published: &str, parts: &[&str]| {
        let (code, text) = verified(published);
        assert_eq!(code, Some(2), "{published:.80}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "{text} lacks {part}"));
    };
    refused("nowhere", &["verify", "a link with a fragment"]);
    refused("#v=1&m=own", &["--model", "the folder of the model"]);
    let figure = "[{\"metric\":\"accuracy\"}]";
    for (text, part) in [
        ("", "is empty"),
        ("{", "EOF"),
        ("[]", "has no run"),
        ("{\"runs\": []}", "has no run"),
        ("{}\n{}", "run 1"),
        ("{\"link\": \"#v=1\", \"finished\": true, \"quality\": []}", "no figure"),
        ("{\"link\": \"#v=1\", \"finished\": false, \"quality\": []}", "broken off"),
        (&format!("{{\"link\": \"#v=1\", \"finished\": true, \"quality\": {figure}}}"), "label"),
    ] {
        std::fs::write(&path, text).unwrap();
        refused(name, &[part]);
    }
    std::fs::write(&path, "[".repeat(100_000)).unwrap();
    refused(name, &["recursion"]);
}
