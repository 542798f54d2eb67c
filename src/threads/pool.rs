//! Threads that stay between two operations.
//!
//! A prefill is some hundred operations of a millisecond or two. To start a thread for each, or to wake one that sleeps, costs
//! a part of that (docs/benchmarks-native.md); so a helper looks out for the next operation for a while before it sleeps,
//! and the caller does the same for the end of it. A thread has helpers of its own, which end with it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::{self, Thread};

/// Looks before a thread that waits goes to sleep, an estimate: about 0.1 ms. None where there are more threads than cores,
/// because those that work need the core.
const LOOKS: usize = 4000;

thread_local! {
    static HELPERS: Cell<Vec<Helper>> = const { Cell::new(Vec::new()) };
}

/// What a helper does next, or has done.
const IDLE: u8 = 0;
const BEGIN: u8 = 1;
const END: u8 = 2;

/// Runs `work` on this thread and on so many others at the same time; all have returned when this does. A panic of one of
/// them goes on here.
pub fn together(others: usize, work: &(dyn Fn() + Sync)) {
    let mut helpers = HELPERS.take();
    // Asking the system reads files.
    static CORES: OnceLock<usize> = OnceLock::new();
    let cores = *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from));
    let looks = if cores > others { LOOKS } else { 0 };
    while helpers.len() < others {
        helpers.push(Helper::start());
    }
    let asked = &helpers[..others];
    // SAFETY: nobody uses it after this function, which goes on only when every helper is idle again.
    let work: &'static (dyn Fn() + Sync) = unsafe { std::mem::transmute(work) };
    for helper in asked {
        helper.begin(Job { work, caller: thread::current(), looks });
    }
    let own = catch_unwind(AssertUnwindSafe(work));
    let ended = asked.iter().fold(own, |ended, helper| ended.and(helper.wait(looks)));
    HELPERS.set(helpers);
    ended.unwrap_or_else(|panic| resume_unwind(panic));
}

type Ended = Result<(), Box<dyn Any + Send>>;

struct Job {
    work: &'static (dyn Fn() + Sync),
    caller: Thread,
    /// How often the helper looks for another job after this one.
    looks: usize,
}

/// What a helper and its caller share.
struct Desk {
    state: AtomicU8,
    job: Mutex<Option<Job>>,
    ended: Mutex<Ended>,
}

fn open<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().expect("nobody panics at a desk")
}

struct Helper {
    desk: Arc<Desk>,
    thread: Thread,
}

impl Helper {
    fn start() -> Helper {
        let (job, ended) = (Mutex::new(None), Mutex::new(Ok(())));
        let desk = Arc::new(Desk { state: AtomicU8::new(IDLE), job, ended });
        let of_helper = desk.clone();
        let thread = thread::spawn(move || of_helper.work()).thread().clone();
        Helper { desk, thread }
    }

    fn begin(&self, job: Job) {
        *open(&self.desk.job) = Some(job);
        self.desk.state.store(BEGIN, Ordering::Release);
        self.thread.unpark();
    }

    fn wait(&self, looks: usize) -> Ended {
        self.desk.wait(looks, |state| state == IDLE);
        std::mem::replace(&mut *open(&self.desk.ended), Ok(()))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.desk.state.store(END, Ordering::Release);
        self.thread.unpark();
    }
}

impl Desk {
    /// What the helper's thread does until its caller's has ended.
    fn work(&self) {
        let mut looks = LOOKS;
        loop {
            self.wait(looks, |state| state != IDLE);
            let Some(job) = open(&self.job).take() else { return };
            looks = job.looks;
            *open(&self.ended) = catch_unwind(AssertUnwindSafe(job.work));
            // From here on the work may be gone.
            self.state.store(IDLE, Ordering::Release);
            job.caller.unpark();
        }
    }

    fn wait(&self, looks: usize, is_over: impl Fn(u8) -> bool) {
        for _ in 0..looks {
            if is_over(self.state.load(Ordering::Acquire)) {
                return;
            }
            std::hint::spin_loop();
        }
        while !is_over(self.state.load(Ordering::Acquire)) {
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn all_work_at_the_same_time_and_have_ended_at_the_end() {
        for others in [0, 1, 3, 2, 3] {
            let (there, left) = (AtomicUsize::new(0), AtomicUsize::new(0));
            together(others, &|| {
                there.fetch_add(1, Ordering::SeqCst);
                // Nobody goes on before all have come.
                while there.load(Ordering::SeqCst) <= others {
                    thread::yield_now();
                }
                left.fetch_add(1, Ordering::SeqCst);
            });
            assert_eq!(left.into_inner(), others + 1);
        }
    }

    #[test]
    fn a_panic_goes_on_at_the_caller_when_all_have_ended_and_helpers_go_on() {
        let caller = thread::current().id();
        for is_own in [false, true] {
            let left = AtomicUsize::new(0);
            let found = catch_unwind(AssertUnwindSafe(|| {
                together(2, &|| {
                    left.fetch_add(1, Ordering::SeqCst);
                    assert!((thread::current().id() == caller) != is_own, "not here");
                });
            }));
            assert!(found.is_err() && left.into_inner() == 3, "own: {is_own}");
        }
        together(2, &|| ());
    }

    #[test]
    fn work_that_asks_for_help_itself_has_helpers_of_its_own() {
        let count = AtomicUsize::new(0);
        together(1, &|| together(2, &|| _ = count.fetch_add(1, Ordering::SeqCst)));
        assert_eq!(count.into_inner(), 6);
    }
}
