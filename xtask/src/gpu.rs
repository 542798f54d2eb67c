//! `cargo xtask gpu`: Whittle on a real GPU, in two halves, because a machine with a card may have no network and no
//! cargo. `pack` builds tests and measurements here and puts them in one archive; `run` unpacks and runs it (there it
//! is one line of shell, which `pack` prints); `page` writes docs/gpu.md from the figures that came back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Result, answer, cargo, output, run};

const DOCUMENT: &str = "docs/gpu.md";
/// From this line on the page is written by hand.
const BY_HAND: &str = "## What the tables say";
/// Ignored by git and holds the archive alone; a machine with a card is sent this folder.
const FOLDER: &str = ".gpu";
const STAGING: &str = "target/gpu/pack";
const UNPACKED: &str = "target/gpu/unpacked";
const OUT: &str = "target/gpu/out";
const ARCHIVE: &str = ".gpu/pack.tar.gz";
/// An archive over this is refused: what is sent to a machine with a card has a limit.
const MOST_BYTES: u64 = 60 << 20;
/// (name in the archive, what makes cargo build it)
type Programs = &'static [(&'static str, &'static [&'static str])];
/// In the profile that tests have everywhere.
const TESTS: Programs = &[
    ("whittle", &["--lib"]),
    ("kernels", &["--test", "kernels"]),
    ("parity", &["--test", "parity"]),
    ("reduce", &["--test", "reduce"]),
];
/// Optimised.
const MEASUREMENTS: Programs = &[("gpu", &["--bench", "gpu"])];
/// What the tests read, by its path in the repository.
const FILES: &[&str] = &["tests/fixtures", "models"];
/// Debian's loaders, for a machine that has a driver and none of them.
const LOADERS: &[&str] =
    &["libvulkan1", "libegl1", "libglvnd0", "libopengl0", "libgl1", "libglx0", "libgles2"];

pub fn gpu(words: &[&str]) -> Result<()> {
    match words {
        ["pack"] => pack(),
        ["run", rest @ ..] if rest.is_empty() || *rest == ["--quick"] => run_here(!rest.is_empty()),
        ["page", results] => page(Path::new(results)),
        other => Err(format!(
            "gpu: found {:?}; expected pack, run, run --quick or page RESULTS.jsonl",
            other.join(" ")
        )),
    }
}

fn pack() -> Result<()> {
    let staging = Path::new(STAGING);
    let _ = fs::remove_dir_all(staging);
    make_folder(Path::new(FOLDER))?;
    for folder in ["bin", "gl", "files"] {
        make_folder(&staging.join(folder))?;
    }
    for (name, program) in build(TESTS, &[])?.into_iter().chain(measurements()?) {
        let to = staging.join("bin").join(name);
        copy(&program, &to)?;
        run(Command::new("strip").arg(&to))?;
    }
    for script in ["run.sh", "torch_peer.py"] {
        copy(&Path::new("benches/gpu").join(script), &staging.join(script))?;
    }
    run(Command::new("cp")
        .args(["--recursive", "--parents"])
        .args(FILES)
        .arg(staging.join("files")))?;
    let here = std::env::current_dir().map_err(|problem| format!("where am I: {problem}"))?;
    let here = here.canonicalize().unwrap_or(here);
    fs::write(staging.join("checkout"), here.to_string_lossy().as_bytes())
        .map_err(|problem| format!("{}: {problem}", staging.display()))?;
    loaders(&staging.join("gl"));
    run(Command::new("tar")
        .args(["--create", "--gzip", "--file", ARCHIVE, "--directory"])
        .arg(staging)
        .arg("."))?;
    let bytes = fs::metadata(ARCHIVE).map_err(|problem| format!("{ARCHIVE}: {problem}"))?.len();
    if bytes > MOST_BYTES {
        return Err(format!("{ARCHIVE} has {bytes} bytes; at most {MOST_BYTES} can be sent"));
    }
    println!("\n{ARCHIVE}: {:.1} MB. With it, on the machine with the card:\n", bytes as f64 / 1e6);
    println!("  mkdir -p /tmp/gpu && tar xzf {ARCHIVE} -C /tmp/gpu && bash /tmp/gpu/run.sh OUT\n");
    Ok(())
}

