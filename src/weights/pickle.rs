//! Python pickles, as far as a state dict of tensors needs them: a list of instructions and a list of names, and nothing
//! else. Nothing is ever executed or imported; an instruction or a name outside the lists is an error that says which.
//!
//! Values live in an arena and refer to each other by number, so that a file made to nest without end costs no stack,
//! and no more memory than a small multiple of its own length.
//! Source: CPython Lib/pickletools.py (instructions); torch/serialization.py, torch/_utils.py (names, persistent ids).

use safetensors::tensor::Dtype;
use std::collections::HashMap;

/// Place of a value in [`Machine::values`].
pub(super) type Id = usize;

#[derive(Debug, Clone)]
pub(super) enum Value {
    Nothing,
    Bool(bool),
    Int(i64),
    /// A number that no tensor needs.
    Other,
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Name(Name),
    Storage(Storage),
    Tensor(Tensor),
}

/// The names that a state dict may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Name {
    OrderedDict,
    /// (storage, offset, size, stride, ...)
    RebuildTensor,
    /// (tensor, ...)
    RebuildParameter,
    StorageOf(Dtype),
}

const NAMES: [(&str, &str, Name); 14] = [
    ("collections", "OrderedDict", Name::OrderedDict),
    ("torch._utils", "_rebuild_tensor", Name::RebuildTensor),
    ("torch._utils", "_rebuild_tensor_v2", Name::RebuildTensor),
    ("torch._utils", "_rebuild_parameter", Name::RebuildParameter),
    ("torch", "DoubleStorage", Name::StorageOf(Dtype::F64)),
    ("torch", "FloatStorage", Name::StorageOf(Dtype::F32)),
    ("torch", "HalfStorage", Name::StorageOf(Dtype::F16)),
    ("torch", "BFloat16Storage", Name::StorageOf(Dtype::BF16)),
    ("torch", "LongStorage", Name::StorageOf(Dtype::I64)),
    ("torch", "IntStorage", Name::StorageOf(Dtype::I32)),
    ("torch", "ShortStorage", Name::StorageOf(Dtype::I16)),
    ("torch", "CharStorage", Name::StorageOf(Dtype::I8)),
    ("torch", "ByteStorage", Name::StorageOf(Dtype::U8)),
    ("torch", "BoolStorage", Name::StorageOf(Dtype::BOOL)),
];

/// Numbers in a part of the file that `key` names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Storage {
    pub dtype: Dtype,
    pub key: String,
    /// Elements.
    pub length: usize,
}

/// A view of a storage; offset and strides in elements.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub storage: Storage,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// One pickle, run to its end.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

type Done<T> = Result<T, String>;

/// Runs the pickle at the beginning of `bytes`: the values, the one it gives, and its length in bytes.
///
/// Errors: a sentence for the message.
pub(super) fn run(bytes: &[u8]) -> Done<(Vec<Value>, Id, usize)> {
    let (values, stack, marks) = (Vec::new(), Vec::new(), Vec::new());
    let mut machine = Machine { bytes, at: 0, values, stack, marks, memo: HashMap::new() };
    loop {
        let start = machine.at;
        let code = machine.take(1)?[0];
        if code == b'.' {
            let id = machine.pop()?;
            return Ok((machine.values, id, machine.at));
        }
        machine.step(code).map_err(|problem| {
            format!("{problem} (instruction {} at byte {start} of its pickle)", named(code))
        })?;
    }
}

