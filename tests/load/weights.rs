//! Checkpoints that are in order: values, names, shards, metadata, digest.

use std::collections::HashMap;

use safetensors::tensor::{Dtype as FileDtype, TensorView, serialize};
use whittle::bundle::sha256_hex;
use whittle::weights::{Checkpoint, Dtype, shards};

use super::corrupt::raw_file;

/// A file as the official crate writes it.
fn file(tensors: &[(&str, FileDtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.to_vec(), bytes).expect("sizes agree"))
    });
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    serialize(views, Some(metadata)).expect("serialisable")
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn u16_bytes(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn open_one(bytes: Vec<u8>) -> Checkpoint {
    Checkpoint::open(vec![("model.safetensors".into(), bytes)]).expect("a sound file")
}

#[test]
fn values_of_all_three_dtypes_come_out_exact() {
    // 1, -2, 65504 (largest f16), 2^-24 (smallest f16), +inf; then 1, -2, 2^127 * 1.5 in bf16.
    let half = [0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00];
    let brain = [0x3f80, 0xc000, 0x7f40];
    let checkpoint = open_one(file(&[
        ("single", FileDtype::F32, &[2, 1], f32_bytes(&[0.1, f32::MIN_POSITIVE])),
        ("half", FileDtype::F16, &[5], u16_bytes(&half)),
        ("brain", FileDtype::BF16, &[3, 1], u16_bytes(&brain)),
    ]));
    let single = checkpoint.tensor("single", &[2, 1]).expect("there");
    assert_eq!((single.dtype, single.to_f32()), (Dtype::F32, vec![0.1, f32::MIN_POSITIVE]));
    assert_eq!(single.halves(), None);
    let tensor = checkpoint.tensor("half", &[5]).expect("there");
    assert_eq!(tensor.to_f32(), [1.0, -2.0, 65504.0, 2.0f32.powi(-24), f32::INFINITY]);
    assert_eq!(tensor.halves().as_deref(), Some(&half.map(half::f16::from_bits)[..]));
    let tensor = checkpoint.tensor("brain", &[3, 1]).expect("there");
    assert_eq!((tensor.dtype, tensor.shape.as_slice()), (Dtype::BF16, [3, 1].as_slice()));
    assert_eq!(tensor.to_f32(), [1.0, -2.0, 1.5 * 2.0f32.powi(127)]);
    assert_eq!(tensor.halves(), None);
}

#[test]
fn tensors_at_odd_addresses_are_read() {
    let header = r#"{"pad":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
        "w":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},
        "h":{"dtype":"F16","shape":[2],"data_offsets":[9,13]}}"#;
    let mut data = vec![7];
    data.extend(f32_bytes(&[1.5, -3.25]));
    data.extend(u16_bytes(&[0x3c00, 0x4000]));
    let checkpoint = open_one(raw_file(header, &data));
    assert_eq!(checkpoint.tensor("w", &[2]).expect("there").to_f32(), [1.5, -3.25]);
    assert_eq!(checkpoint.tensor("h", &[2]).expect("there").to_f32(), [1.0, 2.0]);
}

#[test]
fn names_metadata_size_and_digest_describe_the_file() {
    let bytes = file(&[
        ("b", FileDtype::F32, &[1], f32_bytes(&[1.0])),
        ("a", FileDtype::F32, &[0, 4], vec![]),
    ]);
    let length = bytes.len() as u64;
    let checkpoint = open_one(bytes);
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b"]);
    assert!(checkpoint.has("a") && !checkpoint.has("c"));
    assert_eq!(checkpoint.shape("a"), Some([0, 4].as_slice()));
    assert_eq!(checkpoint.metadata().get("format").map(String::as_str), Some("pt"));
    assert_eq!(checkpoint.total_bytes(), length);
}

#[test]
fn the_digest_is_what_sha256sum_prints() {
    // python3: hashlib.sha256((2).to_bytes(8, "little") + b"{}").hexdigest()
    let checkpoint = open_one(raw_file("{}", &[]));
    assert_eq!(checkpoint.sha256().expect("readable"), SHA256_OF_EMPTY_MODEL);
    assert_eq!(
        checkpoint.sha256().expect("readable"),
        SHA256_OF_EMPTY_MODEL,
        "computed once, the same twice"
    );
}

