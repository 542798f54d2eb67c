//! `whittle score`: what every token of a text cost the model.

use super::arithmetic::{self, ArithmeticArg};
use super::{BackendArg, load};
use crate::backend::Device;
use crate::models::{Model, NoHooks, check_sequence, piece_tokens};
use crate::session::Loaded;
use crate::session::protocol::ModelView;
use crate::{Error, Result};
use serde::Serialize;

#[derive(clap::Args)]
pub struct Args {
    /// A folder with a Hugging Face model, or a bundled model's name.
    #[arg(long)]
    model: String,
    /// A UTF-8 text file.
    #[arg(long)]
    text: String,
    /// Leave out what the tokenizer puts before a text.
    #[arg(long)]
    no_bos: bool,
    #[arg(long, value_enum, default_value = "auto")]
    backend: BackendArg,
    /// Threads on the CPU; the result is the same with any number. [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// What many rows are multiplied with: f32 is the reference; bf16 on a processor that has it, or f16 on a GPU, is
    /// faster and less exact, and every output names it.
    #[arg(long, value_enum, default_value = "f32")]
    arithmetic: ArithmeticArg,
    /// Print ids and every value as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output<'a> {
    tokens: usize,
    ids: &'a [u32],
    /// Nats; value i is the cost of token i + 1 given the tokens before it.
    nll: &'a [f32],
    mean_nll: f64,
    /// Over the bytes of the text as it stands in the file.
    bits_per_byte: f64,
    backend: String,
    /// "f32", "bf16" or "f16".
    arithmetic: &'static str,
    model: ModelView,
}

pub async fn main(args: Args) -> Result<()> {
    crate::threads::set(args.threads)?;
    let backend = arithmetic::choose(args.arithmetic, args.backend.into())?;
    let text = load::text(&args.text)?;
    let mut engine = load::engine();
    let (_, loaded) = load::model(&mut engine, &args.model).await?;
    let ids = match args.no_bos {
        true => loaded.encode(&text)?,
        false => loaded.encode_whole(&text)?,
    };
    if ids.len() < 2 {
        return Err(Error::file(&args.text, "is a single token; at least two are needed"));
    }
    check_sequence(&loaded.config, ids.len())?;
    if let Some(word) = loaded.config.check_length(ids.len())? {
        eprintln!("whittle: {word}");
    }
    let device = engine.device(backend, &loaded).await?.device;
    let nll = score(&device, &loaded, &ids).await?;
    let sum: f64 = nll.iter().map(|x| f64::from(*x)).sum();
    let (tokens, mean_nll, backend) = (ids.len(), sum / nll.len() as f64, device.label());
    let bits_per_byte = sum / std::f64::consts::LN_2 / text.len() as f64;
    if args.json {
        let (ids, nll, model) = (&ids, &nll, loaded.view());
        let arithmetic = crate::arithmetic::current().id();
        let output =
            Output { tokens, ids, nll, mean_nll, bits_per_byte, backend, arithmetic, model };
        println!("{}", serde_json::to_string(&output).expect("numbers and strings serialise"));
    } else {
        println!("model          {}", loaded.label);
        println!("backend        {backend}");
        println!("tokens         {tokens}");
        println!("mean nll       {mean_nll:.6} nats per token");
        println!("perplexity     {:.3}", mean_nll.exp());
        println!("bits per byte  {bits_per_byte:.4}");
    }
    Ok(())
}

/// Nats of tokens 1.. given those before, in chunks that carry the state.
pub async fn score(device: &Device, loaded: &Loaded, ids: &[u32]) -> Result<Vec<f32>> {
    let model = Model::load(device, &loaded.config, &loaded.weights_on(device))?;
    let mut state = model.start(device);
    let (mut nll, piece) = (Vec::with_capacity(ids.len()), piece_tokens(device));
    for start in (0..ids.len() - 1).step_by(piece) {
        let end = (start + piece).min(ids.len() - 1);
        let hidden = if end < ids.len() - 1 {
            model.forward(device, &ids[start..end], &mut state, &mut NoHooks)
        } else {
            let state = std::mem::replace(&mut state, model.start(device));
            model.forward_last(device, &ids[start..end], state, &mut NoHooks)
        };
        let values = model.nll(device, &hidden, &device.ids(&ids[start + 1..end + 1]));
        nll.extend(device.read(&values).await?.chunks_exact(2).map(|pair| pair[0]));
        if nll.iter().any(|x| !x.is_finite()) {
            return Err(model.not_finite(device, &loaded.config, &ids[start..end]).await?);
        }
    }
    Ok(nll)
}
