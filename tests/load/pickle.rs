//! `pytorch_model.bin`, made here byte by byte: both layouts give the tensors, and a file made to attack gives an error.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use whittle::Rng;
use whittle::weights::{Checkpoint, Dtype};

/// Name -> shape and values.
type Tensors = BTreeMap<&'static str, (Vec<usize>, Vec<f32>)>;

fn tensors() -> Tensors {
    let mut rng = Rng::new(3);
    let mut of = |shape: &[usize]| {
        let count = shape.iter().product();
        (shape.to_vec(), (0..count).map(|_| rng.normal()).collect())
    };
    let shapes: [(&str, &[usize]); 5] = [
        ("head", &[3, 5]),
        ("conv", &[4, 1, 3]),
        ("norm", &[7]),
        ("bias", &[1]),
        ("empty", &[0, 4]),
    ];
    shapes.into_iter().map(|(name, shape)| (name, of(shape))).collect()
}

/// Instructions of a pickle of protocol 2, one after another.
#[derive(Default)]
pub struct Pickle(Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Pickle(b"\x80\x02".to_vec())
    }

    pub fn code(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        let length = (text.len() as u32).to_le_bytes();
        self.code(b"X").code(&length).code(text.as_bytes())
    }

    fn int(self, n: usize) -> Self {
        self.code(b"J").code(&(n as u32).to_le_bytes())
    }

    fn ints(self, list: &[usize]) -> Self {
        let marked = self.code(b"(");
        list.iter().fold(marked, |p, n| p.int(*n)).code(b"t")
    }

    /// `_rebuild_tensor_v2` of a view of storage `key`.
    pub fn tensor(
        self,
        kind: &str,
        key: &str,
        view: (usize, &[usize], &[usize]),
        length: usize,
        is_legacy: bool,
    ) -> Self {
        let p = self.code(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        let p = p.text("storage").code(format!("ctorch\n{kind}\n").as_bytes());
        let p = p.text(key).text("cpu").int(length);
        let p = if is_legacy { p.code(b"N") } else { p };
        let (offset, shape, strides) = view;
        let p = p.code(b"tQ").int(offset).ints(shape).ints(strides);
        p.code(b"\x89ccollections\nOrderedDict\n)RtR")
    }

    pub fn end(self) -> Vec<u8> {
        self.code(b".").0
    }
}

/// A state dict and its storages in the order of their keys.
fn state_dict(
    tensors: &Tensors,
    dtype: Dtype,
    is_legacy: bool,
) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let mut pickle = Pickle::new().code(b"ccollections\nOrderedDict\n)R(");
    let mut storages = Vec::new();
    let kind = match dtype {
        Dtype::F64 => "DoubleStorage",
        Dtype::F32 => "FloatStorage",
        Dtype::F16 => "HalfStorage",
        Dtype::BF16 => "BFloat16Storage",
    };
    for (number, (name, (shape, values))) in tensors.iter().enumerate() {
        let strides: Vec<usize> =
            (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
        let (key, length) = (number.to_string(), shape.iter().product());
        let view = (0, &shape[..], &strides[..]);
        pickle = pickle.text(name).tensor(kind, &key, view, length, is_legacy);
        storages.push((key, dtype.encode(values)));
    }
    // Items, then the attributes that torch adds.
    let pickle = pickle.code(b"u}").text("_metadata").code(b"}sb");
    (pickle.end(), storages)
}

/// A zip archive of stored files.
pub fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let (offset, size) = (out.len() as u32, bytes.len() as u32);
        let rest = [&[0; 4][..], &size.to_le_bytes(), &size.to_le_bytes()].concat();
        let length = (name.len() as u16).to_le_bytes();
        let common = [&[0u8; 8][..], &rest, &length, &[0, 0]].concat();
        out.extend([b"PK\x03\x04\x14\x00", &common[..], name.as_bytes(), bytes].concat());
        let tail = [&[0u8; 10][..], &offset.to_le_bytes()].concat();
        list.extend([b"PK\x01\x02\x14\x00\x14\x00", &common[..], &tail, name.as_bytes()].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let (size, at) = ((list.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
    let end = [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size, &at, &[0, 0]].concat();
    [out, list, end].concat()
}

pub fn archive(pickle: Vec<u8>, storages: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut files = vec![("model/data.pkl".to_string(), pickle)];
    files.push(("model/byteorder".into(), b"little".to_vec()));
    files.extend(storages.iter().map(|(key, bytes)| (format!("model/data/{key}"), bytes.clone())));
    zip(&files)
}

pub fn legacy(pickle: Vec<u8>, storages: &[(String, Vec<u8>)], width: usize) -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e".to_vec();
    out.extend(Pickle::new().code(b"M\xe9\x03").end());
    out.extend(Pickle::new().code(b"}").text("little_endian").code(b"\x88s").end());
    out.extend(pickle);
    let keys = storages.iter().fold(Pickle::new().code(b"]("), |p, (key, _)| p.text(key));
    out.extend(keys.code(b"e").end());
    for (_, bytes) in storages {
        out.extend(((bytes.len() / width) as u64).to_le_bytes());
        out.extend(bytes);
    }
    out
}

/// Every tensor of a checkpoint in f32.
pub fn values(files: Vec<(&str, Vec<u8>)>) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let files = files.into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect();
    let checkpoint = Checkpoint::open(files).unwrap_or_else(|e| panic!("{e}"));
    let tensor = |name: &str| {
        let shape = checkpoint.shape(name).expect("listed").to_vec();
        let values = checkpoint.tensor(name, &shape).expect("listed").to_f32();
        (name.to_string(), (shape, values))
    };
    checkpoint.names().map(tensor).collect()
}

