//! `cargo xtask bench`: speed and size as ratios, measured in headless Chromium in one run. A measurement, not a test:
//! whatever the figures are, it succeeds; it fails when something could not be measured.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use crate::command::{Result, cargo, output, run};
use crate::engines::{FLAGS, RELAXED_SIMD, cargo_folder};
use crate::packages::WASM_TARGET;
use crate::setup::{self, Toolbox};
use crate::test;

const DOCUMENT: &str = "docs/benchmarks.md";
/// The module trunk makes; what the built page is made of.
const BUILT: &str = "dist/sw.js";
const SOURCES: &[&str] =
    &["Cargo.lock", "Cargo.toml", "Trunk.toml", "models", "shaders", "src", "www"];
const MODULE: &str = "page-bench/pkg/whittle_page_bench_bg.wasm";

const PREFACE: &str = "\
A bar is what the project set itself before measuring. What the figures mean:

- A speed is milliseconds a call: the median of 9 rounds and, in brackets, the middle half of them. In a round the two
  sides take turns, A B B A, after calls to warm up; a turn is as many calls as last about 100 ms. The ratio is formed
  within a round and says how many times as long the other side takes. `By CPU time` is that ratio by what Chromium's
  processes used over all rounds; other work on the machine changes it less.
- GEMM is y = x Wᵀ with 256 rows in f32, W on the device; x comes from JavaScript and y goes back to it in every call.
  The scan is fused (softplus, D skip, gate). The two results are compared before anything is timed; if they differ
  there is no table.
- Decoding is y = x Wᵀ with one row, on the CPU; every form walks over 80 MB of copies of W, so that none waits in a cache.
- The WebGPU adapter is Chromium's SwiftShader, also where there is a GPU: the figures say nothing about a real one.
- Whittle's kernels are built, bound and passed through wasm-opt as the page's module for browsers with relaxed SIMD is.
- A first visit is every file that the page asks for until its first run is complete. Seconds are medians of 7 visits,
  each in a fresh browser, served from the same machine, until the page says `First baseline number` and `Run complete`.
- Pruning in the page: from `Reading calibration text` to the pruned model, 50 %, default knobs, in the first run of a visit;
  three visits.
- After a change: the page as it opens (lm-mamba, half of its channels), or lm-mamba2 with UTRC and a pruning, its first run
  complete, the pruning's first slider moved one step and let go; seven visits, each in a fresh browser, in turns with
  those of an older page where there is one (`BEFORE=its dist folder`). The cost on paper is timed from the movement,
  all else from letting go.";

struct Options {
    native: bool,
    write: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let known = |word: &&&str| ["--native", "--write"].contains(*word);
        match words.iter().find(|word| !known(word)) {
            Some(other) => Err(format!("bench: found {other:?}; expected --native or --write")),
            None => {
                Ok(Self { native: words.contains(&"--native"), write: words.contains(&"--write") })
            }
        }
    }

    fn command(&self) -> String {
        let native = if self.native { " --native" } else { "" };
        format!("cargo xtask bench{native} --write")
    }
}

pub fn bench(words: &[&str]) -> Result<()> {
    let options = Options::parse(words)?;
    let toolbox = setup::for_bench()?;
    if is_stale(Path::new(BUILT), SOURCES) {
        test::page(&toolbox)?;
    }
    module(&toolbox)?;
    let mut report =
        output(Command::new("node").arg("page-bench/run.mjs").env("PATH", &toolbox.path))?;
    println!("\n{report}\n");
    if options.native {
        let native = native()?;
        println!("\n{native}");
        report = format!("{report}\n\n{native}");
    }
    if options.write {
        let text = format!(
            "# Benchmarks\n\nWritten by `{}`: to change it, run that again.\n\n{PREFACE}\n\n{report}\n",
            options.command()
        );
        fs::write(DOCUMENT, text).map_err(|problem| format!("{DOCUMENT}: {problem}"))?;
        println!("\nWritten to {DOCUMENT}");
    }
    Ok(())
}

fn native() -> Result<String> {
    let lines = output(cargo().args(["bench", "--locked", "--bench", "gemm", "--bench", "scan"]))?;
    // A block of its own, which Markdown leaves as it is.
    let figures: Vec<String> = lines
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| format!("    {line}"))
        .collect();
    Ok(format!(
        "## Native\n\n`cargo bench`, one JSON line a figure (`benches/` says how each is measured):\n\n{}",
        figures.join("\n")
    ))
}

/// The kernels as wasm exports, in page-bench/pkg, made with the steps and the profile of the page's module.
fn module(toolbox: &Toolbox) -> Result<()> {
    let target = ["--target", WASM_TARGET];
    let mut build = cargo();
    build
        .args(["build", "--locked", "--profile", "web", "--package", "whittle-page-bench"])
        .args(target)
        .env(FLAGS, RELAXED_SIMD);
    run(&mut build)?;
    let mut bind = Command::new("wasm-bindgen");
    bind.args(["--target", "web", "--no-typescript", "--out-dir", "page-bench/pkg"]);
    bind.arg(cargo_folder().join(WASM_TARGET).join("web/whittle_page_bench.wasm"));
    run(bind.env("PATH", &toolbox.path))?;
    let mut optimise = Command::new("wasm-opt");
    optimise.args(["-O3", "-o", MODULE, MODULE]);
    run(optimise.env("PATH", &toolbox.path))
}

/// Whether `built` is missing or something among `sources` changed after it was made.
fn is_stale(built: &Path, sources: &[&str]) -> bool {
    match changed(built) {
        Some(made) => sources.iter().filter_map(|path| newest(Path::new(path))).any(|at| at > made),
        None => true,
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|about| about.modified()).ok()
}

/// When the youngest file in or at `path` was changed.
fn newest(path: &Path) -> Option<SystemTime> {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().filter_map(|entry| newest(&entry.path())).max(),
        Err(_) => changed(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_option_is_named() {
        let problem = Options::parse(&["--native", "--fast"]).err().expect("an unknown option");
        assert!(problem.contains("--fast") && problem.contains("--write"), "{problem}");
        let both = Options::parse(&["--write", "--native"]).expect("both are known");
        assert!(both.native && both.write);
    }

    #[test]
    fn a_page_older_than_a_file_it_is_made_of_is_stale() {
        let folder = std::env::temp_dir().join(format!("whittle-stale-{}", std::process::id()));
        fs::create_dir_all(folder.join("src/deep")).expect("a folder");
        let (built, source) = (folder.join("built"), folder.join("src/deep/a.rs"));
        let text = folder.join("src").to_string_lossy().into_owned();
        fs::write(&source, "").expect("a source");
        assert!(is_stale(&built, &[&text]), "nothing is built");
        fs::write(&built, "").expect("a built file");
        assert!(!is_stale(&built, &[&text]), "built last");
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        let file = fs::File::options().write(true).open(&source).expect("the source");
        file.set_modified(later).expect("a later time");
        assert!(is_stale(&built, &[&text]), "the source is younger");
        fs::remove_dir_all(&folder).expect("the folder goes");
    }
}
