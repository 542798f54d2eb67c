//! A checkpoint as safetensors or as torch.save writes it, one file or shards with an index, opened from bytes in memory.
//!
//! Opening checks every header against the size of its file; after that `tensor` can only fail by
//! name, shape or dtype. Values are not looked at here: `models::Weights` refuses those that are not finite.
//! Source: the safetensors format (huggingface/safetensors README), the sharded index of transformers.

#[cfg(target_arch = "wasm32")]
mod ahead;
mod bytes;
mod hash;
mod header;
mod numbers;
mod pickle;
mod raw;
mod torch;
mod zip;

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::sniff;
pub use bytes::Bytes;
use hash::Hashing;
use header::Header;
pub use numbers::Numbers;
pub use raw::{Dtype, RawTensor};
use safetensors::tensor::Dtype as FileDtype;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const PICKLE: &str = "pytorch_model.bin";
const PICKLE_INDEX: &str = "pytorch_model.bin.index.json";

struct Shard {
    file: String,
    bytes: Bytes,
    /// Made of another shard's numbers, and no part of the file.
    is_copied: bool,
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
    sha256: OnceCell<String>,
    hashing: RefCell<Hashing>,
    #[cfg(target_arch = "wasm32")]
    ahead: RefCell<ahead::Ahead>,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<&str> = self.shards.iter().map(|shard| shard.file.as_str()).collect();
        write!(f, "Checkpoint({} tensors in {})", self.tensors.len(), files.join(", "))
    }
}

impl Checkpoint {
    /// Opens `model.safetensors` (or the only .safetensors file given), else the shards named by
    /// `model.safetensors.index.json`, else `pytorch_model.bin` in the same two forms. Other files, such as config.json, may be present.
    ///
    /// # Errors
    /// `Error::File` for a missing, truncated or foreign file, `Error::Tensor` for a bad header entry.
    pub fn open<B: Into<Bytes>>(files: Vec<(String, B)>) -> Result<Self> {
        let named = files;
        let mut files: BTreeMap<String, Bytes> = BTreeMap::new();
        // One by one: `collect` would bring a sort of its own, 3 kB of the page's engine.
        for (name, bytes) in named {
            files.insert(base_name(&name), bytes.into());
        }
        if let Some(index) = files.remove(INDEX)
            && !files.contains_key(SINGLE)
        {
            return Self::open_sharded(INDEX, &index, files);
        }
        let weights = |name: &&String| name.ends_with(".safetensors");
        let names: Vec<&String> = files.keys().filter(weights).collect();
        let name = match names.as_slice() {
            [only] => (*only).clone(),
            [] if files.contains_key(PICKLE) => PICKLE.to_string(),
            [] => match files.remove(PICKLE_INDEX) {
                Some(index) => return Self::open_sharded(PICKLE_INDEX, &index, files),
                None => return Err(no_weights(&files)),
            },
            _ if files.contains_key(SINGLE) => SINGLE.to_string(),
            several => {
                let found =
                    format!("is missing, but {} .safetensors files are given", several.len());
                return Err(Error::file(INDEX, format!("{found}; add the index to them")));
            }
        };
        let bytes = files.remove(&name).unwrap_or_default();
        let mut checkpoint = Self::empty(&name);
        checkpoint.tensors = checkpoint.add(name, bytes)?;
        Ok(checkpoint)
    }

    fn open_sharded(
        index_name: &str,
        index: &[u8],
        mut files: BTreeMap<String, Bytes>,
    ) -> Result<Self> {
        let mut by_shard: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (tensor, shard) in parse_index(index_name, index)? {
            by_shard.entry(shard).or_default().push(tensor);
        }
        let mut checkpoint = Self::empty(index_name);
        for (file, tensors) in by_shard {
            let Some(bytes) = files.remove(&file) else {
                let n = tensors.len();
                return Err(Error::file(
                    file,
                    format!("is missing; {index_name} places {n} tensors in it"),
                ));
            };
            let mut held = checkpoint.add(file.clone(), bytes)?;
            for tensor in tensors {
                let Some(entry) = held.remove(&tensor) else {
                    let problem = format!("is not in this file, but {index_name} says so");
                    return Err(Error::tensor(file, tensor, problem));
                };
                checkpoint.tensors.insert(tensor, entry);
            }
        }
        Ok(checkpoint)
    }

    /// Takes a file in and gives the tensors that it holds.
    fn add(&mut self, file: String, bytes: Bytes) -> Result<BTreeMap<String, Entry>> {
        let shard = self.shards.len();
        if !file.ends_with(".bin") {
            let header = Header::parse(&file, shard, &bytes)?;
            self.metadata.extend(header.metadata);
            self.shards.push(Shard { file, bytes, is_copied: false });
            return Ok(header.tensors);
        }
        let whole = bytes.beginning().and_then(|_| bytes.read(0..bytes.size()));
        let whole = whole.map_err(|problem| Error::file(&file, problem))?;
        if let Some(problem) = sniff::foreign(&whole).filter(|_| !sniff::is_pickle(&whole)) {
            return Err(Error::file(file, problem));
        }
        let mut tensors = BTreeMap::new();
        let (mut copies, found) = (Vec::new(), torch::tensors(&file, &whole)?);
        drop(whole);
        for torch::Found { name, dtype, shape, place } in found {
            let (shard, range) = match place {
                torch::Place::Here(range) => (shard, range),
                torch::Place::Copied(bytes) => {
                    let range = copies.len()..copies.len() + bytes.len();
                    copies.extend(bytes);
                    (shard + 1, range)
                }
            };
            tensors.insert(name, Entry { shard, dtype, shape, range });
        }
        self.shards.push(Shard { file: file.clone(), bytes, is_copied: false });
        if !copies.is_empty() {
            self.shards.push(Shard { file, bytes: copies.into(), is_copied: true });
        }
        Ok(tensors)
    }