#[test]
fn shards_are_joined_by_their_index_in_any_order() {
    let one = file(&[("x", FileDtype::F32, &[1], f32_bytes(&[1.0]))]);
    let two = file(&[("y", FileDtype::F32, &[1], f32_bytes(&[2.0]))]);
    let index = r#"{"metadata":{"total_size":8},"weight_map":{
        "x":"model-00001-of-00002.safetensors","y":"model-00002-of-00002.safetensors"}}"#;
    let named = |prefix: &str| {
        [
            ("model-00002-of-00002.safetensors", two.clone()),
            ("model.safetensors.index.json", index.as_bytes().to_vec()),
            ("config.json", b"{}".to_vec()),
            ("model-00001-of-00002.safetensors", one.clone()),
        ]
        .map(|(name, bytes)| (format!("{prefix}{name}"), bytes))
        .to_vec()
    };
    let checkpoint = Checkpoint::open(named("")).expect("sound shards");
    assert_eq!(checkpoint.tensor("x", &[1]).expect("there").to_f32(), [1.0]);
    assert_eq!(checkpoint.tensor("y", &[1]).expect("there").to_f32(), [2.0]);
    assert_eq!(checkpoint.total_bytes(), (one.len() + two.len()) as u64);
    let mut reversed = named("some/folder/");
    reversed.reverse();
    let again = Checkpoint::open(reversed).expect("sound shards");
    // The files one after the other, in the order of their names.
    assert_eq!(checkpoint.sha256().expect("readable"), sha256_hex(&[one, two].concat()));
    assert_eq!(checkpoint.sha256(), again.sha256());
}

const SHA256_OF_EMPTY_MODEL: &str =
    "411a485216e432ece6b9af94fa32154cf79a2a56d4f81266baa50063f45092bd";

