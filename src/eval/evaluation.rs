//! What an evaluation is: one file with a description of itself, its files, its items and its figures.

use super::arm::{Arm, Context};
use super::figures::{Metric, Paired};
use super::published::Published;
use super::score::Score;
use super::source::Source;
use super::{Quality, Verdict};
use super::{arc, cloze, continuation, copy, hellaswag, induction, lambada, piqa, questions};
use super::{recall, rolling, text, winogrande};
use crate::method::{About, Setting};
use crate::{Error, Result};
use std::pin::Pin;

/// Every evaluation, in the order of the menus; one line each.
pub const EVALUATIONS: &[&dyn Evaluation] = &[
    &continuation::Continuation,
    &text::Text,
    &cloze::Cloze,
    &recall::Recall,
    &copy::Copy,
    &induction::Induction,
];

/// Evaluations whose data is the user's own: a file that is opened, one line each.
pub const OF_OWN_DATA: &[&dyn Evaluation] = &[
    &questions::Questions,
    &rolling::Rolling,
    &rolling::WikiText2,
    &lambada::Lambada,
    &hellaswag::HellaSwag,
    &piqa::Piqa,
    &arc::ArcEasy,
    &arc::ArcChallenge,
    &winogrande::WinoGrande,
];

/// One way to measure a model.
pub trait Evaluation: Sync {
    fn about(&self) -> &'static About;

    /// Files (below models/eval) that it reads.
    fn files(&self, setting: &Setting) -> Vec<String>;

    /// The items of a setting, from the files that [`Evaluation::files`] names, in that order.
    ///
    /// Errors: a file that is not what it should be.
    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>>;

    /// The figures, the first one first.
    fn metrics(&self) -> &'static [Metric];
}

/// Work on its way.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// What a model says of an item's scored tokens without any context, in nats: one number for each choice or window. It
/// belongs to the model, whatever is done to contexts, so that several arms of one model share it.
pub type Prior = Vec<f64>;

/// One item, ready to be scored.
pub trait Item {
    /// Names it within the evaluation's data: FILE:LINE, or FILE:WINDOW.
    fn id(&self) -> String;

    /// The tokens that are reduced.
    fn context(&self) -> &[u32];

    /// What the arm's model says without the context; `none` is [`no_context`]. Empty where nothing is compared with it.
    fn prior<'a>(&'a self, _arm: &'a Arm<'a>, _none: &'a Context) -> Work<'a, Prior> {
        Box::pin(async { Ok(Prior::new()) })
    }

    /// Scores the item. `prior` is [`Item::prior`] of the same model.
    fn score<'a>(&'a self, arm: &'a Arm<'a>, prior: &'a [f64]) -> Work<'a, Score>;

    /// Scores it as the released code of arXiv 2410.14725 does, see [`super::published`]: rows and labels may be out of
    /// step. `None` where an evaluation has no such form.
    fn as_published<'a>(
        &'a self,
        _arm: &'a Arm<'a>,
        _prior: &'a [f64],
    ) -> Work<'a, Option<Published>> {
        Box::pin(async { Ok(None) })
    }
}

/// What the evaluations on bundled data say about themselves.
pub fn abouts() -> Vec<&'static About> {
    EVALUATIONS.iter().map(|evaluation| evaluation.about()).collect()
}

/// What those on the user's own data say.
pub fn own_abouts() -> Vec<&'static About> {
    OF_OWN_DATA.iter().map(|evaluation| evaluation.about()).collect()
}

/// Whether a setting is measured on the user's own data.
pub fn is_of_own_data(setting: &Setting) -> bool {
    OF_OWN_DATA.iter().any(|e| e.about().id == setting.about.id)
}

/// The evaluation of a setting.
pub fn evaluation_of(setting: &Setting) -> &'static dyn Evaluation {
    let found = EVALUATIONS.iter().chain(OF_OWN_DATA).find(|e| e.about().id == setting.about.id);
    *found.expect("a setting of an evaluation is parsed from these lists")
}

/// Reads an evaluation's SPEC. Errors: "off", or anything else that is none.
pub fn parse(spec: &str) -> Result<Setting> {
    let abouts = [abouts(), own_abouts()].concat();
    Setting::parse(spec, &abouts)?.ok_or_else(|| {
        let ids: Vec<&str> = abouts.iter().map(|a| a.id).collect();
        Error::input("evaluation", spec, format!("one of {}", ids.join(", ")))
    })
}

/// Files (below models/eval) that a setting reads.
pub fn files(setting: &Setting) -> Vec<String> {
    evaluation_of(setting).files(setting)
}

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

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn item(&self, i: usize) -> &dyn Item {
        &*self.items[i]
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

/// The context that stands for "no context": the begin-of-text token.
pub fn no_context(arm: &Arm<'_>) -> Result<Context> {
    Arm { reduction: None, ..*arm }.read(&[arm.config.bos_token_id().unwrap_or(0)])
}