    fn empty(listed_in: &str) -> Self {
        Self {
            shards: Vec::new(),
            tensors: BTreeMap::new(),
            metadata: BTreeMap::new(),
            listed_in: listed_in.to_string(),
            sha256: OnceCell::new(),
            hashing: RefCell::default(),
            #[cfg(target_arch = "wasm32")]
            ahead: RefCell::default(),
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
        let Some(dtype) = Dtype::of(entry.dtype) else {
            let found = entry.dtype;
            return fail(format!("has dtype {found}; supported are F64, F32, F16 and BF16"));
        };
        let bytes = self.bytes_of(name, entry)?;
        Ok(RawTensor { dtype, shape: entry.shape.clone(), bytes })
    }

    /// The values of a tensor where they lie in a mapped file; nothing for another file, or where they cannot be read there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn in_place<T: bytemuck::Pod>(&self, name: &str) -> Option<Numbers<T>> {
        let entry = self.tensors.get(name)?;
        match &self.shards[entry.shard].bytes {
            Bytes::Mapped(map) => Numbers::mapped(map, entry.range.clone()),
            Bytes::Held(_) => None,
        }
    }

    /// Lets go of the memory that a tensor of a mapped file took while it was read.
    pub fn release(&self, name: &str) {
        if let Some(entry) = self.tensors.get(name) {
            self.shards[entry.shard].bytes.release(entry.range.clone());
        }
    }

    /// Whether a tensor is stored as F16.
    pub fn is_f16(&self, name: &str) -> bool {
        self.dtype(name) == Some(Dtype::F16)
    }

    /// The type that a tensor's values are stored in; nothing for a type that no model computes with.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).and_then(|entry| Dtype::of(entry.dtype))
    }

    /// A tensor of any type as its file describes it: type, shape, number of bytes.
    pub fn described(&self, name: &str) -> Option<(FileDtype, &[usize], usize)> {
        let entry = self.tensors.get(name)?;
        Some((entry.dtype, &entry.shape, entry.range.len()))
    }

    /// The bytes of a tensor of any type, none where there is no such tensor.
    ///
    /// # Errors
    /// `Error::File` where the file can no longer be read.
    pub fn stored(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        let Some(entry) = self.tensors.get(name) else { return Ok(Cow::default()) };
        self.bytes_of(name, entry)
    }

    fn bytes_of(&self, name: &str, entry: &Entry) -> Result<Cow<'_, [u8]>> {
        let shard = &self.shards[entry.shard];
        let bytes = match &shard.bytes {
            #[cfg(target_arch = "wasm32")]
            Bytes::Opened(_) => self.read_ahead(name, entry).map(Cow::Owned),
            held => held.read(entry.range.clone()),
        };
        #[cfg(not(target_arch = "wasm32"))]
        let _ = name;
        bytes.map_err(|problem| Error::file(&shard.file, problem))
    }

    /// The file that holds a tensor, for messages.
    pub fn file_of(&self, name: &str) -> &str {
        let file = self.tensors.get(name).map(|entry| self.shards[entry.shard].file.as_str());
        file.unwrap_or(&self.listed_in)
    }

    /// Makes one tensor of an embedding and a head that are tied, whichever of the two names a file kept; a head with
    /// other values stays.
    ///
    /// # Errors
    /// As [`Checkpoint::stored`].
    pub fn tie(&mut self, embedding: &str, head: &str) -> Result<()> {
        if !self.has(embedding) {
            if let Some(entry) = self.tensors.remove(head) {
                self.tensors.insert(embedding.to_string(), entry);
            }
        } else if self.described(embedding) == self.described(head)
            && self.stored(embedding)? == self.stored(head)?
        {
            self.tensors.remove(head);
        }
        Ok(())
    }

    /// Whether a tensor is there under exactly this name.
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

    fn files(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(|shard| !shard.is_copied)
    }

    /// Bytes of all weight files together.
    pub fn total_bytes(&self) -> u64 {
        self.files().map(|shard| shard.bytes.size() as u64).sum()
    }

    /// The `__metadata__` maps of all files.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

/// The files that an index places tensors in; `file` names it in messages. Names with a folder in them are refused.
pub fn shards(file: &str, index: &[u8]) -> Result<BTreeSet<String>> {
    let files: BTreeSet<String> = parse_index(file, index)?.into_values().collect();
    match files.iter().find(|name| name.contains(['/', '\\'])) {
        None => Ok(files),
        Some(name) => {
            let problem = format!("places tensors in {name:?}; expected a file beside it");
            Err(Error::file(file, problem))
        }
    }
}

/// weight_map of the index: tensor name -> file name.
fn parse_index(file: &str, bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    if let Some(problem) = sniff::foreign(bytes) {
        return Err(Error::file(file, problem));
    }
    let index: Index = serde_json::from_slice(bytes)
        .map_err(|e| Error::file(file, format!("is not an index with a weight_map: {e}")))?;
    if index.weight_map.is_empty() {
        return Err(Error::file(file, "has an empty weight_map; expected a file for every tensor"));
    }
    Ok(index.weight_map)
}

fn no_weights(files: &BTreeMap<String, Bytes>) -> Error {
    let foreign = files
        .iter()
        .filter(|(name, _)| !name.ends_with(".json"))
        .find_map(|(name, bytes)| Some((name, sniff::foreign(&bytes.beginning().ok()?)?)));
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
