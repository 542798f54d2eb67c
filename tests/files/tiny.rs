//! A tiny Llama made in the test: configuration, byte-level tokenizer, seeded weights, and folders of them.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use whittle::Rng;
use whittle::weights::Dtype;

/// Name -> type, shape and little-endian bytes.
pub type Tensors = BTreeMap<String, (&'static str, Vec<usize>, Vec<u8>)>;

/// One id for each byte, and `<|end|>` with id 256.
const VOCAB: usize = 257;
const WIDTH: usize = 16;
const INNER: usize = 24;

/// Files of one model, to be changed before they are written or opened.
pub struct Tiny {
    pub config: Value,
    pub tokenizer: Value,
    pub tensors: Tensors,
    /// Any others.
    pub files: Vec<(String, Vec<u8>)>,
}

pub fn tiny(seed: u64) -> Tiny {
    let mut rng = Rng::new(seed);
    let mut tensors = Tensors::new();
    let mut put = |name: String, rows: usize, cols: usize| {
        let scale = 0.8 / (cols as f32).sqrt();
        let values: Vec<f32> = (0..rows * cols).map(|_| rng.normal() * scale).collect();
        tensors.insert(name, ("F32", vec![rows, cols], Dtype::F32.encode(&values)));
    };
    put("model.embed_tokens.weight".into(), VOCAB, WIDTH);
    for layer in 0..2 {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        for part in ["q_proj", "o_proj"] {
            put(name(&format!("self_attn.{part}")), WIDTH, WIDTH);
        }
        for part in ["k_proj", "v_proj"] {
            put(name(&format!("self_attn.{part}")), WIDTH / 2, WIDTH);
        }
        put(name("mlp.gate_proj"), INNER, WIDTH);
        put(name("mlp.up_proj"), INNER, WIDTH);
        put(name("mlp.down_proj"), WIDTH, INNER);
    }
    let norms = (0..2).flat_map(|layer| {
        ["input_layernorm", "post_attention_layernorm"]
            .map(|part| format!("model.layers.{layer}.{part}.weight"))
    });
    for name in norms.chain(["model.norm.weight".to_string()]) {
        tensors.insert(name, ("F32", vec![WIDTH], Dtype::F32.encode(&[1.0; WIDTH])));
    }
    let config = json!({
        "model_type": "llama", "vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "tie_word_embeddings": true, "bos_token_id": 256, "eos_token_id": 256
    });
    Tiny { config, tokenizer: tokenizer(), tensors, files: Vec::new() }
}

/// Byte-level BPE without merges.
pub fn tokenizer() -> Value {
    let mut stand_ins = '\u{100}'..;
    let byte = |b: u8| match b {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(b),
        _ => stand_ins.next().expect("more characters than bytes"),
    };
    let vocab: BTreeMap<String, usize> =
        (0..=255).map(byte).enumerate().map(|(id, c)| (c.to_string(), id)).collect();
    json!({
        "added_tokens": [{"id": 256, "content": "<|end|>", "normalized": false, "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
        "post_processor": null,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": []}
    })
}

/// A safetensors file of these tensors.
pub fn safetensors(tensors: &Tensors) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, (dtype, shape, bytes)) in tensors {
        let range = [data.len(), data.len() + bytes.len()];
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": range}));
        data.extend_from_slice(bytes);
    }
    let header = Value::Object(header).to_string().into_bytes();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

impl Tiny {
    /// All floats in another type.
    pub fn stored_as(mut self, dtype: Dtype) -> Self {
        for (name, _, bytes) in self.tensors.values_mut().map(|(n, s, b)| (n, s, b)) {
            if *name == "F32" {
                let (words, _) = bytes.as_chunks();
                let values: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
                *name = ["F64", "F32", "F16", "BF16"][dtype as usize];
                *bytes = dtype.encode(&values);
            }
        }
        self
    }

    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![
            ("config.json".to_string(), self.config.to_string().into_bytes()),
            ("tokenizer.json".to_string(), self.tokenizer.to_string().into_bytes()),
            ("model.safetensors".to_string(), safetensors(&self.tensors)),
        ];
        files.extend(self.files.iter().cloned());
        files
    }

    /// A folder of this test's own.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = fresh(name);
        std::fs::create_dir_all(&folder).expect("a folder below target");
        for (file, bytes) in self.files() {
            std::fs::write(folder.join(file), bytes).expect("room for a small file");
        }
        folder
    }

    /// One value of a tensor.
    pub fn put(&mut self, name: &str, at: usize, value: f32) {
        let (dtype, _, bytes) = self.tensors.get_mut(name).expect("a tensor of the model");
        assert_eq!(*dtype, "F32");
        bytes[4 * at..4 * at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

/// The path of a folder that is not there.
pub fn fresh(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("files").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.parent().expect("below target")).expect("a folder below target");
    folder
}

pub fn whittle(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_whittle");
    Command::new(program).args(arguments).output().expect("the program starts")
}

/// What a program wrote: standard output and standard error.
pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Ends with code 2 and one line that holds all of these.
pub fn refused(arguments: &[&str], parts: &[&str]) {
    let output = whittle(arguments);
    let (_, text) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    parts.iter().for_each(|part| assert!(text.contains(part), "{arguments:?}: {text}, not {part}"));
}

/// Standard output as JSON, and standard error.
pub fn json_of(arguments: &[&str]) -> (Value, String) {
    let output = whittle(arguments);
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{arguments:?}: {err}");
    (serde_json::from_str(&out).expect("JSON on standard output"), err)
}
