//! What is bundled: models, evaluation sets, and their hashes. Compiled in from models/index.json.

use crate::{Error, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

/// models/index.json, written by training/make_index.py.
#[derive(Debug, Deserialize)]
pub struct Index {
    /// In the order in which they are offered.
    pub models: Vec<Entry>,
    /// Path below models/eval -> sha256.
    pub eval: BTreeMap<String, String>,
}

/// One bundled model, a folder below models/.
#[derive(Debug, Clone, Deserialize)]
pub struct Entry {
    /// The folder's name, and the model's in links and on the command line.
    pub id: String,
    /// For people.
    pub label: String,
    /// model_type of its config.json.
    pub family: String,
    /// Elements of all tensors of the weights file.
    pub parameters: u64,
    /// Size of the weights file.
    pub bytes: u64,
    /// Evaluations that make sense for it; the first is its default.
    pub evaluations: Vec<String>,
    /// The text that the page starts with, in words that the model knows.
    pub prompt: String,
    /// Tokens generated after the prompt.
    pub tokens: usize,
    /// Calibration file below models/eval.
    pub calibration: String,
    /// File -> sha256.
    pub files: BTreeMap<String, String>,
}

/// The index, parsed when it is first asked for.
pub static INDEX: LazyLock<Index> = LazyLock::new(|| {
    // As bytes everywhere: the reader of `str` would be compiled a second time.
    serde_json::from_slice(include_bytes!("../models/index.json"))
        .expect("models/index.json is checked by a test")
});

impl Entry {
    /// The bundled model of this id. Errors: none, naming those there are.
    pub fn find(id: &str) -> Result<&'static Entry> {
        let found = INDEX.models.iter().find(|m| m.id == id);
        found.ok_or_else(|| {
            let ids: Vec<&str> = INDEX.models.iter().map(|m| m.id.as_str()).collect();
            Error::input("model", id, format!("one of {}", ids.join(", ")))
        })
    }

    /// sha256 of the weights; names the model in links.
    pub fn sha256(&self) -> &str {
        self.files.get("model.safetensors").map_or("", String::as_str)
    }
}

/// Lower-case hex sha256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// First 16 hex digits of the hash over the named evaluation files' hashes: names the data in links.
pub fn data_hash(files: &[String]) -> String {
    let hashes: Vec<&str> =
        files.iter().filter_map(|f| INDEX.eval.get(f)).map(String::as_str).collect();
    sha256_hex(hashes.join(" ").as_bytes())[..16].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_matches_the_files() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let check = |path: std::path::PathBuf, hash: &str| {
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(sha256_hex(&bytes), hash, "{}", path.display());
        };
        for model in &INDEX.models {
            for (file, hash) in &model.files {
                check(root.join(&model.id).join(file), hash);
            }
            assert!(INDEX.eval.contains_key(&model.calibration));
        }
        for (file, hash) in &INDEX.eval {
            check(root.join("eval").join(file), hash);
        }
    }
}
