//! `whittle prune`: a pruned model as config.json, tokenizer.json and model.safetensors, which transformers loads too.
//!
//! Every tensor keeps its dtype; tensors that no method touched keep their bytes. Names and shapes stay too, unless a
//! method makes the model smaller: then config.json says so.
//! The header's `__metadata__` says how it was made.

use super::{BackendArg, load};
use crate::method::Setting;
use crate::models::{Edits, Model, split_layer};
use crate::pace::{Pace, now_ms};
use crate::prune::{MatrixReport, Progress, Smaller, Subject, abouts, prune, sparsity};
use crate::session::bundle::data_hash;
use crate::session::{CalibrationText, Loaded, calibration};
use crate::threads;
use crate::weights::{Checkpoint, Dtype};
use crate::{Error, Result};
use safetensors::tensor::TensorView;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// A folder with a Hugging Face model, or a bundled model's name.
    #[arg(long)]
    model: String,
    /// Pruning SPEC; see `whittle methods`.
    #[arg(long)]
    prune: String,
    /// A UTF-8 text file to gather input statistics on; the default is the bundled one.
    #[arg(long)]
    calibration: Option<String>,
    /// A folder that does not exist yet.
    #[arg(long)]
    out: PathBuf,
    #[arg(long, value_enum, default_value = "auto")]
    backend: BackendArg,
    /// Threads on the CPU; the result is the same with any number. [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output {
    out: String,
    backend: String,
    /// On the CPU.
    threads: usize,
    /// Calibration, pruning and errors; without loading and writing.
    milliseconds: f64,
    /// What `__metadata__` of model.safetensors holds.
    recipe: BTreeMap<String, String>,
    matrices: Vec<MatrixReport>,
}

pub async fn main(args: Args) -> Result<()> {
    if args.out.exists() {
        let expected = "a folder that does not exist yet; choose another, or remove it first";
        return Err(Error::input("--out", args.out.display(), expected));
    }
    let setting = Setting::parse(&args.prune, &abouts())?
        .ok_or_else(|| Error::input("--prune", &args.prune, "a method; see `whittle methods`"))?;
    let threads = threads::set(args.threads)?;
    let mut engine = load::engine();
    let (files, loaded) =
        load::with_calibration(&engine, &args.model, args.calibration.as_deref()).await?;
    let device = engine.device(args.backend.into(), &loaded).await?.device;
    let sequences = calibration::sequences(&engine, &loaded, &setting).await?;
    let dense = Model::load(&device, &loaded.config, &loaded.weights)?;
    let subject = Subject {
        device: &device,
        config: &loaded.config,
        weights: &loaded.weights,
        dense: &dense,
    };
    let shows = std::io::stderr().is_terminal();
    let progress: &mut Progress = &mut |done, all| {
        if shows {
            eprint!("\r\x1b[KPruning matrix {done} of {all}");
        }
    };
    let start = now_ms();
    let pruned =
        prune(&subject, &sequences, &setting, &mut None, &Pace::default(), progress).await?;
    let milliseconds = now_ms() - start;
    if shows {
        eprintln!();
    }
    let recipe = recipe(&args.model, &loaded, &setting, sequences.len(), &pruned.report);
    let layers = pruned.smaller.as_ref().map(|s| &s.layers[..]);
    let checkpoint = loaded.weights.checkpoint();
    let weights = safetensors(checkpoint, &pruned.edits, layers, recipe.clone())?;
    let files = match &pruned.smaller {
        Some(smaller) => smaller_config(files, smaller)?,
        None => files,
    };
    let output = Output {
        out: args.out.display().to_string(),
        backend: device.label(),
        threads,
        milliseconds,
        recipe,
        matrices: pruned.report,
    };
    write(&args.out, files, weights, &card(&output))?;
    match args.json {
        true => println!("{}", serde_json::to_string(&output).expect("numbers and strings")),
        false => print!("{}", table(&output)),
    }
    Ok(())
}

/// How the model was made; transformers needs `format`.
fn recipe(
    model: &str,
    loaded: &Loaded,
    setting: &Setting,
    sequences: usize,
    report: &[MatrixReport],
) -> BTreeMap<String, String> {
    let calibration = match &loaded.calibration {
        CalibrationText::Bundled(file) => {
            format!("models/eval/{file}, {}", data_hash(std::slice::from_ref(file)))
        }
        own => format!("sha256 {}", own.name()),
    };
    let pairs = [
        ("format", "pt".to_string()),
        ("whittle", env!("CARGO_PKG_VERSION").into()),
        ("whittle.source", model.into()),
        ("whittle.source_sha256", loaded.view.sha256.clone()),
        ("whittle.prune", setting.to_string()),
        ("whittle.calibration", calibration),
        ("whittle.calibration_sequences", sequences.saturating_sub(1).max(1).to_string()),
        ("whittle.sparsity", format!("{:.6}", sparsity(report))),
    ];
    pairs.map(|(key, value)| (key.to_string(), value)).into()
}

