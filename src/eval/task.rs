//! The items of one setting of an evaluation, and the figures that their scores become.

use super::evaluation::Item;
use super::figures::{Metric, Paired};
use super::registry::evaluation_of;
use super::score::Score;
use super::source::Source;
use super::{Quality, Verdict};
use crate::{Error, Result};

/// Items ready to be scored, and the figures that they become.
pub struct Task {
    metrics: &'static [Metric],
    items: Vec<Box<dyn Item>>,
    definition: String,
    /// What was left out of the user's own data, and why.
    pub problems: Vec<String>,
}

impl Task {
    /// Builds the items of a setting.
    ///
    /// Errors: a file that is not what it should be, text that is too short for one window, or no item at all.
    pub fn build(source: &Source<'_>) -> Result<Task> {
        let evaluation = evaluation_of(source.setting);
        let about = evaluation.about();
        let items = evaluation.items(source)?;
        if items.is_empty() {
            return Err(Error::file(about.id, "has no items"));
        }
        let definition = format!("{} {}", about.summary, about.source);
        let problems = source.problems.take();
        Ok(Task { metrics: evaluation.metrics(), items, definition, problems })
    }

    /// Items, at least one.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Never: a task without items is not built.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Item `i` in the order of the data, below [`Task::len`].
    pub fn item(&self, i: usize) -> &dyn Item {
        &*self.items[i]
    }

    /// Whether a figure sets every arm against what one model says without a context; else each has its own model's word.
    pub fn shares_priors(&self) -> bool {
        self.metrics.iter().any(Metric::shares_priors)
    }

    /// The figures of the items scored so far.
    pub fn figures(&self, baseline: &[Score], compressed: &[Score]) -> Vec<Quality> {
        let paired = Paired::new(baseline, compressed);
        let figure = |m: &Metric| paired.figure(m, self.len(), &self.definition);
        self.metrics.iter().map(figure).collect()
    }

    /// The figures of two arms neither of which is the baseline, on some of the items, and so without those figures that
    /// rest on a baseline.
    pub fn difference(&self, from: &[Score], to: &[Score]) -> Vec<Quality> {
        let paired = Paired::new(from, to);
        let metrics = self.metrics.iter().filter(|m| !m.needs_baseline());
        let figure = |m: &Metric| {
            let q = paired.figure(m, self.len(), "");
            let verdict = Verdict::of(&q.change, q.higher_is_better, q.items);
            Quality { verdict, ..q }
        };
        metrics.map(figure).collect()
    }
}
