//! The command line. See `whittle --help`.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(whittle::cli::main())
}

#[cfg(target_arch = "wasm32")]
fn main() {}
