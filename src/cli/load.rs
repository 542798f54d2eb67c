//! Models from a folder or by their bundled name.

use super::{BackendArg, hub};
use crate::eval::with_labels;
use crate::session::bundle::{Entry, INDEX};
use crate::session::shape::{self, Shape};
use crate::session::spec::{Backend, OWN};
use crate::session::{CalibrationText, Engine, Library, Loaded, OWN_CALIBRATION, open};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;

use super::folder::{Files, MOST_BYTES, regular};
pub use super::folder::{files as folder, text};
pub use super::note::note;

/// What `--tokenizer` names.
static TOKENIZER: OnceLock<PathBuf> = OnceLock::new();

/// Models of a folder or of the hub are opened with this tokenizer from now on.
pub fn use_tokenizer(file: Option<PathBuf>) {
    file.into_iter().for_each(|file| drop(TOKENIZER.set(file)));
}

/// Errors: a tokenizer was named, and this model is not one that takes it.
fn takes_no_tokenizer() -> Result<()> {
    let expected = "a model of a folder or of the hub with it; the others have their own";
    match TOKENIZER.get() {
        Some(file) => Err(Error::input("--tokenizer", file.display(), expected)),
        None => Ok(()),
    }
}

/// The files of a folder, with the tokenizer that was named.
fn in_folder(path: &Path) -> Result<Files> {
    let mut files = folder(path)?;
    if let Some(file) = TOKENIZER.get() {
        files.retain(|(name, _)| name != "tokenizer.json");
        files.push(("tokenizer.json".into(), regular(file, MOST_BYTES)?.into()));
    }
    Ok(files)
}

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

/// The folder that a name means: one on the disk, or that of a hub model in the cache, fetched if need be. Nothing for a bundled name.
pub fn place(name: &str) -> Result<Option<PathBuf>> {
    match Path::new(name).is_dir() {
        true => Ok(Some(name.into())),
        false => hub::folder(name),
    }
}

/// `org/name@commit` of a model of the hub, for its links; empty for any other.
pub fn origin(name: &str) -> Result<String> {
    match Path::new(name).is_dir() || Shape::parse(name).is_some() {
        true => Ok(String::new()),
        false => hub::origin(name),
    }
}

/// What is unusual about a model, on standard error.
pub fn say(loaded: &Loaded) {
    let ignored = loaded.config.ignored().join(", ");
    if !ignored.is_empty() {
        note(&format!("Fields of config.json that are not known here were not used: {ignored}."));
    }
    loaded.notes.iter().for_each(|text| note(text));
}

/// The files of a folder, or of random weights in a shape; nothing for a bundled name.
fn own_files(name: &str) -> Result<Option<Files>> {
    let Some(shape) = Shape::parse(name) else {
        return place(name)?.map(|place| in_folder(&place)).transpose();
    };
    takes_no_tokenizer()?;
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
    takes_no_tokenizer()?;
    Entry::find(name).map_err(|_| {
        let known: Vec<&str> = INDEX.models.iter().map(|m| m.id.as_str()).collect();
        let expected = format!(
            "a folder with config.json, model.safetensors and tokenizer.json, org/name[@revision] of the Hugging Face hub, random weights in a shape (shape:{} or shape:PATH of a config.json), or a bundled model ({})",
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

/// The data of an evaluation, with the labels of another file put into its rows where there is one.
///
/// `org/name:config:split` are rows of a data set of the hub, from the cache or fetched.
///
/// Errors: unreadable, not a regular file, too large, or rows that cannot be had.
pub fn data(file: &str, labels: Option<&str>) -> Result<Vec<u8>> {
    let read = |file: &str| {
        let here = Path::new(file);
        let of_hub = if here.exists() { None } else { hub::rows(file)? };
        regular(of_hub.as_deref().unwrap_or(here), MOST_BYTES)
    };
    match labels {
        None => read(file),
        Some(labels) => with_labels(&read(file)?, &read(labels)?),
    }
}
