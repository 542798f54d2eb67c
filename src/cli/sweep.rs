//! `whittle sweep`: a grid of settings, measured cell by cell into a file; grids of single parts; tables and frontiers.

mod drive;
mod each;
pub mod grid;
mod points;
mod show;
mod worker;

use super::BackendArg;
use super::arithmetic::{self, ArithmeticArg};
use crate::{Error, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    show: Option<Show>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(clap::Args)]
struct RunArgs {
    /// A TOML file: models, eval, reduce, prune, seeds (lists), speed (true or false), data, labels (files).
    grid: Option<PathBuf>,
    /// Measured cells, one JSON line each. What is there already is not measured again.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Models in place of the grid's own; may be given several times.
    #[arg(long = "model")]
    models: Vec<String>,
    /// Cells measured at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Threads of each of these cells on the CPU; the figures are the same with any number.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// What many rows are multiplied with: f32 is the reference; bf16 on a processor that has it, or f16 on a GPU, is
    /// faster and less exact, and every point names it.
    #[arg(long, value_enum, default_value = "f32")]
    arithmetic: ArithmeticArg,
    #[arg(long, value_enum, default_value = "cpu")]
    backend: BackendArg,
    /// List the cells and end.
    #[arg(long)]
    list: bool,
    /// List them as JSON lines {"cell", "key", "name"}; a point in a file of points has the key of its cell.
    #[arg(long, requires = "list")]
    json: bool,
    /// Measure the cells whose numbers come on standard input, each as one line of JSON on standard output. For drivers.
    #[arg(long)]
    worker: bool,
}

#[derive(clap::Subcommand)]
enum Show {
    /// Write a grid in which every layer, or every matrix, is pruned alone: `whittle sweep each SPEC --model M > grid.toml`.
    Each(each::Args),
    /// A table of the points of a file.
    Table(show::Args),
    /// The points that no other point beats in both quality and cost.
    Frontier(show::Args),
}

pub(super) async fn main(args: Args) -> Result<()> {
    match args.show {
        Some(Show::Each(args)) => each::main(&args).await,
        Some(Show::Table(args)) => show::table(&args),
        Some(Show::Frontier(args)) => show::frontier(&args),
        None => run(args.run).await,
    }
}

async fn run(args: RunArgs) -> Result<()> {
    let path = args.grid.ok_or_else(|| {
        Error::input("sweep", "nothing", "a grid file, or `table FILE` or `frontier FILE`")
    })?;
    let grid = grid::read(&path, &args.models)?;
    if args.list {
        return list(&grid, args.json).await;
    }
    let backend = arithmetic::choose(args.arithmetic, args.backend.into())?;
    if args.worker {
        crate::threads::set(Some(args.threads))?;
        return worker::main(&grid, backend).await;
    }
    let out = args.out.ok_or_else(|| Error::input("--out", "nothing", "a file for the points"))?;
    crate::threads::set(Some(args.threads))?;
    let workers = drive::Workers {
        grid: &path,
        models: &args.models,
        jobs: args.jobs.clamp(1, 256),
        threads: args.threads,
        arithmetic: args.arithmetic,
        backend: args.backend,
    };
    drive::main(&grid, &out, &workers).await
}

async fn list(file: &grid::File, is_json: bool) -> Result<()> {
    let cells = file.grid.cells();
    let hashes = match is_json {
        true => drive::hashes(&file.grid.models).await?,
        false => Default::default(),
    };
    for (i, cell) in cells.iter().enumerate() {
        let name = grid::name(cell);
        match hashes.get(&cell.model) {
            Some(sha256) => {
                println!(
                    "{}",
                    serde_json::json!({ "cell": i, "key": cell.key(sha256), "name": name })
                )
            }
            None => println!("{i} {name}"),
        }
    }
    Ok(())
}
