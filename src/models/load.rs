//! From a checkpoint, with edits laid over it, to matrices on a device.

#[cfg(not(target_arch = "wasm32"))]
mod in_place;

use super::names::{aliases, is_transposed};
use crate::backend::{Blocks, Device, Matrix, Tensor, WeightValues};
use crate::weights::{Checkpoint, Dtype, RawTensor};
use crate::{Error, Result};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// Weights that replace those of the checkpoint, by their names in it.
pub type Edits = HashMap<String, Edit>;

/// A tensor that may have another shape than the one it replaces; row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Outermost first.
    pub shape: Vec<usize>,
    /// As many as the shape says.
    pub values: Vec<f32>,
    /// Where the values are whole numbers with scales: those.
    pub blocks: Option<Blocks>,
}

impl Edit {
    /// Of plain values.
    pub fn new(shape: &[usize], values: Vec<f32>) -> Edit {
        Edit { shape: shape.to_vec(), values, blocks: None }
    }

    /// Place and value of the first number that is not finite.
    fn first_not_finite(&self) -> Option<(usize, f32)> {
        let at = self.values.iter().position(|x| !x.is_finite())?;
        Some((at, self.values[at]))
    }
}

/// A checkpoint whose untouched matrices are uploaded to a device once and shared by all models made from it.
pub struct Weights {
    checkpoint: Rc<Checkpoint>,
    edits: Rc<Edits>,
    /// The number in the checkpoint of every layer, where some are left out; else empty.
    layers: Rc<[usize]>,
    uploaded: Rc<RefCell<HashMap<String, Matrix>>>,
    /// Names in the checkpoint that were asked for, of all weights made from the same checkpoint.
    used: Rc<RefCell<BTreeSet<String>>>,
    /// Matrices made by [`Weights::rearranged`], as long as these weights live.
    edited: RefCell<HashMap<String, Matrix>>,
    execution: Execution,
}

/// How edited matrices are multiplied with few rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Execution {
    /// As every other matrix, zeros and all.
    #[default]
    Dense,
    /// Without the zeros where that is faster, or as whole numbers with scales.
    Packed,
}

impl Weights {
    /// The checkpoint as it is, with every matrix dense; nothing is uploaded yet.
    pub fn new(checkpoint: Rc<Checkpoint>) -> Self {
        Self {
            checkpoint,
            edits: Rc::default(),
            layers: Rc::default(),
            uploaded: Rc::default(),
            used: Rc::default(),
            edited: RefCell::default(),
            execution: Execution::Dense,
        }
    }

    /// The same checkpoint with some matrices replaced. Their values are rounded to the type that the checkpoint stores
    /// them in: what is measured is what an export holds, to the bit.
    pub fn with_edits(&self, mut edits: Edits) -> Self {
        for (name, edit) in &mut edits {
            if let Some(dtype) = self.checkpoint.dtype(&self.found(name)) {
                edit.values.iter_mut().for_each(|x| *x = dtype.round(*x));
            }
        }
        Self {
            checkpoint: self.checkpoint.clone(),
            edits: Rc::new(edits),
            layers: self.layers.clone(),
            uploaded: self.uploaded.clone(),
            used: self.used.clone(),
            edited: RefCell::default(),
            execution: self.execution,
        }
    }

    /// The same, multiplied in another way.
    pub fn executed(self, execution: Execution) -> Self {
        Self { execution, ..self }
    }

    /// The same with only these layers of the checkpoint, which are numbered anew.
    pub fn with_layers(self, layers: &[usize]) -> Self {
        Self { layers: layers.into(), ..self }
    }

