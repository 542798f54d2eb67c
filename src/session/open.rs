//! A model's files, opened: configuration, tokenizer, weights and what generation needs, checked against each other.
//!
//! What transformers loads is loaded here, with the same loss; what is left out is said in [`ModelView::notes`].

use super::bundle::{Entry, sha256_hex};
use super::forecast::{self, Forecast};
use super::protocol::ModelView;
use super::shape;
use super::spec::OWN;
use crate::backend::Device;
use crate::config::ModelConfig;
use crate::models::{Model, Names, Weights, stored_name};
use crate::pace::Pace;
use crate::tokenizer::Tokenizer;
use crate::weights::{Bytes, Checkpoint};
use crate::{Error, Result};
use serde_json::Value;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Name of a calibration text among a model's files.
pub const OWN_CALIBRATION: &str = "calibration.txt";

/// Small files that are not needed to compute, and go along with a model that is written again.
pub const COMPANIONS: [&str; 8] = [
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "LICENSE",
];

/// A model as its files describe it, not yet on a device.
pub struct Loaded {
    /// Tells it from everything else that was opened, before its hash is known.
    pub number: u64,
    /// A bundled id, or "own".
    pub id: String,
    /// For people.
    pub label: String,
    /// Weights that the model uses, each counted once.
    pub parameters: u64,
    /// The model card (Markdown).
    pub card: String,
    /// Sentences about what was left out or is unusual.
    pub notes: Vec<String>,
    /// As config.json and generation_config.json say.
    pub config: ModelConfig,
    /// Every token that it puts before a text has a row in the model.
    pub tokenizer: Tokenizer,
    /// Loaded once on the CPU, so names, shapes and values are right.
    pub weights: Weights,
    /// With what was loaded then, until it is asked for.
    checked: Cell<Option<Weights>>,
    /// The text for prunings that look at data.
    pub calibration: CalibrationText,
}

/// What a pruning calibrates on.
pub enum CalibrationText {
    /// A file below models/eval.
    Bundled(String),
    /// Came with the user's own model, as calibration.txt.
    Own(String),
}

impl CalibrationText {
    /// Names the text; one of the user's own by its hash.
    pub fn name(&self) -> String {
        match self {
            Self::Bundled(file) => file.clone(),
            Self::Own(text) => sha256_hex(text.as_bytes()),
        }
    }
}

impl Loaded {
    /// Hex SHA-256 of the weights files, which are read for it when it is first asked for; empty where the browser can no
    /// longer read them.
    pub fn sha256(&self) -> &str {
        match self.known_sha256() {
            "" => self.weights.checkpoint().sha256().unwrap_or_default(),
            known => known,
        }
    }

    /// The same in steps, each of which tells the share that is done.
    ///
    /// Errors: cancelled, or a file that the browser can no longer read.
    pub async fn hash(&self, pace: &Pace, hear: &mut dyn FnMut(f64)) -> Result<&str> {
        while self.known_sha256().is_empty()
            && let Some(share) = self.weights.checkpoint().hash_on()?
        {
            hear(share);
            pace.breathe().await?;
        }
        Ok(self.known_sha256())
    }

    /// The same, empty before it was asked for. Bundled files were checked against theirs when they were read.
    pub fn known_sha256(&self) -> &str {
        match Entry::find(&self.id) {
            Ok(entry) => entry.sha256(),
            Err(_) => self.weights.checkpoint().known_sha256().unwrap_or_default(),
        }
    }

    /// Size of the weights files.
    pub fn bytes(&self) -> u64 {
        self.weights.checkpoint().total_bytes()
    }

    /// What the page is told of it.
    pub fn view(&self) -> ModelView {
        ModelView {
            id: self.id.clone(),
            label: self.label.clone(),
            family: self.config.family().into(),
            parameters: self.parameters,
            bytes: self.bytes(),
            sha256: self.known_sha256().into(),
            card: self.card.clone(),
            ignored: self.config.ignored().to_vec(),
            notes: self.notes.clone(),
        }
    }