/// As a file of this type gives them back.
fn rounded(tensors: &Tensors, dtype: Dtype) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let round = |values: &[f32]| values.iter().map(|x| dtype.round(*x)).collect();
    let tensors = tensors.iter();
    tensors.map(|(name, (shape, x))| (name.to_string(), (shape.clone(), round(x)))).collect()
}

#[test]
fn both_layouts_of_torch_save_give_the_tensors() {
    let tensors = tensors();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F64] {
        let expected = rounded(&tensors, dtype);
        let (pickle, storages) = state_dict(&tensors, dtype, false);
        let files = vec![("pytorch_model.bin", archive(pickle, &storages))];
        assert_eq!(values(files), expected, "zip, {dtype}");
        let (pickle, storages) = state_dict(&tensors, dtype, true);
        let old = legacy(pickle, &storages, dtype.bytes());
        assert_eq!(values(vec![("pytorch_model.bin", old)]), expected, "older form, {dtype}");
    }
}

#[test]
fn shards_with_an_index_give_the_tensors_too() {
    let mut parts = [tensors(), tensors()];
    let mut map = serde_json::Map::new();
    for (number, name) in tensors().keys().enumerate() {
        parts[1 - number % 2].remove(name);
        map.insert(name.to_string(), format!("pytorch_model-{}.bin", number % 2).into());
    }
    let index = serde_json::json!({"weight_map": map}).to_string().into_bytes();
    let [first, second] = parts.map(|part| {
        let (pickle, storages) = state_dict(&part, Dtype::F32, false);
        archive(pickle, &storages)
    });
    let files = vec![
        ("pytorch_model.bin.index.json", index),
        ("pytorch_model-0.bin", first),
        ("pytorch_model-1.bin", second),
    ];
    assert_eq!(values(files), rounded(&tensors(), Dtype::F32));
}

fn one(
    view: (usize, &[usize], &[usize]),
    length: usize,
    numbers: &[f32],
) -> Result<Vec<f32>, String> {
    let pickle =
        Pickle::new().code(b"}").text("w").tensor("FloatStorage", "0", view, length, false);
    let bytes = archive(pickle.code(b"s").end(), &[("0".into(), Dtype::F32.encode(numbers))]);
    let checkpoint = Checkpoint::open(vec![("pytorch_model.bin".into(), bytes)]);
    let checkpoint = checkpoint.map_err(|e| e.to_string())?;
    Ok(checkpoint.tensor("w", view.1).map_err(|e| e.to_string())?.to_f32())
}

