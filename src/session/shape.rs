//! Shape mode: seeded random weights in the exact shape of a config.json, so that speed and memory of any size can be
//! tried without its weights. Quality figures of such a model say nothing.
//!
//! Values: matrices uniform with variance 1 / inputs, the embedding with deviation 0.02; norms 1; biases 0; A_log, D and
//! the bias of dt as Mamba's authors start their training (arXiv 2312.00752, section 3.6; arXiv 2405.21060, section
//! 9.5), so that nothing grows or dies out. A value depends on the seed, the tensor's name and its place alone.
//! The tokenizer is made too: one token a byte, whatever the vocabulary.

use super::bundle::sha256_hex;
use crate::config::ModelConfig;
use crate::models::{Role, TensorShape, tensors};
use crate::weights::{Bytes, Dtype};
use crate::{Error, Result, Rng};
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde_json::{Value, json};

/// Before the name of a shape where a model is asked for.
pub const PREFIX: &str = "shape:";
/// Key of the weights' metadata that marks them.
pub const MARK: &str = "whittle.shape";

/// Published configurations, fields as their files have them.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("mamba-130m", include_str!("shapes/mamba-130m.json")),
    ("mamba2-130m", include_str!("shapes/mamba2-130m.json")),
    ("pythia-160m", include_str!("shapes/pythia-160m.json")),
    ("SmolLM2-135M", include_str!("shapes/SmolLM2-135M.json")),
];

/// Most bytes that are made.
const MAX_BYTES: u64 = if cfg!(target_arch = "wasm32") { 1 << 30 } else { 16 << 30 };

/// What is behind `shape:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// A built-in name, or a path to a config.json.
    pub name: String,
    /// Of the random weights; 0 where none is given.
    pub seed: u64,
    /// Nothing: as the configuration says.
    pub dtype: Option<Dtype>,
}

impl Shape {
    /// Reads `NAME[,seed=N][,f16|f32]` behind `shape:`; nothing where the text does not begin so.
    ///
    /// Errors: an unknown option.
    pub fn parse(text: &str) -> Option<Result<Shape>> {
        let mut parts = text.strip_prefix(PREFIX)?.split(',');
        let name = parts.next().unwrap_or_default().to_string();
        let mut shape = Shape { name, seed: 0, dtype: None };
        for part in parts {
            let seed = part.strip_prefix("seed=").and_then(|n| n.parse().ok());
            match (part, seed) {
                (_, Some(seed)) => shape.seed = seed,
                ("f16", _) => shape.dtype = Some(Dtype::F16),
                ("f32", _) => shape.dtype = Some(Dtype::F32),
                _ => return Some(Err(Error::input("shape", part, "f16, f32 or seed=N"))),
            }
        }
        Some(Ok(shape))
    }

    /// The configuration of a built-in shape.
    pub fn built_in(&self) -> Option<&'static [u8]> {
        let found = BUILT_IN.iter().find(|(name, _)| *name == self.name);
        found.map(|(_, json)| json.as_bytes())
    }

    /// config.json, tokenizer.json, model.safetensors and card.md of this shape.
    ///
    /// Errors: a configuration that cannot be read, one too large, or with fewer than 256 tokens.
    pub fn files(&self, config_json: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
        let config = ModelConfig::parse(config_json)?;
        if config.vocab_size() < 256 {
            let found = config.vocab_size();
            return Err(Error::config("vocab_size", found, "at least 256, a token for every byte"));
        }
        let dtype = self.dtype.unwrap_or_else(|| stored_dtype(config_json));
        let list = tensors(&config);
        let elements: u64 = list.iter().map(TensorShape::elements).sum();
        let bytes = elements * dtype.bytes() as u64;
        if bytes > MAX_BYTES {
            let found = format!("{} MB of random weights", bytes / 1_000_000);
            let expected = format!("at most {} MB here", MAX_BYTES / 1_000_000);
            return Err(Error::input("shape", found, expected));
        }
        let card = format!(
            "# Random weights\n\n{elements} seeded random weights (seed {}, {dtype}) in the shape of {}. \
             Made for trying speed and memory: what such a model writes, and every figure of its quality, says nothing.\n",
            self.seed, self.name
        );
        let files = [
            ("config.json", config_json.to_vec()),
            ("tokenizer.json", byte_tokenizer()),
            ("model.safetensors", self.weights(&list, dtype)),
            ("card.md", card.into_bytes()),
        ];
        Ok(files.map(|(name, bytes)| (name.to_string(), bytes)).into())
    }

    /// How people are told what this is.
    pub fn label(&self) -> String {
        format!("Random weights in the shape of {} (seed {})", self.name, self.seed)
    }

    /// A safetensors file: eight bytes of length, the header, the values.
    fn weights(&self, list: &[TensorShape], dtype: Dtype) -> Vec<u8> {
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".into(), json!({"format": "pt", MARK: self.label()}));
        let mut end = 0;
        for tensor in list {
            let start = end;
            end += tensor.elements() as usize * dtype.bytes();
            let entry = json!({"dtype": dtype.to_string(), "shape": tensor.shape, "data_offsets": [start, end]});
            header.insert(tensor.name.clone(), entry);
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut file = Vec::with_capacity(8 + header.len() + end);
        file.extend((header.len() as u64).to_le_bytes());
        file.append(&mut header);
        list.iter().for_each(|tensor| self.write(tensor, dtype, &mut file));
        file
    }

    fn write(&self, tensor: &TensorShape, dtype: Dtype, file: &mut Vec<u8>) {
        // Pieces that stay in the cache on their way to f16.
        const PIECE: usize = 4096;
        let hash = sha256_hex(tensor.name.as_bytes());
        let name = u64::from_str_radix(&hash[..16], 16).expect("hex digits");
        let mut rng = Rng::new(self.seed ^ name);
        let (mut values, mut halves) = (Vec::with_capacity(PIECE), vec![f16::ZERO; PIECE]);
        let (n, mut at) = (tensor.elements() as usize, 0);
        while at < n {
            let piece = PIECE.min(n - at);
            values.clear();
            fill(tensor, at, piece, &mut rng, &mut values);
            match dtype {
                Dtype::F16 => {
                    halves[..piece].convert_from_f32_slice(&values);
                    file.extend_from_slice(bytemuck::cast_slice(&halves[..piece]));
                }
                _ => file.extend_from_slice(bytemuck::cast_slice(&values)),
            }
            at += piece;
        }
    }
}

