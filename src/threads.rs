//! How many threads native arithmetic may use.
//!
//! One unless a command says otherwise: speeds that are shown are those of one thread, as in the page. Results are the
//! same to the bit with any number, because threads share out the elements of a product, or rows, and never one sum.

use crate::{Error, Result};
use std::cell::Cell;

/// More than a machine that this is made for has.
const MOST: usize = 1024;

thread_local! {
    /// Of the work that this thread starts; a thread that was started to share work has itself only.
    static COUNT: Cell<usize> = const { Cell::new(1) };
}

/// Threads for what this thread does from now on; as many as the machine has cores where nothing is asked for. Gives
/// the number.
///
/// Errors: none, or more than 1,024.
pub fn set(asked: Option<usize>) -> Result<usize> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(MOST);
    let count = asked.unwrap_or_else(cores);
    if !(1..=MOST).contains(&count) {
        return Err(Error::input("--threads", count, "1 to 1024"));
    }
    COUNT.set(count);
    Ok(count)
}

/// Threads that may be used from here.
pub fn count() -> usize {
    COUNT.get()
}

/// Runs `work` on all of them at once.
pub fn each<T: Send>(work: impl Fn() -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..count()).map(|_| scope.spawn(&work)).collect();
        let result = |one: std::thread::ScopedJoinHandle<'_, T>| {
            one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        all.into_iter().map(result).collect()
    })
}

/// For the `gemm` crate.
pub fn parallelism() -> gemm::Parallelism {
    match count() {
        1 => gemm::Parallelism::None,
        count => gemm::Parallelism::Rayon(count),
    }
}
