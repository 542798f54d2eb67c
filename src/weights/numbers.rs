//! Numbers of a tensor in memory of their own, or where they lie in a mapped file.

use std::ops::Deref;
#[cfg(not(target_arch = "wasm32"))]
use std::ops::Range;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Arc;

/// Read as a slice; mapped ones take no memory but the pages of the file that the system holds anyway.
#[derive(Debug, Clone)]
pub enum Numbers<T> {
    /// A copy.
    Held(Vec<T>),
    /// A place in a file.
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(MappedNumbers<T>),
}

/// A place in a mapped file that was found to hold whole numbers of the type, each at its alignment.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone)]
pub struct MappedNumbers<T> {
    map: Arc<memmap2::Mmap>,
    bytes: Range<usize>,
    of: std::marker::PhantomData<T>,
}

#[cfg(not(target_arch = "wasm32"))]
impl<T: bytemuck::Pod> Numbers<T> {
    /// Little-endian numbers at a place of the map; nothing where this machine cannot read them where they lie.
    pub(super) fn mapped(map: &Arc<memmap2::Mmap>, bytes: Range<usize>) -> Option<Numbers<T>> {
        let can_be_read = cfg!(target_endian = "little")
            && bytemuck::try_cast_slice::<u8, T>(map.get(bytes.clone())?).is_ok();
        let of = std::marker::PhantomData;
        can_be_read.then(|| Numbers::Mapped(MappedNumbers { map: map.clone(), bytes, of }))
    }
}

impl<T: bytemuck::Pod> Deref for Numbers<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Numbers::Held(numbers) => numbers,
            #[cfg(not(target_arch = "wasm32"))]
            Numbers::Mapped(place) => bytemuck::cast_slice(&place.map[place.bytes.clone()]),
        }
    }
}