/// The checkpoint as one file, edits in the dtype of what they replace.
fn safetensors(
    checkpoint: &Checkpoint,
    edits: &Edits,
    layers: Option<&[usize]>,
    recipe: BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut tensors = Vec::new();
    for name in checkpoint.names() {
        let Some(renamed) = renamed(name, layers) else { continue };
        let shape = checkpoint.shape(name).unwrap_or(&[]).to_vec();
        let raw = checkpoint.tensor(name, &shape)?;
        let (shape, bytes) = match edits.get(name) {
            None => (shape, raw.bytes.to_vec()),
            Some(edit) => (edit.shape.clone(), encode(&edit.values, raw.dtype)),
        };
        tensors.push((renamed, raw.dtype, shape, bytes));
    }
    let failed = |e: safetensors::SafeTensorError| Error::file("model.safetensors", e.to_string());
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(file_dtype(*dtype), shape.clone(), bytes).map_err(failed)?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<_>>()?;
    let bytes =
        safetensors::serialize(views, Some(recipe.into_iter().collect())).map_err(failed)?;
    Ok(ordered(bytes))
}

/// The same file with its header in alphabetical order: the crate writes the metadata in an order of its own each time.
fn ordered(mut bytes: Vec<u8>) -> Vec<u8> {
    let (size, rest) = bytes.split_at_mut(8);
    let size = u64::from_le_bytes(size.try_into().expect("eight bytes")) as usize;
    let header: serde_json::Value = serde_json::from_slice(&rest[..size]).expect("just written");
    let header = header.to_string();
    rest[..size].fill(b' ');
    rest[..header.len()].copy_from_slice(header.as_bytes());
    bytes
}

/// The name after the layers that stay were numbered anew; nothing for a tensor of one that went.
fn renamed(name: &str, layers: Option<&[usize]>) -> Option<String> {
    let (Some(layers), Some((front, layer, back))) = (layers, split_layer(name)) else {
        return Some(name.to_string());
    };
    let now = layers.iter().position(|&l| l == layer)?;
    Some(format!("{front}{now}{back}"))
}

/// The files with a config.json of the smaller model.
fn smaller_config(
    mut files: Vec<(String, Vec<u8>)>,
    smaller: &Smaller,
) -> Result<Vec<(String, Vec<u8>)>> {
    for (_, bytes) in files.iter_mut().filter(|(file, _)| file == "config.json") {
        *bytes = with_fields(bytes, smaller)?;
    }
    Ok(files)
}

/// Errors: a value that transformers refuses.
fn with_fields(json: &[u8], smaller: &Smaller) -> Result<Vec<u8>> {
    let failed = |e: serde_json::Error| Error::file("config.json", e.to_string());
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(json).map_err(failed)?;
    for &(field, value) in &smaller.fields {
        if value.fract() != 0.0 {
            let expected = "a share that leaves Mamba-2 a whole multiple of hidden_size: transformers knows no other";
            return Err(Error::input("--prune", format!("{field} {value}"), expected));
        }
        config.insert(field.to_string(), (value as u64).into());
    }
    serde_json::to_vec_pretty(&config).map_err(failed)
}

fn file_dtype(dtype: Dtype) -> safetensors::Dtype {
    match dtype {
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::BF16 => safetensors::Dtype::BF16,
    }
}

fn encode(values: &[f32], dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
    }
}

/// Writes beside the target and renames, so that a half-written model is never found under its name.
fn write(out: &Path, files: Vec<(String, Vec<u8>)>, weights: Vec<u8>, card: &str) -> Result<()> {
    let name = out.file_name().map_or_else(|| "out".into(), |n| n.to_string_lossy().into_owned());
    let unfinished = out.with_file_name(format!(".{name}.unfinished"));
    let failed = |e: std::io::Error| Error::file(out.display().to_string(), e.to_string());
    let _ = std::fs::remove_dir_all(&unfinished);
    std::fs::create_dir_all(&unfinished).map_err(failed)?;
    let kept = ["config.json", "tokenizer.json"];
    for (file, bytes) in files.iter().filter(|(file, _)| kept.contains(&file.as_str())) {
        std::fs::write(unfinished.join(file), bytes).map_err(failed)?;
    }
    std::fs::write(unfinished.join("model.safetensors"), weights).map_err(failed)?;
    std::fs::write(unfinished.join("card.md"), card).map_err(failed)?;
    std::fs::rename(&unfinished, out).map_err(failed)
}

/// Before and, where it is another, after.
fn shape(m: &MatrixReport) -> String {
    let before = format!("{}x{}", m.rows, m.cols);
    m.left.map_or(before.clone(), |[rows, cols]| format!("{before} to {rows}x{cols}"))
}

fn card(output: &Output) -> String {
    let lines: Vec<String> =
        output.recipe.iter().map(|(key, value)| format!("- {key}: {value}")).collect();
    format!("# Pruned by Whittle\n\n{}\n\n```\n{}```\n", lines.join("\n"), table(output))
}

fn table(output: &Output) -> String {
    let mut text = format!(
        "{:<44} {:>21} {:>7} {:>7} {:>9} {:>9} {:>9} {:>8}\n",
        "matrix", "shape", "asked", "zeros", "error", "held out", "damping", "ms"
    );
    let optional = |x: Option<f64>| x.map_or_else(|| "-".into(), |x| format!("{x:.4}"));
    for m in &output.matrices {
        text += &format!(
            "{:<44} {:>21} {:>6.1}% {:>6.1}% {:>9.4} {:>9} {:>9} {:>8.0}\n",
            m.name,
            shape(m),
            m.requested * 100.0,
            m.achieved * 100.0,
            m.error,
            optional(m.held_out_error),
            optional(m.damping),
            m.milliseconds,
        );
    }
    text + &format!("written to {}\n", output.out)
}
