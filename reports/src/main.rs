//! Methods on models, measured in slices and written up as a page.
//!
//! What is measured goes into a cache as it comes, so that a run can be stopped and taken up again. The cache knows
//! models and data by their hashes, but not the code: remove it after a change of the arithmetic.

mod cache;
mod cases;
mod families;
mod page;
mod pruning;
mod removal;
mod speed;
mod summary;

use cases::{Case, Scorer};
use pruning::Tables;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;
use whittle::backend::Device;
use whittle::cli::load;
use whittle::eval::compare::published_scores;
use whittle::eval::{Placed, Score, Sheet, Source, Task, files};
use whittle::method::Setting;
use whittle::models::Model;
use whittle::pace::{Pace, now_ms};
use whittle::reduce::{abouts, check};
use whittle::session::bundle::{Entry, INDEX, data_hash};
use whittle::session::{Engine, Loaded};
use whittle::{Error, Result, eval};

/// Measures every method and writes a page about it.
#[derive(clap::Parser)]
#[command(name = "whittle-reports")]
pub struct Args {
    #[arg(value_enum)]
    subject: Subject,
    /// A tenth of the items; for the prunings an eighth; for speed three rounds.
    #[arg(long)]
    fast: bool,
    /// The page that is written; by default docs/results-SUBJECT.md.
    #[arg(long)]
    out: Option<String>,
    /// Where measurements are kept between runs; by default target/report-SUBJECT.json. Speeds are not kept.
    #[arg(long)]
    cache: Option<String>,
    /// Measure these models only. For token-reduction bundled ones; the page shows what there is of the others. For
    /// the prunings bundled ones and folders with a Hugging Face model; the page shows these.
    #[arg(long, visible_alias = "models", num_args = 1..)]
    model: Vec<String>,
    /// Stop measuring after so many seconds and write the page with what is there.
    #[arg(long)]
    seconds: Option<f64>,
    /// For pruning: threads; figures are the same with any number. [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Subject {
    TokenReduction,
    TokenReductionSpeed,
    Pruning,
    PruningToday,
}

impl Subject {
    fn id(self) -> &'static str {
        match self {
            Subject::TokenReduction => "token-reduction",
            Subject::TokenReductionSpeed => "token-reduction-speed",
            Subject::Pruning => "pruning",
            Subject::PruningToday => "pruning-today",
        }
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As many items as the pages in docs/ are made of.
    Full,
    /// A tenth of the items and less, to see that everything runs.
    Fast,
}

impl Args {
    fn size(&self) -> Size {
        if self.fast { Size::Fast } else { Size::Full }
    }

    fn out(&self) -> String {
        self.out.clone().unwrap_or_else(|| format!("docs/results-{}.md", self.subject.id()))
    }

    fn cache(&self) -> String {
        self.cache.clone().unwrap_or_else(|| format!("target/report-{}.json", self.subject.id()))
    }

    /// When to stop measuring.
    fn end(&self) -> f64 {
        now_ms() + self.seconds.unwrap_or(f64::INFINITY) * 1e3
    }

    fn write(&self, page: &str, is_complete: bool) -> Result<()> {
        let out = self.out();
        std::fs::write(&out, page).map_err(|e| Error::file(&out, e.to_string()))?;
        let state = if is_complete { "complete" } else { "not complete, run it again" };
        eprintln!("whittle-reports: wrote {out} ({state})");
        Ok(())
    }
}

/// What was measured of one case.
#[derive(Serialize, Deserialize, Clone)]
struct Measured {
    scores: Vec<Score>,
    /// Share of rows that the scorer compares with the right label; published scorer only.
    aligned: Option<f64>,
}

/// Everything measured so far, and the tasks that turn it into figures.
struct Results {
    path: String,
    measured: BTreeMap<String, Measured>,
    /// (model, evaluation SPEC) -> items, and the hash of what they were measured on.
    tasks: BTreeMap<(String, String), (Task, String)>,
    is_complete: bool,
}

fn main() -> ExitCode {
    whittle::threads::keep_freed_memory();
    let args = <Args as clap::Parser>::parse();
    match pollster::block_on(report(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("whittle-reports: {error}");
            ExitCode::from(2)
        }
    }
}

async fn report(args: Args) -> Result<()> {
    match args.subject {
        Subject::TokenReduction => token_reduction(&args).await,
        Subject::TokenReductionSpeed => speed::report(&args).await,
        Subject::Pruning => pruning::report(&args, Tables::Masks).await,
        Subject::PruningToday => pruning::report(&args, Tables::Today).await,
    }
}

