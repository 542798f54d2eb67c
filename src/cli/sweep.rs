//! `whittle sweep`: a grid of settings, measured cell by cell into a file; tables and frontiers of such a file.

mod drive;
mod grid;
mod points;
mod show;
mod worker;

use super::BackendArg;
use crate::{Error, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    show: Option<Show>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(clap::Args)]
struct RunArgs {
    /// A TOML file: models, eval, reduce, prune, seeds (lists), speed (true or false).
    grid: Option<PathBuf>,
    /// Measured cells, one JSON line each. What is there already is not measured again.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Cells measured at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    #[arg(long, value_enum, default_value = "cpu")]
    backend: BackendArg,
    /// List the cells and end.
    #[arg(long)]
    list: bool,
    /// Measure the cells whose numbers come on standard input, each as one line of JSON on standard output. For drivers.
    #[arg(long)]
    worker: bool,
}

#[derive(clap::Subcommand)]
enum Show {
    /// A table of the points of a file.
    Table(show::Args),
    /// The points that no other point beats in both quality and cost.
    Frontier(show::Args),
}

pub async fn main(args: Args) -> Result<()> {
    match args.show {
        Some(Show::Table(args)) => show::table(&args),
        Some(Show::Frontier(args)) => show::frontier(&args),
        None => run(args.run).await,
    }
}

async fn run(args: RunArgs) -> Result<()> {
    let path = args.grid.ok_or_else(|| {
        Error::input("sweep", "nothing", "a grid file, or `table FILE` or `frontier FILE`")
    })?;
    let grid = grid::read(&path)?;
    if args.list {
        grid.grid
            .cells()
            .iter()
            .enumerate()
            .for_each(|(i, cell)| println!("{i} {}", grid::name(cell)));
        return Ok(());
    }
    if args.worker {
        return worker::main(&grid, args.backend.into()).await;
    }
    let out = args.out.ok_or_else(|| Error::input("--out", "nothing", "a file for the points"))?;
    drive::main(&path, &grid, &out, args.jobs.clamp(1, 256), args.backend).await
}