    /// The weights for a device. Where it is the CPU, the first to ask gets the matrices that were made when the files
    /// were checked; otherwise they are let go.
    pub fn weights_on(&self, device: &Device) -> Weights {
        match (device, self.checked.take()) {
            (Device::Cpu, Some(checked)) => checked,
            _ => self.weights.for_new_device(),
        }
    }
}

impl Loaded {
    /// Token ids of a text, each of which the model has.
    ///
    /// Errors: a word that cannot be encoded, or a token of the tokenizer that the model has no row for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.tokenizer.encode(text)?;
        let rows = self.config.vocab_size();
        match ids.iter().find(|&&id| id as usize >= rows) {
            None => Ok(ids),
            Some(id) => {
                let found = format!("{:?}, token {id}", self.tokenizer.decode(&[*id]));
                Err(Error::input(
                    "text",
                    found,
                    format!("tokens below the model's vocab_size, {rows}"),
                ))
            }
        }
    }
}

impl Loaded {
    /// Token ids of a whole text as the model was made to read it: behind what the tokenizer's template puts before a
    /// text, such as begin-of-text.
    ///
    /// Errors: as [`Loaded::encode`].
    pub fn encode_whole(&self, text: &str) -> Result<Vec<u32>> {
        let before = self.tokenizer.prefix();
        Ok([before, &self.encode(text)?].concat())
    }
}

/// Opens a model's files: config.json, tokenizer.json, weights; a card, a calibration text and generation settings if
/// there are any.
///
/// Errors: which file is missing, or what is wrong in it.
pub fn open<B: Into<Bytes>>(files: Vec<(String, B)>) -> Result<Loaded> {
    open_bytes(files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect())
}

/// Models opened so far.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// Apart from [`open`], which the page would hold once for every kind of bytes.
fn open_bytes(files: Vec<(String, Bytes)>) -> Result<Loaded> {
    let find = |name: &str| files.iter().find(|(n, _)| n == name).map(|(_, bytes)| &bytes[..]);
    let need = |name: &str| {
        find(name).ok_or_else(|| {
            let there: Vec<&str> = files.iter().map(|(n, _)| n.as_str()).collect();
            let problem = format!("is missing (found: {}); a model needs config.json, model.safetensors and tokenizer.json", there.join(", "));
            Error::file(name, problem)
        })
    };
    let mut notes = Vec::new();
    let mut config = ModelConfig::parse(need("config.json")?)?;
    if let Some(stops) = find("generation_config.json").map(|json| stop_tokens(json, &config)) {
        config = match stops? {
            Some(ids) => config.with_eos_token_ids(ids),
            None => config,
        };
    }
    let tokenizer = match find("tokenizer.json") {
        None if is_of_neox(&config) => return Err(Error::file("tokenizer.json", NEOX_TOKENIZER)),
        _ => Tokenizer::parse(need("tokenizer.json")?)?,
    };
    let (tokens, rows) = (tokenizer.vocab_size(), config.vocab_size());
    if tokens > rows {
        notes.push(format!(
            "The tokenizer has {tokens} tokens and the model {rows}: a text that holds one of the others is refused."
        ));
    }
    if let Some(id) = tokenizer.prefix().iter().find(|&&id| id as usize >= rows) {
        let found = format!("puts token {id} before every text");
        return Err(Error::input(
            "tokenizer.json",
            found,
            format!("tokens below vocab_size, {rows}"),
        ));
    }
    if !tokenizer.prefix().is_empty() {
        notes.push(format!(
            "The tokenizer puts {:?} before a text, so prompts, contexts and whole texts begin with it.",
            tokenizer.decode(tokenizer.prefix())
        ));
    }
    let calibration = match find(OWN_CALIBRATION) {
        None => CalibrationText::Bundled("calibration.txt".into()),
        Some(bytes) => CalibrationText::Own(
            String::from_utf8(bytes.to_vec())
                .map_err(|_| Error::file(OWN_CALIBRATION, "is not UTF-8 text"))?,
        ),
    };
    let card = find("card.md").map(|c| String::from_utf8_lossy(c).into_owned()).unwrap_or_default();
    let weight_files: Vec<(String, Bytes)> =
        files.into_iter().filter(|(name, _)| is_weights(name)).collect();
    let mut checkpoint = Checkpoint::open(weight_files)?;
    if config.common.tie_word_embeddings {
        let names = Names::of(config.family);
        let embedding = stored_name(&format!("{}.weight", names.embedding), &checkpoint);
        names.heads.iter().try_for_each(|head| checkpoint.tie(&embedding, head))?;
    }
    Forecast::of(&config, &checkpoint).check(forecast::available())?;
    let checkpoint = Rc::new(checkpoint);
    let weights = Weights::new(checkpoint.clone());
    // Loading on the CPU checks every name, shape and value before anything is replaced, and tells what is used.
    let checked = weights.for_new_device();
    Model::load(&Device::Cpu, &config, &checked)?;
    let used = weights.used();
    notes.extend(unused(checkpoint.names().filter(|name| !used.contains(*name))));
    let shapes = used.iter().filter_map(|name| checkpoint.shape(name));
    let label = match checkpoint.metadata().get(shape::MARK) {
        Some(mark) => mark.clone(),
        None => format!("Your own {} model", config.family()),
    };
    let parameters = shapes.map(elements).sum();
    let (id, checked) = (OWN.into(), Cell::new(Some(checked)));
    let number = OPENED.fetch_add(1, Ordering::Relaxed);
    Ok(Loaded {
        number,
        id,
        label,
        parameters,
        card,
        notes,
        config,
        tokenizer,
        weights,
        checked,
        calibration,
    })
}

