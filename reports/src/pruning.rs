//! Pruning: methods x patterns x models, held-out perplexity, paired with the dense model and with the neighbour.
//!
//! Arithmetic on the CPU in f64, scoring on the CPU; 16 calibration windows, the default.

mod page;
mod today;

use super::Size;
use super::{Args, cache, task};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use whittle::backend::Device;
use whittle::cli::load;
use whittle::eval::{Estimate, Placed, PrunedModel, Quality, Score, Sheet, Task};
use whittle::method::Setting;
use whittle::models::Model;
use whittle::pace::{Pace, now_ms};
use whittle::prune::{Calibration, abouts, check_setting};
use whittle::session::bundle::{INDEX, data_hash};
use whittle::session::{CalibrationText, Engine, Loaded, calibration};
use whittle::{Error, Result};

/// A method as it stands in the tables: its name and its SPEC without a pattern.
pub struct ResultRow {
    pub label: &'static str,
    pub spec: &'static str,
}

const fn row(label: &'static str, spec: &'static str) -> ResultRow {
    ResultRow { label, spec }
}

pub const ROWS: [ResultRow; 8] = [
    row("magnitude", "magnitude"),
    row("Wanda", "wanda"),
    row("SparseGPT", "sparsegpt"),
    row("MRP", "mrp"),
    row("RIA", "ria"),
    row("MRP, blocks of 128", "mrp:block=128"),
    row("MRP, mask M", "mrp:mask=M"),
    row("Wanda + refit", "wanda:refit=row,inputs=pruned"),
];
/// Rows in the order that the literature leads one to expect, the best first.
pub const ORDER: [&str; 4] = ["MRP", "SparseGPT", "Wanda", "magnitude"];
/// Name and knob of every column.
pub const PATTERNS: [(&str, &str); 5] = [
    ("50 %", "sparsity=0.5"),
    ("60 %", "sparsity=0.6"),
    ("70 %", "sparsity=0.7"),
    ("2:4", "pattern=2:4"),
    ("4:8", "pattern=4:8"),
];

/// What was measured of one pruned model, or of the dense one.
#[derive(Serialize, Deserialize, Clone)]
pub struct Cell {
    scores: Vec<Score>,
    /// Relative squared output error on the held-out calibration window, mean over matrices by size.
    held_out_error: Option<f64>,
    /// How often a damping had to be raised, over all matrices.
    retries: u32,
    /// What a decoded token reads, and with every matrix dense.
    bytes: Option<[f64; 2]>,
    /// Speed of decoding against the dense model's.
    decode: Option<Estimate>,
}

/// A model with everything that was measured on it.
pub struct Column {
    pub label: String,
    /// sha256 of the weights.
    pub sha256: String,
    pub evaluation: String,
    task: Task,
    dense: Cell,
    /// (row, pattern) -> cell; absent where it was not measured.
    cells: BTreeMap<(usize, usize), Cell>,
    today: today::Cells,
}

impl Column {
    /// Perplexity of a cell with another as its baseline, or with the dense model.
    pub fn figure(&self, row: usize, pattern: usize, against: Option<usize>) -> Option<Quality> {
        let base = match against {
            None => &self.dense,
            Some(other) => self.cells.get(&(other, pattern))?,
        };
        self.compare(base, self.cells.get(&(row, pattern))?)
    }

    fn compare(&self, base: &Cell, cell: &Cell) -> Option<Quality> {
        let mut all = self.task.figures(&base.scores, &cell.scores).into_iter();
        all.find(|q| q.metric == "perplexity")
    }

    /// Perplexity of the dense model.
    pub fn dense(&self) -> Option<Quality> {
        self.compare(&self.dense, &self.dense)
    }

    pub fn cell(&self, row: usize, pattern: usize) -> Option<&Cell> {
        self.cells.get(&(row, pattern))
    }
}

/// Where a SPEC stands in the tables.
pub fn spec(row: &ResultRow, pattern: usize) -> String {
    let mark = if row.spec.contains(':') { ',' } else { ':' };
    format!("{}{mark}{}", row.spec, PATTERNS[pattern].1)
}

