//! How many threads a native matrix product may use.
//!
//! One unless a command says otherwise: speeds that are shown are those of one thread, as in the page. Results are the
//! same to the bit with any number, because threads share out the elements of a product and never one sum.

use crate::{Error, Result};
use std::sync::atomic::{AtomicUsize, Ordering};

/// More than a machine that this is made for has.
const MOST: usize = 1024;

static COUNT: AtomicUsize = AtomicUsize::new(1);

/// Threads of all products from now on; as many as the machine has cores where nothing is asked for. Gives the number.
///
/// Errors: none, or more than 1,024.
pub fn set(asked: Option<usize>) -> Result<usize> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(MOST);
    let count = asked.unwrap_or_else(cores);
    if !(1..=MOST).contains(&count) {
        return Err(Error::input("--threads", count, "1 to 1024"));
    }
    COUNT.store(count, Ordering::Relaxed);
    Ok(count)
}

pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// For the `gemm` crate.
pub fn parallelism() -> gemm::Parallelism {
    match count() {
        1 => gemm::Parallelism::None,
        count => gemm::Parallelism::Rayon(count),
    }
}
