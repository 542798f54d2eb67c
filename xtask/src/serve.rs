//! `cargo xtask serve`: the playground on this machine, rebuilt when a file changes.

use std::path::Path;
use std::process::Command;

use crate::command::{Result, run};
use crate::setup;

/// What the page is made of. Everything else (target, training runs) would trigger builds for nothing.
const WATCHED: &[&str] = &["Cargo.toml", "Trunk.toml", "models", "shaders", "src", "www"];

pub fn serve(trunk_arguments: &[&str]) -> Result<()> {
    let toolbox = setup::for_serve()?;
    let mut trunk = Command::new("trunk");
    trunk.args(["serve", "--release", "--offline"]).env("PATH", &toolbox.path);
    for path in WATCHED.iter().filter(|path| Path::new(path).exists()) {
        trunk.args(["--watch", path]);
    }
    run(trunk.args(trunk_arguments))
}
