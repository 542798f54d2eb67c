//! `whittle serve-stdio`: a model that answers the public harness's requests, as JSON lines.
//!
//! The first line out is `{"hello": ...}`. Then every line in, `{"id", "method", ...}`, gets one line out with its id:
//! `{"id", "result"}`, or `{"id", "error"}` with a sentence. A line that is none of this is answered with the id null;
//! the server goes on and ends where its input does. docs/own-data.md shows the methods.

mod lines;

use super::{BackendArg, load};
use crate::eval::sweep::spec;
use crate::eval::{Encoder, Placed, Requests, Sampling, Stop};
use crate::method::Setting;
use crate::pace::Pace;
use crate::session::{CalibrationText, calibration};
use crate::{Error, Result, prune, reduce};
use lines::{Line, Lines};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Write;

/// Of what is said here; a change that an older adapter would misread makes it larger.
const PROTOCOL: u32 = 1;
/// Texts, or pairs, of one request.
const MOST_TEXTS: usize = 4096;
/// Tokens of one generated text, its stops, and bytes of one of them.
const MOST_TOKENS: usize = 4096;
const MOST_STOPS: usize = 64;
const MOST_STOP_BYTES: usize = 1024;

#[derive(clap::Args)]
pub struct Args {
    /// A bundled model's name or a folder with a Hugging Face model.
    #[arg(long)]
    model: String,
    /// Token reduction SPEC; see `whittle methods`. Contexts are reduced, what is scored or written is not.
    #[arg(long, default_value = "off")]
    reduce: String,
    /// Pruning SPEC.
    #[arg(long, default_value = "off")]
    prune: String,
    /// A UTF-8 text file to gather input statistics on.
    #[arg(long)]
    calibration: Option<String>,
    #[arg(long, value_enum, default_value = "cpu")]
    backend: BackendArg,
    /// Threads on the CPU; the answers are the same with any number. [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    /// Pairs of context and continuation; gives pairs of log p and whether the continuation was the most likely one.
    Loglikelihood { id: u64, pairs: Vec<(String, String)> },
    /// Whole texts; gives log p of each.
    LoglikelihoodRolling { id: u64, texts: Vec<String> },
    /// Continues a context.
    GenerateUntil {
        id: u64,
        context: String,
        #[serde(default)]
        until: Vec<String>,
        max_tokens: usize,
        #[serde(default)]
        temperature: f64,
        #[serde(default)]
        seed: u64,
    },
}

/// What the server says first.
#[derive(Serialize)]
struct Hello<'a> {
    whittle: &'static str,
    protocol: u32,
    model: &'a str,
    /// Of the weights.
    sha256: &'a str,
    reduce: String,
    prune: String,
    backend: String,
    /// Tokens that the model reads at once.
    max_length: usize,
    /// What the tokenizer calls end-of-text; empty where there is none.
    end_of_text: String,
}

pub async fn main(args: Args) -> Result<()> {
    crate::threads::set(args.threads)?;
    let reduction = Setting::parse(&args.reduce, &reduce::abouts())?;
    let pruning = Setting::parse(&args.prune, &prune::abouts())?;
    pruning.iter().try_for_each(prune::check_setting)?;
    let mut engine = load::engine();
    let loaded = match &args.calibration {
        None => load::model(&mut engine, &args.model).await?.1,
        Some(text) => {
            let (files, _) = load::with_calibration(&engine, &args.model, Some(text)).await?;
            engine.open_own(files)?
        }
    };
    reduction.iter().try_for_each(|s| reduce::check(&loaded.config, s))?;
    pruning.iter().try_for_each(|s| prune::check(&loaded.config, s))?;
    let device = engine.device(args.backend.into(), &loaded).await?.device;
    let (dense, weights) = engine.baseline(&device, &loaded)?;
    let placed = Placed::new(&device, &loaded.config, &weights, &loaded.tokenizer, dense);
    let pruned = match &pruning {
        None => placed.unpruned(),
        Some(setting) => {
            if let CalibrationText::Bundled(file) = &loaded.calibration {
                load::note(&format!("pruned with the calibration text {file}"));
            }
            let sequences = calibration::sequences(&engine, &loaded, setting).await?;
            let (pace, mut kept) = (Pace::default(), None);
            placed.pruned(setting, &sequences, &mut kept, &pace, &mut |_, _| {}).await?
        }
    };
    let arm = placed.compressed(&pruned, reduction.as_ref());
    let encoder = Encoder { tokenizer: &loaded.tokenizer, config: &loaded.config };
    let ends = loaded.config.eos_token_ids();
    let hello = Hello {
        whittle: env!("CARGO_PKG_VERSION"),
        protocol: PROTOCOL,
        model: &loaded.id,
        sha256: loaded.sha256(),
        reduce: spec(&reduction),
        prune: spec(&pruning),
        backend: device.label(),
        max_length: encoder.positions(),
        end_of_text: ends.first().map_or_else(String::new, |id| loaded.tokenizer.decode(&[*id])),
    };
    if say(&json!({ "hello": hello })).is_err() {
        return Ok(());
    }
    answer_all(&mut Requests::new(&arm, encoder)).await
}

