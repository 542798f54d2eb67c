//! Rows of a matrix in batches, in f64; natively several batches at a time where threads may be used.

use super::by_matrix::{HostInputs, MatrixJob};
use super::outcome::Outcome;
use super::pattern::Pattern;
use crate::Result;
use crate::pace::Pace;

/// Rows that are converted to f64 and worked on together; all rows where they share a threshold.
const BATCH: usize = 128;

/// Runs `work` over batches of rows, weights of dead inputs already zero.
pub async fn in_batches(
    job: MatrixJob<'_>,
    inputs: &HostInputs,
    pattern: Pattern,
    work: impl AsyncFn(&mut [f64], &Pace) -> Result<Outcome> + Sync,
) -> Result<Outcome> {
    let work = async |_: usize, rows: &mut [f64], pace: &Pace| work(rows, pace).await;
    in_numbered_batches(job, inputs, pattern.is_by_row(), work).await
}

/// The same for work that wants to know the number of a batch's first row. Rows that belong together are one batch.
pub async fn in_numbered_batches(
    job: MatrixJob<'_>,
    inputs: &HostInputs,
    is_by_row: bool,
    work: impl AsyncFn(usize, &mut [f64], &Pace) -> Result<Outcome> + Sync,
) -> Result<Outcome> {
    let cols = inputs.cols;
    let together = if is_by_row { BATCH * cols } else { job.weights.len() };
    let dead = inputs.hessian.as_ref().map_or(&[][..], |hessian| &hessian.dead);
    let work = async |number: usize, batch: &mut [f32], pace: &Pace| {
        let mut rows: Vec<f64> = batch.iter().map(|w| f64::from(*w)).collect();
        for row in rows.chunks_exact_mut(cols) {
            let gone = row.iter_mut().zip(dead).filter(|(_, dead)| **dead);
            gone.for_each(|(w, _)| *w = 0.0);
        }
        let outcome = work(number * (together / cols.max(1)), &mut rows, pace).await?;
        batch.iter_mut().zip(&rows).for_each(|(to, w)| *to = *w as f32);
        Ok(outcome)
    };
    let batches = job.weights.chunks_mut(together.max(1));
    #[cfg(not(target_arch = "wasm32"))]
    if crate::threads::count() > 1 && batches.len() > 1 {
        return on_threads(batches, &work);
    }
    for (number, batch) in batches.enumerate() {
        if work(number, batch, job.pace).await? == Outcome::NotPositive {
            return Ok(Outcome::NotPositive);
        }
        job.pace.breathe().await?;
    }
    Ok(Outcome::Done)
}

/// Nobody can cancel meanwhile: the caller waits here.
#[cfg(not(target_arch = "wasm32"))]
fn on_threads(
    batches: std::slice::ChunksMut<'_, f32>,
    work: &(impl AsyncFn(usize, &mut [f32], &Pace) -> Result<Outcome> + Sync),
) -> Result<Outcome> {
    let one = |(number, batch): (usize, &mut [f32])| {
        pollster::block_on(work(number, batch, &Pace::default()))
    };
    let outcomes: Result<Vec<Outcome>> =
        crate::threads::share(batches.enumerate(), one).into_iter().collect();
    let all_done = outcomes?.iter().all(|outcome| *outcome == Outcome::Done);
    Ok(if all_done { Outcome::Done } else { Outcome::NotPositive })
}
