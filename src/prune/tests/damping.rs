//! A method that cannot solve its system is tried again with more damping, and not for ever.

use super::model::{Loaded, load, sequences};
use super::*;
use crate::backend::Device;
use crate::method::About;
use crate::prune::by_matrix::Work;
use crate::prune::{Pruned, Pruning, Solvers, Subject, Task, mrp};
use std::sync::atomic::{AtomicU32, Ordering};

/// Solves only from so much damping on, and counts its tries.
struct Stubborn {
    from: f64,
    tries: AtomicU32,
}

impl ByMatrix for Stubborn {
    fn about(&self) -> &'static About {
        ByMatrix::about(&mrp::Mrp)
    }

    fn needs(&self, _: &Setting, _: usize) -> Needs {
        Needs::Factor
    }

    fn on_host<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a HostInputs) -> Work<'a> {
        Box::pin(async move {
            self.tries.fetch_add(1, Ordering::Relaxed);
            let solved = inputs.hessian().damping >= self.from;
            job.weights.fill(if solved { 2.0 } else { f32::NAN });
            Ok(if solved { Outcome::Done } else { Outcome::NotPositive })
        })
    }
}

/// One matrix pruned: what came of it, and in how many tries.
fn prune_from(from: f64) -> (crate::Result<Pruned>, u32) {
    let Loaded { config, weights, model, .. } = load("llama-f32-gqa");
    // Leaked, because a pruning asks for a method that lives as long as the program.
    let method: &'static Stubborn =
        Box::leak(Box::new(Stubborn { from, tries: AtomicU32::new(0) }));
    let task = Task {
        subject: Subject {
            device: &Device::Cpu,
            config: &config,
            weights: &weights,
            dense: &model,
        },
        sequences: &sequences(2, 60, config.vocab_size()),
        setting: &setting("mrp:only=layers.0.mlp.down_proj"),
        cache: &mut None,
        solvers: Solvers::RealGpus,
        pace: &Pace::default(),
        progress: &mut |_, _| {},
    };
    (block_on(Pruning::prune(method, task)), method.tries.load(Ordering::Relaxed))
}

#[test]
fn damping_is_raised_tenfold_until_the_system_is_solved() {
    // The setting asks for 0.01.
    for (from, damping, retries) in [(0.0, 0.01, 0), (0.05, 0.1, 1), (500.0, 1000.0, 5)] {
        let (pruned, tries) = prune_from(from);
        let pruned = pruned.unwrap();
        let line = &pruned.report[0];
        let found = line.damping.unwrap();
        assert!((found / damping - 1.0).abs() < 1e-12, "{from}: {found}");
        assert_eq!((pruned.report.len(), line.retries, tries), (1, retries, retries + 1));
        assert!(pruned.edits[&line.name].values.iter().all(|w| *w == 2.0), "of the last try");
    }
}

#[test]
fn a_system_that_no_damping_solves_is_an_error() {
    let (pruned, tries) = prune_from(f64::INFINITY);
    let error = pruned.err().expect("nothing was solved").to_string();
    let parts = ["model.layers.0.mlp.down_proj.weight", "not finite"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    // 0.01, 0.1, .. up to a million, where the inputs no longer matter.
    assert_eq!(tries, 9);
}
