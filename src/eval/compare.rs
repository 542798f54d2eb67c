//! Two arms on the same items: what each of them scores, and what stands beside their figures.
//!
//! Nothing is measured twice: what an arm scored lies on its [`Sheet`], which can be kept and passed in again. Items can
//! be scored in any order; figures are formed from those that both arms have, in the order of the data.

use super::arm::{Arm, Context};
use super::evaluation::{Prior, no_context};
use super::quality::Quality;
use super::score::Score;
use super::task::Task;
use crate::method::Setting;
use crate::pace::Pace;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What was measured of one arm on the items of a task so far.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    /// Of the arm's model, item by item.
    priors: Vec<Option<Prior>>,
    scores: Vec<Option<Score>>,
}

impl Sheet {
    /// An empty sheet with a place for every item of a task.
    pub fn of(task: &Task) -> Sheet {
        Sheet { priors: vec![None; task.len()], scores: vec![None; task.len()] }
    }

    /// Of item `i`; `None` until it is scored.
    pub fn score(&self, i: usize) -> Option<&Score> {
        self.scores.get(i)?.as_ref()
    }

    /// Whether every item is scored.
    pub fn is_complete(&self) -> bool {
        self.scores.iter().all(Option::is_some)
    }

    /// A sheet for another arm of the same model: what it says of items without their contexts stays.
    pub fn without_scores(&self) -> Sheet {
        Sheet { priors: self.priors.clone(), scores: vec![None; self.scores.len()] }
    }

    /// What the model says of item `i` without its context.
    async fn prior(
        &mut self,
        task: &Task,
        arm: &Arm<'_>,
        none: &Context,
        i: usize,
    ) -> Result<&[f64]> {
        if self.priors[i].is_none() {
            self.priors[i] = Some(task.item(i).prior(arm, none).await?);
        }
        Ok(self.priors[i].as_deref().unwrap_or_default())
    }

    /// Scores item `i` unless it is there.
    pub async fn fill(
        &mut self,
        task: &Task,
        arm: &Arm<'_>,
        none: &Context,
        i: usize,
    ) -> Result<()> {
        if self.scores[i].is_some() {
            return Ok(());
        }
        let prior = self.prior(task, arm, none, i).await?;
        let item = task.item(i);
        let score = item.score(arm, prior).await?;
        if !score.is_finite() {
            // Comparing what is no number is always false: any share would be an artefact.
            let why = arm.model.not_finite(arm.device, arm.config, item.context()).await?;
            return Err(place(why, &format!("item {}", item.id())));
        }
        self.scores[i] = Some(score);
        Ok(())
    }

    /// Asks the arm's model of every item without its context.
    pub async fn find_priors(&mut self, task: &Task, arm: &Arm<'_>, pace: &Pace) -> Result<()> {
        let none = no_context(arm)?;
        for i in 0..task.len() {
            self.prior(task, arm, &none, i).await?;
            pace.breathe().await?;
        }
        Ok(())
    }

    /// Scores every item that is not there yet. `hear` is told how many are done.
    pub async fn complete(
        &mut self,
        task: &Task,
        arm: &Arm<'_>,
        pace: &Pace,
        hear: &mut dyn FnMut(usize),
    ) -> Result<Vec<Score>> {
        let none = no_context(arm)?;
        for i in 0..task.len() {
            self.fill(task, arm, &none, i).await?;
            pace.breathe().await?;
            hear(i + 1);
        }
        Ok(self.scores.iter().flatten().cloned().collect())
    }
}

/// What was measured of one item somewhere else, by another program on the same models. Absent is what it was not asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Scored {
    /// Its place in the order of the data, from 0.
    pub item: usize,
    /// What each of the models says without the context: baseline, compressed.
    pub priors: [Option<Prior>; 2],
    /// What each of the arms scored.
    pub scores: [Option<Score>; 2],
}

/// Names of the two sides, for messages.
const SIDES: [&str; 2] = ["baseline", "compressed"];

/// Says in a message where it was.
fn place(error: Error, place: &str) -> Error {
    match error {
        Error::File { file, problem } => Error::file(format!("{place}, {file}"), problem),
        other => other,
    }
}

/// Baseline and compressed on the items of a task.
pub struct Comparison<'a> {
    /// The items, and how figures are made of their scores.
    pub task: &'a Task,
    /// Baseline, compressed.
    pub arms: [&'a Arm<'a>; 2],
    /// What each of the arms has scored, in the same order.
    pub sheets: [Sheet; 2],
}

