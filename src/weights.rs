//! A checkpoint in safetensors form, one file or shards with an index, opened from bytes in memory.
//!
//! Opening checks every header against the size of its file; after that `tensor` can only fail by
//! name, shape or dtype. Values are not looked at: NaN and infinity pass.
//! Source: the safetensors format (huggingface/safetensors README), the sharded index of transformers.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::tensor::{Dtype as FileDtype, Metadata, TensorInfo};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::sniff;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Element types read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    F32,
    F16,
    BF16,
}

impl Dtype {
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A tensor as it stands in the file: little-endian, row-major, at any alignment.
#[derive(Debug, Clone)]
pub struct RawTensor<'a> {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: &'a [u8],
}

impl RawTensor<'_> {
    /// The values in f32; exact for all three dtypes.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => {
                let (words, _) = self.bytes.as_chunks();
                words.iter().map(|word| f32::from_le_bytes(*word)).collect()
            }
            Dtype::BF16 => {
                let widen = |bits: u16| f32::from_bits(u32::from(bits) << 16);
                self.bits().into_iter().map(widen).collect()
            }
            Dtype::F16 => {
                let bits = self.bits();
                let mut out = vec![0.0; bits.len()];
                bytemuck::cast_slice::<u16, f16>(&bits).convert_to_f32_slice(&mut out);
                out
            }
        }
    }

    /// The stored bits when the dtype is F16, for packing on the GPU without a conversion.
    pub fn to_f16_bits(&self) -> Option<Vec<u16>> {
        (self.dtype == Dtype::F16).then(|| self.bits())
    }

    fn bits(&self) -> Vec<u16> {
        let (halves, _) = self.bytes.as_chunks();
        halves.iter().map(|half| u16::from_le_bytes(*half)).collect()
    }
}

struct Shard {
    file: String,
    bytes: Vec<u8>,
}

struct Entry {
    shard: usize,
    dtype: FileDtype,
    shape: Vec<usize>,
    /// Into the bytes of the shard; checked when it was opened.
    range: Range<usize>,
}

/// An opened checkpoint. Owns the bytes of its files.
pub struct Checkpoint {
    /// Sorted by file name.
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
    /// The file to name when a tensor is in none of them.
    listed_in: String,
    sha256: OnceLock<String>,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<&str> = self.shards.iter().map(|shard| shard.file.as_str()).collect();
        write!(f, "Checkpoint({} tensors in {})", self.tensors.len(), files.join(", "))
    }
}

impl Checkpoint {
    /// Opens `model.safetensors` (or the only .safetensors file given), else the shards named by
    /// `model.safetensors.index.json`. Other files, such as config.json, may be present.
    ///
    /// # Errors
    /// `Error::File` for a missing, truncated or foreign file, `Error::Tensor` for a bad header entry.
    pub fn open(files: Vec<(String, Vec<u8>)>) -> Result<Self> {
        let named = files;
        let mut files = BTreeMap::new();
        // One by one: `collect` would bring a sort of its own, 3 kB of the page's engine.
        for (name, bytes) in named {
            files.insert(base_name(&name), bytes);
        }
        if let Some(index) = files.remove(INDEX)
            && !files.contains_key(SINGLE)
        {
            return Self::open_sharded(&index, files);
        }
        let weights = |name: &&String| name.ends_with(".safetensors");
        let names: Vec<&String> = files.keys().filter(weights).collect();
        let name = match names.as_slice() {
            [only] => (*only).clone(),
            [] => return Err(no_weights(&files)),
            _ if files.contains_key(SINGLE) => SINGLE.to_string(),
            several => {
                let found =
                    format!("is missing, but {} .safetensors files are given", several.len());
                return Err(Error::file(INDEX, format!("{found}; add the index to them")));
            }
        };
        let bytes = files.remove(&name).unwrap_or_default();
        let mut checkpoint = Self::empty(&name);
        let header = Header::parse(&name, 0, &bytes)?;
        checkpoint.metadata = header.metadata;
        checkpoint.tensors = header.tensors;
        checkpoint.shards.push(Shard { file: name, bytes });
        Ok(checkpoint)
    }

    fn open_sharded(index: &[u8], mut files: BTreeMap<String, Vec<u8>>) -> Result<Self> {
        let mut by_shard: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (tensor, shard) in parse_index(index)? {
            by_shard.entry(shard).or_default().push(tensor);
        }
        let mut checkpoint = Self::empty(INDEX);
        for (number, (file, tensors)) in by_shard.into_iter().enumerate() {
            let Some(bytes) = files.remove(&file) else {
                let problem = format!("is missing; {INDEX} places {} tensors in it", tensors.len());
                return Err(Error::file(file, problem));
            };
            let mut header = Header::parse(&file, number, &bytes)?;
            for tensor in tensors {
                let Some(entry) = header.tensors.remove(&tensor) else {
                    let problem = format!("is not in this file, but {INDEX} says so");
                    return Err(Error::tensor(file, tensor, problem));
                };
                checkpoint.tensors.insert(tensor, entry);
            }
            checkpoint.metadata.extend(header.metadata);
            checkpoint.shards.push(Shard { file, bytes });
        }
        Ok(checkpoint)
    }

