//! Checkpoints that are in order: values, names, shards, metadata, digest.

use std::collections::HashMap;

use safetensors::tensor::{Dtype as FileDtype, TensorView, serialize};
use whittle::weights::{Checkpoint, Dtype};

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
    assert_eq!(checkpoint.sha256(), again.sha256());
}

const SHA256_OF_EMPTY_MODEL: &str =
    "411a485216e432ece6b9af94fa32154cf79a2a56d4f81266baa50063f45092bd";