#[test]
fn a_digest_of_several_pieces_is_what_sha256sum_prints() {
    // python3: data = bytes(i * i % 251 for i in range(5242880)), behind the header and its length.
    let header = r#"{"big":{"dtype":"U8","shape":[5242880],"data_offsets":[0,5242880]}}"#;
    let data: Vec<u8> = (0..5_242_880u64).map(|i| (i * i % 251) as u8).collect();
    let expected = "612eb95270d8e43315d89b1b97d94addacb3a5aee8df3d8a3657cf7a07ef03ff";
    let checkpoint = open_one(raw_file(header, &data));
    assert_eq!(checkpoint.sha256().expect("readable"), expected);

    let by_pieces = open_one(raw_file(header, &data));
    let mut shares = Vec::new();
    while let Some(share) = by_pieces.hash_on().expect("readable") {
        assert_eq!(by_pieces.known_sha256(), None, "{share} of the file is not all of it");
        shares.push(share);
    }
    assert!(shares.len() > 2 && shares.is_sorted() && shares.ends_with(&[1.0]), "{shares:?}");
    assert_eq!(by_pieces.known_sha256(), Some(expected));
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn a_mapped_file_is_the_file() {
    use std::fs;
    use whittle::weights::Bytes;

    let path = "tests/fixtures/models/llama-f16-legacy/model.safetensors";
    let mapped = Bytes::map(&fs::File::open(path).expect(path)).expect("a regular file");
    let held = open_one(fs::read(path).expect(path));
    let mapped = Checkpoint::open(vec![("model.safetensors".into(), mapped)]).expect("sound");
    assert_eq!(mapped.names().collect::<Vec<_>>(), held.names().collect::<Vec<_>>());
    for name in held.names() {
        let stored = held.stored(name).expect("held");
        assert_eq!(mapped.stored(name).expect("mapped"), stored, "{name}");
        mapped.release(name);
        assert_eq!(mapped.stored(name).expect("mapped"), stored, "{name}, let go and read again");
    }
    assert_eq!(mapped.sha256().expect("mapped"), held.sha256().expect("held"));
}

#[test]
fn the_first_value_that_is_not_finite_is_found_in_every_type() {
    // The largest number, infinity and not-a-number of each type; in f64 also what is too much for f32.
    let cases: [(FileDtype, &[&[u8]]); 4] = [
        (FileDtype::F16, &[&[0xff, 0x7b], &[0, 0x7c], &[1, 0xfe]]),
        (FileDtype::BF16, &[&[0x7f, 0x7f], &[0x80, 0xff], &[0xc0, 0x7f]]),
        (FileDtype::F32, &[&f32::MAX.to_le_bytes(), &[0, 0, 0x80, 0xff], &[0, 0, 0xc0, 0x7f]]),
        (
            FileDtype::F64,
            &[
                &f64::from(f32::MAX).to_le_bytes(),
                &1e39f64.to_le_bytes(),
                &f64::NAN.to_le_bytes(),
                &f64::NEG_INFINITY.to_le_bytes(),
            ],
        ),
    ];
    for (dtype, values) in cases {
        let [most, rest @ ..] = values else { panic!("none") };
        let first = |bytes: Vec<u8>| {
            let n = bytes.len() / most.len();
            let checkpoint = open_one(file(&[("w", dtype, &[n], bytes)]));
            checkpoint.tensor("w", &[n]).expect("listed").first_not_finite()
        };
        assert_eq!(first([*most, most, most].concat()), None, "{dtype}");
        for value in rest {
            assert_eq!(first([*most, most, value, most].concat()), Some(2), "{dtype} {value:?}");
            assert_eq!(first([*value, most, value].concat()), Some(0), "{dtype} {value:?}");
        }
        // Many are looked at together.
        for at in [4095, 4096, 9999] {
            let mut many = vec![*most; 10_000];
            many[at] = rest[0];
            assert_eq!(first(many.concat()), Some(at), "{dtype}");
        }
    }
}

#[test]
fn numbers_are_rounded_to_the_nearest_of_a_type_and_to_even_between_two() {
    // 2048 + 1 lies between two halves, 256 + 1 between two of bf16; 1.1 by numpy and torch.
    for (dtype, value, expected, bytes) in [
        (Dtype::F16, 2049.0, 2048.0, &[0x00, 0x68][..]),
        (Dtype::F16, 2051.0, 2052.0, &[0x02, 0x68]),
        (Dtype::F16, 1.1, 1.099_609_4, &[0x66, 0x3c]),
        (Dtype::BF16, 257.0, 256.0, &[0x80, 0x43]),
        (Dtype::BF16, 259.0, 260.0, &[0x82, 0x43]),
        (Dtype::BF16, 1.1, 1.101_562_5, &[0x8d, 0x3f]),
        (Dtype::F32, 1.1, 1.1, &[0xcd, 0xcc, 0x8c, 0x3f]),
        (Dtype::F64, 1.5, 1.5, &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f]),
    ] {
        assert_eq!((dtype.round(value), &dtype.encode(&[value])[..]), (expected, bytes), "{dtype}");
        assert_eq!(dtype.bytes(), bytes.len(), "{dtype}");
    }
    assert_eq!([Dtype::F64, Dtype::BF16].map(|dtype| dtype.to_string()), ["F64", "BF16"]);
}

#[test]
fn a_tensor_is_described_by_its_file_and_its_type() {
    let checkpoint = open_one(file(&[
        ("ids", FileDtype::I64, &[2], vec![7; 16]),
        ("half", FileDtype::F16, &[1, 2], u16_bytes(&[0x3c00, 0])),
        ("w", FileDtype::F32, &[1], f32_bytes(&[1.0])),
    ]));
    assert_eq!(checkpoint.described("ids"), Some((FileDtype::I64, &[2][..], 16)));
    assert_eq!(checkpoint.described("nothing"), None);
    assert_eq!(checkpoint.stored("ids").expect("held"), vec![7; 16]);
    assert!(checkpoint.stored("nothing").expect("held").is_empty());
    assert!(checkpoint.is_f16("half") && !checkpoint.is_f16("w") && !checkpoint.is_f16("ids"));
    assert_eq!(checkpoint.dtype("w"), Some(Dtype::F32));
    assert_eq!(checkpoint.dtype("ids"), None);
    assert_eq!(checkpoint.file_of("w"), "model.safetensors");
    assert_eq!(checkpoint.shape("nothing"), None);
    assert_eq!(format!("{checkpoint:?}"), "Checkpoint(3 tensors in model.safetensors)");
}

