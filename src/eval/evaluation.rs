//! What an evaluation is: one file with a description of itself, its files, its items and its figures.

use super::arm::{Arm, Context};
use super::figures::Metric;
use super::published::Published;
use super::score::Score;
use super::source::Source;
use crate::Result;
use crate::method::{About, Setting};
use std::pin::Pin;

/// One way to measure a model.
pub trait Evaluation: Sync {
    /// Its id, its knobs and the families it runs on, for SPECs, the page and `whittle methods`.
    fn about(&self) -> &'static About;

    /// Files (below models/eval) that it reads.
    fn files(&self, setting: &Setting) -> Vec<String>;

    /// Fields by which a row of the user's own data is known as one of this evaluation's; none for a plain text. Absent
    /// where the data is bundled.
    fn fields(&self) -> Option<&'static [&'static str]> {
        None
    }

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

    /// What stands between the context and what is scored: read, never reduced.
    fn query(&self) -> &[u32] {
        &[]
    }

    /// What may follow the context, or has to: the choices, or the one stretch that is scored.
    fn options(&self) -> Vec<&[u32]>;

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

/// The context that stands for "no context": the begin-of-text token.
pub fn no_context(arm: &Arm<'_>) -> Result<Context> {
    Arm { reduction: None, ..*arm }.read(&[arm.config.prior_token()])
}
