//! The driver of a sweep: hands cells to worker processes and writes what comes back.
//!
//! A worker that dies takes nothing with it: its cell goes to another one, once. The driver itself may be killed at any
//! moment: what was finished is on the disk.

use super::grid::{self, File};
use super::points::Points;
use super::worker::Answer;
use crate::arithmetic::{self, Arithmetic};
use crate::cli::arithmetic::ArithmeticArg;
use crate::cli::{BackendArg, load};
use crate::eval::sweep::{Cell, spec};
use crate::{Error, Result};
use clap::ValueEnum;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// How often a cell is tried whose worker dies.
const TRIES: usize = 2;

/// What the threads share.
struct Sweep<'a> {
    cells: &'a [Cell],
    waiting: VecDeque<usize>,
    points: Points,
    tries: BTreeMap<usize, usize>,
    /// What each worker is at, or was last.
    at: BTreeMap<usize, usize>,
    failed: Vec<String>,
    done: usize,
    wanted: usize,
    start: Instant,
}

/// How many workers there are, and how each is started.
pub struct Workers<'a> {
    /// The grid's file.
    pub grid: &'a Path,
    /// In place of the grid's own, where there are any.
    pub models: &'a [String],
    pub jobs: usize,
    /// Of each worker, on the CPU.
    pub threads: usize,
    /// Of all of them, and of this process.
    pub arithmetic: ArithmeticArg,
    pub backend: BackendArg,
}

pub async fn main(file: &File, out: &Path, workers: &Workers<'_>) -> Result<()> {
    let cells = file.grid.cells();
    let points = Points::open(out)?;
    check_arithmetic(out, &points)?;
    let mut waiting = VecDeque::new();
    let hashes = hashes(&file.grid.models).await?;
    for (i, cell) in cells.iter().enumerate() {
        if !points.keys.contains(&cell.key(&hashes[&cell.model])) {
            waiting.push_back(i);
        }
    }
    let (all, wanted) = (cells.len(), waiting.len());
    eprintln!("whittle: {all} cells, {} of them measured already", all - wanted);
    let sweep = Mutex::new(Sweep {
        cells: &cells,
        waiting,
        points,
        tries: BTreeMap::new(),
        at: BTreeMap::new(),
        failed: Vec::new(),
        done: 0,
        wanted,
        start: Instant::now(),
    });
    let ended: Vec<Result<()>> = std::thread::scope(|scope| {
        let sweep = &sweep;
        let work = |number| scope.spawn(move || serve(sweep, workers, number));
        let threads: Vec<_> = (0..workers.jobs.min(wanted)).map(work).collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("a thread of the driver does not panic"))
            .collect()
    });
    ended.into_iter().collect::<Result<()>>()?;
    let sweep = locked(&sweep);
    sweep.failed.iter().for_each(|why| eprintln!("whittle: not measured: {why}"));
    eprintln!("whittle: {} cells measured, {} not", sweep.done, sweep.failed.len());
    match sweep.failed.len() {
        0 => Ok(()),
        n => {
            Err(Error::file(out.display().to_string(), format!("{n} cells could not be measured")))
        }
    }
}

/// sha256 of the weights of every model, by the name in the grid.
pub async fn hashes(models: &[String]) -> Result<BTreeMap<String, String>> {
    let mut engine = load::engine();
    let mut hashes = BTreeMap::new();
    for name in models {
        let hash = match crate::bundle::Entry::find(name) {
            Ok(entry) if !Path::new(name).is_dir() => entry.sha256().to_string(),
            _ => load::model(&mut engine, name).await?.1.sha256().to_string(),
        };
        hashes.insert(name.clone(), hash);
    }
    Ok(hashes)
}