    fn empty(listed_in: &str) -> Self {
        Self {
            shards: Vec::new(),
            tensors: BTreeMap::new(),
            metadata: BTreeMap::new(),
            listed_in: listed_in.to_string(),
            sha256: OnceLock::new(),
        }
    }

    /// The tensor of this name, which must have this shape.
    ///
    /// # Errors
    /// `Error::Tensor` naming file, tensor, and the shape or dtype found and expected.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<RawTensor<'_>> {
        let Some(entry) = self.tensors.get(name) else {
            let problem = format!("is missing; expected it with shape {shape:?}");
            return Err(Error::tensor(&self.listed_in, name, problem));
        };
        let shard = &self.shards[entry.shard];
        let fail = |problem: String| Err(Error::tensor(&shard.file, name, problem));
        if entry.shape != shape {
            return fail(format!("has shape {:?}; config.json asks for {shape:?}", entry.shape));
        }
        let dtype = match entry.dtype {
            FileDtype::F32 => Dtype::F32,
            FileDtype::F16 => Dtype::F16,
            FileDtype::BF16 => Dtype::BF16,
            other => return fail(format!("has dtype {other}; supported are F32, F16 and BF16")),
        };
        let bytes = &shard.bytes[entry.range.clone()];
        Ok(RawTensor { dtype, shape: entry.shape.clone(), bytes })
    }

    /// Whether a tensor is stored as F16.
    pub fn is_f16(&self, name: &str) -> bool {
        self.tensors.get(name).is_some_and(|entry| matches!(entry.dtype, FileDtype::F16))
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor, for choosing between layouts before asking for it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|entry| entry.shape.as_slice())
    }

    /// All tensor names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Bytes of all weight files together.
    pub fn total_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes.len() as u64).sum()
    }

    /// The `__metadata__` maps of all files.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Hex SHA-256 of the weight files' bytes, in the order of their names: for one file what
    /// `sha256sum` prints. Computed once.
    pub fn sha256(&self) -> String {
        let compute = || {
            let mut hash = Sha256::new();
            self.shards.iter().for_each(|shard| hash.update(&shard.bytes));
            hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
        };
        self.sha256.get_or_init(compute).clone()
    }
}

/// One file's header, every entry checked against the length of the file.
struct Header {
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

impl Header {
    fn parse(file: &str, shard: usize, bytes: &[u8]) -> Result<Self> {
        if let Some(problem) = sniff::foreign(bytes) {
            return Err(Error::file(file, problem));
        }
        let (json, data_start) = header_bytes(file, bytes)?;
        let map: BTreeMap<String, Value> = serde_json::from_slice(json).map_err(|e| {
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
            check_span(file, &name, &info, bytes.len() - data_start)?;
            infos.push((name, info));
        }
        infos.sort_by_key(|(_, info)| info.data_offsets);
        check_cover(file, &infos, bytes.len() - data_start)?;
        let mut tensors = BTreeMap::new();
        for (name, info) in infos {
            let (start, end) = info.data_offsets;
            let range = data_start + start..data_start + end;
            tensors.insert(name, Entry { shard, dtype: info.dtype, shape: info.shape, range });
        }
        Ok(Self { tensors, metadata })
    }
}

/// The header's JSON and where the data begins: eight bytes of length stand before it.
fn header_bytes<'a>(file: &str, bytes: &'a [u8]) -> Result<(&'a [u8], usize)> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| {
        Error::file(
            file,
            format!("has {} bytes; a safetensors header takes 8 at least", bytes.len()),
        )
    })?;
    let length = u64::from_le_bytes(*length);
    usize::try_from(length)
        .ok()
        .and_then(|length| rest.get(..length))
        .map(|json| (json, 8 + json.len()))
        .ok_or_else(|| {
            let held = rest.len();
            let problem = format!("promises a header of {length} bytes but {held} follow");
            Error::file(file, format!("{problem}: truncated, or not a safetensors file"))
        })
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

/// weight_map of the index: tensor name -> file name.
fn parse_index(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    if let Some(problem) = sniff::foreign(bytes) {
        return Err(Error::file(INDEX, problem));
    }
    let index: Index = serde_json::from_slice(bytes)
        .map_err(|e| Error::file(INDEX, format!("is not an index with a weight_map: {e}")))?;
    if index.weight_map.is_empty() {
        return Err(Error::file(
            INDEX,
            "has an empty weight_map; expected a file for every tensor",
        ));
    }
    Ok(index.weight_map)
}

fn no_weights(files: &BTreeMap<String, Vec<u8>>) -> Error {
    let foreign = files
        .iter()
        .filter(|(name, _)| !name.ends_with(".json"))
        .find_map(|(name, bytes)| Some((name, sniff::foreign(bytes)?)));
    if let Some((name, problem)) = foreign {
        return Error::file(name, problem);
    }
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let given = if names.is_empty() { "no file".to_string() } else { names.join(", ") };
    Error::file(SINGLE, format!("is missing; given: {given}"))
}

/// Browsers and the command line may put a folder before the name.
fn base_name(name: &str) -> String {
    name.rsplit(['/', '\\']).next().unwrap_or(name).to_string()
}
