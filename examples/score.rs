//! Scores a text: `cargo run --example score -- FOLDER TEXT_FILE`, for example with models/lm-mamba2.

use std::{env, error::Error, fs, path::Path};
use whittle::backend::Device;
use whittle::models::{Model, NoHooks};
use whittle::{cli::load::folder, session::open};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [place, text] = &arguments[..] else { return Err("expected FOLDER TEXT_FILE".into()) };
    let loaded = open(folder(Path::new(place))?)?;
    let ids = loaded.encode_whole(&fs::read_to_string(text)?)?;
    if ids.len() < 2 {
        return Err("expected a text of two tokens or more".into());
    }
    let (device, inputs) = (Device::Cpu, &ids[..ids.len() - 1]);
    let model = Model::load(&device, &loaded.config, &loaded.weights)?;
    let mut state = model.start(&device);
    let hidden = model.forward(&device, inputs, &mut state, &mut NoHooks); // [tokens - 1, d_model]
    let costs = model.nll(&device, &hidden, &device.ids(&ids[1..])); // [tokens - 1, 2]: nats, logit
    let costs = pollster::block_on(device.read(&costs))?;
    let mean = costs.chunks_exact(2).map(|c| f64::from(c[0])).sum::<f64>() / inputs.len() as f64;
    println!("{} tokens, {mean:.4} nats a token, perplexity {:.2}", ids.len(), mean.exp());
    Ok(())
}