#[test]
fn views_are_put_in_order_and_stay_within_their_numbers() {
    let numbers = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    assert_eq!(one((0, &[3, 2], &[1, 3]), 6, &numbers), Ok(vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
    assert_eq!(one((4, &[2], &[1]), 6, &numbers), Ok(vec![4.0, 5.0]));
    assert_eq!(one((1, &[1, 2], &[77, 2]), 6, &numbers), Ok(vec![1.0, 3.0]));
    assert_eq!(one((0, &[2, 2], &[3, 1]), 6, &numbers), Ok(vec![0.0, 1.0, 3.0, 4.0]));
    assert_eq!(one((0, &[2, 2], &[0, 1]), 6, &numbers), Ok(vec![0.0, 1.0, 0.0, 1.0]));
    assert_eq!(one((3, &[], &[]), 6, &numbers), Ok(vec![3.0]));
    for (view, length) in [
        ((5, &[2][..], &[1][..]), 6),
        ((0, &[1 << 20], &[0]), 6),
        ((0, &[2, 2], &[(1 << 30) - 1, 1]), 6),
        ((0, &[1 << 30, 1 << 30, 1 << 30], &[1, 1, 1]), 6),
        ((0, &[7], &[1]), 7),
    ] {
        let message = one(view, length, &numbers).expect_err("beyond the numbers");
        assert!(message.contains("pytorch_model.bin: tensor w"), "{message}");
    }
}

#[test]
fn a_file_made_to_attack_is_an_error_that_names_what_it_wanted() {
    let attack = |pickle: Vec<u8>| {
        let files = vec![("pytorch_model.bin".to_string(), archive(pickle, &[]))];
        Checkpoint::open(files).expect_err("hostile").to_string()
    };
    let system = Pickle::new().code(b"cposix\nsystem\n").text("touch /tmp/owned").code(b"\x85R");
    let message = attack(system.end());
    assert!(message.contains("posix.system") && message.contains("GLOBAL"), "{message}");
    let eval = Pickle::new().text("builtins").text("eval").code(b"\x93").text("1+1").code(b"\x85R");
    let message = attack(eval.end());
    assert!(message.contains("builtins.eval") && message.contains("STACK_GLOBAL"), "{message}");
    for (code, name) in [
        (&b"(S'x'\nios\nsystem\n"[..], "0x53"),
        (b"(ios\nsystem\n", "INST"),
        (b"(o", "OBJ"),
        (b")\x81", "NEWOBJ"),
        (b"}}}\x92", "NEWOBJ_EX"),
        (b"\x82\x01", "EXT"),
        (b"Pname\n", "PERSID"),
        (b"ccollections\nOrderedDict\n}b", "BUILD"),
        (b"ccollections\nOrderedDict\n)}b", "BUILD"),
        (b"R", "empty stack"),
        (b"ctorch\nFloatStorage\n)R", "REDUCE"),
        (b"NQ", "BINPERSID"),
        (b"\x97", "BUFFER"),
        (b"\x98", "BUFFER"),
        // A tuple made of what stands before a mark.
        (b"NN(\x86t", "empty stack"),
    ] {
        let message = attack(Pickle::new().code(code).end());
        assert!(message.contains(name), "{name}: {message}");
    }
    // An OrderedDict of something, and a name from the list called in another way.
    attack(Pickle::new().code(b"ccollections\nOrderedDict\n").text("x").code(b"\x85R").end());
    attack(Pickle::new().code(b"ctorch\nFloatStorage\n)R").end());
}

#[test]
fn nesting_without_end_costs_no_stack_and_a_dict_may_hold_itself() {
    let deep = Pickle::new().code(b")").code(&b"\x85".repeat(2_000_000)).end();
    let files = vec![("pytorch_model.bin".to_string(), archive(deep, &[]))];
    Checkpoint::open(files).expect_err("no dict");
    let own = Pickle::new().code(b"}q\0").text("a").code(b"h\0s").end();
    let files = vec![("pytorch_model.bin".to_string(), archive(own, &[]))];
    let message = Checkpoint::open(files).expect_err("no tensor").to_string();
    assert!(message.contains("tensor a"), "{message}");
}

#[test]
fn no_mutation_of_a_file_panics() {
    let small = tensors();
    let (pickle, storages) = state_dict(&small, Dtype::F32, false);
    let new = archive(pickle, &storages);
    let (pickle, storages) = state_dict(&small, Dtype::F32, true);
    let old = legacy(pickle, &storages, 4);
    let mut rng = Rng::new(17);
    let (mut sound, mut refused) = (0, 0);
    for number in 0..20_000 {
        let mut bytes = if number % 2 == 0 { new.clone() } else { old.clone() };
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(bytes.len());
            match rng.below(4) {
                0 => bytes.truncate(at.max(16)),
                1 => {
                    let from = rng.below(bytes.len());
                    let part = bytes[from..(from + 8).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => bytes[at] = rng.below(256) as u8,
            }
        }
        let opened = catch_unwind(|| {
            let checkpoint = Checkpoint::open(vec![("pytorch_model.bin".into(), bytes.clone())])?;
            for name in checkpoint.names() {
                let _ = checkpoint.stored(name).map(|bytes| bytes.len());
            }
            Ok::<_, whittle::Error>(())
        });
        match opened {
            Ok(Ok(())) => sound += 1,
            Ok(Err(_)) => refused += 1,
            Err(_) => panic!("try {number} panics: {bytes:?}"),
        }
    }
    println!("{sound} sound, {refused} refused");
    assert!(sound > 0 && refused > 0, "{sound} sound, {refused} refused");
}
