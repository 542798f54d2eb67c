//! `whittle prune`: a pruned model as config.json, tokenizer.json and model.safetensors, which transformers loads too.
//!
//! Every tensor keeps its dtype; tensors that no method touched keep their bytes. Names and shapes stay too, unless a
//! method makes the model smaller: then config.json says so.
//! The header's `__metadata__` says how it was made.

use super::{BackendArg, load};
use crate::export::{Export, FILE, Folder, Form, config_of_layers, config_with};
use crate::method::Setting;
use crate::models::Model;
use crate::pace::{Pace, now_ms};
use crate::prune::{MatrixReport, Progress, Smaller, Subject, abouts, prune, sparsity};
use crate::session::bundle::{Entry, data_hash};
use crate::session::shape::MARK;
use crate::session::spec::OWN;
use crate::session::{COMPANIONS, CalibrationText, Loaded, calibration};
use crate::threads;
use crate::weights::Bytes;
use crate::{Error, Result};
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
    /// Mamba only: mamba_ssm's own form, which papers' code reads, or transformers'. [default: that of the model]
    #[arg(long, value_enum)]
    form: Option<FormArg>,
    #[arg(long, value_enum, default_value = "auto")]
    backend: BackendArg,
    /// Threads on the CPU; the result is the same with any number. [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FormArg {
    Original,
    Hf,
}

impl From<FormArg> for Form {
    fn from(arg: FormArg) -> Form {
        match arg {
            FormArg::Original => Form::Original,
            FormArg::Hf => Form::Hf,
        }
    }
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
    /// What a reader of the figures must know.
    warning: Option<String>,
}

