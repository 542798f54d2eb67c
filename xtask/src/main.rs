//! The commands of Whittle. Each one first installs what it needs and finds missing.

mod bench;
mod cache;
mod command;
mod engines;
mod gpu;
mod mutants;
mod notices;
mod packages;
mod seal;
mod serve;
mod setup;
mod test;
mod tools;
mod version;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use command::{Result, run};

const HELP: &str = "\
usage: cargo xtask COMMAND [ARGUMENTS]

  serve [TRUNK ARGUMENTS]  build the playground and serve it at http://127.0.0.1:8080/
                           (for example: cargo xtask serve --port 9000 --open)
  test                     run every check and test: format, clippy, native tests, docs,
                           browser tests, the built page in headless Chromium
  bench [--native] [--write]
                           measure speed and size in headless Chromium beside onnxruntime-web;
                           --native adds `cargo bench`, --write puts it in docs/benchmarks.md
  page                     only build the page, into dist/
  screenshots              build the page and take the pictures in docs/ anew
  mutants [ARGUMENTS]      change the pure modules one place at a time: does a test notice?
                           (for example: cargo xtask mutants -f src/eval/stats.rs)
  deny                     licences and sources of all crates (cargo-deny, deny.toml)
  gpu pack | run [--quick] | page RESULTS.jsonl
                           test and measure a real GPU: pack what a machine with a card needs,
                           run it, write docs/gpu.md from what came back
  setup                    only install what serve and test need
  help                     print this

Tools are built once per user and version, in ${XDG_CACHE_HOME:-~/.cache}/whittle/tools.
Debian packages (tests only) are installed with apt-get when run as root.";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("\nerror: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    enter_repository()?;
    match words.as_slice() {
        ["serve", rest @ ..] => serve::serve(rest),
        ["test"] => test::test(),
        ["bench", rest @ ..] => bench::bench(rest),
        ["page"] => setup::for_serve().and_then(|toolbox| test::page(&toolbox)),
        ["screenshots"] => screenshots(),
        ["deny"] => deny(),
        ["mutants", rest @ ..] => mutants::mutants(rest),
        ["gpu", rest @ ..] => gpu::gpu(rest),
        ["setup"] => setup::for_test().map(|_| ()),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!(
            "found {:?}; expected one of the commands below\n\n{HELP}",
            other.join(" ")
        )),
    }
}

/// Every picture of the page that the documents show, of the page as it is now.
fn screenshots() -> Result<()> {
    let toolbox = setup::for_test()?;
    test::page(&toolbox)?;
    run(Command::new("node").arg("page-bench/screenshots.mjs").env("PATH", &toolbox.path))
}

/// Whether every crate that is linked has a licence that we may ship, and comes from crates.io.
fn deny() -> Result<()> {
    let toolbox = setup::for_deny()?;
    let mut deny = Command::new("cargo-deny");
    deny.args(["--locked", "check", "licenses", "bans", "sources"]);
    run(deny.env("PATH", &toolbox.path))
}

/// Every path in this crate is relative to the repository, wherever the command was typed. Asked of
/// the running cargo: with a shared CARGO_TARGET_DIR the program may come from another checkout.
fn enter_repository() -> Result<()> {
    let xtask = env::var_os("CARGO_MANIFEST_DIR").ok_or("run this as `cargo xtask`")?;
    let repository = Path::new(&xtask).join("..");
    env::set_current_dir(&repository)
        .map_err(|problem| format!("cannot enter {}: {problem}", repository.display()))
}