    /// The name in the checkpoint.
    fn stored<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match split_layer(name) {
            Some((front, layer, back)) if layer < self.layers.len() => {
                format!("{front}{}{back}", self.layers[layer]).into()
            }
            _ => name.into(),
        }
    }

    /// The edit of a tensor by its name in the checkpoint. Errors: another shape, or a value that is not finite.
    fn edit(&self, stored: &str, shape: &[usize]) -> Result<Option<&[f32]>> {
        match self.edits.get(stored) {
            Some(edit) if edit.shape == shape => match edit.first_not_finite() {
                None => Ok(Some(&edit.values)),
                Some((at, value)) => {
                    let dtype = self.checkpoint.dtype(stored).unwrap_or(Dtype::F32);
                    let problem = format!(
                        "holds {value} at element {at} after pruning, in the type it is stored in ({dtype}); prune less, choose a method that changes weights less, or convert the model to F32 first"
                    );
                    Err(Error::tensor(self.checkpoint.file_of(stored), stored, problem))
                }
            },
            Some(edit) => {
                let problem = format!("has shape {:?} after an edit, not {shape:?}", edit.shape);
                Err(Error::tensor("model.safetensors", stored, problem))
            }
            None => Ok(None),
        }
    }

    /// The whole numbers of an edit, if they are to be used.
    fn blocks(&self, stored: &str) -> Option<&Blocks> {
        let blocks = self.edits.get(stored).and_then(|edit| edit.blocks.as_ref());
        blocks.filter(|_| self.execution == Execution::Packed)
    }

    /// The same checkpoint and edits for another device.
    pub fn for_new_device(&self) -> Self {
        Self {
            checkpoint: self.checkpoint.clone(),
            edits: self.edits.clone(),
            layers: self.layers.clone(),
            uploaded: Rc::default(),
            used: self.used.clone(),
            edited: RefCell::default(),
            execution: self.execution,
        }
    }

    /// Without the edits.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// f32 values of a tensor of this shape, edits applied. Errors: missing, or another shape.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = &self.stored(name);
        match self.edit(name, shape)? {
            Some(edited) => Ok(edited.to_vec()),
            None => self.read(name, shape),
        }
    }

    /// The name that the checkpoint itself has for a tensor; the given one where it has none.
    fn found<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self.checkpoint.has(name) {
            true => name.into(),
            false => stored_name(name, &self.checkpoint).into(),
        }
    }

    /// A tensor of the checkpoint, by whichever name and in whichever order it is stored. Errors: missing, another shape,
    /// or not finite.
    fn original(&self, name: &str, shape: &[usize]) -> Result<RawTensor<'_>> {
        let stored = self.found(name);
        let turned: Vec<usize> = shape.iter().rev().copied().collect();
        let shape = if is_transposed(name) { &turned } else { shape };
        let raw = self.checkpoint.tensor(&stored, shape)?;
        self.used.borrow_mut().insert(stored.to_string());
        match raw.first_not_finite() {
            None => Ok(raw),
            Some(at) => {
                let problem = format!(
                    "holds {} at element {at}; expected finite values, since no figure of such a model means anything. Fetch the file again, or convert the model anew",
                    raw.to_f32()[at]
                );
                Err(Error::tensor(self.checkpoint.file_of(&stored), &*stored, problem))
            }
        }
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let values = self.original(name, shape)?.to_f32();
        self.checkpoint.release(&self.found(name));
        Ok(match shape {
            &[rows, cols] if is_transposed(name) => transpose(&values, cols, rows),
            _ => values,
        })
    }

    /// Names in the checkpoint that were asked for so far.
    pub fn used(&self) -> BTreeSet<String> {
        self.used.borrow().clone()
    }

    /// Edits by the names, and in the order, in which the checkpoint stores what they replace.
    pub fn as_stored(&self, edits: Edits) -> Edits {
        let stored = |(name, edit): (String, Edit)| {
            let found = self.found(&name).into_owned();
            match (is_transposed(&name), &edit.shape[..]) {
                (true, &[rows, cols]) => {
                    (found, Edit::new(&[cols, rows], transpose(&edit.values, rows, cols)))
                }
                _ => (found, edit),
            }
        };
        edits.into_iter().map(stored).collect()
    }

    /// A `[rows, cols]` weight on the device. An edited weight keeps the checkpoint's precision.
    pub fn matrix(&self, device: &Device, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        let stored = &self.stored(name);
        if let Some(edited) = self.edit(stored, &[rows, cols])? {
            let Some(blocks) = self.blocks(stored) else {
                return Ok(self.rearranged(device, name, [rows, cols], edited));
            };
            let dtype = self.checkpoint.dtype(&self.found(stored)).unwrap_or(Dtype::F32);
            let matrix = Matrix::quantised(device, blocks, dtype);
            self.edited.borrow_mut().insert(stored.to_string(), matrix.clone());
            return Ok(matrix);
        }
        let name = stored.as_ref();
        if let Some(matrix) = self.uploaded.borrow().get(name) {
            return Ok(matrix.clone());
        }
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(matrix) = self.in_place(device, name, rows, cols)? {
            self.uploaded.borrow_mut().insert(name.to_string(), matrix.clone());
            return Ok(matrix);
        }
        let matrix = match self.checkpoint.is_f16(&self.found(name)) {
            true => {
                let raw = self.original(name, &[rows, cols])?;
                let halves = raw.halves().unwrap_or_default();
                let halves = match is_transposed(name) {
                    true => transpose(&halves, cols, rows).into(),
                    false => halves,
                };
                device.matrix(rows, cols, WeightValues::F16(&halves))
            }
            false => device.matrix(rows, cols, WeightValues::F32(&self.read(name, &[rows, cols])?)),
        };
        self.checkpoint.release(&self.found(name));
        self.uploaded.borrow_mut().insert(name.to_string(), matrix.clone());
        Ok(matrix)
    }

    /// A `[rows, cols]` weight made of these values of the stored (or edited) one, in the precision of the checkpoint.
    pub fn rearranged(
        &self,
        device: &Device,
        name: &str,
        [rows, cols]: [usize; 2],
        values: &[f32],
    ) -> Matrix {
        let name = self.stored(name).into_owned();
        let halves: Vec<half::f16>;
        let values = match self.checkpoint.is_f16(&self.found(&name)) {
            true => {
                halves = values.iter().map(|&x| half::f16::from_f32(x)).collect();
                WeightValues::F16(&halves)
            }
            false => WeightValues::F32(values),
        };
        let matrix = device.matrix(rows, cols, values);
        let packs = self.execution == Execution::Packed
            && self.edits.get(&name).is_some_and(|edit| edit.blocks.is_none());
        let matrix = if packs { matrix.pack(device, values) } else { matrix };
        self.edited.borrow_mut().insert(name, matrix.clone());
        matrix
    }

    /// The matrix that was loaded by this name; the edited one, if there is one.
    pub fn loaded(&self, name: &str) -> Option<Matrix> {
        let name = self.stored(name);
        let edited = self.edited.borrow().get(name.as_ref()).cloned();
        edited.or_else(|| self.uploaded.borrow().get(name.as_ref()).cloned())
    }

    /// A vector `[1, n]` on the device (norm weights, biases, D).
    pub fn vector(&self, device: &Device, name: &str, n: usize) -> Result<Tensor> {
        Ok(device.tensor(1, n, &self.values(name, &[n])?))
    }

    /// A vector that is there only when the configuration says so.
    pub fn vector_if(
        &self,
        wanted: bool,
        device: &Device,
        name: &str,
        n: usize,
    ) -> Result<Option<Tensor>> {
        wanted.then(|| self.vector(device, name, n)).transpose()
    }

    /// A depthwise convolution weight `[channels, 1, k]` as `[channels, k]`; a single tap gets one of 0 before it,
    /// because a convolution here remembers at least one input.
    pub fn conv(&self, device: &Device, name: &str, channels: usize, k: usize) -> Result<Tensor> {
        let values = self.values(name, &[channels, 1, k])?;
        if k > 1 {
            return Ok(device.tensor(channels, k, &values));
        }
        let padded: Vec<f32> = values.into_iter().flat_map(|tap| [0.0, tap]).collect();
        Ok(device.tensor(channels, 2, &padded))
    }

    /// The output head: the first of `names` that is stored, else the embedding when they are tied.
    ///
    /// A stored head counts even when config.json says "tied", as in transformers.
    pub fn head(
        &self,
        device: &Device,
        tied: bool,
        names: &[&str],
        embedding: &Matrix,
    ) -> Result<Matrix> {
        let stored = names.iter().find(|name| self.checkpoint.has(name));
        match (stored, tied) {
            (None, true) => Ok(embedding.clone()),
            (name, _) => {
                let name = name.unwrap_or(&names[0]);
                self.matrix(device, name, embedding.rows(), embedding.cols())
            }
        }
    }

    /// -exp(A_log), `[rows, cols]`. Errors: a value that is not finite.
    pub fn negative_exp(&self, device: &Device, name: &str, shape: &[usize]) -> Result<Tensor> {
        let a: Vec<f32> = self.values(name, shape)?.iter().map(|x| -x.exp()).collect();
        if a.iter().any(|x| !x.is_finite()) {
            return Err(Error::tensor(
                "model.safetensors",
                name,
                "holds values that are not finite",
            ));
        }
        let cols = shape.last().copied().unwrap_or(1);
        Ok(device.tensor(a.len() / cols, cols, &a))
    }
}

/// The name by which a checkpoint stores a tensor; the given one where it does not.
pub fn stored_name(name: &str, checkpoint: &Checkpoint) -> String {
    let is_stored = |name: &String| checkpoint.has(name);
    let mut names = std::iter::once(name.to_string()).chain(aliases(name));
    names.find(is_stored).unwrap_or_else(|| name.to_string())
}

/// Rows become columns: `[rows, cols]` in, `[cols, rows]` out.
fn transpose<T: Copy>(values: &[T], rows: usize, cols: usize) -> Vec<T> {
    (0..cols).flat_map(|c| (0..rows).map(move |r| values[r * cols + c])).collect()
}

/// "model.layers.", 12, ".mlp.up_proj.weight"
pub fn split_layer(name: &str) -> Option<(&str, usize, &str)> {
    let after = |word: &str| match name.find(&format!(".{word}")) {
        Some(at) => Some(at + 1 + word.len()),
        None => name.starts_with(word).then_some(word.len()),
    };
    let start = after("layers.").or_else(|| after("h."))?;
    let length = name[start..].find('.')?;
    let (front, rest) = name.split_at(start);
    let (number, back) = rest.split_at(length);
    Some((front, number.parse().ok()?, back))
}
