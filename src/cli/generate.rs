//! `whittle generate`: continue a prompt.

use super::arithmetic::{self, ArithmeticArg};
use super::{BackendArg, load};
use crate::error::is_hidden;
use crate::eval::{Arm, Sampling, generate};
use crate::models::Model;
use crate::pace::Pace;
use crate::{Error, Result};
use std::borrow::Cow;
use std::io::{IsTerminal, Write};

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
    /// Leave out what the tokenizer puts before a text.
    #[arg(long)]
    no_bos: bool,
    /// Threads on the CPU; the text is the same with any number. [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// What the prompt is read with: f32 is the reference; bf16 on a processor that has it, or f16 on a GPU, is faster and
    /// less exact.
    #[arg(long, value_enum, default_value = "f32")]
    arithmetic: ArithmeticArg,
    #[arg(long, value_enum, default_value = "auto")]
    backend: BackendArg,
}

pub async fn main(args: Args) -> Result<()> {
    crate::threads::set(args.threads)?;
    let backend = arithmetic::choose(args.arithmetic, args.backend.into())?;
    arithmetic::sentence().iter().for_each(|text| load::note(text));
    if !(0.0..=5.0).contains(&args.temperature) {
        return Err(Error::input("--temperature", args.temperature, "a number from 0 to 5"));
    }
    let mut engine = load::engine();
    let (_, loaded) = load::model(&mut engine, &args.model).await?;
    let ids = match args.no_bos {
        true => loaded.encode(&args.prompt)?,
        false => loaded.encode_whole(&args.prompt)?,
    };
    if ids.is_empty() {
        return Err(Error::input("--prompt", &args.prompt, "at least one token"));
    }
    let longest = ids.len() + args.max_tokens;
    if let Ok(Some(text)) = loaded.config.check_length(longest) {
        load::note(&text);
    }
    let device = engine.device(backend, &loaded).await?.device;
    let model = Model::load(&device, &loaded.config, &loaded.weights_on(&device))?;
    let arm = Arm {
        device: &device,
        config: &loaded.config,
        model: &model,
        reduction: None,
        filler: None,
        pace: &Pace::default(),
    };
    let context = arm.read(&ids)?;
    let sampling = Sampling { temperature: args.temperature, seed: args.seed };
    show(&args.prompt);
    let mut written = Vec::new();
    let mut shown = 0;
    let mut each = |id: u32| {
        written.push(id);
        // Half a character waits for its other half.
        let text = loaded.tokenizer.decode_whole(&written);
        show(text.get(shown..).unwrap_or_default());
        shown = shown.max(text.len());
    };
    let ids = generate(&arm, context, args.max_tokens, sampling, &Pace::default(), &mut each).await;
    // One that never came is shown as such: nothing is left out.
    let text = loaded.tokenizer.decode(&written);
    show(text.get(shown..).unwrap_or_default());
    println!();
    ids.map(|_| ())
}

/// Prints a piece of text. In a terminal, control characters that a model may write are shown and not obeyed.
fn show(text: &str) {
    let mut out = std::io::stdout();
    let obeyed = |c: char| c == '\n' || c == '\t' || !is_hidden(c);
    let text: Cow<'_, str> = match out.is_terminal() && !text.chars().all(obeyed) {
        true => text
            .chars()
            .map(|c| if obeyed(c) { c.to_string() } else { c.escape_unicode().to_string() })
            .collect(),
        false => text.into(),
    };
    // A closed pipe ends the program by itself.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