pub async fn main(args: Args) -> Result<()> {
    // Before any work: what is there is never written over.
    if args.out.symlink_metadata().is_ok() {
        let expected = "a folder that does not exist yet; choose another, or remove it first";
        return Err(Error::input("--out", args.out.display(), expected));
    }
    let setting = Setting::parse(&args.prune, &abouts())?
        .ok_or_else(|| Error::input("--prune", &args.prune, "a method; see `whittle methods`"))?;
    let threads = threads::set(args.threads)?;
    let mut engine = load::engine();
    let (files, loaded) =
        load::with_calibration(&engine, &args.model, args.calibration.as_deref()).await?;
    load::say(&loaded);
    let device = engine.device(args.backend.into(), &loaded).await?.device;
    let sequences = calibration::sequences(&engine, &loaded, &setting).await?;
    let weights = loaded.weights_on(&device);
    let dense = Model::load(&device, &loaded.config, &weights)?;
    let subject =
        Subject { device: &device, config: &loaded.config, weights: &weights, dense: &dense };
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
    let (edits, smaller) = (loaded.weights.as_stored(pruned.edits), pruned.smaller);
    let output = Output {
        out: args.out.display().to_string(),
        backend: device.label(),
        threads,
        milliseconds,
        recipe,
        matrices: pruned.report,
        warning: pruned.warning,
    };
    let own = files.iter().find(|(file, _)| file == "config.json").map(|(_, json)| Form::of(json));
    let own = own.transpose()?.flatten();
    let form = args.form.map(Form::from).or(own);
    let export = Export {
        checkpoint: loaded.weights.checkpoint(),
        edits: &edits,
        layers: smaller.as_ref().map(|s| &s.layers[..]),
        form,
        metadata: &output.recipe,
    };
    let files = described(files, &loaded, smaller.as_ref(), own, form)?;
    write(&args.out, &files, &export, &card(&output))?;
    match args.json {
        true => println!("{}", serde_json::to_string(&output).expect("numbers and strings")),
        false => {
            print!("{}", table(&output, |m| format!(" {:>8.0} ms", m.milliseconds)));
            println!("written to {}", output.out);
        }
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
    // Not the folder: the same model gives the same file wherever it lies. Its hash names it.
    let source = if Entry::find(model).is_ok() { model } else { OWN };
    let calibration = match &loaded.calibration {
        CalibrationText::Bundled(file) => {
            format!("models/eval/{file}, {}", data_hash(std::slice::from_ref(file)))
        }
        own => format!("sha256 {}", own.name()),
    };
    let pairs = [
        ("format", "pt".to_string()),
        ("whittle", env!("CARGO_PKG_VERSION").into()),
        ("whittle.source", source.into()),
        ("whittle.source_sha256", loaded.sha256().to_string()),
        ("whittle.prune", setting.to_string()),
        ("whittle.calibration", calibration),
        ("whittle.calibration_sequences", sequences.saturating_sub(1).max(1).to_string()),
        ("whittle.sparsity", format!("{:.6}", sparsity(report))),
    ];
    // Random weights stay marked as such.
    let mark = loaded.weights.checkpoint().metadata().get_key_value(MARK);
    let mark = mark.map(|(key, value)| (key.clone(), value.clone()));
    pairs.into_iter().map(|(key, value)| (key.to_string(), value)).chain(mark).collect()
}

/// The files with a config.json of what was made: its own fields with other numbers, or, in another form than it came in
/// and wherever mamba_ssm's own form has to say a smaller size, written anew.
fn described(
    mut files: Vec<(String, Bytes)>,
    loaded: &Loaded,
    smaller: Option<&Smaller>,
    own: Option<Form>,
    form: Option<Form>,
) -> Result<Vec<(String, Bytes)>> {
    let config = smaller.map_or(&loaded.config, |smaller| &smaller.config);
    for (_, bytes) in files.iter_mut().filter(|(file, _)| file == "config.json") {
        let is_told_anew =
            |form: &Form| own != Some(*form) || *form == Form::Original && smaller.is_some();
        match (form.filter(is_told_anew), smaller) {
            (Some(form), _) => *bytes = form.config(config)?.into(),
            (None, Some(smaller)) => {
                let fewer = config_of_layers(bytes, &smaller.layers)?;
                *bytes = config_with(&fewer, &smaller.fields)?.into();
            }
            (None, None) => {}
        }
    }
    Ok(files)
}

/// Files that go along with the weights, unchanged but for a smaller config.json.
fn goes_along(file: &str) -> bool {
    ["config.json", "tokenizer.json"].contains(&file) || COMPANIONS.contains(&file)
}

/// Writes the folder: complete under its name, or not at all.
fn write(out: &Path, files: &[(String, Bytes)], export: &Export<'_>, card: &str) -> Result<()> {
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    let files: Vec<_> = files.into_iter().filter(|(name, _)| goes_along(name)).collect();
    let names = files.iter().map(|(name, _)| *name).chain([FILE, "card.md"]);
    let folder = Folder::create(out, &names.collect::<Vec<_>>())?;
    let texts = files.into_iter().chain([("card.md", card.as_bytes())]);
    for (name, bytes) in texts {
        let failed = |e: std::io::Error| Error::file(name, e.to_string());
        folder.file(name, |out| out.write_all(bytes).map_err(failed))?;
    }
    folder.file(FILE, |out| export.write(out))?;
    folder.finish()
}

/// Before and, where it is another, after.
fn shape(m: &MatrixReport) -> String {
    let before = format!("{}x{}", m.rows, m.cols);
    m.left.map_or(before.clone(), |[rows, cols]| format!("{before} to {rows}x{cols}"))
}

/// The recipe and the figures; nothing that differs from one writing to the next.
fn card(output: &Output) -> String {
    let lines: Vec<String> =
        output.recipe.iter().map(|(key, value)| format!("- {key}: {value}")).collect();
    let table = table(output, |_| String::new());
    format!("# Pruned by Whittle\n\n{}\n\n```\n{table}```\n", lines.join("\n"))
}

/// One line a matrix; `end` gives a last column.
fn table(output: &Output, end: fn(&MatrixReport) -> String) -> String {
    let mut text = format!(
        "{:<44} {:>21} {:>7} {:>7} {:>9} {:>9} {:>9}\n",
        "matrix", "shape", "asked", "zeros", "error", "held out", "damping"
    );
    let optional = |x: Option<f64>| x.map_or_else(|| "-".into(), |x| format!("{x:.4}"));
    for m in &output.matrices {
        text += &format!(
            "{:<44} {:>21} {:>6.1}% {:>6.1}% {:>9.4} {:>9} {:>9}{}\n",
            m.name,
            shape(m),
            m.requested * 100.0,
            m.achieved * 100.0,
            m.error,
            optional(m.held_out_error),
            optional(m.damping),
            end(m),
        );
    }
    let warning = output.warning.as_ref().map_or(String::new(), |w| format!("Warning: {w}\n"));
    text + &warning
}
