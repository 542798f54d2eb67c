//! `whittle reduce`: which tokens of a text stay, go, or are folded into which, layer by layer.

use super::{BackendArg, load};
use crate::eval::{Arm, filler};
use crate::method::Setting;
use crate::models::Model;
use crate::pace::Pace;
use crate::reduce::{LayerTrace, abouts, savings};
use crate::session::Loaded;
use crate::{Error, Result};
use serde::Serialize;

#[derive(clap::Args)]
pub struct Args {
    /// A folder with a Hugging Face model, or a bundled model's name.
    #[arg(long)]
    model: String,
    /// A UTF-8 text file, the context.
    #[arg(long)]
    text: String,
    /// Token reduction SPEC; see `whittle methods`.
    #[arg(long)]
    reduce: String,
    #[arg(long, value_enum, default_value = "auto")]
    backend: BackendArg,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output {
    model: String,
    backend: String,
    /// Canonical SPEC.
    reduce: String,
    /// Ids and text of every position of the original sequence.
    ids: Vec<u32>,
    tokens: Vec<String>,
    /// Tokens entering each layer, and the share of FLOPs saved.
    savings: crate::reduce::Savings,
    /// Positions are those of the original sequence.
    layers: Vec<LayerTrace>,
}

pub async fn main(args: Args) -> Result<()> {
    let text = load::text(&args.text)?;
    let mut engine = load::engine();
    let (_, loaded) = load::model(&mut engine, &args.model).await?;
    let setting = Setting::parse(&args.reduce, &abouts())?
        .ok_or_else(|| Error::input("--reduce", &args.reduce, "a method; see `whittle methods`"))?;
    let ids = loaded.encode(&text)?;
    if ids.is_empty() {
        return Err(Error::file(&args.text, "has no token"));
    }
    let device = engine.device(args.backend.into(), &loaded).await?.device;
    let model = Model::load(&device, &loaded.config, &loaded.weights_on(&device))?;
    let marks = filler(&loaded.tokenizer);
    let arm = Arm {
        device: &device,
        config: &loaded.config,
        model: &model,
        reduction: Some(&setting),
        filler: marks.as_deref(),
        pace: &Pace::default(),
    };
    let output = Output {
        model: loaded.label.clone(),
        backend: device.label(),
        reduce: setting.to_string(),
        tokens: tokens(&loaded, &ids),
        savings: savings(&loaded.config, &setting, ids.len())?,
        layers: arm.trace(&setting, &ids).await?,
        ids,
    };
    match args.json {
        true => {
            println!("{}", serde_json::to_string(&output).expect("numbers and strings serialise"))
        }
        false => print(&output),
    }
    Ok(())
}

/// The text of every token.
fn tokens(loaded: &Loaded, ids: &[u32]) -> Vec<String> {
    ids.iter().map(|&id| loaded.tokenizer.decode(&[id])).collect()
}

fn print(output: &Output) {
    println!("model        {}", output.model);
    println!("backend      {}", output.backend);
    println!("reduce       {}", output.reduce);
    println!(
        "FLOPs saved  {:.1} % of the layers, {:.1} % in all",
        output.savings.layers * 100.0,
        output.savings.total * 100.0
    );
    if output.layers.is_empty() {
        println!("Nothing is removed: the text is too short for this setting.");
    }
    for layer in &output.layers {
        let word = |position: &u32| {
            format!("{position}:{}", output.tokens[*position as usize].escape_debug())
        };
        let list = |positions: &[u32]| positions.iter().map(word).collect::<Vec<_>>().join(" ");
        println!("\nafter layer {}: {} kept", layer.layer, layer.kept.len());
        println!("  pruned  {}", list(&layer.pruned));
        let merged = layer.merged.iter();
        let merged: Vec<String> =
            merged.map(|m| format!("{}>{}", word(&m.source), word(&m.target))).collect();
        println!("  merged  {}", merged.join(" "));
    }
}
