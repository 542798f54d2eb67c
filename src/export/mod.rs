//! A checkpoint with edits laid over it, written as one safetensors file, tensor by tensor: never more than one tensor
//! is held besides the checkpoint.
//!
//! Every tensor keeps its type; one that was not touched keeps its bytes. Names and shapes stay too, unless layers were
//! taken out or an edit has another shape. The same input gives the same bytes, wherever it lay and whoever writes.
//! Source: the safetensors format (huggingface/safetensors README).

#[cfg(not(target_arch = "wasm32"))]
mod folder;
mod form;

#[cfg(not(target_arch = "wasm32"))]
pub use folder::Folder;
pub use form::Form;

use crate::config::quote_bare_floats;
use crate::models::{Edits, split_layer};
use crate::weights::Checkpoint;
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;

/// Name of the file in messages, and in a folder.
pub const FILE: &str = "model.safetensors";
/// Values that are encoded at once.
const PIECE: usize = 1 << 16;

/// What is to be written.
pub struct Export<'a> {
    /// What every tensor is read from.
    pub checkpoint: &'a Checkpoint,
    /// Tensors that replace those of the checkpoint.
    pub edits: &'a Edits,
    /// The numbers that the remaining layers have in the checkpoint, where some went.
    pub layers: Option<&'a [usize]>,
    /// The form whose names the tensors get, where another than their own is asked for.
    pub form: Option<Form>,
    /// Becomes the header's `__metadata__`; transformers needs `format: pt`.
    pub metadata: &'a BTreeMap<String, String>,
}

/// One tensor of the file to be.
struct Planned<'a> {
    /// In the checkpoint.
    from: &'a str,
    name: String,
    dtype: safetensors::Dtype,
    shape: &'a [usize],
    bytes: usize,
}

impl Export<'_> {
    /// Writes the file.
    ///
    /// Errors: a value that is not finite in the type it is stored in, or whatever `out` says.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let failed = |e: std::io::Error| Error::file(FILE, e.to_string());
        let tensors = self.plan();
        out.write_all(&self.header(&tensors)).map_err(failed)?;
        for tensor in &tensors {
            let edit = self.edits.get(tensor.from).zip(self.checkpoint.dtype(tensor.from));
            let Some((edit, dtype)) = edit else {
                out.write_all(&self.checkpoint.stored(tensor.from)?).map_err(failed)?;
                continue;
            };
            if let Some(value) = edit.values.iter().find(|x| !dtype.round(**x).is_finite()) {
                let problem = format!(
                    "holds {value} after pruning, which {dtype} cannot store; prune less, choose a method that changes weights less, or convert the model to F32 first"
                );
                return Err(Error::tensor(FILE, tensor.from, problem));
            }
            for piece in edit.values.chunks(PIECE) {
                out.write_all(&dtype.encode(piece)).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The tensors in the order of their bytes: larger types first, so that each stands at a multiple of its size.
    fn plan(&self) -> Vec<Planned<'_>> {
        let mut tensors: Vec<Planned<'_>> = Vec::new();
        for from in self.checkpoint.names() {
            let Some(name) = renamed(from, self.layers) else { continue };
            let name = self.form.map_or(name.clone(), |form| form.tensor(&name).to_string());
            let Some((dtype, shape, bytes)) = self.checkpoint.described(from) else { continue };
            let (shape, bytes) = match (self.edits.get(from), self.checkpoint.dtype(from)) {
                (Some(edit), Some(kind)) => (&edit.shape[..], edit.values.len() * kind.bytes()),
                _ => (shape, bytes),
            };
            tensors.push(Planned { from, name, dtype, shape, bytes });
        }
        let bits = |t: &Planned<'_>| std::cmp::Reverse(t.dtype.bitsize());
        tensors.sort_by(|a, b| bits(a).cmp(&bits(b)).then_with(|| a.name.cmp(&b.name)));
        tensors
    }

    /// Eight bytes of length and the JSON, padded so that the data begins at a multiple of eight.
    fn header(&self, tensors: &[Planned<'_>]) -> Vec<u8> {
        let mut header = Map::new();
        header.insert("__metadata__".into(), json!(self.metadata));
        let mut at = 0;
        for t in tensors {
            let range = [at, at + t.bytes];
            let entry = json!({"dtype": t.dtype, "shape": t.shape, "data_offsets": range});
            header.insert(t.name.clone(), entry);
            at += t.bytes;
        }
        let mut text = Value::Object(header).to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        [&(text.len() as u64).to_le_bytes()[..], &text].concat()
    }
}

/// The name after the layers that stay were numbered anew; nothing for a tensor of one that went.
fn renamed(name: &str, layers: Option<&[usize]>) -> Option<String> {
    let (Some(layers), Some((front, layer, back))) = (layers, split_layer(name)) else {
        return Some(name.to_string());
    };
    let now = layers.iter().position(|&l| l == layer)?;
    Some(format!("{front}{now}{back}"))
}

/// Stands for the quotes round an infinity while JSON that has none is read and written.
const MARK: &str = "\\u0001bare";

/// A config.json with other whole numbers in some of its fields. Infinities, which Python writes as bare words, stay.
///
/// Errors: no JSON object, or a value that transformers refuses.
pub fn config_with(json: &[u8], fields: &[(&str, f64)]) -> Result<Vec<u8>> {
    changed(json, |config| {
        for &(field, value) in fields {
            if value.fract() != 0.0 {
                let expected = "a share that leaves Mamba-2 a whole multiple of hidden_size: transformers knows no other";
                return Err(Error::input("--prune", format!("{field} {value}"), expected));
            }
            config.insert(field.to_string(), (value as u64).into());
        }
        Ok(())
    })
}

/// A config.json whose fields with an entry for every layer have those of the layers that stay, by their old numbers.
///
/// Errors: no JSON object.
pub fn config_of_layers(json: &[u8], layers: &[usize]) -> Result<Vec<u8>> {
    const LISTS: [&str; 4] =
        ["layer_types", "no_rope_layers", "layers_block_type", "mlp_layer_types"];
    changed(json, |config| {
        for name in LISTS {
            if let Some(Value::Array(list)) = config.get_mut(name) {
                *list = layers.iter().filter_map(|&layer| list.get(layer).cloned()).collect();
            }
        }
        Ok(())
    })
}

/// The file after a change to its fields.
fn changed(
    json: &[u8],
    change: impl FnOnce(&mut Map<String, Value>) -> Result<()>,
) -> Result<Vec<u8>> {
    let failed = |e: serde_json::Error| Error::file("config.json", e.to_string());
    let mut config: Map<String, Value> =
        serde_json::from_slice(&quote_bare_floats(json, MARK)).map_err(failed)?;
    change(&mut config)?;
    let text = serde_json::to_string_pretty(&config).map_err(failed)?;
    Ok(text.replace(&format!("\"{MARK}"), "").replace(&format!("{MARK}\""), "").into_bytes())
}
