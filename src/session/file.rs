//! A file of the user's own, as it comes to the engine, and as it is shown.

use crate::weights::Bytes;
use serde::{Deserialize, Serialize};

/// A file that the user opened.
#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct File {
    /// Without folders; decides what the file is taken for.
    pub name: String,
    /// All of its content. Weights stay with the browser and are read by places.
    #[serde(with = "held")]
    #[cfg_attr(test, ts(type = "Uint8Array | Blob"))]
    pub bytes: Bytes,
}

/// Data of the user's own.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct DataView {
    /// Of the file, for people.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Lower-case hex; its first 16 digits name the data in links.
    pub sha256: String,
}

/// Bytes of a message; a file of the browser is put in their place by whoever got the message.
mod held {
    use crate::weights::Bytes;

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        serde_bytes::deserialize(from).map(Bytes::Held)
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.size())
    }
}
