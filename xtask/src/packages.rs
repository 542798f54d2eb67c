//! What comes from rustup, Debian and npm.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cache;
use crate::command::{Result, answer, cargo, run};

pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// A browser to test in, and a Vulkan driver that computes on the CPU for native GPU tests.
const DEBIAN: &[&str] = &["chromium", "chromium-driver", "libvulkan1", "mesa-vulkan-drivers"];

/// The standard library for wasm32, asked of rustc so that a Rust without rustup works too.
pub fn rust_target() -> Result<()> {
    let probe = ["--print", "target-libdir", "--target", WASM_TARGET];
    if answer(Command::new("rustc").args(probe)).is_some_and(|folder| Path::new(&folder).is_dir()) {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", WASM_TARGET])).map_err(|problem| {
        format!(
            "{problem}\nRust has no standard library for {WASM_TARGET}. With a network: \
             rustup target add {WASM_TARGET}. A Rust that is not from rustup needs its own package for it."
        )
    })
}

/// rustfmt and clippy: rustup's minimal profile leaves them out.
pub fn rust_components() -> Result<()> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if answer(cargo().args([subcommand, "--version"])).is_none() {
            run(Command::new("rustup").args(["component", "add", component]))
                .map_err(|problem| format!("{problem}\nThe tests need `cargo {subcommand}`."))?;
        }
    }
    Ok(())
}

/// Everything in Cargo.lock: trunk builds without a network, and both it and wasm-pack ask cargo for
/// the metadata of every crate, those of other systems too.
pub fn crates() -> Result<()> {
    run(cargo().args(["fetch", "--quiet", "--locked"])).map_err(|problem| {
        format!("{problem}\nCrates are missing and crates.io cannot be reached, or Cargo.lock is behind Cargo.toml.")
    })
}

pub fn debian() -> Result<()> {
    if answer(Command::new("dpkg").arg("--version")).is_none() {
        return Err(format!(
            "the browser tests and measurements need Debian's packages {} and found no dpkg here",
            DEBIAN.join(", ")
        ));
    }
    if missing().is_empty() {
        return Ok(());
    }
    let _held = cache::lock()?;
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!(
        "sudo apt-get update && sudo apt-get install --no-install-recommends {}",
        missing.join(" ")
    );
    if answer(Command::new("id").arg("-u")).as_deref() != Some("0") {
        return Err(format!(
            "Debian packages are missing and only root can install them. Run:\n  {by_hand}"
        ));
    }
    let once = || update().and_then(|()| run(&mut install(&missing)));
    // In images made for containers any other `apt-get update` deletes what we have downloaded.
    once().or_else(|_| once()).map_err(|problem| {
        format!("{problem}\nWhen the network and the package lists are in order, run:\n  {by_hand}")
    })
}

fn update() -> Result<()> {
    run(Command::new("apt-get").args(["update", "--quiet=2"]))
}

fn install(packages: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // Waits for another apt, and mends what an interrupted one left half done.
    command.args(["install", "--yes", "--quiet=2", "--fix-broken", "--no-install-recommends"]);
    command.args(["-o", "DPkg::Lock::Timeout=600"]).args(packages);
    command
}

fn missing() -> Vec<&'static str> {
    DEBIAN.iter().copied().filter(|package| !is_installed(package)).collect()
}

fn is_installed(package: &str) -> bool {
    let status = answer(Command::new("dpkg-query").args([
        "--show",
        "--showformat=${db:Status-Status}",
        package,
    ]));
    status.as_deref() == Some("installed")
}

/// wasm-opt and the browser driver (folder "."), or the peer to measure against ("page-bench"), as the package-lock.json
/// there has them.
pub fn npm(folder: &str) -> Result<()> {
    let lock = Path::new(folder).join("package-lock.json");
    let wanted = fs::read(&lock).map_err(|problem| format!("{}: {problem}", lock.display()))?;
    // Written last, so that an interrupted install is done again.
    let stamp = Path::new(folder).join("node_modules/.whittle-package-lock.json");
    let is_there = || fs::read(&stamp).is_ok_and(|installed| installed == wanted);
    if is_there() {
        return Ok(());
    }
    let _held = cache::lock()?;
    if is_there() {
        return Ok(());
    }
    run(Command::new("npm").args(["ci", "--ignore-scripts", "--prefix", folder])).map_err(
        |problem| {
            format!(
                "{problem}\nInstall Node 20 or newer with npm, make sure the npm registry can be \
             reached, and run again."
            )
        },
    )?;
    fs::write(&stamp, &wanted).map_err(|problem| format!("{}: {problem}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(file: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        fs::read_to_string(path).expect(file)
    }

    #[test]
    fn wasm_opt_comes_from_npm_at_the_version_trunk_asks_for() {
        let trunk = text_of("Trunk.toml");
        let asked = trunk.split("wasm_opt = \"version_").nth(1).expect("a pin of wasm_opt");
        let version = asked.split('"').next().expect("a quoted version");
        let package = format!("\"binaryen\": \"{version}.0.0\"");
        assert!(text_of("package.json").contains(&package), "package.json lacks {package}");
    }

    #[test]
    fn the_lock_files_leave_the_npm_registry_to_the_user() {
        for file in ["package-lock.json", "page-bench/package-lock.json"] {
            assert!(!text_of(file).contains("\"resolved\""), "{file}");
        }
    }
}
