//! A layer read at once from a file that the browser holds: it takes 5 ms for a piece of any size, a layer has ten tensors,
//! and a model asks for them in another order than that of the file.

use super::{Checkpoint, Entry};
use std::ops::Range;

/// Bytes of a layer above which its tensors are read one by one.
const MOST: usize = 16 << 20;

/// Bytes of a tensor below which it is not worth a layer: a model that is made once more reads only those.
const LEAST: usize = 1 << 16;

/// What was read and is still held.
#[derive(Default)]
pub(super) struct Ahead {
    shard: usize,
    start: usize,
    bytes: Vec<u8>,
}

impl Ahead {
    fn of(&self, entry: &Entry) -> Option<&[u8]> {
        let start = entry.range.start.checked_sub(self.start)?;
        let is_here = entry.shard == self.shard;
        is_here.then(|| self.bytes.get(start..start + entry.range.len())).flatten()
    }
}

impl Checkpoint {
    /// The bytes of a tensor, read with the rest of its layer where that is worth it. What was read for another layer is let
    /// go. Errors: the browser can no longer read the file.
    pub(super) fn read_ahead(&self, name: &str, entry: &Entry) -> Result<Vec<u8>, String> {
        let mut ahead = self.ahead.borrow_mut();
        if let Some(bytes) = ahead.of(entry) {
            return Ok(bytes.to_vec());
        }
        *ahead = Ahead::default();
        let file = &self.shards[entry.shard].bytes;
        let layer = self.layer_around(name, entry);
        if entry.range.len() < LEAST || layer.len() > MOST {
            return file.read(entry.range.clone()).map(|bytes| bytes.into_owned());
        }
        let (shard, start) = (entry.shard, layer.start);
        *ahead = Ahead { shard, start, bytes: file.read(layer)?.into_owned() };
        Ok(ahead.of(entry).unwrap_or_default().to_vec())
    }

    /// From the first to the last byte of the tensors whose names are the same up to the first number.
    fn layer_around(&self, name: &str, entry: &Entry) -> Range<usize> {
        let Some(number) = name.find(|c: char| c.is_ascii_digit()) else {
            return entry.range.clone();
        };
        let length = name[number..].find('.').map_or(name.len(), |n| number + n + 1);
        let layer = &name[..length];
        let same = self.tensors.range(layer.to_string()..);
        let same = same.take_while(|(other, _)| other.starts_with(layer));
        same.filter(|(_, other)| other.shard == entry.shard)
            .fold(entry.range.clone(), |all, (_, other)| {
                all.start.min(other.range.start)..all.end.max(other.range.end)
            })
    }
}