#[test]
fn an_embedding_and_a_head_are_one_where_they_are_the_same() {
    let values = [1.0, 2.0, 3.0, 4.0];
    let tied = |tensors: &[(&str, &[usize], &[f32])]| {
        let tensors: Vec<_> = tensors
            .iter()
            .map(|(name, shape, values)| (*name, FileDtype::F32, *shape, f32_bytes(values)))
            .collect();
        let mut checkpoint = open_one(file(&tensors));
        checkpoint.tie("embed", "head").expect("held");
        let of =
            |name: &str| (name.to_string(), checkpoint.tensor(name, &[2, 2]).map(|t| t.to_f32()));
        checkpoint.names().map(of).collect::<Vec<_>>()
    };
    let one = vec![("embed".to_string(), Ok(values.to_vec()))];
    assert_eq!(tied(&[("embed", &[2, 2], &values)]), one);
    assert_eq!(tied(&[("head", &[2, 2], &values)]), one);
    assert_eq!(tied(&[("embed", &[2, 2], &values), ("head", &[2, 2], &values)]), one);
    let other = [1.0, 2.0, 3.0, 5.0];
    let both = tied(&[("embed", &[2, 2], &values), ("head", &[2, 2], &other)]);
    assert_eq!(both[1], ("head".to_string(), Ok(other.to_vec())));
    // The same bytes in another shape are another matrix.
    assert_eq!(tied(&[("embed", &[2, 2], &values), ("head", &[4, 1], &values)]).len(), 2);
}

#[test]
fn an_index_names_files_beside_it() {
    let index = |file: &str| serde_json::json!({"weight_map": {"x": file, "y": "b"}}).to_string();
    let named = |file: &str| shards("some index", index(file).as_bytes());
    let found: Vec<String> = named("a").expect("two files").into_iter().collect();
    assert_eq!(found, ["a", "b"]);
    for file in ["../a", "x/a", "x\\a"] {
        let message = named(file).expect_err(file).to_string();
        assert!(message.contains("some index") && message.contains("beside it"), "{message}");
    }
}

#[test]
fn of_several_files_the_one_named_model_is_taken_and_an_index_only_without_it() {
    let holding = |name: &str| file(&[(name, FileDtype::F32, &[1], f32_bytes(&[1.0]))]);
    let index = br#"{"weight_map":{"other":"other.safetensors"}}"#.to_vec();
    let names = |files: &[(&str, Vec<u8>)]| {
        let files = files.iter().map(|(name, bytes)| (name.to_string(), bytes.clone())).collect();
        Checkpoint::open(files).map(|c| c.names().map(str::to_string).collect::<Vec<_>>())
    };
    let (model, other) =
        (("model.safetensors", holding("x")), ("other.safetensors", holding("other")));
    let index = ("model.safetensors.index.json", index);
    assert_eq!(names(&[model.clone(), other.clone()]), Ok(vec!["x".into()]));
    assert_eq!(names(&[model, other.clone(), index.clone()]), Ok(vec!["x".into()]));
    assert_eq!(names(&[other.clone(), index]), Ok(vec!["other".into()]));
    assert_eq!(names(&[("a/b\\other.safetensors", other.1)]), Ok(vec!["other".into()]));
    let page = ("readme.md", b"<html>".to_vec());
    let message = names(&[page, ("config.json", b"<html>".to_vec())]).unwrap_err().to_string();
    assert!(message.contains("readme.md") && message.contains("HTML"), "{message}");
}
