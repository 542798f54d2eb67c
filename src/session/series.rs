//! A sweep: one knob of the chosen methods from end to end, measured point by point while nothing else runs.

use super::Session;
use super::protocol::{Event, Level, SweepView};
use super::spec::RunSpec;
use crate::eval::Point;
use crate::eval::sweep::Cell;
use crate::method::KnobKind;
use crate::pace::Pace;
use crate::{Error, Result, reduce};
use std::collections::VecDeque;

/// Points of a knob whose values were left to us.
const POINTS: usize = 8;
/// Values that a request may name.
const MOST: usize = 64;

/// What is still to be measured, each under the name of its curve.
pub(super) struct Series {
    pub left: VecDeque<(String, RunSpec)>,
    pub view: SweepView,
}

impl Series {
    /// The knob (`prune.sparsity`) over these values, or over its whole range where none are given; a reduction's controls
    /// at the same settings are curves of their own.
    ///
    /// Errors: no such knob, a value that it does not take, or too many.
    pub fn new(spec: &RunSpec, knob: &str, values: &[String]) -> Result<Series> {
        let values = match values.len() {
            0 => whole_range(spec, knob)?,
            1..=MOST => values.to_vec(),
            n => return Err(Error::input("values of a sweep", n, format!("at most {MOST}"))),
        };
        let mut left = VecDeque::new();
        let mut controls = VecDeque::new();
        for value in values {
            let mut one = spec.clone();
            one.set(knob, &value)?;
            let of_reduction = one.reduction.as_ref().filter(|_| knob.starts_with("reduce."));
            for (_, control) in of_reduction.iter().flat_map(|s| reduce::controls(s, false)) {
                let series = format!("{knob} {}", control.about.id);
                controls.push_back((series, RunSpec { reduction: Some(control), ..one.clone() }));
            }
            let chosen = if knob.starts_with("prune.") { &one.pruning } else { &one.reduction };
            let id = chosen.as_ref().map_or("off", |setting| setting.about.id);
            left.push_back((format!("{knob} {id}"), one));
        }
        // The method's own curve first.
        left.append(&mut controls);
        let view = SweepView { knob: knob.into(), done: 0, total: left.len(), paused: false };
        Ok(Series { left, view })
    }
}

impl Session {
    /// Whether there is a point of a sweep to be measured.
    pub fn is_sweeping(&self) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| !sweep.view.paused)
    }

    /// Measures the next point of the sweep; one that was broken off is measured again the next time.
    pub async fn step(&mut self, pace: &Pace) {
        let Some((series, mut spec)) = self.sweep.as_ref().and_then(|s| s.left.front().cloned())
        else {
            self.sweep = None;
            return self.show();
        };
        match self.cell(&mut spec, pace).await {
            Ok(point) => (self.emit)(Event::Point { series, point: Box::new(point) }),
            Err(Error::Cancelled) => return,
            Err(e) => {
                self.notice(Level::Warning, format!("A point of the sweep is missing. {e}"));
            }
        }
        if let Some(sweep) = &mut self.sweep {
            sweep.left.pop_front();
            sweep.view.done += 1;
        }
        self.sweep.take_if(|sweep| sweep.left.is_empty());
        self.show();
    }

    async fn cell(&mut self, spec: &mut RunSpec, pace: &Pace) -> Result<Point> {
        let loaded = self.engine.model(&spec.model).await?;
        spec.fit(&loaded.config);
        let cell = Cell {
            model: spec.model.clone(),
            evaluation: spec.evaluation.clone(),
            reduction: spec.reduction.clone(),
            pruning: spec.pruning.clone(),
            seed: spec.seed,
            data: spec.data.clone(),
        };
        self.sweeper.cell(&mut self.engine, &loaded, &cell, pace, &mut |_, _| {}).await
    }
}

fn whole_range(spec: &RunSpec, name: &str) -> Result<Vec<String>> {
    let unknown = || Error::input("knob of a sweep", name, "a knob of the chosen methods");
    let (group, id) = name.split_once('.').ok_or_else(unknown)?;
    let setting = match group {
        "reduce" => spec.reduction.as_ref(),
        "prune" => spec.pruning.as_ref(),
        _ => None,
    };
    let knob =
        setting.and_then(|s| s.about.knobs.iter().find(|k| k.id == id)).ok_or_else(unknown)?;
    match &knob.kind {
        KnobKind::Number { min, max, step, .. } => {
            let steps = ((max - min) / step).round() as usize;
            let stride = steps.div_ceil(POINTS).max(1);
            let value = |i: usize| ((min + i as f64 * step) * 1e6).round() / 1e6;
            // At nothing, a method does nothing: that point is the baseline.
            let from = if *min == 0.0 { stride } else { 0 };
            Ok((from..=steps).step_by(stride).map(|i| value(i).to_string()).collect())
        }
        KnobKind::Choice { options, .. } => {
            Ok(options.iter().map(|(id, _)| (*id).into()).collect())
        }
        KnobKind::Layers | KnobKind::Text { .. } => {
            Err(Error::input("knob of a sweep", name, "a number, a choice, or values"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_has_the_whole_range_and_the_controls_after_it() {
        let mut spec = RunSpec::first();
        spec.set("prune", "wanda").unwrap();
        spec.set("reduce", "utrc").unwrap();
        let sweep = Series::new(&spec, "prune.sparsity", &[]).unwrap();
        let specs: Vec<String> =
            sweep.left.iter().map(|(_, s)| s.pruning.as_ref().unwrap().to_string()).collect();
        assert_eq!(specs.len(), 6);
        assert_eq!(
            (specs[0].as_str(), specs[5].as_str()),
            ("wanda:sparsity=0.15", "wanda:sparsity=0.9")
        );
        let sweep = Series::new(&spec, "reduce.cut", &["0.1".into(), "0.2".into()]).unwrap();
        let names: Vec<&str> = sweep.left.iter().map(|(series, _)| series.as_str()).collect();
        assert_eq!(names[..2], ["reduce.cut utrc"; 2]);
        assert!(names[2..].contains(&"reduce.cut random"), "{names:?}");
        assert!(Series::new(&spec, "prune.nothing", &[]).is_err());
        assert!(Series::new(&spec, "prune.sparsity", &["7".into()]).is_err());
        assert!(Series::new(&spec, "seed", &[]).is_err());
    }
}