/// Parameters of the largest model that is scored on all windows.
const SMALL: u64 = 10_000_000;

/// Which tables are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// Methods x patterns.
    Masks,
    /// Quantisation and what is newer, with bytes and speed.
    Today,
}

fn evaluation(size: Size, parameters: u64, tables: Tables) -> String {
    let windows = if parameters <= SMALL && tables == Tables::Masks { 32 } else { 8 };
    format!(
        "text:context=1,target=512,windows={}",
        if size == Size::Fast { windows / 8 } else { windows }
    )
}

/// Whether a SPEC exists: mask M knows groups only.
pub fn exists(row: &ResultRow, pattern: usize) -> bool {
    setting(&spec(row, pattern)).is_ok_and(|s| check_setting(&s).is_ok())
}

pub async fn report(args: &Args, tables: Tables) -> Result<()> {
    whittle::threads::set(args.threads)?;
    let mut engine = load::engine();
    let mut store = Store {
        path: args.cache(),
        measured: cache::read(&args.cache())?,
        end: args.end(),
        is_complete: true,
    };
    let mut columns = Vec::new();
    for name in names(&args.model) {
        let asked = (args.size(), tables);
        columns.extend(measure(&mut engine, &name, asked, &mut store).await?);
    }
    let page = match tables {
        Tables::Masks => page::page(&columns, args.size(), store.is_complete),
        Tables::Today => today::page(&columns, args.size(), store.is_complete),
    };
    args.write(&page, store.is_complete)
}

/// The models that were asked for, or the bundled language models.
fn names(asked: &[String]) -> Vec<String> {
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let language = INDEX.models.iter().filter(|m| m.evaluations.iter().any(|e| e == "text"));
    language.map(|m| m.id.clone()).collect()
}

/// The cache while a report is on.
struct Store {
    path: String,
    measured: BTreeMap<String, Cell>,
    end: f64,
    is_complete: bool,
}

impl Store {
    /// Gives the cell of a key; measures it unless it is there or the time is up.
    async fn cell(
        &mut self,
        key: String,
        measure: impl AsyncFnOnce() -> Result<Cell>,
    ) -> Result<Option<Cell>> {
        if let Some(cell) = self.measured.get(&key) {
            return Ok(Some(cell.clone()));
        }
        if now_ms() > self.end {
            self.is_complete = false;
            return Ok(None);
        }
        let start = now_ms();
        let cell = measure().await?;
        eprintln!("{:>7.1} s  {key}", (now_ms() - start) / 1e3);
        self.measured.insert(key, cell.clone());
        cache::write(&self.path, &self.measured)?;
        Ok(Some(cell))
    }
}

/// A model on the CPU with its items.
struct Bench<'a> {
    loaded: &'a Loaded,
    placed: Placed<'a>,
    task: &'a Task,
    /// What the dense model says of every item without its context; every model is measured against that.
    priors: Option<Sheet>,
    kept: Option<Calibration>,
}

