//! Speed at real size: the settings on seeded random weights in a published shape.
//!
//! Small models spend much of their time on fixed costs, so that they cannot show what a reduction saves. What is timed here
//! depends on shapes and on where zeros may lie, not on the values: a mask of any method takes the same time, so magnitude
//! stands for every method with a mask, and other methods calibrate on a few random tokens.

use super::Session;
use super::asked::why;
use super::engine::Engine;
use super::insight::RealSize;
use super::open::{Loaded, open};
use super::protocol::Event;
use super::shape::{BUILT_IN, Shape};
use super::spec::RunSpec;
use crate::backend::Device;
use crate::eval::sweep::spec as text_of;
use crate::eval::{Placed, Speed, Timed, speed};
use crate::method::Setting;
use crate::models::Model;
use crate::pace::Pace;
use crate::{Error, Result, Rng, prune, reduce};
use std::rc::Rc;

/// Tokens that are read, and decoded after them.
const PROMPT: usize = 512;
const DECODE: usize = 16;
const BUDGET_MS: f64 = 40_000.0;
/// Calibration sequences of random tokens, one of them held out, and their length.
const SEQUENCES: usize = 2;
const LENGTH: usize = 64;

/// Hears how far it is.
type Hear<'a> = dyn FnMut(RealSize) + 'a;

impl Session {
    /// Times the settings in the shape that was asked for. What ends it is told too.
    pub(super) async fn time_real_size(&mut self, name: String, pace: &Pace) {
        let spec = self.spec.clone();
        let mut last = RealSize { shape: name.clone(), ..empty() };
        let emit = &self.emit;
        let mut hear = |found: RealSize| {
            last = found.clone();
            emit(Event::RealSize { found: Box::new(found) });
        };
        let ended = measure(&mut self.engine, &spec, &name, pace, &mut hear).await;
        if ended.is_ok() {
            return;
        }
        let found = RealSize { text: why(ended.map(|()| "")), done: true, speed: None, ..last };
        (self.emit)(Event::RealSize { found: Box::new(found) });
    }
}

fn empty() -> RealSize {
    RealSize {
        shape: String::new(),
        text: String::new(),
        done: false,
        backend: String::new(),
        reduce: "off".into(),
        prune: "off".into(),
        parameters: 0,
        speed: None,
    }
}

async fn measure(
    engine: &mut Engine,
    spec: &RunSpec,
    name: &str,
    pace: &Pace,
    hear: &mut Hear<'_>,
) -> Result<()> {
    let mut found =
        RealSize { shape: name.into(), text: "Making random weights".into(), ..empty() };
    hear(found.clone());
    pace.breathe().await?;
    let loaded = made(name)?;
    let mut spec = spec.clone();
    spec.fit(&loaded.config);
    let pruning = spec.pruning.as_ref().map(stand_in);
    let reduction = spec.reduction.as_ref();
    reduction.map(|s| reduce::check(&loaded.config, s)).transpose()?;
    pruning.as_ref().map(|s| prune::check(&loaded.config, s)).transpose()?;
    let device = engine.device(spec.backend, &loaded).await?.device;
    found.backend = device.label();
    found.reduce = text_of(&spec.reduction);
    found.prune = text_of(&pruning);
    found.parameters = loaded.parameters;
    say(&mut found, hear, "Loading them onto the device".into());
    pace.breathe().await?;
    time(&device, &loaded, [reduction, pruning.as_ref()], &mut found, pace, hear).await
}

/// Times a reduction and a pruning on a model.
async fn time(
    device: &Device,
    loaded: &Loaded,
    [reduction, pruning]: [Option<&Setting>; 2],
    found: &mut RealSize,
    pace: &Pace,
    hear: &mut Hear<'_>,
) -> Result<()> {
    let weights = loaded.weights_on(device);
    let dense = Rc::new(Model::load(device, &loaded.config, &weights)?);
    let placed = Placed::new(device, &loaded.config, &weights, &loaded.tokenizer, dense).at(pace);
    let mut rng = Rng::new(0);
    let vocab = loaded.config.vocab_size();
    let mut ids = |n: usize| (0..n).map(|_| rng.below(vocab) as u32).collect::<Vec<u32>>();
    let pruned = match pruning {
        None => placed.unpruned(),
        Some(setting) => {
            let sequences: Vec<Vec<u32>> = (0..SEQUENCES).map(|_| ids(LENGTH)).collect();
            let mut progress = |done: usize, all: usize| {
                say(found, hear, format!("Pruning matrix {done} of {all}"));
            };
            placed.pruned(setting, &sequences, &mut None, pace, &mut progress).await?
        }
    };
    let prompt = ids(PROMPT);
    let timed = Timed { prompt: &prompt, decode_tokens: DECODE, budget_ms: BUDGET_MS };
    let arms = [&placed.arm(None), &placed.compressed(&pruned, reduction)];
    say(found, hear, "Timing both in turns".into());
    let mut each = |so_far: &Speed, _: f64| {
        found.speed = Some(so_far.clone());
        let rounds = so_far.prefill_ratio.n;
        say(found, hear, format!("Timing both in turns, {rounds} rounds so far"));
    };
    let measured = speed(arms, &timed, pace, &mut each).await?;
    found.speed = Some(measured);
    found.done = true;
    say(found, hear, "Timed".into());
    Ok(())
}

fn say(found: &mut RealSize, hear: &mut Hear<'_>, text: String) {
    found.text = text;
    hear(found.clone());
}

/// A model of random weights in a built-in shape. Errors: a name that is none.
fn made(name: &str) -> Result<Loaded> {
    let shape = Shape { name: name.into(), seed: 0, dtype: None };
    let config = shape
        .built_in()
        .ok_or_else(|| Error::input("shape", name, BUILT_IN.map(|(name, _)| name).join(", ")))?;
    open(shape.files(config)?)
}

/// Magnitude with the same zeros for a method with a mask, whose pattern decides the time; any other method as it is.
fn stand_in(setting: &Setting) -> Setting {
    let has = |wanted: &str| setting.knobs().any(|(id, _)| id == wanted);
    let magnitude = prune::abouts().into_iter().find(|about| about.id == "magnitude");
    match magnitude {
        Some(about) if ["sparsity", "pattern", "run"].into_iter().all(has) => {
            let mut plain = Setting::default_of(about);
            for (id, value) in setting.knobs().filter(|(id, _)| KEPT.contains(id)) {
                // A value of the same knob of another method always fits.
                let _ = plain.set_knob(id, &value.to_string());
            }
            plain
        }
        _ => setting.clone(),
    }
}

/// What of a mask decides how long its matrices take.
const KEPT: [&str; 6] = ["sparsity", "pattern", "matrices", "only", "layers", "run"];

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(spec: &str) -> Setting {
        Setting::parse(spec, &prune::abouts()).unwrap().unwrap()
    }

    #[test]
    fn a_mask_is_timed_as_magnitudes_and_anything_else_as_it_is() {
        let mask = stand_in(&setting("mrp:sparsity=0.7,pattern=2:4"));
        assert_eq!(mask.to_string(), "magnitude:sparsity=0.7,pattern=2:4");
        let rows = stand_in(&setting("structured:share=0.25"));
        assert_eq!(rows.to_string(), "structured:share=0.25");
    }

    #[test]
    fn an_unknown_shape_is_named_with_those_that_are_known() {
        let Err(error) = made("mamba-9b") else { panic!("there is no such shape") };
        assert!(error.to_string().contains("mamba-130m"), "{error}");
    }
}
