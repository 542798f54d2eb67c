//! Files of `torch.save`: those that torch itself wrote, zip64, and what is refused.

use serde_json::Value;
use std::fs;
use whittle::weights::{Checkpoint, Dtype};

use super::pickle::{Pickle, archive, legacy, values, zip};

fn open(bytes: Vec<u8>) -> Result<Checkpoint, String> {
    Checkpoint::open(vec![("pytorch_model.bin".into(), bytes)]).map_err(|e| e.to_string())
}

fn refused(bytes: Vec<u8>, part: &str) {
    let message = open(bytes).expect_err(part);
    assert!(message.contains(part), "{part}: {message}");
}

/// The numbers of a tensor of any type.
fn numbers(checkpoint: &Checkpoint, name: &str, shape: &[usize]) -> Vec<f64> {
    if checkpoint.dtype(name).is_some() {
        let values = checkpoint.tensor(name, shape).expect("listed").to_f32();
        return values.into_iter().map(f64::from).collect();
    }
    let (dtype, ..) = checkpoint.described(name).expect("listed");
    let bytes = checkpoint.stored(name).expect("readable");
    let width = dtype.bitsize() / 8;
    let number = |word: &[u8]| {
        let mut wide = [if word[width - 1] > 127 && width > 1 { 0xff } else { 0 }; 8];
        wide[..width].copy_from_slice(word);
        match dtype.to_string().as_str() {
            "I8" => f64::from(word[0].cast_signed()),
            _ => i64::from_le_bytes(wide) as f64,
        }
    };
    bytes.chunks(width).map(number).collect()
}

#[test]
fn files_that_torch_wrote_hold_what_torch_says() {
    let file = |name: &str| fs::read(format!("tests/fixtures/torch/{name}")).expect(name);
    let expected: Value = serde_json::from_slice(&file("expected.json")).expect("JSON");
    let expected = expected["tensors"].as_object().expect("a map");
    for name in ["zip.bin", "zip-protocol4.bin", "older.bin"] {
        let checkpoint = open(file(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(checkpoint.total_bytes(), file(name).len() as u64);
        let mut names: Vec<&str> = expected.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), names);
        for (tensor, expected) in expected {
            let list = |key: &str| expected[key].as_array().expect("a list").iter();
            let shape: Vec<usize> = list("shape").map(|n| n.as_u64().unwrap() as usize).collect();
            assert_eq!(checkpoint.shape(tensor), Some(&shape[..]), "{name}: {tensor}");
            // A double is rounded to f32.
            let wanted: Vec<f64> = list("values").map(|x| x.as_f64().unwrap()).collect();
            let wanted: Vec<f64> = match checkpoint.dtype(tensor) {
                Some(_) => wanted.into_iter().map(|x| f64::from(x as f32)).collect(),
                None => wanted,
            };
            assert_eq!(numbers(&checkpoint, tensor, &shape), wanted, "{name}: {tensor}");
        }
        let types = ["single", "double", "half", "brain", "yes"].map(|t| checkpoint.dtype(t));
        let [f32, f64, f16, bf16] =
            [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::BF16].map(Option::Some);
        assert_eq!(types, [f32, f64, f16, bf16, None]);
        assert!(checkpoint.is_f16("half") && !checkpoint.is_f16("brain"));
    }
}

/// A state dict with the tensor w of two numbers.
fn two_numbers(is_legacy: bool) -> Pickle {
    let view = (0, &[2][..], &[1][..]);
    Pickle::new().code(b"}").text("w").tensor("FloatStorage", "0", view, 2, is_legacy).code(b"s")
}

fn stored() -> Vec<(String, Vec<u8>)> {
    vec![("0".to_string(), Dtype::F32.encode(&[0.5, -2.0]))]
}