/// Everything of one model; nothing where the time was up before the dense model was measured.
async fn measure(
    engine: &mut Engine,
    name: &str,
    (size, tables): (Size, Tables),
    store: &mut Store,
) -> Result<Option<Column>> {
    let (_, loaded) = load::model(engine, name).await?;
    // Of a folder its own name: the hash says which weights they are, and nobody else has the same folders.
    let name = Path::new(name).file_name().map_or(name.into(), |n| n.to_string_lossy());
    let eval = evaluation(size, loaded.parameters, tables);
    let (task, hash) = task(engine, &eval, &loaded).await?;
    let text = calibration_hash(&loaded);
    let key = |spec: &str| format!("{hash}{text} {name} {eval} {spec}");
    let (config, weights, tokenizer) = (&loaded.config, &loaded.weights, &loaded.tokenizer);
    let model = Rc::new(Model::load(&Device::Cpu, config, weights)?);
    let placed = Placed::new(&Device::Cpu, config, weights, tokenizer, model);
    let mut bench = Bench { loaded: &loaded, placed, task: &task, priors: None, kept: None };
    let Some(dense) = store.cell(key("off"), async || bench.dense().await).await? else {
        return Ok(None);
    };
    let mut cells = BTreeMap::new();
    let rows = ROWS.iter().enumerate().filter(|_| tables == Tables::Masks);
    for (r, row) in rows {
        for p in (0..PATTERNS.len()).filter(|p| exists(row, *p)) {
            let setting = setting(&spec(row, p))?;
            let key = key(&setting.to_string());
            let measure = async || Ok(bench.pruned(engine, &setting).await?.1);
            cells.extend(store.cell(key, measure).await?.map(|cell| ((r, p), cell)));
        }
    }
    let mut today = BTreeMap::new();
    for (r, spec) in today::rows_of(config.family()).filter(|_| tables == Tables::Today) {
        let setting = setting(spec)?;
        let key = key(&format!("{setting} timed"));
        let cell = store
            .cell(key, async || {
                let (pruned, cell) = bench.pruned(engine, &setting).await?;
                today::time(&bench, &pruned, cell).await
            })
            .await?;
        today.extend(cell.map(|cell| (r, cell)));
    }
    let view = &loaded.view();
    let label = format!("{} (`{name}`)", view.label);
    let sha256 = view.sha256.clone();
    Ok(Some(Column { label, sha256, evaluation: eval, task, dense, cells, today }))
}

fn setting(spec: &str) -> Result<Setting> {
    let found = Setting::parse(spec, &abouts())?;
    found.ok_or_else(|| Error::input("pruning", spec, "a method"))
}

/// First digits of the hash of the calibration text.
fn calibration_hash(loaded: &Loaded) -> String {
    let hash = match &loaded.calibration {
        CalibrationText::Bundled(file) => data_hash(std::slice::from_ref(file)),
        own => own.name(),
    };
    hash[..8].into()
}

impl Bench<'_> {
    async fn scores_of(&mut self, model: &PrunedModel) -> Result<Vec<Score>> {
        let pace = Pace::default();
        let mut sheet = match &self.priors {
            Some(priors) => priors.without_scores(),
            None => {
                let mut dense = Sheet::of(self.task);
                dense.find_priors(self.task, &self.placed.arm(None), &pace).await?;
                self.priors.insert(dense).clone()
            }
        };
        let arm = self.placed.compressed(model, None);
        sheet.complete(self.task, &arm, &pace, &mut |_| {}).await
    }

    async fn dense(&mut self) -> Result<Cell> {
        let model = self.placed.unpruned();
        let scores = self.scores_of(&model).await?;
        Ok(Cell { scores, held_out_error: None, retries: 0, bytes: None, decode: None })
    }

    /// A pruned form of the model and what it scores.
    async fn pruned(&mut self, engine: &Engine, setting: &Setting) -> Result<(PrunedModel, Cell)> {
        let sequences = calibration::sequences(engine, self.loaded, setting).await?;
        let pace = Pace::default();
        let (kept, hear) = (&mut self.kept, &mut |_, _| {});
        let pruned = self.placed.pruned(setting, &sequences, kept, &pace, hear).await?;
        let cell = Cell {
            scores: self.scores_of(&pruned).await?,
            held_out_error: pruned.held_out_error(),
            retries: pruned.report.iter().map(|m| m.retries).sum(),
            bytes: None,
            decode: None,
        };
        Ok((pruned, cell))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spec_of_the_report_can_be_read_and_is_another() {
        let all = ROWS.iter().flat_map(|row| (0..PATTERNS.len()).map(move |p| (row, p)));
        let all = all.filter(|(row, p)| exists(row, *p)).map(|(row, p)| spec(row, p));
        let mut specs: Vec<String> = all.map(|s| setting(&s).unwrap().to_string()).collect();
        let n = specs.len();
        assert_eq!(n, ROWS.len() * PATTERNS.len() - 3, "mask M of the three without groups");
        specs.sort();
        specs.dedup();
        assert_eq!(specs.len(), n);
        assert!(ORDER.iter().all(|label| ROWS.iter().any(|row| row.label == *label)));
    }
}
