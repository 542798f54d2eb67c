//! Prunes a model into a folder that transformers opens: `cargo run --example prune_and_export -- FOLDER SPEC OUT`.
//! SPEC is a method that keeps the shapes, for example `wanda:pattern=2:4`; `whittle methods` lists them.

use std::{collections::BTreeMap, env, error::Error, fs, path::Path};
use whittle::eval::calibration::{Cut, sequences};
use whittle::export::{Export, Folder};
use whittle::prune::{Subject, abouts, prune};
use whittle::{backend::Device, cli::load::folder, method::Setting, models::Model, pace::Pace};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [place, spec, out] = &arguments[..] else { return Err("expected FOLDER SPEC OUT".into()) };
    let loaded = whittle::session::open(folder(Path::new(place))?)?;
    let setting = Setting::parse(spec, &abouts())?.ok_or("expected a method, found off")?;
    let text = fs::read_to_string("models/eval/calibration.txt")?;
    let windows =
        sequences(&text, Cut::Windows, &|text| loaded.encode(text), 16, loaded.config.longest())?;
    let (device, config, weights) = (&Device::Cpu, &loaded.config, &loaded.weights);
    let dense = &Model::load(device, config, weights)?;
    let subject = Subject { device, config, weights, dense };
    let (pace, progress) = (Pace::default(), &mut |_: usize, _: usize| {});
    let calibration = &mut None;
    let work = prune(&subject, &windows, &setting, calibration, &pace, progress);
    let pruned = pollster::block_on(work)?;
    if pruned.smaller.is_some() {
        return Err(
            "this method changes shapes; use `whittle prune`, which adapts config.json".into()
        );
    }
    let (checkpoint, edits) = (weights.checkpoint(), &weights.as_stored(pruned.edits));
    let metadata = &BTreeMap::from([("format".into(), "pt".into())]);
    let file = Export { checkpoint, edits, layers: None, form: None, metadata };
    let written = Folder::create(Path::new(out), &["model.safetensors"])?;
    written.file("model.safetensors", |out| file.write(out))?;
    written.finish()?;
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(Path::new(place).join(name), Path::new(out).join(name))?;
    }
    Ok(())
}
