//! Models from a folder or by their bundled name.

use super::BackendArg;
use crate::session::bundle::{Entry, INDEX};
use crate::session::spec::{Backend, OWN};
use crate::session::{CalibrationText, Engine, Library, Loaded, OWN_CALIBRATION, open};
use crate::{Error, Result};
use std::path::Path;
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
    if Path::new(name).is_dir() {
        let loaded = engine.open_own(folder(Path::new(name))?)?;
        return Ok((OWN.into(), loaded));
    }
    bundled(name)?;
    Ok((name.into(), engine.model(name).await?))
}

fn bundled(name: &str) -> Result<&'static Entry> {
    Entry::find(name).map_err(|_| {
        let known: Vec<&str> = INDEX.models.iter().map(|m| m.id.as_str()).collect();
        let expected = format!(
            "a folder with config.json, model.safetensors and tokenizer.json, or a bundled model ({})",
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
) -> Result<(Vec<(String, Vec<u8>)>, Loaded)> {
    let mut files = match Path::new(name).is_dir() {
        true => folder(Path::new(name))?,
        false => engine.bundled(bundled(name)?).await?,
    };
    if let Some(file) = text_file {
        files.retain(|(name, _)| name != OWN_CALIBRATION);
        files.push((OWN_CALIBRATION.into(), text(file)?.into_bytes()));
    }
    let mut loaded = open(files.clone())?;
    if let (Ok(entry), CalibrationText::Bundled(file)) =
        (Entry::find(name), &mut loaded.calibration)
    {
        *file = entry.calibration.clone();
    }
    Ok((files, loaded))
}

fn folder(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let unreadable = |e: std::io::Error| Error::file(path.display().to_string(), e.to_string());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let wanted = ["config.json", "tokenizer.json", "card.md", OWN_CALIBRATION]
            .contains(&name.as_str())
            || name.ends_with(".safetensors")
            || name.ends_with(".safetensors.index.json");
        if wanted {
            let full = entry.path();
            let bytes = std::fs::read(&full)
                .map_err(|e| Error::file(full.display().to_string(), e.to_string()))?;
            files.push((name, bytes));
        }
    }
    Ok(files)
}

/// A text file. Errors: unreadable, not UTF-8, empty.
pub fn text(path: &str) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::file(path, "is not UTF-8 text"))?;
    if text.is_empty() {
        return Err(Error::file(path, "is empty; a text of at least two tokens is needed"));
    }
    Ok(text)
}
