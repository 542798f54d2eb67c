//! `whittle run`: what the page runs, printed.

mod harness;

use super::arithmetic::{self, ArithmeticArg};
use super::figures::{range, shown};
use super::{BackendArg, load, peers as table};
use crate::eval::sweep::Cell;
use crate::eval::{Estimate, Point, Quality, items};
use crate::pace::Pace;
use crate::session::bundle::Entry;
use crate::session::link::Link;
use crate::session::peers::{other_texts, peers};
use crate::session::protocol::{Cost, RunView, Status};
use crate::session::spec::{OWN, RunSpec};
use crate::session::sweep::{Sweeper, Timing};
use crate::session::{Details, Engine, run_with_items as run_session};
use crate::{Error, Result, eval};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;

#[derive(clap::Args)]
pub struct Args {
    /// A bundled model's name or a folder with a Hugging Face model.
    #[arg(long)]
    model: Option<String>,
    /// Token reduction SPEC; see `whittle methods`.
    #[arg(long)]
    reduce: Option<String>,
    /// Pruning SPEC.
    #[arg(long)]
    prune: Option<String>,
    /// A UTF-8 text file to gather input statistics on. The link then names a model of your own: it cannot carry the text.
    #[arg(long)]
    calibration: Option<String>,
    /// Another text: the model is pruned once more with its statistics, and the two are set against each other on the same
    /// items. May be given several times.
    #[arg(long)]
    calibration_beside: Vec<String>,
    /// Evaluation SPEC; the default belongs to the model.
    #[arg(long)]
    eval: Option<String>,
    /// The data of an evaluation that runs on a file of your own: JSON lines, or a text; or org/name:config:split, rows of
    /// a data set of the hub.
    #[arg(long)]
    data: Option<String>,
    /// The labels of that data, a number a line, where they stand in a file of their own (PIQA's original files).
    #[arg(long, requires = "data")]
    labels: Option<String>,
    /// Write what became of every item on both sides: CSV where the name ends in .csv, else JSON lines.
    #[arg(long)]
    items: Option<String>,
    #[arg(long)]
    prompt: Option<String>,
    #[arg(long)]
    tokens: Option<usize>,
    #[arg(long)]
    temperature: Option<f64>,
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long, value_enum)]
    backend: Option<BackendArg>,
    /// Threads on the CPU; the figures are the same with any number, and speeds are those of one. [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// What many rows are multiplied with: f32 is the reference; bf16 on a processor that has it, or f16 on a GPU, is
    /// faster and less exact, and every output names it. A link does not carry it.
    #[arg(long, value_enum, default_value = "f32")]
    arithmetic: ArithmeticArg,
    /// A link copied from the page; the other options change it.
    #[arg(long)]
    link: Option<String>,
    /// Set the compressed side against its peers at the same bytes a token (2:4, int8, int4, structured) and at the same
    /// FLOPs (other reductions), on the same items.
    #[arg(long)]
    peers: bool,
    /// Print the whole result as JSON; other calibration texts and peers are lines of their own.
    #[arg(long)]
    json: bool,
    /// Print the figures as a Markdown table in the columns of lm_eval.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Another evaluation SPEC for the same models and the same data: its figures stand below. May be given several times.
    #[arg(long)]
    beside: Vec<String>,
}

/// What `--json` prints: the fields of the page's view, and what was measured beside where something was.
#[derive(serde::Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    view: &'a RunView,
    /// "f32", or "bf16"; `backend` says it in words.
    arithmetic: &'static str,
    #[serde(skip_serializing_if = "<[Point]>::is_empty")]
    beside: &'a [Point],
}

