//! `cargo xtask mutants`: changes the pure modules one place at a time and asks whether a test notices (cargo-mutants).
//!
//! A change of the whole crate takes minutes to build. What stands left of `backend` in the layers needs nothing of what
//! stands right of it, and so do the files of figures; they are copied into a crate of their own under target/mutants,
//! which builds in seconds. Their unit tests and tests/load go with them.
//!
//! `reduce` and most of `prune` are not among them: they compute with kernels and the backend, and their tests with whole
//! models, so that each change of them would be minutes of building. Fixtures of public code hold them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::command::{Result, run};

const SLICE: &str = "target/mutants";
/// Modules that are copied whole, with their folders.
const MODULES: [&str; 12] = [
    "bundle",
    "config",
    "error",
    "formula",
    "method",
    "order",
    "pace",
    "rng",
    "sniff",
    "threads",
    "tokenizer",
    "weights",
];
/// Files of larger modules that need nothing else of these.
const PARTS: [(&str, &[&str]); 2] = [
    ("eval", &["agreement", "figures", "point", "quality", "score", "stats"]),
    ("prune", &["hessian", "linalg", "pair", "pattern", "product", "system"]),
];
/// Crates that only the modules left behind need; they take minutes to build.
const LEFT_OUT: [&str; 4] = ["clap", "toml", "ureq", "wgpu"];

/// `arguments` go to cargo-mutants, for example `-f src/eval/stats.rs`.
pub fn mutants(arguments: &[&str]) -> Result<()> {
    slice().map_err(|problem| format!("{SLICE}: {problem}"))?;
    let mut mutants = Command::new("cargo");
    mutants.args(["mutants", "--in-place", "--timeout", "60"]).args(arguments);
    // Their tests are short: most of the time is compiling and linking.
    mutants.env("CARGO_PROFILE_DEV_DEBUG", "false");
    run(mutants.current_dir(SLICE)).map_err(|problem| {
        format!("{problem}\nIf cargo-mutants is missing: cargo install cargo-mutants --locked. Else the report is in {SLICE}/mutants.out.")
    })
}

fn slice() -> std::io::Result<()> {
    let root = Path::new(SLICE);
    // What was built stays; what was copied may have been changed by a mutation that was broken off.
    for part in ["src", "tests"] {
        if root.join(part).exists() {
            fs::remove_dir_all(root.join(part))?;
        }
    }
    fs::create_dir_all(root.join("src"))?;
    let mut library = String::from("#![allow(dead_code, unused_imports)]\n");
    for module in MODULES {
        fs::copy(format!("src/{module}.rs"), root.join(format!("src/{module}.rs")))?;
        let folder = format!("src/{module}");
        if Path::new(&folder).is_dir() {
            copy(Path::new(&folder), &root.join(&folder))?;
        }
        library += &format!("pub mod {module};\n");
    }
    for (module, files) in PARTS {
        fs::create_dir_all(root.join(format!("src/{module}")))?;
        let mut text = String::new();
        for file in files {
            let path = format!("src/{module}/{file}.rs");
            fs::copy(&path, root.join(&path))?;
            let folder = format!("src/{module}/{file}");
            if Path::new(&folder).is_dir() {
                copy(Path::new(&folder), &root.join(&folder))?;
            }
            text += &format!("pub mod {file};\npub use {file}::*;\n");
        }
        fs::write(root.join(format!("src/{module}/mod.rs")), text)?;
        library += &format!("pub mod {module};\n");
    }
    library += "pub use error::{Error, Result};\npub use rng::Rng;\n";
    fs::write(root.join("src/lib.rs"), library)?;
    fs::write(root.join("Cargo.toml"), manifest(&fs::read_to_string("Cargo.toml")?))?;
    fs::copy("Cargo.lock", root.join("Cargo.lock"))?;
    fs::create_dir_all(root.join("tests"))?;
    copy(Path::new("tests/load"), &root.join("tests/load"))?;
    fs::copy("tests/load.rs", root.join("tests/load.rs"))?;
    let here = fs::canonicalize(".")?;
    symlink(here.join("tests/fixtures"), root.join("tests/fixtures"))?;
    let models = root.join("models");
    if models.symlink_metadata().is_err() {
        symlink(here.join("models"), models)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        match path.is_dir() {
            true => copy(&path, &target)?,
            false => drop(fs::copy(&path, target)?),
        }
    }
    Ok(())
}

/// The package and the dependencies of the whole crate's manifest that the slice needs.
fn manifest(whole: &str) -> String {
    let mut out = String::new();
    let mut keeps = false;
    for line in whole.lines() {
        if line.starts_with('[') {
            let is_native = line.contains("dependencies") && !line.contains("cfg(target_arch");
            keeps = line == "[package]" || is_native;
        }
        let name = line.split([' ', '=']).next().unwrap_or_default();
        if keeps && !LEFT_OUT.contains(&name) {
            out += &format!("{line}\n");
        }
    }
    out + "[profile.dev]\ndebug = false\n[profile.dev.package.\"*\"]\nopt-level = 1\n[workspace]\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_of_the_slice_has_the_small_crates_only() {
        let found = manifest(
            "[workspace]\nmembers = [\"x\"]\n[package]\nname = \"whittle\"\n[[bench]]\nname = \"b\"\n[dependencies]\nserde = \"1\"\n\
             [target.'cfg(not(target_arch = \"wasm32\"))'.dependencies]\nwgpu = \"1\"\nureq = \"3\"\nmemmap2 = \"0.9\"\n\
             [target.'cfg(target_arch = \"wasm32\")'.dependencies]\njs-sys = \"1\"\n[profile.release]\nlto = true\n",
        );
        for part in ["name = \"whittle\"", "serde", "memmap2", "[workspace]"] {
            assert!(found.contains(part), "{part}: {found}");
        }
        for part in ["members", "bench", "ureq", "wgpu", "js-sys", "lto"] {
            assert!(!found.contains(part), "{part}: {found}");
        }
    }
}
