//! A run that is on: what is known of it, shown as it comes.

use super::protocol::{RunView, State, Status};
use crate::pace::now_ms;

/// Pause between two pictures of a run.
pub(super) const SHOW_MS: f64 = 60.0;

/// Hears about progress.
pub type Show<'a> = dyn FnMut(&RunView, Status) + 'a;

/// A run that is on, and the one who hears of it.
pub(super) struct Running<'a, 'b> {
    pub view: RunView,
    show: &'a mut Show<'b>,
    /// When the newest picture was shown, by [`now_ms`].
    pub last: f64,
}

impl<'a, 'b> Running<'a, 'b> {
    /// One that begins.
    pub fn new(show: &'a mut Show<'b>) -> Running<'a, 'b> {
        Running { view: RunView::default(), show, last: 0.0 }
    }

    pub fn say(&mut self, text: &str, progress: Option<f64>) {
        self.last = now_ms();
        let running = !self.view.finished;
        let state = if running { State::Running } else { State::Complete };
        let status = Status { state, running, text: text.into(), progress };
        (self.show)(&self.view, status);
    }

    /// Says it unless the last picture is too young.
    pub fn say_often(&mut self, text: &str, progress: Option<f64>) {
        if now_ms() - self.last >= SHOW_MS {
            self.say(text, progress);
        }
    }
}
