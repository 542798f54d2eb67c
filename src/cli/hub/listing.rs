//! What the hub says of a model at a revision, and which of its files are needed.
//!
//! Source: the hub's `GET /api/models/{model}/revision/{revision}?blobs=true`.

use super::place::{Name, is_plain};
use crate::session::COMPANIONS;
use crate::{Error, Result};
use serde::Deserialize;

/// A model at one commit.
pub struct Listing {
    /// 40 hex digits.
    pub commit: String,
    /// As the model's card names it.
    pub licence: Option<String>,
    /// The files that are needed; small ones first, so that weights which are there mean that all is.
    pub files: Vec<Listed>,
}

/// A file as the hub lists it.
pub struct Listed {
    pub name: String,
    pub bytes: u64,
    /// Its name among the cache's blobs: the sha256 where the hub gives one, else git's own hash.
    pub blob: String,
    pub sha256: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Listing {
    /// Reads the hub's answer. Errors: not what the hub sends, or a model without files that can be opened.
    pub fn parse(name: &Name, json: &[u8]) -> Result<Listing> {
        let odd = |what: String| {
            Error::Hub(format!("{}: the hub's answer is not understood ({what}).", name.full()))
        };
        let answer: Answer = serde_json::from_slice(json).map_err(|e| odd(e.to_string()))?;
        if !is_hex(&answer.sha, 40) {
            return Err(odd("its commit is not 40 hex digits".into()));
        }
        let there: Vec<&str> = answer.siblings.iter().map(|s| s.rfilename.as_str()).collect();
        let wanted = wanted(&there);
        let needs = |part: &str, what: &str| {
            let is_there = wanted.iter().any(|file| file.contains(part));
            is_there.then_some(()).ok_or_else(|| lacking(name, what, &there))
        };
        needs("config.json", "config.json")?;
        if !wanted.iter().any(|file| is_weights(file)) {
            return Err(lacking(name, "model.safetensors or pytorch_model.bin", &there));
        }
        let mut files = Vec::new();
        for file in wanted {
            let found = answer.siblings.iter().find(|s| s.rfilename == file);
            let listed =
                found.and_then(listed).ok_or_else(|| odd(format!("{file} has no size or hash")))?;
            files.push(listed);
        }
        let licence = answer.tags.iter().find_map(|tag| tag.strip_prefix("license:"));
        Ok(Listing { commit: answer.sha, licence: licence.map(String::from), files })
    }
}

fn listed(sibling: &Sibling) -> Option<Listed> {
    let name = sibling.rfilename.clone();
    match &sibling.lfs {
        Some(lfs) => is_hex(&lfs.sha256, 64).then(|| Listed {
            name,
            bytes: lfs.size,
            blob: lfs.sha256.clone(),
            sha256: Some(lfs.sha256.clone()),
        }),
        None => {
            let blob = sibling.blob.clone().filter(|blob| is_hex(blob, 40))?;
            Some(Listed { name, bytes: sibling.size?, blob, sha256: None })
        }
    }
}

fn lacking(name: &Name, what: &str, there: &[&str]) -> Error {
    let shown: Vec<&str> = there.iter().take(12).copied().collect();
    let more = if there.len() > 12 { ", ..." } else { "" };
    let problem = format!(
        "has no {what} (found: {}{more}); name a model that transformers loads, or a folder of your own",
        shown.join(", ")
    );
    Error::file(name.full(), problem)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Of all files of a model, those that it is opened from, weights last: safetensors before torch's own format, the
/// whole file before shards, and never both.
fn wanted(there: &[&str]) -> Vec<String> {
    let small = ["config.json", "tokenizer.json"].into_iter();
    let small = small.chain(COMPANIONS.into_iter().filter(|name| *name != "LICENSE"));
    let mut names: Vec<String> =
        small.filter(|name| there.contains(name)).map(String::from).collect();
    for (stem, ending) in [("model", ".safetensors"), ("pytorch_model", ".bin")] {
        let whole = format!("{stem}{ending}");
        if there.contains(&whole.as_str()) {
            names.push(whole);
            return names;
        }
        let index = format!("{whole}.index.json");
        if there.contains(&index.as_str()) {
            names.push(index);
            let shards = there.iter().filter(|name| is_shard(name, stem, ending));
            names.extend(shards.map(|name| name.to_string()));
            return names;
        }
        let mut only = there.iter().filter(|n| ending == ".safetensors" && n.ends_with(ending));
        if let (Some(name), None) = (only.next(), only.next())
            && is_plain(name)
        {
            names.push(name.to_string());
            return names;
        }
    }
    names
}

fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".bin")
}

/// `model-00001-of-00002.safetensors`.
fn is_shard(name: &str, stem: &str, ending: &str) -> bool {
    let middle = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(ending));
    let numbers = middle.and_then(|m| m.strip_prefix('-')).and_then(|m| m.split_once("-of-"));
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    numbers.is_some_and(|(number, of)| is_number(number) && is_number(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_model_is_opened_from_is_fetched() {
        let small = ["config.json", "tokenizer.json"];
        let other =
            ["README.md", "LICENSE", "onnx/model.onnx", "tf_model.h5", "../model.safetensors"];
        for (weights, expected) in [
            (&["pytorch_model.bin", "model.safetensors"][..], &["model.safetensors"][..]),
            (&["pytorch_model.bin", "flax_model.msgpack"], &["pytorch_model.bin"]),
            (
                &[
                    "model-00002-of-00002.safetensors",
                    "model-00001-of-00002.safetensors",
                    "model.safetensors.index.json",
                    "pytorch_model.bin",
                ],
                &[
                    "model.safetensors.index.json",
                    "model-00002-of-00002.safetensors",
                    "model-00001-of-00002.safetensors",
                ],
            ),
            (
                &[
                    "pytorch_model-00001-of-00001.bin",
                    "pytorch_model-1-of-1.bin",
                    "pytorch_model.bin.index.json",
                ],
                &["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"],
            ),
        ] {
            let there = [&other[..], weights, &small].concat();
            assert_eq!(wanted(&there), [&small[..], expected].concat(), "{weights:?}");
        }
    }

    #[test]
    fn an_answer_that_is_not_the_hubs_is_refused() {
        let name = Name::parse("some/model").expect("plain").expect("a name");
        let commit = "0".repeat(40);
        let files = |files: &str| format!(r#"{{"sha":"{commit}","siblings":[{files}]}}"#);
        let config = format!(r#"{{"rfilename":"config.json","size":2,"blobId":"{commit}"}}"#);
        for (json, part) in [
            ("<html>".to_string(), "not understood"),
            (r#"{"sha":"../../x"}"#.to_string(), "40 hex digits"),
            (files(""), "has no config.json"),
            (files(&config), "has no model.safetensors"),
            (
                files(&format!(r#"{config},{{"rfilename":"model.safetensors","size":9}}"#)),
                "no size or hash",
            ),
            (
                files(&format!(
                    r#"{config},{{"rfilename":"model.safetensors","lfs":{{"sha256":"../x","size":9}}}}"#
                )),
                "no size or hash",
            ),
        ] {
            let error =
                Listing::parse(&name, json.as_bytes()).map(|_| ()).expect_err(part).to_string();
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}
