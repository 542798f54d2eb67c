//! `cargo xtask test`: every check, in order, each with its time; the first failure ends it.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::command::{Result, cargo, run};
use crate::notices;
use crate::packages::WASM_TARGET;
use crate::setup::{self, Toolbox};
use crate::{engines, seal, version};

struct Step {
    title: &'static str,
    run: fn(&Toolbox) -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { title: "format", run: format },
    Step { title: "clippy, native", run: clippy_native },
    Step { title: "clippy, wasm32", run: clippy_wasm },
    Step { title: "native tests", run: native_tests },
    Step { title: "documentation", run: documentation },
    Step { title: "types of the page's scripts", run: types },
    Step { title: "style of the page's scripts", run: scripts },
    Step { title: "browser tests (window and worker)", run: browser_tests },
    Step { title: "release build of the page", run: page },
    Step { title: "the page in headless Chromium", run: end_to_end },
];

pub fn test() -> Result<()> {
    let begin = Instant::now();
    heading("setup");
    let toolbox = setup::for_test()?;
    let mut times = vec![("setup", begin.elapsed())];
    for step in STEPS {
        heading(step.title);
        let start = Instant::now();
        let outcome = (step.run)(&toolbox);
        times.push((step.title, start.elapsed()));
        if let Err(problem) = outcome {
            summary(&times, begin.elapsed(), 1);
            return Err(format!("{}: {problem}", step.title));
        }
    }
    summary(&times, begin.elapsed(), 0);
    Ok(())
}

fn heading(title: &str) {
    println!("\n== {title} ==");
}

/// `times` holds setup and then every step that ran, of which the last `failed` failed.
fn summary(times: &[(&str, Duration)], total: Duration, failed: usize) {
    heading("summary");
    let last = times.len() - failed;
    for (index, (title, time)) in times.iter().enumerate() {
        let verdict = if index < last { "ok" } else { "FAILED" };
        println!("{:8.1} s  {verdict:6}  {title}", time.as_secs_f64());
    }
    for step in &STEPS[times.len() - 1..] {
        println!("       -    not run {}", step.title);
    }
    println!("{:8.1} s          in all", total.as_secs_f64());
    // Setup is no test. This line, alone, is what CI reads.
    println!("{} passed, {failed} failed", last - 1);
}

fn format(_: &Toolbox) -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))
}

fn clippy_native(_: &Toolbox) -> Result<()> {
    run(cargo().args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

/// Without the examples, which read folders.
fn clippy_wasm(_: &Toolbox) -> Result<()> {
    run(cargo().args([
        "clippy",
        "--locked",
        "--package",
        "whittle",
        "--package",
        "whittle-page-bench",
        "--target",
        WASM_TARGET,
        "--lib",
        "--bins",
        "--tests",
        "--benches",
        "--",
        "-D",
        "warnings",
    ]))
}

fn native_tests(_: &Toolbox) -> Result<()> {
    run(cargo().args(["test", "--locked", "--workspace"]))
}

fn documentation(_: &Toolbox) -> Result<()> {
    run(cargo()
        .args(["doc", "--locked", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// www/ and the mock engine of its tests, against the protocol as src/session declares it.
fn types(toolbox: &Toolbox) -> Result<()> {
    run(Command::new("tsc").args(["--project", "www"]).env("PATH", &toolbox.path))
}

/// The page's scripts and styles as the formatter and the linter want them (biome.json).
fn scripts(toolbox: &Toolbox) -> Result<()> {
    run(Command::new("biome").args(["ci", "--error-on-warnings"]).env("PATH", &toolbox.path))
}

/// Only tests/web_*.rs: the others are native, and each test program starts a browser of its own.
fn browser_tests(toolbox: &Toolbox) -> Result<()> {
    let mut wasm_pack = Command::new("wasm-pack");
    // With the driver named and nothing to be installed, it downloads nothing.
    wasm_pack.args([
        "--log-level",
        "error",
        "test",
        "--mode",
        "no-install",
        "--headless",
        "--chrome",
    ]);
    wasm_pack.args(["--chromedriver", "/usr/bin/chromedriver"]);
    wasm_pack.args(["--locked", "--test", "web_*"]);
    // Seconds. The defaults, 20 and 5, are too few for a GPU that computes on busy cores.
    wasm_pack.env("WASM_BINDGEN_TEST_TIMEOUT", "600");
    wasm_pack.env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "60");
    run(wasm_pack.env("PATH", &toolbox.path))
}

/// Messages of panics name source files: without the folder that cargo keeps them in, so that the same sources give the
/// same engine to the byte whoever builds them.
fn without_home() -> Result<String> {
    let home = env::var("CARGO_HOME").or_else(|_| env::var("HOME").map(|home| home + "/.cargo"));
    let home = home.map_err(|_| "neither CARGO_HOME nor HOME is set")?;
    Ok(format!("--remap-path-prefix={home}=cargo"))
}

pub fn page(toolbox: &Toolbox) -> Result<()> {
    let (folder, flags) = (Path::new("dist"), without_home()?);
    run(Command::new("trunk")
        .args(["build", "--release", "--offline"])
        .env(engines::FLAGS, &flags)
        .env("PATH", &toolbox.path))?;
    engines::relaxed(toolbox, folder, &flags)?;
    notices::write(folder)?;
    seal::seal(&version::name()?)
}

fn end_to_end(toolbox: &Toolbox) -> Result<()> {
    let folder = "tests/e2e";
    let listed = fs::read_dir(folder).map_err(|problem| format!("{folder}: {problem}"))?;
    let paths = listed.filter_map(|entry| Some(entry.ok()?.path().to_string_lossy().into_owned()));
    let mut files: Vec<String> = paths.filter(|path| path.ends_with(".test.mjs")).collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("found no *.test.mjs in {folder}; expected at least one"));
    }
    let mut node = Command::new("node");
    // One at a time: each file starts a browser that computes on the CPU.
    node.args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
        .args(files)
        .env("PATH", &toolbox.path);
    run(&mut node)
}
