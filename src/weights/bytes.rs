//! The bytes of a file: held, mapped from the disk, or left with the browser, so that only what is read takes memory.

use std::borrow::Cow;
use std::ops::{Deref, Range};
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Arc;

/// Bytes of a file; a mapped one is cloned without a copy, and so is one of the browser.
#[derive(Debug, Clone)]
pub enum Bytes {
    /// In memory.
    Held(Vec<u8>),
    /// On the disk; its pages are read when they are touched.
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(Arc<memmap2::Mmap>),
    /// A file that the browser holds, read by places.
    #[cfg(target_arch = "wasm32")]
    Opened(web_sys::Blob),
}

impl Bytes {
    /// Maps a regular file. A program that shortens the file meanwhile ends this one, as with every mapped file, and one
    /// that writes into it changes what is computed; a file that is written anew and renamed changes nothing.
    ///
    /// Errors: the system's.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn map(file: &std::fs::File) -> std::io::Result<Bytes> {
        // SAFETY: nothing here writes to the file. What another program writes meanwhile changes numbers, of which all
        // bits are valid; headers are copied out of the map when they are parsed, and every place is checked against
        // the length of the map.
        Ok(Bytes::Mapped(Arc::new(unsafe { memmap2::Mmap::map(file)? })))
    }

    /// Bytes of the file.
    pub fn size(&self) -> usize {
        match self {
            #[cfg(target_arch = "wasm32")]
            Bytes::Opened(file) => file.size() as usize,
            held => held.len(),
        }
    }

    /// What stands at a place within the file. Errors: the browser can no longer read it.
    pub fn read(&self, place: Range<usize>) -> Result<Cow<'_, [u8]>, String> {
        assert!(place.start <= place.end && place.end <= self.size(), "within the file");
        match self {
            #[cfg(target_arch = "wasm32")]
            Bytes::Opened(file) => read_opened(file, place).map(Cow::Owned),
            held => Ok(Cow::Borrowed(&held[place])),
        }
    }

    /// Lets go of what was read of a mapped file: its pages stay with the system, which gives them again when they are
    /// touched.
    pub fn release(&self, place: Range<usize>) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = self {
            // SAFETY: the map is read only, so there is nothing in its pages that the file does not have.
            // A system that keeps them only has less memory left.
            let _ = unsafe {
                map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    place.start,
                    place.len(),
                )
            };
        }
        #[cfg(not(unix))]
        let _ = place;
    }

    /// The first bytes, by which files are told apart. Errors: as [`Bytes::read`]; also a file of which not every place
    /// can be named.
    pub fn beginning(&self) -> Result<Cow<'_, [u8]>, String> {
        #[cfg(target_arch = "wasm32")]
        if let Bytes::Opened(file) = self
            && file.size() > f64::from(u32::MAX)
        {
            let (found, most) = (file.size() / 1e6, f64::from(u32::MAX) / 1e6);
            return Err(format!(
                "has {found:.0} MB, and a tab can have {most:.0} MB of memory; take a smaller model, or `whittle` on the command line"
            ));
        }
        self.read(0..self.size().min(256))
    }
}

/// Bytes that the browser reads at once.
#[cfg(target_arch = "wasm32")]
const PIECE: usize = 8 << 20;

/// Waits for the browser, as only a worker may.
#[cfg(target_arch = "wasm32")]
fn read_opened(file: &web_sys::Blob, place: Range<usize>) -> Result<Vec<u8>, String> {
    let gone = |_| {
        "can no longer be read: it was changed, moved or deleted since it was opened; open it again"
            .to_string()
    };
    let reader = web_sys::FileReaderSync::new().map_err(gone)?;
    // What the browser reads for us lies beside our memory until it is collected, 250 MB of a model of 269. Sent away, it is
    // given back at once.
    let channel = web_sys::MessageChannel::new().map_err(gone)?;
    channel.port2().close();
    let nobody = channel.port1();
    let mut bytes = vec![0; place.len()];
    for (at, to) in place.step_by(PIECE).zip(bytes.chunks_mut(PIECE)) {
        let part = file.slice_with_f64_and_f64(at as f64, (at + to.len()) as f64).map_err(gone)?;
        let buffer = reader.read_as_array_buffer(&part).map_err(gone)?;
        js_sys::Uint8Array::new(&buffer).copy_to(to);
        // Where it cannot be sent it is collected some time later.
        drop(nobody.post_message_with_transferable(&buffer, &js_sys::Array::of1(&buffer)));
    }
    Ok(bytes)
}

/// All of a file that is held or mapped. One that the browser holds has to be read by places.
impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Held(bytes) => bytes,
            #[cfg(not(target_arch = "wasm32"))]
            Bytes::Mapped(map) => map,
            #[cfg(target_arch = "wasm32")]
            Bytes::Opened(_) => panic!("a file that the browser holds is read by places"),
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
