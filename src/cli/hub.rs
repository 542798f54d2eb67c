//! `org/name[@revision]`: a model of the Hugging Face hub, in the cache folder that all tools share.
//!
//! What is whole in the cache is used as it is, with no request: a branch keeps the commit that was fetched. Anything
//! else is fetched first, unless HF_HUB_OFFLINE is set.
//! Source: huggingface_hub, "Manage huggingface_hub cache-system" (layout) and "Environment variables".

mod failure;
mod listing;
mod place;
mod progress;
mod rows;
mod store;
mod transfer;

use super::note::note;
use crate::session::spec::origin as origin_of;
use crate::{Error, Result};
use listing::Listing;
use place::{Name, megabytes};
pub use rows::file as rows;
use std::path::PathBuf;
use store::Store;
use transfer::Client;

/// The folder of a model's files in the cache, after whatever was missing was fetched; nothing where `name` is no name of
/// the hub's kind.
///
/// Errors: a name that could lead elsewhere, a model that cannot be had, a transfer that failed; each in its own sentence.
pub fn folder(name: &str) -> Result<Option<PathBuf>> {
    let Some(name) = Name::parse(name)? else { return Ok(None) };
    let store = Store::of(&name);
    let there = store.snapshot(&name);
    if let Some(whole) = there.clone().filter(|folder| store::is_whole(folder)) {
        return Ok(Some(whole));
    }
    // Complete but for a tokenizer, which some models lack: usable where the hub cannot say whether there is one.
    let usable = there.filter(|folder| store::has_model(folder));
    if place::is_offline() {
        return usable.ok_or_else(|| absent(&name, &store)).map(Some);
    }
    match (fetch(&name, &store), usable) {
        (Err(Error::Hub(_)), Some(folder)) => Ok(Some(folder)),
        (fetched, _) => fetched.map(Some),
    }
}

/// `org/name@commit` of a model that is in the cache by now; empty for what is no model of the hub.
///
/// Errors: as [`folder`].
pub fn origin(name: &str) -> Result<String> {
    let (Some(parsed), Some(folder)) = (Name::parse(name)?, folder(name)?) else {
        return Ok(String::new());
    };
    let commit = folder.file_name().unwrap_or_default().to_string_lossy();
    // A cache made by hand may have other names, which no link can carry.
    Ok(origin_of(&format!("{}@{commit}", parsed.short_name())).unwrap_or_default())
}

/// Asks the hub what there is, and fetches what the cache lacks.
fn fetch(name: &Name, store: &Store) -> Result<PathBuf> {
    let client = Client::open()?;
    let listing = client.listing(name)?;
    let missing: Vec<_> = listing.files.iter().filter(|f| !store.holds(&listing, f)).collect();
    let bytes = missing.iter().map(|file| file.bytes).sum();
    store.check_room(bytes)?;
    if !missing.is_empty() {
        note(&announced(name, &listing, missing.len(), bytes));
    }
    for file in missing {
        store.take(&client, name, &listing, file)?;
    }
    store.refer(name, &listing.commit)
}

fn announced(name: &Name, listing: &Listing, files: usize, bytes: u64) -> String {
    let licence = listing.licence.as_deref().unwrap_or("none stated");
    format!(
        "{} is commit {}, licence {licence}: {files} files, {} to fetch.",
        name.full(),
        listing.commit,
        megabytes(bytes)
    )
}

fn absent(name: &Name, store: &Store) -> Error {
    let at = match name.revision.as_str() {
        "main" => String::new(),
        revision => format!(" --revision {revision}"),
    };
    let expected = format!(
        "a model in the cache {}, since HF_HUB_OFFLINE is set; unset it, fetch the model with `hf download {}{at}`, or name a folder",
        store.cache().display(),
        name.short_name()
    );
    Error::input("--model", name.full(), expected)
}