fn locked<'a, 'b>(sweep: &'a Mutex<Sweep<'b>>) -> MutexGuard<'a, Sweep<'b>> {
    sweep.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One worker after the other until nothing waits.
fn serve(sweep: &Mutex<Sweep<'_>>, workers: &Workers<'_>, number: usize) -> Result<()> {
    loop {
        let mut worker = workers.start()?;
        let ended = feed(sweep, &mut worker, number)?;
        let _ = worker.kill(); // it has ended, or is of no use
        let _ = worker.wait();
        match ended {
            Ended::NothingWaits => return Ok(()),
            Ended::Died(cell) => locked(sweep).died(cell),
        }
    }
}

enum Ended {
    NothingWaits,
    /// The worker died over this cell.
    Died(usize),
}

fn feed(sweep: &Mutex<Sweep<'_>>, worker: &mut Child, number: usize) -> Result<Ended> {
    let (Some(mut to), Some(from)) = (worker.stdin.take(), worker.stdout.take()) else {
        return Err(Error::input("worker", "no pipes", "standard input and output"));
    };
    let mut answers = BufReader::new(from).lines();
    loop {
        let Some(cell) = locked(sweep).next(number) else { return Ok(Ended::NothingWaits) };
        if writeln!(to, "{cell}").and_then(|()| to.flush()).is_err() {
            return Ok(Ended::Died(cell));
        }
        let Some(Ok(line)) = answers.next() else { return Ok(Ended::Died(cell)) };
        match serde_json::from_str(&line) {
            Ok(Answer::Point(point)) => {
                let mut sweep = locked(sweep);
                sweep.points.add(&point)?;
                sweep.done += 1;
                sweep.tell();
            }
            Ok(Answer::Error(why)) => locked(sweep).fail(cell, &why),
            Err(_) => return Ok(Ended::Died(cell)),
        }
    }
}

/// A file is of one arithmetic: the key of a point does not tell which.
fn check_arithmetic(out: &Path, points: &Points) -> Result<()> {
    let asked = arithmetic::current();
    match points.backends.iter().find(|name| Arithmetic::of_label(name) != asked) {
        None => Ok(()),
        Some(name) => Err(Error::file(
            out.display().to_string(),
            format!("has points of `{name}`, and {} was asked for; name another file", asked.id()),
        )),
    }
}

impl Workers<'_> {
    fn start(&self) -> Result<Child> {
        let failed = |e: std::io::Error| Error::file("a worker", format!("did not start ({e})"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        let backend = self.backend.to_possible_value();
        let backend = backend.map_or("cpu".into(), |v| v.get_name().to_string());
        command.arg("sweep").arg(self.grid).args(["--worker", "--backend", &backend]);
        command.args(["--arithmetic", Arithmetic::from(self.arithmetic).id()]);
        command.args(self.models.iter().flat_map(|model| ["--model", model]));
        command.args(["--threads", &self.threads.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)
    }
}

impl Sweep<'_> {
    /// The next cell of a worker: one that shares most with its last, and least with what others are at. A worker keeps
    /// the baseline's scores of its model, and its newest pruned model.
    fn next(&mut self, worker: usize) -> Option<usize> {
        let cell = |i: usize| &self.cells[i];
        let last = self.at.get(&worker).map(|&i| cell(i));
        let others: Vec<&Cell> =
            self.at.iter().filter(|(w, _)| **w != worker).map(|(_, &i)| cell(i)).collect();
        let worth = |place: &usize| {
            let this = cell(self.waiting[*place]);
            let (is_own, is_own_model) =
                last.map_or((false, false), |l| (shares_pruning(l, this), l.model == this.model));
            let is_free_model = others.iter().all(|o| o.model != this.model);
            let is_free = others.iter().all(|o| !shares_pruning(o, this));
            let first = std::cmp::Reverse(*place);
            (is_own, is_own_model && is_free, is_free_model, is_free, first)
        };
        let best = (0..self.waiting.len()).max_by_key(worth)?;
        let taken = self.waiting.remove(best)?;
        self.at.insert(worker, taken);
        Some(taken)
    }

    fn fail(&mut self, cell: usize, why: &str) {
        self.failed.push(format!("{} ({why})", grid::name(&self.cells[cell])));
    }

    fn died(&mut self, cell: usize) {
        let tries = self.tries.entry(cell).or_insert(0);
        *tries += 1;
        match *tries < TRIES {
            true => self.waiting.push_front(cell),
            false => self.fail(cell, "its worker died"),
        }
    }

    /// Progress and time left.
    fn tell(&self) {
        let seconds = self.start.elapsed().as_secs_f64();
        let left = seconds / self.done as f64 * (self.wanted - self.done) as f64;
        let text = format!("{} of {} cells, about {} left", self.done, self.wanted, time(left));
        match std::io::stderr().is_terminal() {
            true => eprint!("\r\x1b[K{text}"),
            false => eprintln!("{text}"),
        }
    }
}

fn shares_pruning(a: &Cell, b: &Cell) -> bool {
    a.model == b.model && spec(&a.pruning) == spec(&b.pruning)
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Setting;

    #[test]
    fn workers_keep_to_what_they_have_loaded_and_help_each_other_at_the_end() {
        let cell = |model: &str, pruning: &str| Cell {
            model: model.into(),
            evaluation: crate::eval::parse("recall:n=4").unwrap(),
            reduction: None,
            pruning: Setting::parse(pruning, &crate::prune::abouts()).unwrap(),
            seed: 1,
            data: String::new(),
        };
        // 0 to 3: model a, 4 to 7: model b; two cells a pruning.
        let cells: Vec<Cell> = ["a", "b"]
            .into_iter()
            .flat_map(|m| ["off", "off", "wanda", "wanda"].map(|pruning| cell(m, pruning)))
            .collect();
        let name = format!("whittle-drive-{}.jsonl", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut sweep = Sweep {
            cells: &cells,
            waiting: (0..cells.len()).collect(),
            points: Points::open(&path).unwrap(),
            tries: BTreeMap::new(),
            at: BTreeMap::new(),
            failed: Vec::new(),
            done: 0,
            wanted: cells.len(),
            start: Instant::now(),
        };
        let order: Vec<Option<usize>> = [0, 1, 0, 0, 1, 0, 0, 1, 1].map(|w| sweep.next(w)).into();
        std::fs::remove_file(&path).unwrap();
        // Worker 0 is done with model a first and takes the pruning of b that nobody is at; worker 1 ends with the rest.
        let expected = [0, 4, 1, 2, 5, 3, 6, 7].map(Some);
        assert_eq!(order[..8], expected);
        assert_eq!(order[8], None);
    }
}