const NEOX_TOKENIZER: &str = "is missing, as it is in the models of state-spaces; they were made with GPT-NeoX's: add tokenizer.json of EleutherAI/gpt-neox-20b to the other files (`whittle`: --tokenizer FILE)";

/// Whether a state space model has as many rows as the GPT-NeoX tokenizer has tokens (50,277), padded.
fn is_of_neox(config: &ModelConfig) -> bool {
    let is_mamba = matches!(config.model_type, "mamba" | "mamba2");
    is_mamba && (50_277..=50_304).contains(&config.vocab_size())
}

/// Files that a checkpoint is opened from.
fn is_weights(name: &str) -> bool {
    name.contains(".safetensors") || name.starts_with("pytorch_model")
}

fn elements(shape: &[usize]) -> u64 {
    shape.iter().map(|&n| n as u64).product()
}

/// `eos_token_id` of generation_config.json, one or several, which goes before that of config.json when text is written.
fn stop_tokens(json: &[u8], config: &ModelConfig) -> Result<Option<Vec<u32>>> {
    const FILE: &str = "generation_config.json";
    let settings: Value = serde_json::from_slice(json)
        .map_err(|e| Error::file(FILE, format!("is not JSON ({e}); mend it or leave it out")))?;
    let found = match settings.get("eos_token_id") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    let rows = config.vocab_size() as u64;
    let id = |value: &Value| value.as_u64().filter(|id| *id < rows).map(|id| id as u32);
    found.iter().map(id).collect::<Option<Vec<u32>>>().map(Some).ok_or_else(|| {
        let found = Value::from(found.clone());
        Error::file(FILE, format!("eos_token_id is {found}; expected token ids below {rows}"))
    })
}

/// A sentence on tensors that the model has no place for; the buffers that older files hold are not worth one.
fn unused<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    const BUFFERS: [&str; 5] = [
        ".attention.bias",
        ".attention.masked_bias",
        ".rotary_emb.inv_freq",
        ".attn.bias",
        ".attn.masked_bias",
    ];
    let names: Vec<&str> =
        names.filter(|name| !BUFFERS.iter().any(|buffer| name.ends_with(buffer))).collect();
    let first = names.first()?;
    Some(format!(
        "{} tensors of the weights were not used, {first} among them: config.json describes a model without them. They do not count as parameters.",
        names.len()
    ))
}
