//! How far a transfer is, in bytes, on standard error.

use super::place::megabytes;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// On a terminal one line that is written over; elsewhere a line at the start and one at the end.
pub struct Progress<'a> {
    name: &'a str,
    total: u64,
    is_terminal: bool,
    shown: Option<Instant>,
}

impl<'a> Progress<'a> {
    pub fn start(name: &'a str, done: u64, total: u64) -> Progress<'a> {
        let is_terminal = stderr().is_terminal();
        if !is_terminal && done > 0 {
            eprintln!("whittle: {name}: goes on at {done} of {total} bytes");
        }
        Progress { name, total, is_terminal, shown: None }
    }

    pub fn show(&mut self, done: u64) {
        const EVERY: Duration = Duration::from_millis(100);
        let is_due = self.shown.is_none_or(|at| at.elapsed() >= EVERY);
        if self.is_terminal && is_due {
            let (name, total) = (self.name, self.total);
            eprint!("\r\x1b[Kwhittle: {name}: {done} of {total} bytes ({})", megabytes(done));
            // A terminal that is gone is nobody's loss.
            let _ = stderr().flush();
            self.shown = Some(Instant::now());
        }
    }

    pub fn end(self) {
        let over = if self.is_terminal { "\r\x1b[K" } else { "" };
        eprintln!("{over}whittle: {}: {} bytes", self.name, self.total);
    }
}