/// The files of random weights in the shape of the config.json among these.
///
/// Errors: there is none, or as [`Shape::files`].
pub fn in_place_of(files: Vec<(String, Bytes)>) -> Result<Vec<(String, Bytes)>> {
    const FILE: &str = "config.json";
    let config = files.iter().find(|(name, _)| name == FILE);
    let (_, config) = config.ok_or_else(|| Error::file(FILE, "is missing; it has the shape"))?;
    let shape = Shape { name: FILE.into(), seed: 0, dtype: None };
    Ok(shape.files(config)?.into_iter().map(|(name, bytes)| (name, bytes.into())).collect())
}

/// Values `at..at + n` of a tensor.
fn fill(tensor: &TensorShape, at: usize, n: usize, rng: &mut Rng, out: &mut Vec<f32>) {
    let inputs = tensor.shape.last().copied().unwrap_or(1);
    match tensor.role {
        Role::Norm | Role::D => out.resize(n, 1.0),
        Role::Bias => out.resize(n, 0.0),
        Role::ALog if tensor.shape.len() == 2 => {
            out.extend((at..at + n).map(|i| ((i % inputs + 1) as f32).ln()));
        }
        Role::ALog => out.extend((0..n).map(|_| (1.0 + 15.0 * rng.uniform()).ln())),
        Role::DtBias => {
            let (low, high) = (1e-3f32.ln(), 0.1f32.ln());
            let inverse_softplus = |dt: f32| dt + (-(-dt).exp_m1()).ln();
            let each = |_| inverse_softplus((low + (high - low) * rng.uniform()).exp());
            out.extend((0..n).map(each));
        }
        Role::Embedding => uniform(0.02, n, rng, out),
        Role::Matrix | Role::Conv => uniform(1.0 / (inputs as f32).sqrt(), n, rng, out),
    }
}

/// Uniform values of this standard deviation, four from every 64 random bits.
fn uniform(deviation: f32, n: usize, rng: &mut Rng, out: &mut Vec<f32>) {
    let scale = deviation * 3f32.sqrt() / 32768.0;
    let pieces = std::iter::repeat_with(|| rng.next_u64().to_le_bytes());
    let halves = pieces.flat_map(|b| [0, 2, 4, 6].map(|i| i16::from_le_bytes([b[i], b[i + 1]])));
    out.extend(halves.take(n).map(|bits| (f32::from(bits) + 0.5) * scale));
}

/// f32 where the file says so; everything else is kept in two bytes here too.
fn stored_dtype(config_json: &[u8]) -> Dtype {
    let config: Value = serde_json::from_slice(config_json).unwrap_or_default();
    let named = ["dtype", "torch_dtype"].iter().find_map(|key| config[*key].as_str());
    if named == Some("float32") { Dtype::F32 } else { Dtype::F16 }
}

/// A byte-level tokenizer of 256 tokens without merges.
fn byte_tokenizer() -> Vec<u8> {
    // GPT-2's alphabet: bytes that print stand for themselves, the others follow from U+0100 on.
    let prints = |b: u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let mut other = 0x100;
    let vocab: serde_json::Map<String, Value> = (0u32..256)
        .map(|b| {
            let code = if prints(b) { b } else { other };
            other += u32::from(!prints(b));
            (char::from_u32(code).expect("below the surrogates").to_string(), json!(b))
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []}
    });
    tokenizer.to_string().into_bytes()
}