/// The same archive with sizes and places of its files in the wide fields of zip64; `is_wide` says whether the count of
/// files and the place of their list are there too, and only there.
fn zip64(files: &[(String, Vec<u8>)], is_wide: [bool; 2], comment: &[u8]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let (offset, size) = (out.len() as u64, bytes.len() as u64);
        let length = (name.len() as u16).to_le_bytes();
        let common = [&[0u8; 8][..], &[0; 4], &[0xff; 8], &length].concat();
        // 3 bytes of padding behind the name, as torch aligns its storages.
        out.extend(
            [b"PK\x03\x04\x2d\x00", &common[..], &[3, 0], name.as_bytes(), &[0; 3]].concat(),
        );
        out.extend(bytes);
        let other = [&7u16.to_le_bytes()[..], &2u16.to_le_bytes(), b"??"].concat();
        let wide = [size, size, offset].map(u64::to_le_bytes).concat();
        let extra = [&other[..], &1u16.to_le_bytes(), &24u16.to_le_bytes(), &wide].concat();
        let lengths = [&(extra.len() as u16).to_le_bytes()[..], &4u16.to_le_bytes()].concat();
        let tail = [&lengths[..], &[0; 8], &[0xff; 4]].concat();
        let head = b"PK\x01\x02\x2d\x00\x2d\x00";
        list.extend([head, &common[..], &tail, name.as_bytes(), &extra, b"note"].concat());
    }
    let (at, size, count) = (out.len() as u64, list.len() as u64, files.len() as u64);
    let end = [count, count, size, at].map(u64::to_le_bytes).concat();
    let wide = [b"PK\x06\x06", &44u64.to_le_bytes()[..], &[0; 12], &end].concat();
    let locator =
        [b"PK\x06\x07\0\0\0\0", &(at + size).to_le_bytes()[..], &1u32.to_le_bytes()].concat();
    let length = (comment.len() as u16).to_le_bytes();
    let narrow = [&(count as u16).to_le_bytes()[..], &(at as u32).to_le_bytes()];
    let of = |part: usize| {
        if is_wide[part] { vec![0xff; narrow[part].len()] } else { narrow[part].to_vec() }
    };
    let ends = [of(0), of(0), (size as u32).to_le_bytes().to_vec(), of(1)].concat();
    let last = [b"PK\x05\x06\0\0\0\0", &ends[..], &length, comment].concat();
    [out, list, wide, locator, last].concat()
}

#[test]
fn the_wide_fields_of_zip64_and_a_comment_are_read() {
    let files = [
        vec![("a/data.pkl".to_string(), two_numbers(false).end())],
        stored().into_iter().map(|(key, bytes)| (format!("a/data/{key}"), bytes)).collect(),
    ]
    .concat();
    for (is_wide, comment) in
        [([true, true], &b""[..]), ([false, true], b"seven"), ([true, false], &[b'c'; 65_535])]
    {
        let bytes = zip64(&files, is_wide, comment);
        let found = values(vec![("pytorch_model.bin", bytes.clone())]);
        assert_eq!(found["w"], (vec![2], vec![0.5, -2.0]));
        // The locator is none, or points at what is no end record.
        let at = bytes.len() - comment.len() - 22 - 20;
        for at in [at, at + 8] {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            refused(wrong, "cut off or wrong");
        }
    }
    let mut narrow = zip(&files);
    narrow.extend(b"tail");
    assert_eq!(values(vec![("pytorch_model.bin", narrow)])["w"].1, [0.5, -2.0]);
}

#[test]
fn archives_that_no_torch_wrote_are_refused_with_what_is_wrong() {
    let sound = archive(two_numbers(false).end(), &stored());
    assert_eq!(values(vec![("pytorch_model.bin", sound.clone())])["w"].1, [0.5, -2.0]);
    let place = |mark: &[u8]| sound.windows(4).position(|word| word == mark).expect("there");
    let changed = |at: usize, byte: u8| {
        let mut bytes = sound.clone();
        bytes[at] = byte;
        bytes
    };
    let list = place(b"PK\x01\x02");
    refused(changed(list + 10, 8), "compressed");
    // Packed to another size than it has; longer than the file; a place with no entry; a list of something else.
    for at in [20, 26, 42] {
        refused(changed(list + at, 0xfe), "cut off or wrong");
    }
    refused(changed(list, b'Q'), "cut off or wrong");
    let end = place(b"PK\x05\x06");
    refused(changed(end + 10, 77), "cut off or wrong");
    refused(sound[..sound.len() - 1].to_vec(), "cut off or wrong");
    let named = |name: &str, bytes: &[u8]| (name.to_string(), bytes.to_vec());
    let pickle = two_numbers(false).end();
    let data = Dtype::F32.encode(&[0.5, -2.0]);
    refused(zip(&[named("a/other.pkl", &pickle)]), "without data.pkl");
    let order = |order: &[u8]| {
        zip(&[named("a/data.pkl", &pickle), named("a/byteorder", order), named("a/data/0", &data)])
    };
    refused(order(b"big"), "another byte order");
    assert!(open(order(b"little")).is_ok());
    refused(zip(&[named("a/data.pkl", &pickle), named("b/data/0", &data)]), "not in the file");
    refused(zip(&[named("a/data.pkl", &pickle), named("a/data/0", &data[..7])]), "7 bytes");
}

