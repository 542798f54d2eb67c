//! A cancelled run ends within an item, between two layers, whatever the evaluation.

use super::leak::{data, fixture, models, spec};
use super::{EVALUATIONS, OF_OWN_DATA, Placed, Source, Task, no_context, parse};
use crate::Error;
use crate::backend::Device;
use crate::method::Setting;
use crate::models::{Hooks, LayerOutput, Model, Reduced, Wanted};
use crate::pace::Pace;
use pollster::block_on;
use std::rc::Rc;

/// Cancels after the layer with this number, and counts the layers.
struct Canceller {
    pace: Pace,
    after: usize,
    seen: Vec<usize>,
}

impl Hooks for Canceller {
    fn wants_layer(&self, _layer: usize, _tokens: usize) -> bool {
        true
    }

    fn reduce(&mut self, _device: &Device, output: LayerOutput<'_>) -> Option<Reduced> {
        self.seen.push(output.layer);
        if output.layer == self.after {
            self.pace.cancel();
        }
        None
    }
}

#[test]
fn a_pass_that_is_cancelled_in_a_layer_reaches_no_further_one() {
    let device = Device::Cpu;
    for name in ["lm-mamba", "lm-mamba2", "lm-llama"] {
        let fixture = fixture(name);
        let model = Model::load(&device, &fixture.config, &fixture.weights).unwrap();
        let ids = device.ids(&[1, 2, 3, 4]);
        let pass = |after: usize| {
            let pace = Pace::default();
            let mut hooks = Canceller { pace: pace.clone(), after, seen: Vec::new() };
            let mut state = model.start(&device);
            let how = (Wanted::EveryRow, &pace);
            let work = model.forward_in_steps(&device, &ids, &mut state, &mut hooks, how);
            let found = block_on(work).map(|rows| rows.cpu().to_vec());
            (found, hooks.seen)
        };
        let n = fixture.config.n_layer();
        let (found, seen) = pass(1);
        assert!(matches!(found, Err(Error::Cancelled)), "{name}: {found:?}");
        assert_eq!(seen, [0, 1], "{name}");
        // Never cancelled, it is the pass that is made at once, to the bit.
        let (found, seen) = pass(n);
        let mut state = model.start(&device);
        let mut looks = Canceller { pace: Pace::default(), after: n, seen: Vec::new() };
        let at_once = model.forward_ids(&device, &ids, &mut state, &mut looks, Wanted::EveryRow);
        assert!(found.unwrap() == at_once.cpu(), "{name}");
        assert_eq!(seen, looks.seen, "{name}");
    }
}

#[test]
fn an_item_is_broken_off_whatever_the_evaluation() {
    for evaluation in EVALUATIONS.iter().chain(OF_OWN_DATA) {
        let id = evaluation.about().id;
        // Their pieces are scored as those of `rolling` are.
        if id.starts_with("wikitext") {
            continue;
        }
        let fixture = fixture(models(id)[1]);
        let setting = parse(&spec(id, 40)).unwrap();
        let bytes = Rc::new(data(id, false).into_bytes());
        let files: Vec<_> =
            super::files(&setting).into_iter().map(|name| (name, bytes.clone())).collect();
        let (config, tokenizer) = (&fixture.config, &fixture.tokenizer);
        let problems = Default::default();
        let source =
            Source { setting: &setting, files: &files, seed: 1, tokenizer, config, problems };
        let task = Task::build(&source).unwrap_or_else(|e| panic!("{id}: {e}"));
        let model = Rc::new(Model::load(&Device::Cpu, config, &fixture.weights).unwrap());
        let place =
            || Placed::new(&Device::Cpu, config, &fixture.weights, tokenizer, model.clone());
        let (going, over) = (place(), Pace::default());
        over.cancel();
        let cancelled = place().at(&over);
        let reduction = Setting::parse("utrc:keep=0.7", &crate::reduce::abouts()).unwrap();
        for reduction in [None, reduction.as_ref()] {
            let (arm, broken_off) = (going.arm(reduction), cancelled.arm(reduction));
            let prior = block_on(task.item(0).prior(&arm, &no_context(&arm).unwrap())).unwrap();
            assert!(block_on(task.item(0).score(&arm, &prior)).is_ok(), "{id}");
            let found = block_on(task.item(0).score(&broken_off, &prior));
            assert!(matches!(found, Err(Error::Cancelled)), "{id}: {found:?}");
        }
    }
}
