//! A run as a point: its settings and the figures that a chart and a history keep.

use super::open::Loaded;
use super::protocol::RunView;
use super::spec::RunSpec;
use crate::eval::sweep::spec as text;
use crate::eval::{Point, PointCost, PointSpeed};

/// The point of a run as far as it is measured; `ms` is the time that took.
pub(super) fn of(
    spec: &RunSpec,
    loaded: &Loaded,
    run: &RunView,
    cost: PointCost,
    ms: f64,
) -> Point {
    let (evaluation, sha256) = (spec.evaluation.to_string(), loaded.sha256());
    let (reduce, prune) = (text(&spec.reduction), text(&spec.pruning));
    let first = run.quality.first();
    Point {
        key: Point::key_of(sha256, &evaluation, spec.seed, &reduce, &prune, ""),
        fragment: spec.fragment(sha256),
        model: format!("{}@{}", spec.model, &sha256[..sha256.len().min(16)]),
        evaluation,
        reduce,
        prune,
        seed: spec.seed,
        items: first.map_or(0, |q| q.items),
        items_wanted: first.map_or(0, |q| q.items_total),
        complete: run.finished,
        quality: run.quality.clone(),
        cost,
        speed: run.speed.as_ref().map(|speed| PointSpeed {
            prefill_ratio: Some(speed.prefill_ratio),
            decode_ratio: Some(speed.decode_ratio),
        }),
        ms,
        backend: run.backend.clone(),
        created: None,
    }
}
