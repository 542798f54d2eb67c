//! Checkpoints that are not in order: always an error, never a panic, always the culprit's name.

use whittle::error::Error;
use whittle::weights::Checkpoint;

const NAME: &str = "model.safetensors";

/// A safetensors file from a header written by hand.
pub fn raw_file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn open(bytes: Vec<u8>) -> Result<Checkpoint, Error> {
    Checkpoint::open(vec![(NAME.into(), bytes)])
}

fn sound() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"I64","shape":[1],"data_offsets":[24,32]}}"#;
    raw_file(header, &[0; 32])
}

/// The message of a refusal, which must hold all of `words`.
fn refused(result: Result<Checkpoint, Error>, words: &[&str]) {
    let message = match result {
        Ok(checkpoint) => panic!("accepted {checkpoint:?}; expected a message with {words:?}"),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(message.contains(word), "{message:?} does not name {word:?}");
    }
}

#[test]
fn every_truncation_of_a_sound_file_is_refused_by_the_files_name() {
    let sound = sound();
    assert!(open(sound.clone()).is_ok());
    for length in 0..sound.len() {
        refused(open(sound[..length].to_vec()), &[NAME]);
    }
}

#[test]
fn a_header_longer_than_the_file_is_refused() {
    for length in [33, 1 << 20, 1 << 40, u64::MAX - 7, u64::MAX] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend([b' '; 32]);
        refused(open(bytes), &[NAME, &length.to_string(), "32 follow"]);
    }
}