/// Every program of a list and where cargo put it.
fn build(programs: Programs, options: &[&str]) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut build = cargo();
    // As tests are built anyway: one library serves them and the programs that cargo builds beside them.
    build.env("CARGO_PROFILE_FAST_PANIC", "unwind");
    build.args(["test", "--locked", "--no-run", "--message-format", "json"]).args(options);
    for (_, words) in programs {
        build.args(*words);
    }
    let messages = output(&mut build)?;
    let find = |&(name, words): &(&'static str, &[&str])| {
        let kind = words[0].trim_start_matches("--");
        let program = executable(&messages, kind, name);
        program
            .map(|path| (name, path))
            .ok_or_else(|| format!("cargo built no {kind} named {name}"))
    };
    programs.iter().map(find).collect()
}

fn measurements() -> Result<Vec<(&'static str, PathBuf)>> {
    build(MEASUREMENTS, &["--profile", "fast"])
}

/// The program that cargo says it built for a target. Its messages are one JSON object a line.
fn executable(messages: &str, kind: &str, name: &str) -> Option<PathBuf> {
    let of_target = |line: &&str| {
        line.contains(&format!("\"kind\":[\"{kind}\"]"))
            && line.contains(&format!("\"name\":\"{name}\""))
    };
    let path = |line: &str| {
        let rest = line.split("\"executable\":\"").nth(1)?;
        Some(PathBuf::from(rest.split('"').next()?))
    };
    messages.lines().filter(of_target).filter_map(path).next_back()
}

/// Debian's packages of the loaders, where apt is; without them the machine must have its own.
fn loaders(folder: &Path) {
    let mut download = Command::new("apt-get");
    download.current_dir(folder).arg("download").args(LOADERS);
    if answer(&mut download).is_none() {
        println!(
            "no Vulkan loader was packed (apt-get download failed): the machine must have one"
        );
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|problem| format!("{}: {problem}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .map(drop)
        .map_err(|problem| format!("{} to {}: {problem}", from.display(), to.display()))
}

fn run_here(quick: bool) -> Result<()> {
    if !Path::new(ARCHIVE).exists() {
        pack()?;
    }
    let (unpacked, out) = (Path::new(UNPACKED), Path::new(OUT));
    make_folder(unpacked)?;
    run(Command::new("tar")
        .args(["--extract", "--gzip", "--file", ARCHIVE, "--directory"])
        .arg(unpacked))?;
    let mut script = Command::new("bash");
    script.arg(unpacked.join("run.sh")).arg(out);
    if quick {
        script.arg("quick");
    }
    run(&mut script)?;
    println!(
        "\nFigures are in {}; the page from them: cargo xtask gpu page {}",
        out.display(),
        out.join("results.jsonl").display()
    );
    Ok(())
}

fn page(results: &Path) -> Result<()> {
    let programs = measurements()?;
    let program = programs.iter().find(|(name, _)| *name == "gpu").map(|(_, path)| path);
    let program = program.ok_or("cargo built no bench named gpu")?;
    let before = fs::read_to_string(DOCUMENT).unwrap_or_default();
    run(Command::new(program).args(["page", DOCUMENT]).arg(results))?;
    // What a person wrote about the tables stays, to be read again.
    let Some(at) = before.find(BY_HAND) else { return Ok(()) };
    let tables =
        fs::read_to_string(DOCUMENT).map_err(|problem| format!("{DOCUMENT}: {problem}"))?;
    let page = format!("{}\n\n{}", tables.trim_end(), &before[at..]);
    fs::write(DOCUMENT, page).map_err(|problem| format!("{DOCUMENT}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_target_is_found_in_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"whittle"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"whittle"},"executable":"/t/whittle-1"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"kernels"},"executable":"/t/kernels-2"}"#,
        );
        assert_eq!(executable(messages, "lib", "whittle"), Some("/t/whittle-1".into()));
        assert_eq!(executable(messages, "test", "kernels"), Some("/t/kernels-2".into()));
        assert_eq!(executable(messages, "bench", "gpu"), None);
    }

    #[test]
    fn an_unknown_word_is_named() {
        let problem = gpu(&["fly"]).expect_err("no such half");
        assert!(problem.contains("fly") && problem.contains("pack"), "{problem}");
    }
}
