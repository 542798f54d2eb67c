//! `cargo xtask serve`: the playground on this machine, rebuilt when a file changes.

use std::process::Command;

use crate::command::{Result, run};
use crate::setup;

pub fn serve(trunk_arguments: &[&str]) -> Result<()> {
    let toolbox = setup::for_serve()?;
    let mut trunk = Command::new("trunk");
    trunk
        .args(["serve", "--release", "--offline"])
        .args(trunk_arguments)
        .env("PATH", &toolbox.path);
    run(&mut trunk)
}
