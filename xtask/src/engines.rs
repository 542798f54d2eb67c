//! The second module of a page: the engine compiled once more for browsers that know relaxed SIMD. Trunk makes the plain one.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Result, cargo, run};
use crate::packages::WASM_TARGET;
use crate::setup::Toolbox;

/// Trunk's module, which every browser with simd128 runs.
pub const PLAIN: &str = "worker_bg.wasm";
/// The same sources with [`RELAXED_SIMD`].
pub const RELAXED: &str = "worker_relaxed.wasm";
/// rustc's flag: `f32x4.relaxed_madd` in place of a product and a sum.
pub const RELAXED_SIMD: &str = "-Ctarget-feature=+relaxed-simd";
/// Flags of rustc beside those in .cargo/config.toml.
pub const FLAGS: &str = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS";

/// Beside cargo's other outputs, which flags that change would make it compile anew.
const BELOW: &str = "relaxed";

/// Puts [`RELAXED`] into `folder`, where trunk's page is; `flags` are those that trunk compiled with.
/// Errors: its JavaScript is not the one that the page has, so that one script could not start both modules.
pub fn relaxed(toolbox: &Toolbox, folder: &Path, flags: &str) -> Result<()> {
    let target = cargo_folder().join(BELOW);
    let mut build = cargo();
    build.args(["build", "--locked", "--profile", "web", "--package", "whittle"]);
    build.args(["--bin", "worker", "--target", WASM_TARGET, "--target-dir"]).arg(&target);
    run(build.env(FLAGS, format!("{flags} {RELAXED_SIMD}")))?;
    let bound = target.join("bound");
    let mut bind = Command::new("wasm-bindgen");
    bind.args(["--target", "web", "--no-typescript", "--out-dir"]).arg(&bound);
    bind.arg(target.join(WASM_TARGET).join("web/worker.wasm"));
    run(bind.env("PATH", &toolbox.path))?;
    same(&bound.join("worker.js"), &folder.join("worker.js"))?;
    let mut optimise = Command::new("wasm-opt");
    // As www/index.html asks trunk for: what tools made a module, and what it needs, no browser reads there. Functions in
    // the order of their names have their likes beside them: 2 % less to load (gzip).
    optimise.args(["-O3", "--strip-producers", "--strip-target-features"]);
    optimise.arg("--reorder-functions-by-name");
    optimise.arg("-o").arg(folder.join(RELAXED)).arg(bound.join(PLAIN));
    run(optimise.env("PATH", &toolbox.path))?;
    tell(folder)
}

fn same(ours: &Path, trunks: &Path) -> Result<()> {
    let read = |path: &Path| fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    match read(ours)? == read(trunks)? {
        true => Ok(()),
        false => Err(format!(
            "{} and {} differ; expected one script for both modules",
            ours.display(),
            trunks.display()
        )),
    }
}

/// Where cargo puts what it makes.
pub fn cargo_folder() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), Into::into)
}

/// Tells the page of the second module; `trunk serve`, which makes none, leaves the place empty.
fn tell(folder: &Path) -> Result<()> {
    let path = folder.join("worker-start.js");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let told = text.replacen("RELAXED = \"\"", &format!("RELAXED = {RELAXED:?}"), 1);
    if told == text {
        return Err(format!("{}: found no empty RELAXED to fill in", path.display()));
    }
    fs::write(&path, told).map_err(|e| format!("{}: {e}", path.display()))
}
