//! What a hub model is called, and what the environment says: where the cache is, which hub, which token.

use crate::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

/// What the hub keeps under a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Model,
    Dataset,
}

impl Kind {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Model => "model",
            Kind::Dataset => "data set",
        }
    }

    /// In the hub's addresses, and in the cache's folders.
    pub fn path(self) -> &'static str {
        match self {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        }
    }
}

/// `owner/short@revision`, checked: no part of it leads out of the cache's folder or of the hub's address.
pub struct Name {
    pub kind: Kind,
    pub owner: String,
    pub short: String,
    pub revision: String,
}

impl Name {
    /// Nothing where the text is no name of the hub's kind. Errors: a revision that could lead elsewhere.
    pub fn parse(text: &str) -> Result<Option<Name>> {
        let (model, revision) = text.split_once('@').unwrap_or((text, "main"));
        let Some((owner, short)) = model.split_once('/') else { return Ok(None) };
        if !is_plain(owner) || !is_plain(short) {
            return Ok(None);
        }
        if !revision.split('/').all(is_plain) {
            return Err(Error::input("revision", revision, "a branch, a tag or a commit"));
        }
        let (owner, short) = (owner.to_string(), short.to_string());
        let (kind, revision) = (Kind::Model, revision.to_string());
        Ok(Some(Name { kind, owner, short, revision }))
    }

    /// Without the revision.
    pub fn short_name(&self) -> String {
        format!("{}/{}", self.owner, self.short)
    }

    /// As a person would write it.
    pub fn full(&self) -> String {
        match self.revision.as_str() {
            "main" => self.short_name(),
            revision => format!("{}@{revision}", self.short_name()),
        }
    }
}

/// Letters, digits and a few marks; never a way up.
pub fn is_plain(part: &str) -> bool {
    let marks = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !part.is_empty() && part.chars().all(marks) && !part.starts_with('.') && part.len() <= 96
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn is_on(name: &str) -> bool {
    set(name).is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.to_uppercase().as_str()))
}

/// The hub's own folder, of which the cache is a part: HF_HOME.
fn home() -> PathBuf {
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    let usual = || PathBuf::from(set("HOME").unwrap_or_default()).join(".cache");
    set("HF_HOME").map_or_else(|| cache.unwrap_or_else(usual).join("huggingface"), PathBuf::from)
}

/// Where huggingface_hub keeps what it fetched.
pub fn cache() -> PathBuf {
    let named = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE"));
    named.map_or_else(|| home().join("hub"), PathBuf::from)
}

pub fn is_offline() -> bool {
    is_on("HF_HUB_OFFLINE")
}

/// The hub's address, without a slash at its end. Errors: HF_ENDPOINT is no address.
pub fn endpoint() -> Result<String> {
    let found = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
    let (scheme, host) = found.split_once("://").unwrap_or_default();
    if !["http", "https"].contains(&scheme) || host.is_empty() {
        return Err(Error::input(
            "HF_ENDPOINT",
            found,
            "an address such as https://huggingface.co",
        ));
    }
    Ok(found.trim_end_matches('/').to_string())
}

/// Where the hub serves the rows of data sets: the host of that name beside the hub's own, as the `datasets` package has
/// it. An address without encryption serves both itself. Errors: as [`endpoint`].
pub fn rows_endpoint() -> Result<String> {
    Ok(endpoint()?.replacen("https://", "https://datasets-server.", 1))
}

/// The person's token: HF_TOKEN, or the file that `hf auth login` wrote. Errors: it holds what no token has.
pub fn token() -> Result<Option<String>> {
    let named = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN"));
    let file = || {
        let path = set("HF_TOKEN_PATH").map_or_else(|| home().join("token"), PathBuf::from);
        let allowed = !is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN");
        allowed.then(|| std::fs::read_to_string(path).ok()).flatten()
    };
    let found = named.or_else(file).map(|token| token.trim().to_string());
    match found.filter(|token| !token.is_empty()) {
        Some(token) if !token.chars().all(|c| c.is_ascii_graphic()) => {
            let expected = "a token of letters, digits and marks, as the hub's settings show it";
            Err(Error::input("HF_TOKEN", "characters that no token has", expected))
        }
        found => Ok(found),
    }
}

/// How long the hub may be silent: HF_HUB_DOWNLOAD_TIMEOUT in seconds.
pub fn patience() -> Duration {
    const USUAL: u64 = 30;
    let seconds = set("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|v| v.parse().ok()).unwrap_or(USUAL);
    Duration::from_secs(seconds.clamp(1, 3600))
}

/// Bytes for people, in units of 1000.
pub fn megabytes(bytes: u64) -> String {
    match bytes {
        0..100_000 => format!("{bytes} bytes"),
        100_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
