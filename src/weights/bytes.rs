//! The bytes of a file: held, or mapped from the disk so that only what is read takes memory.

use std::ops::Deref;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Arc;

/// Bytes of a file; a mapped one is cloned without a copy.
#[derive(Debug, Clone)]
pub enum Bytes {
    /// In memory.
    Held(Vec<u8>),
    /// On the disk; its pages are read when they are touched.
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(Arc<memmap2::Mmap>),
}

impl Bytes {
    /// Maps a regular file. A program that shortens the file meanwhile ends this one, as with every mapped file.
    ///
    /// Errors: the system's.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn map(file: &std::fs::File) -> std::io::Result<Bytes> {
        // SAFETY: nothing here writes to the file. What another program writes meanwhile changes numbers, which are
        // read by value; headers are copied out of the map when they are parsed, and every place is checked against
        // the length of the map.
        Ok(Bytes::Mapped(Arc::new(unsafe { memmap2::Mmap::map(file)? })))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Held(bytes) => bytes,
            #[cfg(not(target_arch = "wasm32"))]
            Bytes::Mapped(map) => map,
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes::Held(bytes)
    }
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::Held(Vec::new())
    }
}
