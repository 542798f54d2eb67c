//! The command line: the same engine and the same runs as the page.
//!
//! Exit codes: 0 fine, 1 the work failed, 2 the input was wrong (one line on standard error says what); those of `verify`
//! are 0, 3 and 4 beside these.

mod arithmetic;
mod figures;
mod folder;
mod generate;
mod hub;
pub mod load;
mod methods;
mod note;
mod peers;
mod prune;
mod reduce;
mod run;
mod score;
mod serve;
pub mod sweep;
pub mod verify;

use crate::Error;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Small language models, compressed and measured side by side.
#[derive(Parser)]
#[command(name = "whittle", version)]
struct Args {
    /// tokenizer.json for a model that comes without one, or in the place of its own.
    #[arg(long, global = true, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Negative log-likelihood of every token of a text.
    Score(score::Args),
    /// Continue a prompt.
    Generate(generate::Args),
    /// Run baseline and compressed on the same items; print quality and speed of both.
    Run(run::Args),
    /// Show which tokens of a text a token reduction keeps, drops and folds, layer by layer.
    Reduce(reduce::Args),
    /// Prune a model and write it as files that transformers loads.
    Prune(prune::Args),
    /// Measure a grid of settings into a file that can be taken up again; show tables and frontiers of one.
    Sweep(sweep::Args),
    /// Answer the requests of a program (PyPI lm_eval among them) about a compressed model, as JSON lines.
    ServeStdio(serve::Args),
    /// Run again what somebody published: the same (exit code 0), within noise (3), or different, here (4).
    Verify(verify::Args),
    /// List the methods and evaluations with their settings (the SPEC grammar).
    Methods,
}

/// Where the arithmetic happens.
#[derive(Clone, Copy, ValueEnum)]
enum BackendArg {
    Auto,
    Cpu,
    Gpu,
}

/// Parses the arguments, does the work, gives the exit code.
pub fn main() -> u8 {
    quiet_vulkan();
    end_with_the_reader();
    crate::threads::keep_freed_memory();
    let args = Args::parse();
    load::use_tokenizer(args.tokenizer);
    let done = pollster::block_on(async {
        let done = match args.command {
            Command::Verify(args) => return verify::main(args).await,
            Command::Score(args) => score::main(args).await,
            Command::Generate(args) => generate::main(args).await,
            Command::Run(args) => run::main(args).await,
            Command::Reduce(args) => reduce::main(args).await,
            Command::Prune(args) => prune::main(args).await,
            Command::Sweep(args) => sweep::main(args).await,
            Command::ServeStdio(args) => serve::main(args).await,
            Command::Methods => methods::main(),
        };
        done.map(|()| 0)
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("whittle: {error}");
            match error {
                Error::Gpu(_) | Error::Hub(_) | Error::Cancelled => 1,
                _ => 2,
            }
        }
    }
}

/// `whittle methods | head` ends where `head` does. Rust sets this signal aside, and the next `println!` panics. A file
/// that grows beyond what the user may write is an error of the write, which has a message, and no signal, which has none.
fn end_with_the_reader() {
    #[cfg(unix)]
    // SAFETY: this sets dispositions and no handler; no other thread has started.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Mesa's Vulkan loader prints an error of its own, twice, where no desktop session set this; nothing uses it.
fn quiet_vulkan() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: this is the first thing the program does; no other thread reads the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}
