//! The hash that names the weights in links. Computed in pieces, which may come between other work.

use super::{Checkpoint, Error, Result};
use crate::bundle::hex;
use sha2::{Digest, Sha256};

/// Bytes that are hashed at a time. Pieces of 8 MiB are read faster in the page, and cost the tab 12 MB more at its peak.
const PIECE: usize = 2 << 20;

/// How far the hash of the files is.
#[derive(Default)]
pub(super) struct Hashing {
    hash: Sha256,
    /// Bytes of all files one after the other.
    taken: u64,
}

impl Checkpoint {
    /// Hex SHA-256 of the weight files' bytes, in the order of their names: for one file what
    /// `sha256sum` prints. Computed once.
    ///
    /// # Errors
    /// As [`Checkpoint::stored`].
    pub fn sha256(&self) -> Result<&str> {
        while self.hash_on()?.is_some() {}
        Ok(self.known_sha256().unwrap_or_default())
    }

    /// The same where all pieces of the files were taken into it already.
    pub fn known_sha256(&self) -> Option<&str> {
        self.sha256.get().map(String::as_str)
    }

    /// Takes the next piece of the files into their SHA-256; gives the share that is taken, and nothing once the hash is
    /// known.
    ///
    /// # Errors
    /// As [`Checkpoint::stored`].
    pub fn hash_on(&self) -> Result<Option<f64>> {
        if self.known_sha256().is_some() {
            return Ok(None);
        }
        let mut hashing = self.hashing.borrow_mut();
        let (mut at, all) = (hashing.taken, self.total_bytes() as f64);
        for shard in self.files() {
            let size = shard.bytes.size();
            if at < size as u64 {
                let start = at as usize;
                let place = start..size.min(start + PIECE);
                let piece = shard.bytes.read(place.clone());
                hashing.hash.update(&piece.map_err(|problem| Error::file(&shard.file, problem))?);
                shard.bytes.release(place.clone());
                hashing.taken += place.len() as u64;
                return Ok(Some(hashing.taken as f64 / all));
            }
            at -= size as u64;
        }
        self.sha256.get_or_init(|| hex(&hashing.hash.clone().finalize()));
        Ok(None)
    }
}
