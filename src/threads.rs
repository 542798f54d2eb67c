//! How many threads native arithmetic may use.
//!
//! One unless a command says otherwise: speeds that are shown are those of one thread, as in the page. In the page there
//! are no others. Results are the
//! same to the bit with any number, because threads share out the elements of a product, or rows, and never one sum.

use crate::{Error, Result};
use std::cell::Cell;
#[cfg(not(target_arch = "wasm32"))]
use std::ops::Range;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Mutex;

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

/// One thread for what this thread does until the guard is dropped: speeds are compared so.
pub fn alone() -> Alone {
    Alone(COUNT.replace(1))
}

/// Gives back the number of threads that there was.
#[must_use]
pub struct Alone(usize);

impl Drop for Alone {
    fn drop(&mut self) {
        COUNT.set(self.0);
    }
}

/// Threads that may be used from here.
pub fn count() -> usize {
    COUNT.get()
}

/// Does `work` for every item, several at a time. Results come in no order.
#[cfg(target_arch = "wasm32")]
pub fn share<I, T>(items: impl Iterator<Item = I>, work: impl Fn(I) -> T) -> Vec<T> {
    items.map(work).collect()
}

/// Does `work` for every item, several at a time. Results come in no order.
#[cfg(not(target_arch = "wasm32"))]
pub fn share<I: Send, T: Send>(
    items: impl Iterator<Item = I> + Send,
    work: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    let count = count();
    if count == 1 {
        return items.map(work).collect();
    }
    let items = Mutex::new(items);
    let next = || items.lock().expect("taking an item does not panic").next();
    let run = || std::iter::from_fn(next).map(&work).collect::<Vec<T>>();
    std::thread::scope(|scope| {
        // This thread works too; what it does for an item takes no more threads.
        let others: Vec<_> = (1..count).map(|_| scope.spawn(run)).collect();
        COUNT.set(1);
        let mut all = run();
        COUNT.set(count);
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    })
}

/// Fewest rows of a part, and products below which threads cost more than they save.
#[cfg(not(target_arch = "wasm32"))]
const FEWEST_ROWS: usize = 96;
#[cfg(not(target_arch = "wasm32"))]
const FEWEST_PRODUCTS: usize = 1 << 22;

/// Does `work` for the rows of a product, `stride` apart in `values`, that needs so many multiplications: all at once, or
/// in parts shared out. A part has 96 rows at least, because the `gemm` crate cuts the sums of up to 64 in other places.
#[cfg(not(target_arch = "wasm32"))]
pub fn by_rows<T: Send>(
    mut values: &mut [T],
    rows: usize,
    stride: usize,
    products: usize,
    work: impl Fn(Range<usize>, &mut [T]) + Sync,
) {
    let parts = if products < FEWEST_PRODUCTS { 1 } else { count().min(rows / FEWEST_ROWS) };
    if parts <= 1 {
        return work(0..rows, values);
    }
    let cut = (0..parts).map(|i| {
        let range = i * rows / parts..(i + 1) * rows / parts;
        let size = if range.end == rows { values.len() } else { range.len() * stride };
        let (part, rest) = std::mem::take(&mut values).split_at_mut(size);
        values = rest;
        (range, part)
    });
    share(cut, |(range, part)| work(range, part));
}

/// Tells the allocator to keep what is freed instead of giving it back to the system: every operation makes a tensor and
/// frees another, and memory that comes fresh from the system costs a page fault every 4 KiB (340,000 in two prefills
/// of a model of 135M parameters). Once a process, before the work begins. Does nothing outside of glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: these set two numbers of the allocator, the first at the largest that it takes.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
