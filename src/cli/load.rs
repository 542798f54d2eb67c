//! Models from a folder or by their bundled name.

use super::{BackendArg, hub};
use crate::error::printable;
use crate::eval::with_labels;
use crate::session::bundle::{Entry, INDEX};
use crate::session::shape::{self, Shape};
use crate::session::spec::{Backend, OWN};
use crate::session::{COMPANIONS, CalibrationText, Engine, Library, Loaded, OWN_CALIBRATION, open};
use crate::weights::{Bytes, shards};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

impl From<BackendArg> for Backend {
    fn from(arg: BackendArg) -> Backend {
        match arg {
            BackendArg::Auto => Backend::Auto,
            BackendArg::Cpu => Backend::Cpu,
            BackendArg::Gpu => Backend::Gpu,
        }
    }
}

/// An engine over the bundled files: $WHITTLE_HOME, the working folder, or the checkout it was built from.
pub fn engine() -> Engine {
    let home = std::env::var("WHITTLE_HOME").ok();
    let places = home.iter().map(String::as_str).chain([".", env!("CARGO_MANIFEST_DIR")]);
    let has_models = |place: &&str| Path::new(place).join("models/index.json").exists();
    let mut places = places.filter(has_models);
    Engine::new(Library::new(places.next().unwrap_or(env!("CARGO_MANIFEST_DIR"))))
}

/// Opens a bundled name or a folder; gives the id that a run names it by.
pub async fn model(engine: &mut Engine, name: &str) -> Result<(String, Rc<Loaded>)> {
    if let Some(files) = own_files(name)? {
        let loaded = engine.open_own(files)?;
        say(&loaded);
        return Ok((OWN.into(), loaded));
    }
    bundled(name)?;
    Ok((name.into(), engine.model(name).await?))
}

/// The folder that a name means: one on the disk, or that of a hub model in the cache. Nothing for a bundled name.
pub fn place(name: &str) -> Result<Option<PathBuf>> {
    match Path::new(name).is_dir() {
        true => Ok(Some(name.into())),
        false => hub::folder(name),
    }
}

/// What is unusual about a model, on standard error.
pub fn say(loaded: &Loaded) {
    let ignored = loaded.view.ignored.join(", ");
    if !ignored.is_empty() {
        note(&format!("Fields of config.json that are not known here were not used: {ignored}."));
    }
    loaded.view.notes.iter().for_each(|text| note(text));
}

/// One line on standard error.
pub fn note(text: &str) {
    eprintln!("whittle: {}", printable(text, 1000));
}

/// Names and contents.
type Files = Vec<(String, Bytes)>;

/// The files of a folder, or of random weights in a shape; nothing for a bundled name.
fn own_files(name: &str) -> Result<Option<Files>> {
    let Some(shape) = Shape::parse(name) else {
        return place(name)?.map(|place| folder(&place)).transpose();
    };
    let shape = shape?;
    if let Some(json) = shape.built_in() {
        return made(&shape, json).map(Some);
    }
    let path = Path::new(&shape.name);
    let path = if path.is_dir() { path.join("config.json") } else { path.to_path_buf() };
    let json = std::fs::read(&path).map_err(|e| {
        let known = shape::BUILT_IN.map(|(name, _)| name).join(", ");
        let problem = format!("{e}; expected a config.json, or one of {known}");
        Error::file(path.display().to_string(), problem)
    })?;
    made(&shape, &json).map(Some)
}

fn made(shape: &Shape, config: &[u8]) -> Result<Files> {
    let files = shape.files(config)?;
    Ok(files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect())
}

fn bundled(name: &str) -> Result<&'static Entry> {
    Entry::find(name).map_err(|_| {
        let known: Vec<&str> = INDEX.models.iter().map(|m| m.id.as_str()).collect();
        let expected = format!(
            "a folder with config.json, model.safetensors and tokenizer.json, org/name[@revision] of the Hugging Face cache, random weights in a shape (shape:{} or shape:PATH of a config.json), or a bundled model ({})",
            shape::BUILT_IN.map(|(name, _)| name).join(", shape:"),
            known.join(", ")
        );
        Error::input("--model", name, expected)
    })
}

/// A model's files and the model, which calibrates on `text` (a file) if there is one.
pub async fn with_calibration(
    engine: &Engine,
    name: &str,
    text_file: Option<&str>,
) -> Result<(Files, Loaded)> {
    let mut files = match own_files(name)? {
        Some(files) => files,
        None => {
            let files = engine.bundled(bundled(name)?).await?;
            files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect()
        }
    };
    if let Some(file) = text_file {
        files.retain(|(name, _)| name != OWN_CALIBRATION);
        files.push((OWN_CALIBRATION.into(), text(file)?.into_bytes().into()));
    }
    let mut loaded = open(files.clone())?;
    if let (Ok(entry), CalibrationText::Bundled(file)) =
        (Entry::find(name), &mut loaded.calibration)
    {
        *file = entry.calibration.clone();
    }
    Ok((files, loaded))
}

/// Largest size of a small file of a model, and of its tokenizer.
const MOST_BYTES: u64 = 64 << 20;

/// The files of a model in a folder, and no others: what lies beside them is not even opened.
///
/// Errors: unreadable, not a regular file, or larger than such a file can be.
pub fn folder(path: &Path) -> Result<Vec<(String, Bytes)>> {
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
fn weights(path: &Path, there: &BTreeSet<String>) -> Result<Vec<String>> {
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
fn regular(path: &Path, most: u64) -> Result<Vec<u8>> {
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

/// The data of an evaluation, with the labels of another file put into its rows where there is one.
///
/// Errors: unreadable, not a regular file, or too large.
pub fn data(file: &str, labels: Option<&str>) -> Result<Vec<u8>> {
    let read = |file: &str| regular(Path::new(file), MOST_BYTES);
    match labels {
        None => read(file),
        Some(labels) => with_labels(&read(file)?, &read(labels)?),
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