impl Machine<'_> {
    fn step(&mut self, code: u8) -> Done<()> {
        match code {
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'N' => self.push(Value::Nothing),
            0x88 | 0x89 => self.push(Value::Bool(code == 0x88)),
            b'K' => self.number(1),
            b'M' => self.number(2),
            b'J' => {
                let word = self.take(4)?.try_into().map(i32::from_le_bytes).unwrap_or_default();
                self.push(Value::Int(word.into()))
            }
            0x8a => self.long(),
            b'G' => self.take(8).map(drop).and_then(|()| self.push(Value::Other)),
            b'X' | b'T' => self.text(4),
            0x8c | b'U' => self.text(1),
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items))
            }
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(code - 0x84)).ok_or(EMPTY)?;
                let items = self.stack.split_off(from);
                self.push(Value::Tuple(items))
            }
            b'q' | b'r' => {
                let place = self.length(if code == b'q' { 1 } else { 4 })?;
                self.remember(place as u64)
            }
            0x94 => self.remember(self.memo.len() as u64),
            b'h' | b'j' => {
                let place = self.length(if code == b'h' { 1 } else { 4 })?;
                let id = self.memo.get(&(place as u64)).ok_or("asks for what was not remembered")?;
                self.stack.push(*id);
                Ok(())
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(&module, &name)
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.name(&module, &name)
            }
            b'Q' => self.persistent(),
            b'R' => self.reduce(),
            b'a' | b'e' => {
                let items = if code == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
                self.append(items)
            }
            b's' | b'u' => {
                let pairs = match code {
                    b's' => {
                        let value = self.pop()?;
                        vec![self.pop()?, value]
                    }
                    _ => self.pop_mark()?,
                };
                self.set(&pairs)
            }
            // An OrderedDict's attributes; torch puts version numbers there.
            b'b' => {
                self.pop()?;
                let top = *self.stack.last().ok_or(EMPTY)?;
                match self.values[top] {
                    Value::Dict(_) => Ok(()),
                    _ => Err("sets attributes of something that is no dict".into()),
                }
            }
            _ => Err("holds an instruction that no state dict of tensors needs; nothing of it was executed. Convert the model to safetensors where you trust its source".into()),
        }
    }

    fn take(&mut self, length: usize) -> Done<&[u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("ends inside an instruction")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn length(&mut self, bytes: usize) -> Done<usize> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte)))
    }

    fn number(&mut self, bytes: usize) -> Done<()> {
        let number = self.length(bytes)?;
        self.push(Value::Int(number as i64))
    }

    /// Up to 255 bytes, two's complement; those beyond eight are no size or place.
    fn long(&mut self) -> Done<()> {
        let length = self.length(1)?;
        let bytes = self.take(length)?;
        let sign = bytes.last().map_or(0, |last| if last & 0x80 == 0 { 0 } else { -1 });
        let value = bytes.iter().rev().fold(sign, |n: i64, byte| n << 8 | i64::from(*byte));
        self.push(if length <= 8 { Value::Int(value) } else { Value::Other })
    }

    fn text(&mut self, bytes: usize) -> Done<()> {
        let length = self.length(bytes)?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.push(Value::Text(text))
    }

    fn line(&mut self) -> Done<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or("ends inside a name")?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(line)
    }

    fn push(&mut self, value: Value) -> Done<()> {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
        Ok(())
    }

    fn pop(&mut self) -> Done<Id> {
        // What stands before a mark belongs to whoever set it.
        let least = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= least {
            Err(EMPTY.into())
        } else {
            self.stack.pop().ok_or(EMPTY.into())
        }
    }

    fn pop_mark(&mut self) -> Done<Vec<Id>> {
        let mark = self.marks.pop().ok_or("has no mark to go back to")?;
        if mark > self.stack.len() {
            return Err(EMPTY.into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn pop_text(&mut self) -> Done<String> {
        let id = self.pop()?;
        match &self.values[id] {
            Value::Text(text) => Ok(text.clone()),
            _ => Err("names something by what is no text".into()),
        }
    }

    fn remember(&mut self, place: u64) -> Done<()> {
        let top = *self.stack.last().ok_or(EMPTY)?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Done<()> {
        let known = NAMES.iter().find(|(m, n, _)| *m == module && *n == name);
        let (_, _, known) = known.ok_or_else(|| {
            let cut = |text: &str| text.chars().take(60).collect::<String>();
            let what = format!("{}.{}", cut(module), cut(name));
            format!("asks for {what}, which no state dict of tensors needs; nothing of it was executed. Convert the model to safetensors where you trust its source")
        })?;
        self.push(Value::Name(*known))
    }

    /// ("storage", type, key, device, elements); older files add a view, which must be none.
    fn persistent(&mut self) -> Done<()> {
        let id = self.pop()?;
        let found = self.storage(id).ok_or("refers to something that is no storage of numbers")?;
        self.push(Value::Storage(found))
    }

    fn storage(&self, id: Id) -> Option<Storage> {
        let Value::Tuple(items) = &self.values[id] else { return None };
        let [kind, of, key, _, length, view @ ..] = items.as_slice() else { return None };
        let text = |id: &Id| match &self.values[*id] {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let Value::Name(Name::StorageOf(dtype)) = self.values[*of] else { return None };
        let is_plain = view.iter().all(|id| matches!(self.values[*id], Value::Nothing));
        let length = self.size(*length)?;
        let key = text(key)?.to_string();
        (text(kind) == Some("storage") && is_plain).then_some(Storage { dtype, key, length })
    }

    fn size(&self, id: Id) -> Option<usize> {
        match self.values[id] {
            Value::Int(n) => usize::try_from(n).ok(),
            _ => None,
        }
    }

    /// Calls one of the names: each is a plain rearrangement of its arguments.
    fn reduce(&mut self) -> Done<()> {
        let (arguments, called) = (self.pop()?, self.pop()?);
        let Value::Tuple(items) = &self.values[arguments] else {
            return Err("calls with what is no tuple".into());
        };
        let result = match (&self.values[called], items.as_slice()) {
            (Value::Name(Name::OrderedDict), []) => Some(Value::Dict(Vec::new())),
            (Value::Name(Name::RebuildParameter), [tensor, ..]) => match &self.values[*tensor] {
                found @ Value::Tensor(_) => Some(found.clone()),
                _ => None,
            },
            (Value::Name(Name::RebuildTensor), [storage, offset, shape, strides, ..]) => {
                self.tensor([*storage, *offset, *shape, *strides]).map(Value::Tensor)
            }
            _ => None,
        };
        self.push(result.ok_or("calls something with arguments that do not fit")?)
    }

    fn tensor(&self, [storage, offset, shape, strides]: [Id; 4]) -> Option<Tensor> {
        let sizes = |id: Id| match &self.values[id] {
            Value::Tuple(items) => items.iter().map(|id| self.size(*id)).collect(),
            _ => None,
        };
        let (shape, strides): (Vec<usize>, Vec<usize>) = (sizes(shape)?, sizes(strides)?);
        let Value::Storage(storage) = &self.values[storage] else { return None };
        let offset = self.size(offset)?;
        let same = shape.len() == strides.len();
        same.then(|| Tensor { storage: storage.clone(), offset, shape, strides })
    }

    fn append(&mut self, items: Vec<Id>) -> Done<()> {
        let top = *self.stack.last().ok_or(EMPTY)?;
        match &mut self.values[top] {
            Value::List(list) => {
                list.extend(items);
                Ok(())
            }
            _ => Err("appends to something that is no list".into()),
        }
    }

    fn set(&mut self, pairs: &[Id]) -> Done<()> {
        let top = *self.stack.last().ok_or(EMPTY)?;
        let (pairs, []) = pairs.as_chunks::<2>() else { return Err("sets half a pair".into()) };
        match &mut self.values[top] {
            Value::Dict(dict) => {
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                Ok(())
            }
            _ => Err("sets items of something that is no dict".into()),
        }
    }
}

const EMPTY: &str = "takes from an empty stack";

/// The instruction's name where people know it, and its code.
fn named(code: u8) -> String {
    let name = match code {
        b'c' => "GLOBAL",
        0x93 => "STACK_GLOBAL",
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        b'R' => "REDUCE",
        b'b' => "BUILD",
        b'P' => "PERSID",
        b'Q' => "BINPERSID",
        0x82..=0x84 => "EXT",
        0x97 | 0x98 => "BUFFER",
        _ => return format!("0x{code:02x}"),
    };
    format!("{name}, 0x{code:02x}")
}
