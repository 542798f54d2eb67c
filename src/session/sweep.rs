//! Cells of a sweep on the models that a session loads: bundled, or the user's own.

use super::calibration;
use super::engine::Engine;
use super::open::Loaded;
use super::run::{build_task, speed_text};
use super::spec::{Backend, OWN, RunSpec};
use crate::eval::sweep::{Cell, Ground, Shared};
use crate::eval::{Placed, Point};
use crate::pace::Pace;
use crate::{Result, prune, reduce};
use std::rc::Rc;

/// Tokens decoded where speed is measured.
const DECODE: usize = 16;

/// Measures cells one after the other; keeps what those of one model share.
pub struct Sweeper {
    backend: Backend,
    has_speed: bool,
    /// The number of the newest model.
    model: Option<u64>,
    shared: Shared,
}

/// What is measured of a cell beside its quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Quality and counted cost only.
    Untimed,
    /// Speed of both sides too, timed in turns, with 16 tokens decoded in each visit.
    InTurns,
}

impl Sweeper {
    /// Knows nothing of any model yet.
    pub fn new(backend: Backend, timing: Timing) -> Sweeper {
        let (model, shared) = (None, Shared::default());
        Sweeper { backend, has_speed: timing == Timing::InTurns, model, shared }
    }

    /// Measures a cell on a model. `hear` is told how many of how many items are done.
    ///
    /// Errors: as in a run.
    pub async fn cell(
        &mut self,
        engine: &mut Engine,
        loaded: &Rc<Loaded>,
        cell: &Cell,
        pace: &Pace,
        hear: &mut dyn FnMut(usize, usize),
    ) -> Result<Point> {
        let sha256 = loaded.hash(pace, &mut |_| {}).await?;
        if self.model != Some(loaded.number) {
            (self.model, self.shared) = (Some(loaded.number), Shared::default());
        }
        cell.reduction.iter().try_for_each(|s| reduce::check(&loaded.config, s))?;
        cell.pruning.iter().try_for_each(|s| prune::check(&loaded.config, s))?;
        let spec = spec(loaded, cell);
        let task = build_task(engine, &spec, loaded).await?;
        let device = engine.device(self.backend, loaded).await?.device;
        let (dense, weights) = engine.baseline(&device, loaded)?;
        // Of this model on this device, which `baseline` has seen to.
        let known = engine.cache.known.sheet(&spec);
        known.into_iter().for_each(|sheet| self.shared.know(cell, sheet));
        let placed =
            Placed::new(&device, &loaded.config, &weights, &loaded.tokenizer, dense).at(pace);
        let sequences = match &cell.pruning {
            Some(setting) => calibration::sequences(engine, loaded, setting).await?,
            None => Vec::new(),
        };
        let timed = match self.has_speed {
            true => {
                let prompt = loaded.encode_whole(&spec.prompt)?;
                Some((speed_text(engine, loaded, &prompt).await?, DECODE))
            }
            false => None,
        };
        let ground = Ground {
            placed: &placed,
            task: &task,
            fragment: spec.fragment(sha256),
            model: format!("{}@{}", loaded.id, &sha256[..16.min(sha256.len())]),
            sha256,
            file_bytes: loaded.bytes(),
            sequences,
            timed,
        };
        let point = self.shared.measure(cell, &ground, pace, hear).await?;
        self.shared.known(cell).iter().for_each(|s| engine.cache.known.keep_sheet(&spec, s));
        Ok(point)
    }
}

/// The run that a cell is a part of.
fn spec(loaded: &Loaded, cell: &Cell) -> RunSpec {
    let mut spec = match super::bundle::Entry::find(&loaded.id) {
        Ok(entry) => RunSpec::of_model(entry),
        Err(_) => RunSpec { model: OWN.into(), ..RunSpec::first() },
    };
    spec.evaluation = cell.evaluation.clone();
    spec.reduction = cell.reduction.clone();
    spec.pruning = cell.pruning.clone();
    spec.seed = cell.seed;
    spec.data = cell.data.clone();
    spec
}