impl<'a> Comparison<'a> {
    /// `baseline` is what is known of the baseline on these items: nothing, or the sheet of an earlier comparison.
    pub fn new(task: &'a Task, arms: [&'a Arm<'a>; 2], baseline: Option<Sheet>) -> Comparison<'a> {
        let baseline = baseline.filter(|s| s.scores.len() == task.len());
        let sheets = [baseline.unwrap_or_else(|| Sheet::of(task)), Sheet::of(task)];
        Comparison { task, arms, sheets }
    }

    /// Scores the items that are not on the sheets yet, in this order, both arms of one before the next. `hear` is told
    /// which item is done.
    ///
    /// Errors: as [`Comparison::share`].
    pub async fn run(
        &mut self,
        order: &[usize],
        pace: &Pace,
        hear: &mut dyn FnMut(&Comparison<'a>, usize),
    ) -> Result<()> {
        self.share(order, &[0, 1], pace, &mut Vec::new, hear).await
    }

    /// Scores those of the items that are not on the sheets yet, in this order: `sides` (0 is the baseline, 1 the
    /// compressed arm) of one before the next. `help` gives what others have scored meanwhile, and `hear` is told which
    /// item is done.
    ///
    /// Errors: cancelled, the GPU failed, or a figure that is no number.
    pub async fn share(
        &mut self,
        order: &[usize],
        sides: &[usize],
        pace: &Pace,
        help: &mut dyn FnMut() -> Vec<Scored>,
        hear: &mut dyn FnMut(&Comparison<'a>, usize),
    ) -> Result<()> {
        let none = [no_context(self.arms[0])?, no_context(self.arms[1])?];
        let shares_model = std::ptr::eq(self.arms[0].model, self.arms[1].model);
        let are_equal = shares_model && self.arms.iter().all(|arm| arm.reduction.is_none());
        for &i in order {
            help().into_iter().for_each(|scored| self.take(scored));
            for &side in sides {
                if side == 1 && shares_model && self.sheets[1].priors[i].is_none() {
                    self.sheets[1].priors[i] = self.sheets[0].priors[i].clone();
                }
                if side == 1 && are_equal && self.sheets[1].scores[i].is_none() {
                    self.sheets[1].scores[i] = self.sheets[0].scores[i].clone();
                }
                let filled = self.sheets[side].fill(self.task, self.arms[side], &none[side], i);
                filled.await.map_err(|e| place(e, SIDES[side]))?;
                pace.breathe().await?;
            }
            hear(self, i);
        }
        Ok(())
    }

    /// What is on the sheets of one item, for a comparison of the same arms elsewhere.
    pub fn told(&self, item: usize) -> Scored {
        let sheets = self.sheets.each_ref();
        let priors = sheets.map(|sheet| sheet.priors[item].clone());
        Scored { item, priors, scores: sheets.map(|sheet| sheet.scores[item].clone()) }
    }

    /// Puts on the sheets what another program has scored of an item, where nothing stands yet. What cannot be a score
    /// is left out, and the item is scored here.
    pub fn take(&mut self, scored: Scored) {
        if scored.item >= self.task.len() {
            return;
        }
        for (sheet, prior) in self.sheets.iter_mut().zip(scored.priors) {
            let here = &mut sheet.priors[scored.item];
            *here = here.take().or(prior.filter(|p| p.iter().all(|x| x.is_finite())));
        }
        for (sheet, score) in self.sheets.iter_mut().zip(scored.scores) {
            let here = &mut sheet.scores[scored.item];
            *here = here.take().or(score.filter(Score::is_sound));
        }
    }

    /// Places of the items that both arms have scored.
    pub fn scored(&self) -> Vec<usize> {
        let both = |i: &usize| self.sheets.iter().all(|sheet| sheet.score(*i).is_some());
        (0..self.task.len()).filter(both).collect()
    }

    /// The scores of one side on some items.
    pub fn scores(&self, side: usize, items: &[usize]) -> Vec<Score> {
        items.iter().filter_map(|&i| self.sheets[side].score(i).cloned()).collect()
    }

    /// The figures of the items that both arms have.
    pub fn figures(&self) -> Vec<Quality> {
        let items = self.scored();
        self.task.figures(&self.scores(0, &items), &self.scores(1, &items))
    }

    /// The compressed arm against its model under another reduction, on `wanted` items spread evenly over the task: the
    /// difference of the two. Empty without items. `help` and `hear` as in [`Comparison::share`]; others score the
    /// reduction as the second arm of a comparison.
    pub async fn against(
        &self,
        control: &Setting,
        wanted: usize,
        pace: &Pace,
        help: &mut dyn FnMut() -> Vec<Scored>,
        hear: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Quality>> {
        let items = spread(self.task.len(), wanted);
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let arm = Arm { reduction: Some(control), ..*self.arms[1] };
        let sheets = [self.sheets[1].clone(), self.sheets[1].without_scores()];
        let mut other = Comparison { task: self.task, arms: [self.arms[1], &arm], sheets };
        let mut done = 0;
        let mut each = |_: &Comparison<'_>, _| {
            done += 1;
            hear(done, items.len());
        };
        other.share(&items, &[1], pace, help, &mut each).await?;
        Ok(self.task.difference(&other.scores(1, &items), &self.scores(1, &items)))
    }

    /// What the released code's scorer says of the compressed arm, beside the honest figures; see [`super::published`].
    pub async fn as_published(
        &self,
        pace: &Pace,
        hear: &mut dyn FnMut(usize, usize),
    ) -> Result<AsPublished> {
        let items: Vec<usize> = (0..self.task.len()).collect();
        let mut sheet = self.sheets[1].without_scores();
        let mut hear = |done: usize| hear(done, items.len());
        let (scores, in_step) =
            published_scores(self.task, self.arms[1], &mut sheet, pace, &mut hear).await?;
        let quality = self.task.difference(&self.scores(1, &items), &scores);
        Ok(AsPublished { in_step: in_step.unwrap_or(1.0), quality })
    }
}

impl Comparison<'_> {
    /// The figures that the released code would report of the compressed arm, against the baseline; ids and labels say so.
    pub async fn published_figures(&self, pace: &Pace) -> Result<Vec<Quality>> {
        let mut sheet = self.sheets[1].without_scores();
        let (scores, _) =
            published_scores(self.task, self.arms[1], &mut sheet, pace, &mut |_| {}).await?;
        let items: Vec<usize> = (0..self.task.len()).collect();
        let named = |q: Quality| Quality {
            metric: format!("{PUBLISHED}{}", q.metric).into(),
            label: format!("{}, scorer as published (rows slip)", q.label).into(),
            ..q
        };
        Ok(match scores.len() == items.len() {
            true => {
                let figures = self.task.figures(&self.scores(0, &items), &scores);
                figures.into_iter().map(named).collect()
            }
            false => Vec::new(),
        })
    }
}

/// Before the ids of figures of the released code's scorer.
pub const PUBLISHED: &str = "published_";

/// Figures of the released code's scorer.
pub struct AsPublished {
    /// Share of the scored rows that are compared with the right label.
    pub in_step: f64,
    /// `baseline` is the honest figure of the compressed arm, `compressed` the published one.
    pub quality: Vec<Quality>,
}

/// Scores every item as the released code does, and the mean share of rows in step; `sheet` holds the model's priors.
pub async fn published_scores(
    task: &Task,
    arm: &Arm<'_>,
    sheet: &mut Sheet,
    pace: &Pace,
    hear: &mut dyn FnMut(usize),
) -> Result<(Vec<Score>, Option<f64>)> {
    let none = no_context(arm)?;
    let (mut scores, mut in_step) = (Vec::with_capacity(task.len()), Vec::new());
    for i in 0..task.len() {
        let prior = sheet.prior(task, arm, &none, i).await?;
        let item = task.item(i).as_published(arm, prior).await?;
        in_step.extend(item.as_ref().map(|p| p.in_step));
        scores.extend(item.map(|p| p.score));
        pace.breathe().await?;
        hear(i + 1);
    }
    let mean = in_step.iter().sum::<f64>() / in_step.len() as f64;
    Ok((scores, Some(mean).filter(|m| m.is_finite())))
}

/// At most `wanted` of `n` places, evenly spread.
pub fn spread(n: usize, wanted: usize) -> Vec<usize> {
    let m = wanted.min(n);
    (0..m).map(|i| i * n / m).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_for_controls_are_spread_and_never_repeated() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(3, 50), [0, 1, 2]);
        assert!(spread(10, 0).is_empty() && spread(0, 5).is_empty());
    }
}
