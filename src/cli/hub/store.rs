//! The cache folder: `models--owner--name` or `datasets--owner--name` with `blobs` (named by hash), `snapshots/COMMIT` (links to them) and `refs`.

use super::failure;
use super::listing::{Listed, Listing};
use super::place::{self, Name, is_plain};
use super::transfer::Client;
use crate::Result;
use crate::cli::folder::{MOST_BYTES, regular, weights};
use crate::cli::note::note;
use crate::weights::shards;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The part of the cache that belongs to one model or data set.
pub struct Store {
    cache: PathBuf,
    folder: String,
}

impl Store {
    pub fn of(name: &Name) -> Store {
        let folder = format!("{}--{}--{}", name.kind.path(), name.owner, name.short);
        Store { cache: place::cache(), folder }
    }

    pub fn cache(&self) -> &Path {
        &self.cache
    }

    pub(super) fn root(&self) -> PathBuf {
        self.cache.join(&self.folder)
    }

    /// The folder of the commit that a revision means, if anything of it is there.
    pub fn snapshot(&self, name: &Name) -> Option<PathBuf> {
        let named = fs::read_to_string(self.root().join("refs").join(&name.revision));
        let commit = named.map_or_else(|_| name.revision.clone(), |c| c.trim().to_string());
        let snapshot = self.root().join("snapshots").join(&commit);
        (is_plain(&commit) && snapshot.is_dir()).then_some(snapshot)
    }

    fn place_of(&self, listing: &Listing, file: &Listed) -> PathBuf {
        self.root().join("snapshots").join(&listing.commit).join(&file.name)
    }

    pub fn holds(&self, listing: &Listing, file: &Listed) -> bool {
        self.place_of(listing, file).exists()
    }

    /// Errors: less room on the disk than this.
    pub fn check_room(&self, bytes: u64) -> Result<()> {
        fs::create_dir_all(&self.cache).map_err(|e| failure::disk(&self.cache, &e))?;
        match free_bytes(&self.cache) {
            Some(free) if free < bytes => Err(failure::no_room(&self.cache, bytes, free)),
            _ => Ok(()),
        }
    }

    /// Fetches a file among the blobs, unless it is there, and links it into the snapshot. One program at a time: the lock
    /// is the one that huggingface_hub takes.
    pub fn take(
        &self,
        client: &Client,
        name: &Name,
        listing: &Listing,
        file: &Listed,
    ) -> Result<()> {
        let _lock = self.lock(&file.blob, &file.name)?;
        let blob = self.root().join("blobs").join(&file.blob);
        if !blob.exists() {
            let partial = blob.with_file_name(format!("{}.incomplete", file.blob));
            make_folder_of(&partial)?;
            client.download(name, &listing.commit, file, &partial)?;
            fs::rename(&partial, &blob).map_err(|e| failure::disk(&blob, &e))?;
        }
        self.show(&file.blob, &self.place_of(listing, file))
    }

    /// Links a blob into a snapshot.
    pub(super) fn show(&self, hash: &str, place: &Path) -> Result<()> {
        make_folder_of(place)?;
        // A link that leads nowhere would be in the way.
        let _ = fs::remove_file(place);
        let blob = self.root().join("blobs").join(hash);
        link(&blob, hash, place).map_err(|e| failure::disk(place, &e))
    }

    /// Held while something is fetched; `what` is for the one who waits.
    pub(super) fn lock(&self, key: &str, what: &str) -> Result<File> {
        let path = self.cache.join(".locks").join(&self.folder).join(format!("{key}.lock"));
        make_folder_of(&path)?;
        let failed = |e: io::Error| failure::disk(&path, &e);
        let lock = File::create(&path).map_err(failed)?;
        if lock.try_lock().is_err() {
            note(&format!("{what}: another program is fetching it; waiting for that."));
            lock.lock().map_err(failed)?;
        }
        Ok(lock)
    }

    /// Lets a revision mean this commit, now that all of it is there. Gives the snapshot's folder.
    pub fn refer(&self, name: &Name, commit: &str) -> Result<PathBuf> {
        if name.revision != commit {
            let path = self.root().join("refs").join(&name.revision);
            make_folder_of(&path)?;
            fs::write(&path, commit).map_err(|e| failure::disk(&path, &e))?;
        }
        Ok(self.root().join("snapshots").join(commit))
    }
}

/// Whether a snapshot has all that a model is opened from.
pub fn is_whole(folder: &Path) -> bool {
    folder.join("tokenizer.json").exists() && has_model(folder)
}

/// Configuration and weights, every shard of them.
pub fn has_model(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let there: BTreeSet<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    let named = weights(folder, &there).unwrap_or_default();
    let indices = named.iter().filter(|name| name.ends_with(".index.json"));
    let listed = indices.flat_map(|index| {
        let json = regular(&folder.join(index), MOST_BYTES).unwrap_or_default();
        // An index that cannot be read lists a file that is nowhere.
        shards(index, &json).unwrap_or_else(|_| BTreeSet::from(["?".into()]))
    });
    let needed: Vec<String> = named.iter().cloned().chain(listed).collect();
    folder.join("config.json").exists()
        && !needed.is_empty()
        && needed.iter().all(|name| folder.join(name).exists())
}

pub(super) fn make_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|e| failure::disk(folder, &e))
}

/// As huggingface_hub links: relative, so that the cache can be moved.
#[cfg(unix)]
fn link(_blob: &Path, hash: &str, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(Path::new("../../blobs").join(hash), place)
}

/// Where links need special rights the file itself stands in the snapshot, as huggingface_hub does it.
#[cfg(not(unix))]
fn link(blob: &Path, _hash: &str, place: &Path) -> io::Result<()> {
    fs::rename(blob, place)
}

/// Bytes that may still be written to the disk of a folder; nothing where the system does not say.
#[cfg(unix)]
#[allow(clippy::unnecessary_cast, reason = "both are u32 on macOS")]
fn free_bytes(folder: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: the struct is plain numbers, for which zeros are values; statvfs writes it, and reads the path up to its 0.
    let (code, about) = unsafe {
        let mut about: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &mut about), about)
    };
    (code == 0).then(|| about.f_bavail as u64 * about.f_frsize as u64)
}

#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}
