//! A disk without room and a place without rights: what is written is whole or not there, and the message says why.

use super::tiny::{fresh, texts, tiny};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn name(path: &Path) -> &str {
    path.to_str().expect("a path of this test")
}

fn whittle(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whittle"));
    command.args(arguments);
    command
}

/// Runs with files of at most so many bytes: writing more fails as on a full disk.
fn with_room(mut command: Command, bytes: u64) -> Output {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: setrlimit may be called between fork and exec, and reads one struct that lives in the closure.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command.output().expect("the program starts")
}

/// The message of a failure: exit code 2, one line.
fn failure(output: &Output) -> String {
    let (_, text) = texts(output);
    assert_eq!(output.status.code(), Some(2), "{}: {text}", output.status);
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// Names in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("there");
    entries.map(|e| e.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

fn empty(case: &str) -> PathBuf {
    let folder = fresh(case);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn on_a_full_disk_no_part_of_a_model_is_left_and_the_message_says_so() {
    let source = tiny(6).folder("full-source");
    let place = empty("full");
    let out = place.join("model");
    let args = ["prune", "--model", name(&source), "--prune", "magnitude", "--backend", "cpu"];
    let prune = || whittle(&[&args[..], &["--out", name(&out)]].concat());
    let whole = fs::metadata(source.join("model.safetensors")).expect("written").len();
    for room in [0, 1, 100, whole / 2, whole - 1] {
        let text = failure(&with_room(prune(), room));
        assert!(text.contains("nothing was left under this name"), "{room} bytes: {text}");
        assert!(names(&place).is_empty(), "{room} bytes leave {:?}", names(&place));
    }
    assert!(with_room(prune(), 4 * whole + (1 << 20)).status.success());
}

#[test]
fn on_a_full_disk_a_sweep_and_a_list_of_items_say_so_and_can_be_made_again() {
    let place = empty("full-sweep");
    let (grid, points, items) = ("grid.toml", "points.jsonl", "items.jsonl");
    let [grid, points, items] = [grid, points, items].map(|file| place.join(file));
    let toml = "models = [\"recall-llama\"]\neval = [\"recall:level=easy,n=8,controls=0\"]\nseeds = [1, 2]\n";
    fs::write(&grid, toml).expect("room");
    let sweep = || whittle(&["sweep", name(&grid), "--out", name(&points)]);
    for room in [0, 10, 1000] {
        let text = texts(&with_room(sweep(), room)).1;
        assert!(text.contains("points.jsonl") && text.contains("File too large"), "{text}");
    }
    assert!(sweep().status().expect("it starts").success());
    let lines = fs::read_to_string(&points).expect("written").lines().count();
    assert_eq!(lines, 2, "each cell once");

    let run =
        ["run", "--model", "recall-llama", "--eval", "recall:n=8,controls=0", "--tokens", "1"];
    let run = || whittle(&[&run[..], &["--backend", "cpu", "--items", name(&items)]].concat());
    fs::write(&items, "of an earlier run").expect("room");
    let text = failure(&with_room(run(), 500));
    assert!(text.contains("items.jsonl"), "{text}");
    let left = fs::read_to_string(&items).expect("there");
    assert_eq!(left, "of an earlier run", "an earlier file is replaced whole or not at all");
    assert_eq!(names(&place).len(), 3, "{:?}", names(&place));
}

#[test]
fn without_rights_nothing_is_made_and_the_message_says_so() {
    // As another user where this one may write everywhere; the program and the model are copied to where that user may read.
    // SAFETY: geteuid only reads.
    let is_root = unsafe { libc::geteuid() } == 0;
    let readable = std::env::temp_dir().join(format!("whittle-rights-{}", std::process::id()));
    let (program, model) = (readable.join("whittle"), readable.join("model"));
    fs::create_dir_all(&model).expect("a folder");
    fs::set_permissions(&readable, fs::Permissions::from_mode(0o755)).expect("this test's own");
    fs::copy(env!("CARGO_BIN_EXE_whittle"), &program).expect("room");
    for (file, bytes) in tiny(6).files() {
        fs::write(model.join(file), bytes).expect("room");
    }
    let locked = readable.join("locked");
    fs::create_dir(&locked).expect("a folder");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).expect("this test's own");
    for out in [locked.join("model"), locked.join("below/model")] {
        let mut command = Command::new(&program);
        command.args([
            "prune",
            "--model",
            name(&model),
            "--prune",
            "magnitude",
            "--backend",
            "cpu",
        ]);
        command.args(["--out", name(&out)]).current_dir(&readable);
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        let text = failure(&command.output().expect("the program starts"));
        assert!(text.contains("Permission denied") && text.contains("model"), "{text}");
        assert!(names(&locked).is_empty(), "{:?}", names(&locked));
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).expect("this test's own");
    fs::remove_dir_all(&readable).expect("this test's own");
}

#[test]
fn of_two_programs_that_write_one_folder_one_wins_whole_and_the_other_says_so() {
    let source = tiny(6).folder("two-source");
    let place = empty("two");
    for round in 0..8 {
        let out = place.join(format!("model-{round}"));
        let writers = ["0.5", "0.25"].map(|share| {
            let spec = format!("magnitude:sparsity={share}");
            let args = ["prune", "--model", name(&source), "--prune", &spec, "--backend", "cpu"];
            let mut command = whittle(&[&args[..], &["--out", name(&out)]].concat());
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
            command.spawn().expect("it starts")
        });
        let ends = writers.map(|writer| writer.wait_with_output().expect("it ends"));
        let won: Vec<bool> = ends.iter().map(|end| end.status.success()).collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "round {round}: {won:?}");
        ends.iter().filter(|end| !end.status.success()).for_each(|end| drop(failure(end)));
        let card = fs::read_to_string(out.join("card.md")).expect("written");
        let share = if won[0] { "magnitude" } else { "magnitude:sparsity=0.25" };
        assert!(card.contains(share), "round {round}: {card}");
        assert!(out.join("model.safetensors").exists() && out.join("config.json").exists());
    }
    let hidden: Vec<String> = names(&place).into_iter().filter(|n| n.starts_with('.')).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}