#[test]
fn a_state_dict_is_a_dict_of_named_tensors() {
    let one = |pickle: Pickle| archive(pickle.end(), &stored());
    refused(b"something else".to_vec(), "no file of torch.save");
    refused(one(Pickle::new().code(b"]")), "no dict");
    refused(one(Pickle::new().code(b"}K\x01Ns")), "name is no text");
    refused(one(Pickle::new().code(b"}").text("w").code(b"K\x01s")), "tensor w: is no tensor");
}

#[test]
fn the_older_form_says_its_byte_order_and_lists_its_storages() {
    let sound = legacy(two_numbers(true).end(), &stored(), 4);
    assert_eq!(values(vec![("pytorch_model.bin", sound.clone())])["w"].1, [0.5, -2.0]);
    let at = sound.windows(2).position(|two| two == b"\x88s").expect("little-endian is true");
    let mut other = sound.clone();
    other[at] = 0x89;
    refused(other, "another byte order");
    // One byte of the last number is missing, or all of them, or the length.
    for less in [1, 8, 9, 16] {
        refused(sound[..sound.len() - less].to_vec(), "ends before its numbers do");
    }
    let mut shorter = sound.clone();
    let at = shorter.len() - 16;
    shorter[at] = 1;
    refused(shorter, "needs 2 numbers, but 4 bytes");
    let mut longer = sound.clone();
    longer[at] = 3;
    refused(longer, "ends before its numbers do");
    let mut endless = sound;
    endless[at..at + 8].fill(0xff);
    refused(endless, "ends before its numbers do");
}

/// The bytes with one part, which is there once, replaced.
fn replaced(bytes: &[u8], part: &[u8], by: &[u8]) -> Vec<u8> {
    let at = bytes.windows(part.len()).position(|window| window == part).expect("there");
    [&bytes[..at], by, &bytes[at + part.len()..]].concat()
}

#[test]
fn a_size_may_be_written_in_any_of_the_ways_of_a_whole_number() {
    let pickle = two_numbers(false).end();
    let shape = |number: &[u8]| {
        let number = [b"(", number, b"t"].concat();
        archive(replaced(&pickle, b"(J\x02\0\0\0t", &number), &stored())
    };
    let long = |length: usize| {
        let mut bytes = vec![0; length + 2];
        (bytes[0], bytes[1], bytes[2]) = (0x8a, length as u8, 2);
        bytes
    };
    for number in [&b"K\x02"[..], b"M\x02\0", b"J\x02\0\0\0", &long(1), &long(2), &long(8)] {
        assert_eq!(
            values(vec![("pytorch_model.bin", shape(number))])["w"].1,
            [0.5, -2.0],
            "{number:?}"
        );
    }
    assert_eq!(values(vec![("pytorch_model.bin", shape(b"\x8a\0"))])["w"].0, [0]);
    for number in [&b"M\x02\x01"[..], b"\x8a\x02\x02\x01", b"J\x02\x01\0\0"] {
        refused(shape(number), "shape [258]");
    }
    // Below 0, of more than eight bytes, with a fraction.
    for number in [
        &b"\x8a\x01\xfe"[..],
        b"\x8a\x02\xfe\xff",
        b"J\xfe\xff\xff\xff",
        &long(9),
        b"G\x40\0\0\0\0\0\0\0",
    ] {
        refused(shape(number), "arguments that do not fit");
    }
}

#[test]
fn a_storage_is_called_one_and_has_no_view_of_its_own() {
    let pickle = two_numbers(true).end();
    for (part, by) in [(&b"NtQ"[..], &b"\x88tQ"[..]), (b"storage", b"STORAGE")] {
        refused(legacy(replaced(&pickle, part, by), &stored(), 4), "no storage of numbers");
    }
}