/// Answers line by line until the input ends, or nobody listens.
async fn answer_all(requests: &mut Requests<'_>) -> Result<()> {
    let mut lines = Lines::new(std::io::stdin().lock());
    while let Some(line) = lines.next() {
        let (id, result) = match line {
            Line::Text(text) if text.trim().is_empty() => continue,
            Line::Text(text) => match serde_json::from_str::<Request>(&text) {
                Ok(request) => {
                    let id = request.id();
                    (json!(id), answer(requests, request).await)
                }
                Err(e) => (known_id(&text), Err(not_a_request(&e.to_string()))),
            },
            Line::Refused(why) => (Value::Null, Err(not_a_request(&why))),
        };
        let said = match result {
            Ok(result) => say(&json!({ "id": id, "result": result })),
            Err(e) => say(&json!({ "id": id, "error": e.to_string() })),
        };
        if said.is_err() {
            break;
        }
    }
    Ok(())
}

fn say(value: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

fn not_a_request(why: &str) -> Error {
    let expected = "a line {\"id\", \"method\", ...} with the method loglikelihood (pairs), loglikelihood_rolling (texts) or generate_until (context, max_tokens, until, temperature, seed)";
    Error::input("request", why, expected)
}

/// The id of a line that is no request, if it says one.
fn known_id(text: &str) -> Value {
    let value = serde_json::from_str::<Value>(text).unwrap_or_default();
    value.get("id").and_then(Value::as_u64).map_or(Value::Null, |id| json!(id))
}

impl Request {
    fn id(&self) -> u64 {
        match self {
            Request::Loglikelihood { id, .. }
            | Request::LoglikelihoodRolling { id, .. }
            | Request::GenerateUntil { id, .. } => *id,
        }
    }
}

async fn answer(requests: &mut Requests<'_>, request: Request) -> Result<Value> {
    let pace = Pace::default();
    match request {
        Request::Loglikelihood { pairs, .. } => {
            at_most("pairs", pairs.len(), MOST_TEXTS)?;
            let mut found = Vec::with_capacity(pairs.len());
            for (context, continuation) in &pairs {
                found.push(requests.log_likelihood(context, continuation).await?);
            }
            Ok(json!(found))
        }
        Request::LoglikelihoodRolling { texts, .. } => {
            at_most("texts", texts.len(), MOST_TEXTS)?;
            let mut found = Vec::with_capacity(texts.len());
            for text in &texts {
                found.push(requests.rolling(text, &pace).await?);
            }
            Ok(json!(found))
        }
        Request::GenerateUntil { context, until, max_tokens, temperature, seed, .. } => {
            at_most("max_tokens", max_tokens, MOST_TOKENS)?;
            at_most("stops", until.len(), MOST_STOPS)?;
            let longest = until.iter().map(String::len).max().unwrap_or(0);
            at_most("bytes of a stop", longest, MOST_STOP_BYTES)?;
            if !(0.0..=100.0).contains(&temperature) {
                return Err(Error::input("temperature", temperature, "a number from 0 to 100"));
            }
            let stop = Stop { until: &until, most: max_tokens };
            let sampling = Sampling { temperature, seed };
            Ok(json!(requests.generate(&context, &stop, sampling, &pace).await?))
        }
    }
}

fn at_most(what: &'static str, found: usize, most: usize) -> Result<()> {
    match found <= most {
        true => Ok(()),
        false => Err(Error::input(what, found, format!("at most {most}"))),
    }
}