#[test]
fn bad_header_entries_name_the_tensor() {
    let entry = |entry: &str| raw_file(&format!(r#"{{"w":{entry}}}"#), &[0; 24]);
    let cases = [
        (r#"{"dtype":"F32","shape":[2,3],"data_offsets":[0,28]}"#, "28"),
        (r#"{"dtype":"F32","shape":[2,3],"data_offsets":[24,0]}"#, "24..0"),
        (r#"{"dtype":"F32","shape":[2,4],"data_offsets":[0,24]}"#, "[2, 4]"),
        (r#"{"dtype":"F16","shape":[2,3],"data_offsets":[0,24]}"#, "F16"),
        (r#"{"dtype":"F32","shape":[2,3],"data_offsets":[0,18446744073709551615]}"#, "w"),
        (r#"{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,24]}"#, "shape"),
        (r#"{"dtype":"Q4_0","shape":[2,3],"data_offsets":[0,24]}"#, "Q4_0"),
        (r#"{"dtype":"F32","shape":[-2,3],"data_offsets":[0,24]}"#, "-2"),
        (r#"{"dtype":"F32","shape":[2,3],"data_offsets":[4,28]}"#, "28"),
        (r#"{"dtype":"F32","shape":[5],"data_offsets":[4,24]}"#, "gap"),
        (r#"{"dtype":"F32","shape":[2,3]}"#, "data_offsets"),
        ("7", "header entry"),
    ];
    for (json, word) in cases {
        refused(open(entry(json)), &[NAME, "tensor w", word]);
    }
}

#[test]
fn overlapping_tensors_are_refused() {
    let header = r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},
        "b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}"#;
    refused(open(raw_file(header, &[0; 24])), &[NAME, "tensor b", "overlaps"]);
}

#[test]
fn bytes_behind_the_last_tensor_are_refused() {
    let mut bytes = sound();
    bytes.push(0);
    refused(open(bytes), &[NAME, "33 bytes", "32"]);
}

#[test]
fn headers_that_are_not_a_json_object_are_refused() {
    for header in ["", "[]", "{", "null", "{\"__metadata__\":{\"a\":1}}", "\u{1}"] {
        refused(open(raw_file(header, &[])), &[NAME]);
    }
    let mut not_utf8 = raw_file("{\"__\":1}", &[]);
    not_utf8[10] = 0xff;
    refused(open(not_utf8), &[NAME]);
    refused(open(raw_file(&"[".repeat(100_000), &[])), &[NAME]);
}

#[test]
fn a_wrong_shape_a_missing_tensor_and_a_foreign_dtype_name_file_tensor_and_both_sides() {
    let checkpoint = open(sound()).expect("sound");
    let message = |name: &str, shape: &[usize]| {
        checkpoint.tensor(name, shape).expect_err("refused").to_string()
    };
    let wrong_shape = message("w", &[3, 2]);
    let missing = message("lm_head.weight", &[3, 2]);
    let foreign = message("b", &[1]);
    let cases = [
        (wrong_shape, vec![NAME, "tensor w", "[2, 3]", "[3, 2]"]),
        (missing, vec![NAME, "lm_head.weight", "missing", "[3, 2]"]),
        (foreign, vec![NAME, "tensor b", "I64", "F32, F16 and BF16"]),
    ];
    for (message, words) in cases {
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn files_that_are_something_else_say_what_they_are() {
    let cases: [(&[u8], &str); 6] = [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git-lfs"),
        (b"\n<!doctype html><title>404</title>", "HTML"),
        (b"PK\x03\x04 and more", "torch.save"),
        (b"\x80\x02\x8a\nl\xfc\x9c and more", "torch.save"),
        (b"GGUF\x03\0\0\0 and more", "GGUF"),
        (b"", "empty"),
    ];
    for (bytes, word) in cases {
        refused(open(bytes.to_vec()), &[NAME, word]);
        let index = ("model.safetensors.index.json".to_string(), bytes.to_vec());
        refused(Checkpoint::open(vec![index]), &["model.safetensors.index.json", word]);
    }
    let pickle = ("pytorch_model.bin".to_string(), b"PK\x03\x04".to_vec());
    refused(Checkpoint::open(vec![pickle]), &["pytorch_model.bin", "zip archive", "cut off"]);
}

#[test]
fn missing_files_are_named() {
    let index = |text: &str| ("model.safetensors.index.json".to_string(), text.as_bytes().to_vec());
    let shard = |name: &str| (name.to_string(), sound());
    let both = r#"{"weight_map":{"w":"one.safetensors","v":"two.safetensors"}}"#;
    refused(Checkpoint::open(Vec::<(String, Vec<u8>)>::new()), &[NAME, "no file"]);
    refused(Checkpoint::open(vec![shard("config.json")]), &[NAME, "missing", "config.json"]);
    refused(
        Checkpoint::open(vec![index(both), shard("one.safetensors")]),
        &["two.safetensors", "missing", "index.json"],
    );
    refused(
        Checkpoint::open(vec![index(both), shard("one.safetensors"), shard("two.safetensors")]),
        &["two.safetensors", "tensor v", "index.json"],
    );
    refused(
        Checkpoint::open(vec![shard("one.safetensors"), shard("two.safetensors")]),
        &["model.safetensors.index.json", "missing"],
    );
    for text in ["{}", "[]", "{\"weight_map\":{}}", "{\"weight_map\":{\"w\":3}}", "nonsense"] {
        refused(
            Checkpoint::open(vec![index(text), shard("one.safetensors")]),
            &["model.safetensors.index.json"],
        );
    }
}

/// xorshift64*, so that a failing case can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

#[test]
fn flipped_bytes_never_panic_and_what_opens_stays_in_bounds() {
    let mut random = Random(20_250_607);
    let sound = sound();
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = sound.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            // Half the time a digit: it reaches offsets and shapes past the JSON parser.
            let digit = b'0' + random.below(10) as u8;
            bytes[at] = if random.below(2) == 0 { digit } else { random.below(256) as u8 };
        }
        match open(bytes) {
            Err(_) => refused += 1,
            Ok(checkpoint) => {
                opened += 1;
                for name in checkpoint.names() {
                    let shape = checkpoint.shape(name).expect("listed").to_vec();
                    if let Ok(tensor) = checkpoint.tensor(name, &shape) {
                        assert_eq!(tensor.to_f32().len(), shape.iter().product::<usize>());
                    }
                }
            }
        }
    }
    assert!(opened > 100 && refused > 100, "{opened} opened, {refused} refused");
}