async fn token_reduction(args: &Args) -> Result<()> {
    let mut engine = load::engine();
    let mut results = Results::open(&args.cache())?;
    let end = args.end();
    for id in &args.model {
        Entry::find(id)?;
    }
    for entry in &INDEX.models {
        let is_wanted = args.model.is_empty() || args.model.contains(&entry.id);
        let end = if is_wanted { end } else { f64::NEG_INFINITY };
        measure_model(&mut engine, entry, args.size(), &mut results, end).await?;
    }
    args.write(&page::page(&results, args.size()), results.is_complete)
}

impl Results {
    fn open(path: &str) -> Result<Results> {
        let measured = cache::read(path)?;
        Ok(Results { path: path.into(), measured, tasks: BTreeMap::new(), is_complete: true })
    }

    fn save(&self) -> Result<()> {
        cache::write(&self.path, &self.measured)
    }

    fn key(&self, case: &Case) -> Option<String> {
        let (_, hash) = self.tasks.get(&(case.model.clone(), case.eval.clone()))?;
        Some(format!("{hash} {} {} {} {}", case.model, case.eval, case.reduce, case.scorer.id()))
    }

    fn task(&self, model: &str, eval: &str) -> Option<&Task> {
        self.tasks.get(&(model.to_string(), eval.to_string())).map(|(task, _)| task)
    }

    fn get(&self, case: &Case) -> Option<&Measured> {
        self.measured.get(&self.key(case)?)
    }
}

async fn measure_model(
    engine: &mut Engine,
    entry: &Entry,
    size: Size,
    results: &mut Results,
    end: f64,
) -> Result<()> {
    let loaded = engine.model(&entry.id).await?;
    let (config, tokenizer) = (&loaded.config, &loaded.tokenizer);
    let weights = loaded.weights.for_new_device();
    let model = Rc::new(Model::load(&Device::Cpu, config, &weights)?);
    let placed = Placed::new(&Device::Cpu, config, &weights, tokenizer, model);
    let cases = cases::of_model(entry, size);
    for case in &cases {
        if results.task(&case.model, &case.eval).is_none() {
            let task = task(engine, &case.eval, &loaded).await?;
            results.tasks.insert((case.model.clone(), case.eval.clone()), task);
        }
    }
    // Evaluation SPEC -> what the model says of every item without its context; all arms share it.
    let mut priors = BTreeMap::new();
    for (i, case) in cases.iter().enumerate() {
        if results.get(case).is_some() {
            continue;
        }
        let setting = Setting::parse(&case.reduce, &abouts())?;
        if setting.as_ref().is_some_and(|s| check(config, s).is_err()) {
            continue;
        }
        if now_ms() > end {
            results.is_complete = false;
            continue;
        }
        eprint!("{} {:>3} of {} ", entry.id, i + 1, cases.len());
        measure(&placed, case, setting.as_ref(), &mut priors, results).await?;
    }
    Ok(())
}

async fn measure(
    placed: &Placed<'_>,
    case: &Case,
    setting: Option<&Setting>,
    priors: &mut BTreeMap<String, Sheet>,
    results: &mut Results,
) -> Result<()> {
    let start = now_ms();
    let (Some(task), Some(key)) = (results.task(&case.model, &case.eval), results.key(case)) else {
        return Ok(());
    };
    let (arm, pace) = (placed.arm(setting), Pace::default());
    let known = priors.entry(case.eval.clone()).or_insert_with(|| Sheet::of(task));
    let mut sheet = known.without_scores();
    let measured = match case.scorer {
        Scorer::Honest => {
            let scores = sheet.complete(task, &arm, &pace, &mut |_| {}).await?;
            Measured { scores, aligned: None }
        }
        Scorer::Published => {
            let found = published_scores(task, &arm, &mut sheet, &pace, &mut |_| {}).await?;
            Measured { scores: found.0, aligned: found.1 }
        }
    };
    *known = sheet.without_scores();
    eprintln!("{:>7.1} s  {}", (now_ms() - start) / 1e3, key);
    results.measured.insert(key, measured);
    results.save()
}

/// The items of an evaluation, and the hash of model and data.
async fn task(engine: &Engine, spec: &str, loaded: &Loaded) -> Result<(Task, String)> {
    let setting = eval::parse(spec)?;
    let names = files(&setting);
    let mut contents = Vec::new();
    for name in &names {
        contents.push((name.clone(), engine.data(name).await?));
    }
    let task = Task::build(&Source {
        setting: &setting,
        files: &contents,
        seed: 1,
        tokenizer: &loaded.tokenizer,
        config: &loaded.config,
        problems: RefCell::default(),
    })?;
    Ok((task, format!("{}{}", &loaded.sha256()[..8], &data_hash(&names)[..8])))
}
