//! The files of a model in a folder: which they are, how large they may be, and how they are read.

use crate::session::{COMPANIONS, OWN_CALIBRATION};
use crate::weights::{Bytes, shards};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// Names and contents.
pub type Files = Vec<(String, Bytes)>;

/// Largest size of a small file of a model, and of its tokenizer.
pub const MOST_BYTES: u64 = 64 << 20;

/// The files of a model in a folder, and no others: what lies beside them is not even opened.
///
/// Errors: unreadable, not a regular file, or larger than such a file can be.
pub fn files(path: &Path) -> Result<Files> {
    let unreadable = |e: std::io::Error| Error::file(path.display().to_string(), e.to_string());
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        there.insert(entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned());
    }
    let small = ["config.json", "tokenizer.json", "card.md", OWN_CALIBRATION].into_iter();
    let mut files = Vec::new();
    for name in small.chain(COMPANIONS).filter(|name| there.contains(*name)) {
        files.push((name.to_string(), regular(&path.join(name), MOST_BYTES)?.into()));
    }
    for name in weights(path, &there)? {
        files.push((name.clone(), mapped(&path.join(&name))?));
    }
    Ok(files)
}

/// Names of the weight files: the whole one, or the index and its shards, or the only one there is; safetensors first.
pub fn weights(path: &Path, there: &BTreeSet<String>) -> Result<Vec<String>> {
    for (single, ending) in [("model.safetensors", ".safetensors"), ("pytorch_model.bin", ".bin")] {
        let index = format!("{single}.index.json");
        if there.contains(single) {
            return Ok(vec![single.into()]);
        }
        if there.contains(&index) {
            let shards = shards(&index, &regular(&path.join(&index), MOST_BYTES)?)?;
            let shards = shards.into_iter().filter(|name| there.contains(name));
            return Ok([index].into_iter().chain(shards).collect());
        }
        let only = there.iter().filter(|name| name.ends_with(ending));
        let only: Vec<String> = only.filter(|_| ending == ".safetensors").cloned().collect();
        if !only.is_empty() {
            return Ok(only);
        }
    }
    Ok(Vec::new())
}

/// The bytes of a regular file of bounded size.
pub fn regular(path: &Path, most: u64) -> Result<Vec<u8>> {
    let failed = |problem: String| Error::file(path.display().to_string(), problem);
    let found = length(path)?;
    if found > most {
        return Err(failed(format!("has {found} bytes; expected at most {most} for such a file")));
    }
    std::fs::read(path).map_err(|e| failed(e.to_string()))
}

/// A regular file of any size, of which only what is read takes memory.
fn mapped(path: &Path) -> Result<Bytes> {
    let failed = |e: std::io::Error| Error::file(path.display().to_string(), e.to_string());
    match length(path)? {
        // Nothing can be mapped.
        0 => Ok(Bytes::default()),
        _ => Bytes::map(&std::fs::File::open(path).map_err(failed)?).map_err(failed),
    }
}

/// Bytes of a regular file. A pipe or a device would be waited for without an end.
fn length(path: &Path) -> Result<u64> {
    let failed = |problem: String| Error::file(path.display().to_string(), problem);
    let about = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?;
    match about.is_file() {
        true => Ok(about.len()),
        false => Err(failed("is no regular file; expected one, or a link to one".into())),
    }
}

/// A text file. Errors: unreadable, not UTF-8, empty.
pub fn text(path: &str) -> Result<String> {
    let bytes = regular(Path::new(path), MOST_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::file(path, "is not UTF-8 text"))?;
    if text.is_empty() {
        return Err(Error::file(path, "is empty; a text of at least two tokens is needed"));
    }
    Ok(text)
}
