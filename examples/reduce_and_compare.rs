//! What a token reduction costs: `cargo run --example reduce_and_compare -- FOLDER SPEC`, for example with
//! `utrc:keep=0.7`. Scores 40 bundled items with and without it, and prints each figure's change with its interval.

use std::{cell::RefCell, env, error::Error, fs, path::Path, rc::Rc};
use whittle::eval::{Arm, Comparison, Source, Task, parse};
use whittle::method::Setting;
use whittle::{backend::Device, cli::load::folder, models::Model, pace::Pace, reduce};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [place, spec] = &arguments[..] else { return Err("expected FOLDER SPEC".into()) };
    let loaded = whittle::session::open(folder(Path::new(place))?)?;
    let (tokenizer, config) = (&loaded.tokenizer, &loaded.config);
    let items = Rc::new(fs::read("models/eval/continuation.jsonl")?);
    let (setting, files) = (&parse("continuation:n=40")?, &[("continuation.jsonl".into(), items)]);
    let problems = RefCell::default();
    let task = Task::build(&Source { setting, files, seed: 1, tokenizer, config, problems })?;

    let (device, reduction) = (&Device::Cpu, Setting::parse(spec, &reduce::abouts())?);
    let model = &Model::load(device, config, &loaded.weights)?;
    let pace = &Pace::default();
    let dense = Arm { device, config, model, reduction: None, filler: None, pace };
    let reduced = Arm { device, config, model, reduction: reduction.as_ref(), filler: None, pace };
    let mut comparison = Comparison::new(&task, [&dense, &reduced], None);
    let order: Vec<usize> = (0..task.len()).collect();
    pollster::block_on(comparison.run(&order, pace, &mut |_, _| {}))?;
    for figure in comparison.figures() {
        let [change, low, high] = [figure.change.value, figure.change.low, figure.change.high];
        println!("{}: {change:+.4} [{low:+.4}, {high:+.4}]", figure.label);
    }
    Ok(())
}
