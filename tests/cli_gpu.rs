//! Exit codes of the command line where a GPU computes, fails, or is not there. On a plain machine the adapter is
//! lavapipe, which has a device of its own to lose at the end of every process.
#![cfg(not(target_arch = "wasm32"))]

use std::path::PathBuf;
use std::process::{Command, Output};
use whittle::backend::gpu_for_tests;

fn whittle(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_whittle");
    Command::new(program).args(arguments).output().expect("the program starts")
}

/// What it wrote, after it ended by itself with code 0 and no complaint.
fn succeeds(arguments: &[&str]) -> String {
    let output = whittle(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?} ({}): {complaint}", output.status);
    assert!(!complaint.contains("panicked"), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn scratch(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    path.to_string_lossy().into_owned()
}

#[test]
fn a_device_with_work_that_nobody_read_is_dropped_without_a_crash() {
    if gpu_for_tests().is_none() {
        return;
    }
    let prompt = ["generate", "--model", "lm-mamba2", "--prompt", "Hi", "--backend", "gpu"];
    // The prompt is recorded and never read.
    assert_eq!(succeeds(&[&prompt[..], &["--max-tokens", "0"]].concat()), "Hi\n");
}

#[test]
fn tokens_chosen_on_the_gpu_are_those_of_the_cpu() {
    if gpu_for_tests().is_none() {
        return;
    }
    for model in ["lm-mamba", "lm-mamba2", "lm-llama"] {
        // 11 tokens: pieces of 1, 2, 4 and a last one that is not full.
        let text = |backend| {
            let words = ["generate", "--model", model, "--prompt", "It was", "--max-tokens", "11"];
            succeeds(&[&words[..], &["--backend", backend]].concat())
        };
        let (cpu, gpu) = (text("cpu"), text("gpu"));
        assert!(cpu.len() > "It was\n".len(), "{model}: {cpu}");
        assert_eq!(gpu, cpu, "{model}");
    }
}

#[test]
fn every_command_that_may_use_the_gpu_ends_with_code_0() {
    if gpu_for_tests().is_none() {
        return;
    }
    let text = scratch("cli-gpu.txt");
    std::fs::write(&text, "n01 n02 n03 n04 n05 n06 n07 n08").expect("a text");
    let model = ["--model", "recall-mamba2", "--backend", "gpu"];
    succeeds(&[&["score", "--text", &text][..], &model].concat());
    succeeds(&[&["reduce", "--text", &text, "--reduce", "utrc:layers=0"][..], &model].concat());
    let items = ["run", "--eval", "recall:level=easy,n=2", "--tokens", "1"];
    succeeds(&[&items[..], &model, &["--reduce", "random", "--prune", "magnitude"]].concat());
    let out = scratch("cli-gpu-pruned");
    succeeds(&[&["prune", "--prune", "magnitude", "--out", &out][..], &model].concat());
}

#[test]
fn without_an_adapter_the_command_says_so_and_ends_with_code_1() {
    let output = Command::new(env!("CARGO_BIN_EXE_whittle"))
        .args(["generate", "--model", "recall-mamba2", "--prompt", "n01", "--backend", "gpu"])
        // The loader finds no driver there.
        .env("VK_DRIVER_FILES", "/no/such/driver.json")
        .env("VK_ICD_FILENAMES", "/no/such/driver.json")
        .output()
        .expect("the program starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(complaint.contains("no adapter"), "{complaint}");
}
