//! A grid of settings, measured cell by cell; each cell becomes one [`Point`].
//!
//! Cells of one model share what need not be measured twice: the baseline's scores, the pruned model, the calibration.

use super::compare::{Comparison, Sheet};
use super::cost;
use super::placed::{Placed, PrunedModel};
use super::point::{Point, PointCost, PointSpeed};
use super::published;
use super::source::shuffled;
use super::speed::{Timed, speed};
use super::task::Task;
use crate::Result;
use crate::method::Setting;
use crate::pace::{Pace, now_ms};
use crate::prune::Calibration;
use std::collections::BTreeMap;

/// Lists of settings; every combination is a cell.
#[derive(Debug, Clone, Default)]
pub struct Grid {
    /// Ids, or whatever else the caller opens a model by.
    pub models: Vec<String>,
    /// At least one for there to be cells; so with the other lists.
    pub evaluations: Vec<Setting>,
    /// `None` stands for reading every token.
    pub reductions: Vec<Option<Setting>>,
    /// `None` stands for the dense weights.
    pub prunings: Vec<Option<Setting>>,
    /// Of items and methods.
    pub seeds: Vec<u64>,
    /// Hashes of the user's own data, by the ids of the evaluations that run on some.
    pub data: BTreeMap<String, String>,
}

/// One combination.
#[derive(Debug, Clone)]
pub struct Cell {
    /// As in the grid.
    pub model: String,
    /// What both sides are judged by.
    pub evaluation: Setting,
    /// `None`: every token is read.
    pub reduction: Option<Setting>,
    /// `None`: the weights are dense.
    pub pruning: Option<Setting>,
    /// Of items and methods.
    pub seed: u64,
    /// Hash of its evaluation's data; empty where that is bundled.
    pub data: String,
}

impl Grid {
    /// All cells, in an order in which neighbours share the most: by model, pruning, evaluation, seed, reduction.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for model in &self.models {
            for pruning in &self.prunings {
                for evaluation in &self.evaluations {
                    let data = self.data.get(evaluation.about.id).cloned().unwrap_or_default();
                    for &seed in &self.seeds {
                        cells.extend(self.reductions.iter().map(|reduction| Cell {
                            model: model.clone(),
                            evaluation: evaluation.clone(),
                            reduction: reduction.clone(),
                            pruning: pruning.clone(),
                            seed,
                            data: data.clone(),
                        }));
                    }
                }
            }
        }
        cells
    }
}

impl Cell {
    /// The point's key; `sha256` is that of the model's weights.
    pub fn key(&self, sha256: &str) -> String {
        let (reduce, prune) = (spec(&self.reduction), spec(&self.pruning));
        let evaluation = self.evaluation.to_string();
        Point::key_of(sha256, &evaluation, self.seed, &reduce, &prune, &self.data)
    }
}

/// The SPEC of a setting, or "off".
pub fn spec(setting: &Option<Setting>) -> String {
    setting.as_ref().map_or_else(|| "off".into(), Setting::to_string)
}

/// What cells of one model on one device share.
#[derive(Default)]
pub struct Shared {
    /// By evaluation and seed.
    baselines: BTreeMap<String, Sheet>,
    /// The newest pruning and what came of it.
    pruned: Option<(String, PrunedModel)>,
    calibration: Option<Calibration>,
}

/// A model, its items, and what else a cell is measured on.
pub struct Ground<'a> {
    /// The dense model on its device.
    pub placed: &'a Placed<'a>,
    /// The items of the cell's evaluation and seed.
    pub task: &'a Task,
    /// The link that gives the cell's settings back.
    pub fragment: String,
    /// id@hash
    pub model: String,
    /// Of the model's weights, hex.
    pub sha256: &'a str,
    /// Size of the weights file.
    pub file_bytes: u64,
    /// What a pruning calibrates on; empty where nothing is pruned.
    pub sequences: Vec<Vec<u32>>,
    /// The text whose reading is timed, and tokens decoded after it; absent where nothing is.
    pub timed: Option<(Vec<u32>, usize)>,
}

impl Shared {
    /// Takes what is known of the baseline on an evaluation's items, unless there is something already.
    pub fn know(&mut self, cell: &Cell, sheet: Sheet) {
        self.baselines.entry(baseline_key(cell)).or_insert(sheet);
    }

    /// What is known of the baseline on a cell's items.
    pub fn known(&self, cell: &Cell) -> Option<&Sheet> {
        self.baselines.get(&baseline_key(cell))
    }

