//! Measurements in a file, so that a report can be stopped and taken up again.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use whittle::{Error, Result};

/// What a file holds; nothing where there is none. Errors: the file is something else.
pub fn read<T: DeserializeOwned>(path: &str) -> Result<BTreeMap<String, T>> {
    let Ok(bytes) = std::fs::read(path) else { return Ok(BTreeMap::new()) };
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::file(path, format!("is no cache of measurements ({e}); remove it")))
}

/// Writes beside the file first, so that a stop leaves the old one.
pub fn write<T: Serialize>(path: &str, measured: &BTreeMap<String, T>) -> Result<()> {
    let file = |e: std::io::Error| Error::file(path, e.to_string());
    let bytes = serde_json::to_vec(measured).expect("numbers and strings serialise");
    let new = format!("{path}.new");
    std::fs::write(&new, bytes).map_err(file)?;
    std::fs::rename(&new, path).map_err(file)
}
