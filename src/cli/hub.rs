//! `org/name[@revision]`: a model of the Hugging Face hub, from the cache folder that all tools share.
//!
//! Nothing is fetched here; `hf download org/name` fills the cache, with whatever token and proxy it is set up for.
//! Source: huggingface_hub, "Manage huggingface_hub cache-system" (layout) and "Environment variables".

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The folder of a model's files in the cache; nothing where `name` is no name of the hub's kind.
///
/// Errors: a name that could lead elsewhere, or a model or revision that is not in the cache.
pub fn folder(name: &str) -> Result<Option<PathBuf>> {
    let (model, revision) = name.split_once('@').unwrap_or((name, "main"));
    let Some((owner, short)) = model.split_once('/') else { return Ok(None) };
    if !is_plain(owner) || !is_plain(short) {
        return Ok(None);
    }
    if !revision.split('/').all(is_plain) {
        let expected = "a branch, a tag or a commit";
        return Err(Error::input("revision", revision, expected));
    }
    let cache = cache().join(format!("models--{owner}--{short}"));
    let commit = match std::fs::read_to_string(cache.join("refs").join(revision)) {
        Ok(commit) => commit.trim().to_string(),
        Err(_) => revision.to_string(),
    };
    let snapshot = cache.join("snapshots").join(&commit);
    if is_plain(&commit) && snapshot.is_dir() {
        return Ok(Some(snapshot));
    }
    let at = if revision == "main" { String::new() } else { format!(" --revision {revision}") };
    let expected = format!(
        "a model in the cache {}; fetch it first with `hf download {model}{at}`, or name a folder",
        cache.parent().unwrap_or(Path::new("")).display()
    );
    Err(Error::input("--model", name, expected))
}

/// Letters, digits and a few marks; never a way up.
fn is_plain(part: &str) -> bool {
    let marks = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !part.is_empty() && part.chars().all(marks) && !part.starts_with('.') && part.len() <= 96
}

/// Where huggingface_hub keeps what it fetched.
fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = || set("HOME").unwrap_or_default().join(".cache");
    set("HF_HUB_CACHE")
        .or_else(|| set("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| set("HF_HOME").map(|home| home.join("hub")))
        .unwrap_or_else(|| set("XDG_CACHE_HOME").unwrap_or_else(home).join("huggingface/hub"))
}