pub async fn main(args: Args) -> Result<()> {
    crate::threads::set(args.threads)?;
    let mut engine = load::engine();
    let link = start(&args)?;
    let mut spec = link.spec.clone();
    if let Some(file) = &args.data {
        let hash = engine.open_data(load::data(file, args.labels.as_deref())?);
        eprintln!("whittle: data {file} (sha256 {hash}); the link carries the hash only");
        link.other_data(&hash).iter().for_each(|text| load::note(text));
        spec.data = hash;
    }
    if let Some(model) = &args.model {
        let (id, loaded) = load::model(&mut engine, model).await?;
        if args.link.is_none()
            && let Ok(entry) = Entry::find(&loaded.id)
        {
            spec = RunSpec { data: spec.data, ..RunSpec::of_model(entry) };
        }
        spec.set("model", &id)?;
        spec.origin = load::origin(model)?;
        link.other_weights(&|| loaded.sha256()).iter().for_each(|text| load::note(text));
    } else if let Ok(entry) = Entry::find(&spec.model) {
        link.other_weights(&|| entry.sha256()).iter().for_each(|text| load::note(text));
    }
    let settings = [
        ("eval", args.eval.clone()),
        ("reduce", args.reduce.clone()),
        ("prune", args.prune.clone()),
        ("prompt", args.prompt.clone()),
        ("tokens", args.tokens.map(|x| x.to_string())),
        ("temperature", args.temperature.map(|x| x.to_string())),
        ("seed", args.seed.map(|x| x.to_string())),
    ];
    for (name, value) in settings {
        if let Some(value) = value {
            spec.set(name, &value)?;
        }
    }
    if let Some(file) = &args.calibration {
        calibrate_on(file, args.model.as_deref(), &mut engine, &mut spec).await?;
    }
    if let Some(backend) = args.backend {
        spec.backend = backend.into();
    }
    spec.backend = arithmetic::choose(args.arithmetic, spec.backend)?;
    // Before the run, which may take long.
    let texts = args.calibration_beside.iter().map(|f| Ok((f.clone(), load::text(f)?)));
    let texts = texts.collect::<Result<Vec<_>>>()?;
    if !texts.is_empty() && spec.pruning.is_none() {
        let expected = "--prune SPEC beside it: a text only matters to a pruning";
        return Err(Error::input("--calibration-beside", "nothing pruned", expected));
    }
    let loaded = engine.model(&spec.model).await?;
    // A link means what it means on the page. A SPEC that is typed here is refused by name instead.
    if args.link.is_some() && args.reduce.is_none() {
        spec.fit(&loaded.config).iter().for_each(|text| load::note(text));
    }
    let (view, details) = shown_run(&mut engine, &spec).await?;
    details.problems.iter().for_each(|problem| load::note(&format!("Left out: {problem}.")));
    details.caution.iter().for_each(|text| load::note(text));
    if let Some(file) = &args.items {
        let is_csv = file.to_ascii_lowercase().ends_with(".csv");
        let text = if is_csv { items::csv(&details.items) } else { items::jsonl(&details.items) };
        write_whole(Path::new(file), text.as_bytes())
            .map_err(|e| Error::file(file, format!("{e}; nothing was written under this name")))?;
    }
    let beside = beside(&mut engine, &spec, &args.beside).await?;
    if args.json {
        let printed =
            Printed { view: &view, arithmetic: crate::arithmetic::current().id(), beside: &beside };
        println!("{}", serde_json::to_string(&printed).expect("numbers and strings serialise"));
    } else if args.markdown {
        let own = spec.evaluation.to_string();
        let points = beside.iter().map(|p| (&*p.evaluation, &p.quality[..]));
        let parts: Vec<_> = [(&*own, &view.quality[..])].into_iter().chain(points).collect();
        print!("{}", harness::table(&parts));
        arithmetic::sentence().into_iter().for_each(|text| println!("\n{text}"));
    } else {
        print(&spec, &view);
        for point in &beside {
            println!("\nbeside       {}", point.evaluation);
            print_quality(&point.quality);
        }
    }
    if !texts.is_empty() {
        let pace = Pace::default();
        let found = other_texts(&mut engine, &spec, texts, &pace, &mut |t| load::note(t)).await?;
        table::print_texts(&found, args.json);
    }
    if args.peers {
        let found =
            peers(&mut engine, &spec, &Pace::default(), &mut |_, text| load::note(text)).await?;
        table::print(&found, args.json);
    }
    Ok(())
}

/// The same models measured by other evaluations, on the same data where that is the user's own.
async fn beside(engine: &mut Engine, spec: &RunSpec, specs: &[String]) -> Result<Vec<Point>> {
    let loaded = engine.model(&spec.model).await?;
    let mut sweeper = Sweeper::new(spec.backend, Timing::Untimed);
    let mut points = Vec::new();
    for text in specs {
        let cell = Cell {
            model: spec.model.clone(),
            evaluation: eval::parse(text)?,
            reduction: spec.reduction.clone(),
            pruning: spec.pruning.clone(),
            seed: spec.seed,
            data: spec.data.clone(),
        };
        let pace = Pace::default();
        points.push(sweeper.cell(engine, &loaded, &cell, &pace, &mut |_, _| {}).await?);
    }
    Ok(points)
}

/// Runs; where standard error is a terminal, one line of it says how far it is.
pub(super) async fn shown_run(engine: &mut Engine, spec: &RunSpec) -> Result<(RunView, Details)> {
    let mut show = |_: &RunView, status: Status| {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{}", status.text);
        }
    };
    let done = run_session(engine, spec, 1, &Pace::default(), &mut show).await;
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    done
}

/// Writes a file beside its name and gives it the name when it is on the disk: one that was there is replaced whole or
/// not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // What is no regular file, such as /dev/stdout, has nothing to be replaced.
    if path.metadata().is_ok_and(|about| !about.is_file()) {
        return std::fs::write(path, bytes);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!(".{name}.unfinished-{}", std::process::id()));
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    write().inspect_err(|_| {
        // It is this program's own, and nobody reads its name.
        let _ = std::fs::remove_file(&unfinished);
    })
}

/// Opens the model again as one of the user's own, with this text among its files.
async fn calibrate_on(
    file: &str,
    model: Option<&str>,
    engine: &mut Engine,
    spec: &mut RunSpec,
) -> Result<()> {
    let name = model.unwrap_or(&spec.model);
    let (files, _) = load::with_calibration(engine, name, Some(file)).await?;
    let loaded = engine.open_own(files)?;
    let hash = loaded.calibration.name();
    eprintln!("whittle: calibrated on {file} (sha256 {}); the link does not carry it", &hash[..16]);
    spec.set("model", OWN)
}

