//! `pytorch_model.bin`: tensors of a state dict, from the zip archive of today or the stream that torch wrote before 1.6.
//!
//! A tensor whose numbers stand in order is used where it stands; another view (a transposed one) is copied into order.
//! Source: torch/serialization.py, `_save` and `_legacy_save`.

use super::pickle::{self, Id, Tensor, Value};
use super::zip;
use crate::error::{Error, Result};
use safetensors::tensor::Dtype;
use std::collections::BTreeMap;
use std::ops::Range;

/// How the older form begins: protocol 2, a ten-byte number, stop.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e";

/// A tensor of the file.
pub(super) struct Found {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub place: Place,
}

pub(super) enum Place {
    /// Into the bytes of the file.
    Here(Range<usize>),
    /// Put in order.
    Copied(Vec<u8>),
}

/// The tensors of a file. Errors: what is wrong, or which instruction or name is none of a state dict.
pub(super) fn tensors(file: &str, bytes: &[u8]) -> Result<Vec<Found>> {
    let failed = |problem: String| Error::file(file, problem);
    let (values, top, places) = match bytes {
        _ if bytes.starts_with(b"PK\x03\x04") => archive(bytes).map_err(failed)?,
        _ if bytes.starts_with(LEGACY) => legacy(bytes).map_err(failed)?,
        _ => {
            return Err(failed(
                "is no file of torch.save; expected a zip archive of one, or its older form".into(),
            ));
        }
    };
    let Value::Dict(pairs) = &values[top] else {
        return Err(failed("holds no dict of tensors; expected the state dict of a model".into()));
    };
    let mut found = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let Value::Text(name) = &values[*key] else {
            return Err(failed("holds a tensor whose name is no text".into()));
        };
        let Value::Tensor(tensor) = &values[*value] else {
            let problem = "is no tensor; expected a state dict, which holds only tensors";
            return Err(Error::tensor(file, name, problem));
        };
        let place = place(tensor, &places, bytes).map_err(|p| Error::tensor(file, name, p))?;
        let (dtype, shape) = (tensor.storage.dtype, tensor.shape.clone());
        found.push(Found { name: name.clone(), dtype, shape, place });
    }
    Ok(found)
}

/// Values, the state dict among them, and where each storage's bytes stand.
type Opened = (Vec<Value>, Id, BTreeMap<String, Range<usize>>);

fn archive(bytes: &[u8]) -> std::result::Result<Opened, String> {
    let entries = zip::entries(bytes)?;
    let list = entries.iter().find(|(name, _)| name.ends_with("/data.pkl"));
    let (name, range) = list.ok_or("is a zip archive without data.pkl, so not of torch.save")?;
    let front = name.trim_end_matches("data.pkl");
    if entries.get(&format!("{front}byteorder")).is_some_and(|r| bytes[r.clone()] != *b"little") {
        return Err("was saved in another byte order than little-endian".into());
    }
    let (values, top, _) = pickle::run(&bytes[range.clone()])?;
    let front = format!("{front}data/");
    let places = entries
        .iter()
        .filter_map(|(name, range)| Some((name.strip_prefix(&front)?.to_string(), range.clone())))
        .collect();
    Ok((values, top, places))
}

/// Magic number, version, system, state dict, list of keys: five pickles; then for each key its length and bytes.
fn legacy(bytes: &[u8]) -> std::result::Result<Opened, String> {
    let mut at = LEGACY.len();
    let mut next = |what: &str| {
        let (values, top, length) =
            pickle::run(&bytes[at..]).map_err(|problem| format!("{what}: {problem}"))?;
        at += length;
        Ok::<_, String>((values, top, at))
    };
    next("the version")?;
    let (values, top, _) = next("the system")?;
    if let Value::Dict(pairs) = &values[top]
        && pairs.iter().any(|(key, value)| {
            let named = matches!(&values[*key], Value::Text(text) if text == "little_endian");
            named && matches!(values[*value], Value::Bool(false))
        })
    {
        return Err("was saved in another byte order than little-endian".into());
    }
    let (values, top, _) = next("the state dict")?;
    let (keys, list, mut at) = next("the list of storages")?;
    let Value::List(list) = &keys[list] else {
        return Err("has no list of its storages".into());
    };
    let sizes: BTreeMap<&str, Dtype> = values
        .iter()
        .filter_map(|value| match value {
            Value::Storage(s) => Some((s.key.as_str(), s.dtype)),
            _ => None,
        })
        .collect();
    let mut places = BTreeMap::new();
    for key in list {
        let Value::Text(key) = &keys[*key] else {
            return Err("has a storage whose name is no text".into());
        };
        const CUT: &str = "ends before its numbers do; fetch it again";
        let (head, rest) = bytes.get(at..).and_then(|b| b.split_first_chunk::<8>()).ok_or(CUT)?;
        let bits = sizes.get(key.as_str()).map_or(8, |dtype| dtype.bitsize());
        let length = u64::from_le_bytes(*head).checked_mul(bits as u64 / 8);
        let length = length.and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= rest.len());
        let length = length.ok_or(CUT)?;
        places.insert(key.clone(), at + 8..at + 8 + length);
        at += 8 + length;
    }
    Ok((values, top, places))
}

/// Where a tensor's bytes stand, checked against its storage.
fn place(
    tensor: &Tensor,
    places: &BTreeMap<String, Range<usize>>,
    bytes: &[u8],
) -> std::result::Result<Place, String> {
    let storage = &tensor.storage;
    let size = storage.dtype.bitsize() / 8;
    let range = places.get(&storage.key).ok_or("refers to numbers that are not in the file")?;
    if storage.length.checked_mul(size).is_none_or(|length| length > range.len()) {
        let (asked, there) = (storage.length, range.len());
        return Err(format!("needs {asked} numbers, but {there} bytes of them are in the file"));
    }
    let outside = || format!("with shape {:?} reaches beyond its numbers", tensor.shape);
    let count = tensor.shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
    let count = count.filter(|n| *n <= storage.length).ok_or_else(outside)?;
    let reach = tensor.shape.iter().zip(&tensor.strides).try_fold(0usize, |n, (&side, &stride)| {
        n.checked_add(side.saturating_sub(1).checked_mul(stride)?)
    });
    let last = reach.and_then(|reach| reach.checked_add(tensor.offset)).ok_or_else(outside)?;
    if count > 0 && last >= storage.length {
        return Err(outside());
    }
    let start = range.start + tensor.offset.min(storage.length) * size;
    if count == 0 {
        return Ok(Place::Here(range.start..range.start));
    }
    if is_in_order(tensor) {
        return Ok(Place::Here(start..start + count * size));
    }
    let mut copied = Vec::with_capacity(count * size);
    for number in 0..count {
        let (mut rest, mut at) = (number, 0);
        for (&side, &stride) in tensor.shape.iter().zip(&tensor.strides).rev() {
            at += rest % side * stride;
            rest /= side;
        }
        copied.extend_from_slice(&bytes[start + at * size..start + (at + 1) * size]);
    }
    Ok(Place::Copied(copied))
}

/// Whether the last index is the fastest, without gaps. A side of one may have any stride.
fn is_in_order(tensor: &Tensor) -> bool {
    let mut expected = 1;
    tensor.shape.iter().zip(&tensor.strides).rev().all(|(&side, &stride)| {
        let fits = side == 1 || stride == expected;
        expected *= side;
        fits
    })
}
