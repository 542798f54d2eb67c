//! What stands beside the figures of a token reduction, once they are there: controls at the same lengths, and the
//! figures that the released code's scorer would report.
//!
//! Both are paired with scores that the run already has; the baseline is never scored again.

use super::protocol::{ControlView, PublishedView};
use super::run::Running;
use crate::Result;
use crate::eval::published::WARNING;
use crate::eval::{Arm, Prior, Score, Task};
use crate::method::Setting;
use crate::pace::Pace;
use crate::reduce;

/// The scores of a run, item by item.
#[derive(Default)]
pub(super) struct Scored {
    pub baseline: Vec<Score>,
    pub compressed: Vec<Score>,
    /// Of the compressed model.
    pub priors: Vec<Prior>,
}

/// A reduction whose items have been scored.
pub(super) struct Honest<'a> {
    pub task: &'a Task,
    pub scored: &'a Scored,
    pub arm: &'a Arm<'a>,
    pub setting: &'a Setting,
}

/// Scores every control on items spread evenly over the task; a row appears when its control is complete.
pub(super) async fn controls(
    run: &mut Running<'_, '_>,
    honest: &Honest<'_>,
    evaluation: &Setting,
    pace: &Pace,
) -> Result<()> {
    let items = spread(honest.task.len(), evaluation.number("controls") as usize);
    let method: Vec<Score> = items.iter().map(|&i| honest.scored.compressed[i].clone()).collect();
    let knows_filler = honest.arm.filler.is_some();
    for (label, control) in reduce::controls(honest.setting, knows_filler) {
        let arm = Arm { reduction: Some(&control), ..*honest.arm };
        let mut scores = Vec::with_capacity(items.len());
        for &i in &items {
            scores.push(honest.task.item(i).score(&arm, &honest.scored.priors[i]).await?);
            pace.breathe().await?;
            let text = format!("Control {label}: {} of {} items", scores.len(), items.len());
            run.say_often(&text, Some(scores.len() as f64 / items.len() as f64));
        }
        if !items.is_empty() {
            let quality = honest.task.difference(&scores, &method);
            run.view.controls.push(ControlView { label, spec: control.to_string(), quality });
        }
    }
    Ok(())
}

/// Scores the items again as the released code does, where the evaluation asks for it.
pub(super) async fn published(
    run: &mut Running<'_, '_>,
    honest: &Honest<'_>,
    evaluation: &Setting,
    pace: &Pace,
) -> Result<()> {
    if !evaluation.knobs().any(|(id, value)| id == "published" && value.is("on")) {
        return Ok(());
    }
    let (task, n) = (honest.task, honest.task.len());
    let (mut scores, mut in_step) = (Vec::with_capacity(n), 0.0);
    for i in 0..n {
        let item = task.item(i).as_published(honest.arm, &honest.scored.priors[i]).await?;
        in_step += item.as_ref().map_or(1.0, |p| p.in_step) / n as f64;
        scores.extend(item.map(|p| p.score));
        pace.breathe().await?;
        let text = format!("Scored {} of {n} items as published", i + 1);
        run.say_often(&text, Some((i + 1) as f64 / n as f64));
    }
    let quality = task.difference(&honest.scored.compressed, &scores);
    run.view.published = Some(PublishedView { warning: WARNING, in_step, quality });
    Ok(())
}

/// At most `wanted` of `n` places, evenly spread.
fn spread(n: usize, wanted: usize) -> Vec<usize> {
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
