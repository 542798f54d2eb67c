//! Installs what a command needs and finds missing. Running it twice does nothing the second time.

use std::env;
use std::ffi::OsString;

use crate::command::{Result, path_with};
use crate::tools::{DENY, TRUNK, Tool, WASM_BINDGEN, WASM_PACK};
use crate::{packages, tools};

/// `PATH` on which every tool is found at its pinned version.
pub struct Toolbox {
    pub path: OsString,
}

pub fn for_serve() -> Result<Toolbox> {
    packages::rust_target()?;
    packages::npm(".")?;
    let toolbox = toolbox(&[&TRUNK, &WASM_BINDGEN])?;
    packages::crates()?;
    Ok(toolbox)
}

pub fn for_test() -> Result<Toolbox> {
    packages::rust_target()?;
    packages::rust_components()?;
    packages::debian()?;
    packages::npm(".")?;
    let toolbox = toolbox(&[&WASM_PACK, &WASM_BINDGEN, &TRUNK])?;
    packages::crates()?;
    Ok(toolbox)
}

pub fn for_bench() -> Result<Toolbox> {
    packages::rust_target()?;
    packages::debian()?;
    packages::npm(".")?;
    packages::npm("page-bench")?;
    let toolbox = toolbox(&[&WASM_BINDGEN, &TRUNK])?;
    packages::crates()?;
    Ok(toolbox)
}

pub fn for_deny() -> Result<Toolbox> {
    packages::crates()?;
    toolbox(&[&DENY])
}

fn toolbox(wanted: &[&Tool]) -> Result<Toolbox> {
    let mut folders = tools::provide(wanted)?;
    let here =
        env::current_dir().map_err(|problem| format!("the current folder is gone: {problem}"))?;
    folders.push(here.join("node_modules/.bin"));
    Ok(Toolbox { path: path_with(&folders)? })
}
