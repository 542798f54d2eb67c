//! How many threads native arithmetic may use.
//!
//! One unless a command says otherwise: speeds that are shown are those of one thread, as in the page. In the page there
//! are no others. Results are the same to the bit with any number, because threads share out rows, columns or heads of a
//! result, and never one sum.

#[cfg(not(target_arch = "wasm32"))]
mod pool;

use crate::{Error, Result};
use std::cell::Cell;
#[cfg(not(target_arch = "wasm32"))]
use std::mem::MaybeUninit;
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
    let (count, most) = (count(), items.size_hint().1.unwrap_or(usize::MAX));
    if count.min(most) <= 1 {
        return items.map(work).collect();
    }
    let (items, all) = (Mutex::new(items), Mutex::new(Vec::new()));
    let next = || items.lock().expect("taking an item does not panic").next();
    // This thread works too; what it does for an item takes no more threads.
    let _one = alone();
    pool::together(count.min(most) - 1, &|| {
        let own: Vec<T> = std::iter::from_fn(next).map(&work).collect();
        all.lock().expect("adding to a list does not panic").extend(own);
    });
    all.into_inner().expect("as above")
}

/// Multiplications below which threads cost more than they save: about 0.1 ms of one thread.
#[cfg(not(target_arch = "wasm32"))]
const FEWEST_PRODUCTS: usize = 1 << 22;

/// Multiplications that take as long as one value of a norm, a gate or an activation, which waits for memory.
#[cfg(not(target_arch = "wasm32"))]
const OF_A_VALUE: usize = 32;

/// In how many parts so many multiplications are shared out, at most `most`.
#[cfg(not(target_arch = "wasm32"))]
pub fn parts(products: usize, most: usize) -> usize {
    if products < FEWEST_PRODUCTS { 1 } else { count().min(most).max(1) }
}

/// In how many parts so many multiplications are shared out: there are no other threads.
#[cfg(target_arch = "wasm32")]
pub fn parts(_: usize, _: usize) -> usize {
    1
}

/// The rows of a product.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Copy)]
pub struct Shape {
    /// Of the result.
    pub rows: usize,
    /// Values from one row of the result to the next.
    pub stride: usize,
    /// Multiplications of all rows.
    pub products: usize,
    /// Fewest rows of a part for which a row's sums are those that it has among all rows.
    pub fewest: usize,
}

#[cfg(not(target_arch = "wasm32"))]
impl Shape {
    fn parts(self) -> usize {
        parts(self.products, self.rows / self.fewest)
    }

    /// The rows of every part, and what belongs to them in `values`.
    fn cut<T>(self, mut values: &mut [T]) -> impl Iterator<Item = (Range<usize>, &mut [T])> {
        let (rows, parts) = (self.rows, self.parts());
        (0..parts).map(move |i| {
            let range = i * rows / parts..(i + 1) * rows / parts;
            let size = if range.end == rows { values.len() } else { range.len() * self.stride };
            let (part, rest) = std::mem::take(&mut values).split_at_mut(size);
            values = rest;
            (range, part)
        })
    }
}

/// Does `work` for the rows of a product in `values`: all at once, or in parts shared out.
#[cfg(not(target_arch = "wasm32"))]
pub fn by_rows<T: Send>(
    values: &mut [T],
    shape: Shape,
    work: impl Fn(Range<usize>, &mut [T]) + Sync,
) {
    if shape.parts() == 1 {
        return work(0..shape.rows, values);
    }
    share(shape.cut(values), |(range, part)| work(range, part));
}

/// The rows of a product, of which `work` makes some from nothing, shared out.
///
/// # Safety
/// `work` must set every value that it is given.
#[cfg(not(target_arch = "wasm32"))]
pub unsafe fn product(
    shape: Shape,
    work: impl Fn(Range<usize>, &mut [MaybeUninit<f32>]) + Sync,
) -> Vec<f32> {
    let size = shape.rows * shape.stride;
    let mut y = Vec::with_capacity(size);
    let values = &mut y.spare_capacity_mut()[..size];
    match shape.parts() {
        1 => work(0..shape.rows, values),
        _ => drop(share(shape.cut(values), |(range, part)| work(range, part))),
    }
    // SAFETY: the parts are all of the first `size` values, and the caller's promise.
    unsafe { y.set_len(size) };
    y
}

/// These values, zeros from now on.
#[cfg(not(target_arch = "wasm32"))]
pub fn zeros(values: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    values.fill(MaybeUninit::new(0.0));
    // SAFETY: every value has just been set.
    unsafe { values.assume_init_mut() }
}

/// `rows` rows of `cols` values, of which `work` makes some from zeros.
#[cfg(not(target_arch = "wasm32"))]
pub fn rows(rows: usize, cols: usize, work: impl Fn(Range<usize>, &mut [f32]) + Sync) -> Vec<f32> {
    let shape = Shape { rows, stride: cols, products: rows * cols * OF_A_VALUE, fewest: 1 };
    // SAFETY: all values are set to zero.
    unsafe { product(shape, |range, part| work(range, zeros(part))) }
}

/// `rows` rows of `cols` values, of which `work` makes some from zeros: all of them.
#[cfg(target_arch = "wasm32")]
pub fn rows(rows: usize, cols: usize, work: impl Fn(Range<usize>, &mut [f32])) -> Vec<f32> {
    let mut y = vec![0.0; rows * cols];
    work(0..rows, &mut y);
    y
}

/// Columns of rows of `widths.sum()` values, for those who compute columns: of every width its part of each row.
pub fn columns<T>(
    values: &mut [T],
    widths: impl ExactSizeIterator<Item = usize> + Clone,
) -> Vec<Vec<&mut [T]>> {
    let stride = widths.clone().sum::<usize>().max(1);
    let rows = values.len() / stride;
    let mut parts: Vec<_> = widths.clone().map(|_| Vec::with_capacity(rows)).collect();
    for mut row in values.chunks_exact_mut(stride) {
        for (part, width) in parts.iter_mut().zip(widths.clone()) {
            let (piece, rest) = row.split_at_mut(width);
            part.push(piece);
            row = rest;
        }
    }
    parts
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

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_made_once_from_zeros_in_as_many_parts_as_there_are_threads() {
        for (count, height, parts) in [(1, 400, 1), (3, 401, 3), (3, 2, 1), (2, 0, 1)] {
            set(Some(count)).unwrap();
            let seen = Mutex::new(0);
            let y = rows(height, 333, |range, y| {
                *seen.lock().unwrap() += 1;
                assert_eq!(y.len(), range.len() * 333);
                for (row, y) in range.zip(y.chunks_exact_mut(333)) {
                    y.iter_mut().for_each(|y| *y += row as f32);
                }
            });
            set(Some(1)).unwrap();
            assert_eq!(*seen.lock().unwrap(), parts, "{count} threads, {height} rows");
            assert!(y.iter().enumerate().all(|(i, &y)| y == (i / 333) as f32));
            assert_eq!(y.len(), height * 333);
        }
    }

    #[test]
    fn columns_are_those_of_every_row() {
        let mut values: Vec<usize> = (0..12).collect();
        let parts = columns(&mut values, [1, 0, 3].into_iter());
        let first: Vec<usize> = parts[0].iter().map(|row| row[0]).collect();
        assert_eq!(first, [0, 4, 8]);
        assert!(parts[1].iter().all(|row| row.is_empty()) && parts[1].len() == 3);
        assert_eq!(parts[2][2], [9, 10, 11]);
    }
}
