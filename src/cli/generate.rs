//! `whittle generate`: continue a prompt.

use super::{BackendArg, load};
use crate::eval::{Arm, Sampling, generate};
use crate::models::Model;
use crate::pace::Pace;
use crate::{Error, Result};
use std::io::Write;

#[derive(clap::Args)]
pub struct Args {
    /// A folder with a Hugging Face model, or a bundled model's name.
    #[arg(long)]
    model: String,
    #[arg(long)]
    prompt: String,
    #[arg(long, default_value_t = 64)]
    max_tokens: usize,
    /// 0 takes the most likely token every time.
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, value_enum, default_value = "auto")]
    backend: BackendArg,
}

pub async fn main(args: Args) -> Result<()> {
    if !(0.0..=5.0).contains(&args.temperature) {
        return Err(Error::input("--temperature", args.temperature, "a number from 0 to 5"));
    }
    let mut engine = load::engine();
    let (_, loaded) = load::model(&mut engine, &args.model).await?;
    let ids = loaded.tokenizer.encode(&args.prompt)?;
    if ids.is_empty() {
        return Err(Error::input("--prompt", &args.prompt, "at least one token"));
    }
    let device = engine.device(args.backend.into(), &loaded).await?.device;
    let model = Model::load(&device, &loaded.config, &loaded.weights.for_new_device())?;
    let arm = Arm {
        device: &device,
        config: &loaded.config,
        model: &model,
        reduction: None,
        filler: None,
    };
    let context = arm.read(&ids)?;
    let sampling = Sampling { temperature: args.temperature, seed: args.seed };
    print!("{}", args.prompt);
    let mut written = Vec::new();
    let mut shown = 0;
    let mut each = |id: u32| {
        written.push(id);
        let text = loaded.tokenizer.decode(&written);
        // Half a character waits for its other half.
        if let Some(new) = text.get(shown..).filter(|t| !t.ends_with('\u{fffd}')) {
            print!("{new}");
            shown = text.len();
            // A closed pipe ends the program by itself at the next print.
            let _ = std::io::stdout().flush();
        }
    };
    generate(&arm, context, args.max_tokens, sampling, &Pace::default(), &mut each).await?;
    println!();
    Ok(())
}