    /// Measures a cell. `hear` is told how many of how many items are done.
    ///
    /// Errors: cancelled, a method that cannot run on the model, a figure that is no number, the GPU failed.
    pub async fn measure(
        &mut self,
        cell: &Cell,
        ground: &Ground<'_>,
        pace: &Pace,
        hear: &mut dyn FnMut(usize, usize),
    ) -> Result<Point> {
        let start = now_ms();
        let (placed, task) = (ground.placed, ground.task);
        let pruned = self.pruned(cell, ground, pace).await?;
        let arms = [&placed.arm(None), &placed.compressed(&pruned, cell.reduction.as_ref())];
        let baseline = baseline_key(cell);
        let known = self.baselines.get(&baseline).cloned();
        let mut comparison = Comparison::new(task, arms, known);
        let all = task.len();
        let order = shuffled(all, all, cell.seed);
        let mut done = 0;
        let mut each = |_: &Comparison<'_>, _: usize| {
            done += 1;
            hear(done, all);
        };
        comparison.run(&order, pace, &mut each).await?;
        let speed = match &ground.timed {
            None => None,
            Some((text, tokens)) => {
                let (prompt, budget_ms) = (text, f64::INFINITY);
                let timed = Timed { prompt, decode_tokens: *tokens, budget_ms };
                let measured = speed(arms, &timed, pace, &mut |_, _| {}).await?;
                let [prefill, decode] = [measured.prefill_ratio, measured.decode_ratio];
                Some(PointSpeed { prefill_ratio: Some(prefill), decode_ratio: Some(decode) })
            }
        };
        let mut quality = comparison.figures();
        if cell.reduction.is_some() && published::is_wanted(&cell.evaluation) {
            quality.extend(comparison.published_figures(pace).await?);
        }
        let [sheet, _] = comparison.sheets;
        self.baselines.insert(baseline, sheet);
        Ok(Point {
            key: cell.key(ground.sha256),
            fragment: ground.fragment.clone(),
            model: ground.model.clone(),
            evaluation: cell.evaluation.to_string(),
            reduce: spec(&cell.reduction),
            prune: spec(&cell.pruning),
            seed: cell.seed,
            items: all,
            items_wanted: all,
            complete: true,
            quality,
            cost: counted(placed, task, &pruned, cell.reduction.as_ref(), ground.file_bytes)?,
            speed,
            ms: now_ms() - start,
            backend: placed.device.label(),
            created: None,
        })
    }

    async fn pruned(
        &mut self,
        cell: &Cell,
        ground: &Ground<'_>,
        pace: &Pace,
    ) -> Result<PrunedModel> {
        let Some(setting) = &cell.pruning else { return Ok(ground.placed.unpruned()) };
        let key = setting.to_string();
        if let Some((found, pruned)) = &self.pruned
            && *found == key
        {
            return Ok(pruned.clone());
        }
        let kept = &mut self.calibration;
        let (sequences, hear) = (&ground.sequences, &mut |_, _| {});
        let pruned = ground.placed.pruned(setting, sequences, kept, pace, hear).await?;
        self.pruned = Some((key, pruned.clone()));
        Ok(pruned)
    }
}

fn baseline_key(cell: &Cell) -> String {
    format!("{} {} {}", cell.evaluation, cell.data, cell.seed)
}

/// What a point counts: over the contexts of a task's items, of a model whose file has so many bytes.
///
/// Errors: a reduction after layers that the pruning has taken.
pub fn counted(
    placed: &Placed<'_>,
    task: &Task,
    pruned: &PrunedModel,
    reduction: Option<&Setting>,
    file_bytes: u64,
) -> Result<PointCost> {
    let contexts = (0..task.len()).map(|i| task.item(i).context().len());
    let share = cost::flops_share(placed.config, pruned, reduction, contexts)?;
    let dense = cost::bytes_per_token(placed.config, placed.weights, &placed.model);
    let bytes = pruned.decode.as_ref().map_or(dense, |decode| decode.bytes);
    let is_whole = *pruned.config == *placed.config;
    Ok(PointCost {
        flops_share: Some(share),
        bytes_per_token: Some(bytes),
        bytes_per_token_dense: Some(dense),
        // A zero takes as much room in a file as any other number.
        file_bytes: is_whole.then_some(file_bytes as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_a_cell_of_its_own() {
        let of = |specs: [&str; 2], abouts: Vec<_>| {
            specs.map(|s| Setting::parse(s, &abouts).unwrap()).to_vec()
        };
        let evaluations = [super::super::parse("recall:n=4").unwrap()].to_vec();
        let grid = Grid {
            models: vec!["a".into(), "b".into()],
            evaluations,
            reductions: of(["off", "utrc"], crate::reduce::abouts()),
            prunings: of(["off", "wanda"], crate::prune::abouts()),
            seeds: vec![1, 2, 3],
            data: BTreeMap::new(),
        };
        let cells = grid.cells();
        assert_eq!(cells.len(), 24);
        let mut keys: Vec<String> = cells.iter().map(|c| c.key(&c.model)).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 24);
    }
}
