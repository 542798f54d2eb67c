//! The header of a safetensors file: eight bytes of length, then JSON with type, shape and place of every tensor.
//!
//! Every entry is checked against the length of the file before anything is read by it.
//! Source: huggingface/safetensors README.

use super::{Bytes, Entry};
use crate::error::{Error, Result};
use crate::sniff;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::Value;
use std::collections::BTreeMap;

/// One file's header, every entry checked against the length of the file.
pub(super) struct Header {
    pub tensors: BTreeMap<String, Entry>,
    pub metadata: BTreeMap<String, String>,
}

impl Header {
    pub fn parse(file: &str, shard: usize, bytes: &Bytes) -> Result<Self> {
        let beginning = bytes.beginning().map_err(|problem| Error::file(file, problem))?;
        if let Some(problem) = sniff::foreign(&beginning) {
            return Err(Error::file(file, problem));
        }
        let json = header_bytes(file, &beginning, bytes)?;
        let data_start = 8 + json.len();
        let map: BTreeMap<String, Value> = serde_json::from_slice(&json).map_err(|e| {
            Error::file(file, format!("has a safetensors header that is not JSON: {e}"))
        })?;
        let mut metadata = BTreeMap::new();
        let mut infos = Vec::new();
        for (name, value) in map {
            if name == "__metadata__" {
                metadata = serde_json::from_value(value).map_err(|e| {
                    Error::file(file, format!("__metadata__ is not a map of strings: {e}"))
                })?;
                continue;
            }
            let info: TensorInfo = serde_json::from_value(value)
                .map_err(|e| Error::tensor(file, &name, format!("has a bad header entry: {e}")))?;
            check_span(file, &name, &info, bytes.size() - data_start)?;
            infos.push((name, info));
        }
        infos.sort_by_key(|(_, info)| info.data_offsets);
        check_cover(file, &infos, bytes.size() - data_start)?;
        let mut tensors = BTreeMap::new();
        for (name, info) in infos {
            let (start, end) = info.data_offsets;
            let range = data_start + start..data_start + end;
            tensors.insert(name, Entry { shard, dtype: info.dtype, shape: info.shape, range });
        }
        Ok(Self { tensors, metadata })
    }
}

/// The header's JSON; eight bytes of length stand before it. A copy: the file may be mapped, and text must not change
/// while it is read.
fn header_bytes(file: &str, beginning: &[u8], bytes: &Bytes) -> Result<Vec<u8>> {
    let size = bytes.size();
    let length = beginning.first_chunk::<8>().ok_or_else(|| {
        Error::file(file, format!("has {size} bytes; a safetensors header takes 8 at least"))
    })?;
    let (length, held) = (u64::from_le_bytes(*length), size - 8);
    let Some(length) = usize::try_from(length).ok().filter(|length| *length <= held) else {
        let problem = format!("promises a header of {length} bytes but {held} follow");
        return Err(Error::file(file, format!("{problem}: truncated, or not a safetensors file")));
    };
    let json = bytes.read(8..8 + length).map_err(|problem| Error::file(file, problem))?;
    Ok(json.into_owned())
}

/// An entry must lie within the data and hold just its shape times its dtype.
fn check_span(file: &str, name: &str, info: &TensorInfo, data_len: usize) -> Result<()> {
    let (start, end) = info.data_offsets;
    if start > end || end > data_len {
        let problem =
            format!("lies at bytes {start}..{end}, but the file holds {data_len} of data");
        return Err(Error::tensor(file, name, format!("{problem}: truncated or corrupt")));
    }
    let bits = info
        .shape
        .iter()
        .try_fold(info.dtype.bitsize() as u64, |n, &side| n.checked_mul(side as u64));
    if bits != Some((end - start) as u64 * 8) {
        let (dtype, shape) = (info.dtype, &info.shape);
        let problem =
            format!("of dtype {dtype} and shape {shape:?} does not fill its {} bytes", end - start);
        return Err(Error::tensor(file, name, problem));
    }
    Ok(())
}

/// Entries, sorted by offset, must follow one another without gap or overlap up to the file's end.
fn check_cover(file: &str, infos: &[(String, TensorInfo)], data_len: usize) -> Result<()> {
    let mut expected = 0;
    for (name, info) in infos {
        let start = info.data_offsets.0;
        if start != expected {
            let kind = if start < expected { "overlaps the one before it" } else { "leaves a gap" };
            let problem = format!("{kind}: begins at byte {start}, expected {expected}");
            return Err(Error::tensor(file, name, problem));
        }
        expected = info.data_offsets.1;
    }
    if expected != data_len {
        let problem = format!("holds {data_len} bytes of data; its header accounts for {expected}");
        return Err(Error::file(file, problem));
    }
    // The format's own crate has the last word on what is valid.
    Metadata::new(None, infos.to_vec()).map(|_| ()).map_err(|e| Error::file(file, e.to_string()))
}