/// The settings to begin with: those of the link, or nothing compressed.
fn start(args: &Args) -> Result<Link> {
    let Some(link) = &args.link else {
        let spec = RunSpec { reduction: None, pruning: None, ..RunSpec::first() };
        return Ok(Link {
            spec,
            model_hash: String::new(),
            other_bundled_data: false,
            notes: Vec::new(),
        });
    };
    let link = Link::parse(link)?
        .ok_or_else(|| Error::input("--link", link, "a link with a fragment after #"))?;
    link.notes.iter().for_each(|text| load::note(text));
    let origin = &link.spec.origin;
    if args.model.is_none() && !origin.is_empty() {
        let expected = format!("`--model {origin}` beside it, which fetches that model of the hub");
        return Err(Error::input("--link", format!("a link of {origin}"), expected));
    }
    Ok(link)
}

fn print(spec: &RunSpec, view: &RunView) {
    let off = || "off".to_string();
    println!("model        {}", spec.model);
    println!("backend      {}", view.backend);
    println!("evaluation   {}", spec.evaluation);
    println!("reduce       {}", spec.reduction.as_ref().map_or_else(off, |s| s.to_string()));
    println!("prune        {}", spec.pruning.as_ref().map_or_else(off, |s| s.to_string()));
    println!("link         {}\n", view.link);
    println!(
        "{:<40} {:>26} {:>26} {:>26}",
        "measured (95 % interval)", "baseline", "compressed", "change"
    );
    print_quality(&view.quality);
    print_beside(view);
    if let Some(s) = &view.speed {
        let n = s.prefill_ratio.n;
        let of = if n < 6 { "smallest and largest" } else { "95 % interval" };
        println!("\nspeed in {n} rounds in turns: median and middle half; ratios: median and {of}");
        let line = |name: &str, b: &Estimate, c: &Estimate, digits: usize| {
            println!("{name:<40} {:>26} {:>26}", range(b, digits), range(c, digits));
        };
        let (b, c) = (&s.baseline, &s.compressed);
        let prefill = format!("prefill tokens/s ({} tokens)", s.prompt_tokens);
        line(&prefill, &b.prefill_tokens_per_s, &c.prefill_tokens_per_s, 0);
        line("decode tokens/s", &b.decode_tokens_per_s, &c.decode_tokens_per_s, 0);
        line("first token, ms", &b.first_token_ms, &c.first_token_ms, 2);
        println!(
            "{:<40} {:>26} {:>26}",
            "prefill, compressed / baseline",
            "",
            range(&s.prefill_ratio, 3)
        );
        println!(
            "{:<40} {:>26} {:>26}",
            "decode, compressed / baseline",
            "",
            range(&s.decode_ratio, 3)
        );
    }
    view.cost.iter().for_each(print_cost);
    println!("\nbaseline     {}", view.baseline.text);
    println!("compressed   {}", view.compressed.text);
}

fn print_quality(quality: &[Quality]) {
    for q in quality {
        let name = format!("{}, n = {}", q.label, q.items);
        println!(
            "{name:<40} {:>26} {:>26} {:>26}",
            shown(q, &q.baseline),
            shown(q, &q.compressed),
            shown(q, &q.change)
        );
    }
}

fn print_cost(cost: &Cost) {
    println!("\ncounted, not measured");
    println!(
        "FLOPs saved in a prefill: {:.1} % of the layers, {:.1} % in all",
        cost.flops_saved_layers * 100.0,
        cost.flops_saved_total * 100.0
    );
    println!(
        "zero or removed: {:.1} % of the pruned matrices, {:.1} % of the model",
        cost.sparsity * 100.0,
        cost.sparsity_of_model * 100.0
    );
    if let Some(d) = &cost.decode {
        println!(
            "a decoded token reads {:.2} MB of weights and takes {:.2} MFLOP; dense: {:.2} MB, {:.2} MFLOP\n{}",
            d.bytes / 1e6,
            d.flops / 1e6,
            d.bytes_dense / 1e6,
            d.flops_dense / 1e6,
            d.text
        );
    }
}

/// Controls and, where it was asked for, the released code's scorer.
fn print_beside(view: &RunView) {
    let line = |name: &str, q: &Quality, from: &Estimate, to: &Estimate| {
        let name = format!("{name}, {}, n = {}", q.label, q.change.n);
        println!("{name:<66} {:>26} {:>26}", shown(q, from), shown(q, to));
    };
    if !view.controls.is_empty() {
        println!(
            "\n{:<66} {:>26} {:>26}",
            "controls at the same lengths", "control", "method - control"
        );
    }
    for control in &view.controls {
        control.quality.iter().for_each(|q| line(control.label, q, &q.baseline, &q.change));
    }
    if let Some(p) = &view.published {
        println!("\n{:<66} {:>26} {:>26}", "the scorer as published", "honest", "as published");
        p.quality.iter().for_each(|q| line("compressed", q, &q.baseline, &q.compressed));
        println!("Warning: {} In step here: {:.0} % of the rows.", p.warning, p.in_step * 100.0);
    }
}
