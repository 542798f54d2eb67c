//! What is measured on a click, beside a run and while nothing else is on.

use super::Session;
use super::peers::peers;
use super::protocol::{Event, Peers, PeersView};
use crate::pace::Pace;
use crate::{Error, Result};

/// What was asked for.
pub(super) enum Question {
    /// Speed in the published shape of this name.
    RealSize(String),
    /// Peers of what is compressed.
    Peers,
}

impl Session {
    /// Whether something waits to be measured.
    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Measures what was asked for. What ends it is told too.
    pub async fn answer(&mut self, pace: &Pace) {
        match self.asked.take() {
            Some(Question::RealSize(shape)) => self.time_real_size(shape, pace).await,
            Some(Question::Peers) => self.find_peers(pace).await,
            None => {}
        }
    }

    async fn find_peers(&mut self, pace: &Pace) {
        let spec = self.spec.clone();
        let mut last = PeersView { fragment: self.view.fragment.clone(), ..PeersView::default() };
        let emit = &self.emit;
        let mut hear = |found: &Peers, text: &str| {
            last.found = found.clone();
            last.text = text.to_string();
            emit(Event::Peers { found: Box::new(last.clone()) });
        };
        let ended = peers(&mut self.engine, &spec, pace, &mut hear).await;
        last.text = why(ended.map(|_| "Measured"));
        last.done = true;
        (self.emit)(Event::Peers { found: Box::new(last) });
    }
}

/// What to say at the end.
pub(super) fn why(ended: Result<&str>) -> String {
    match ended {
        Ok(text) => text.into(),
        Err(Error::Cancelled) => "Stopped, because something else was asked for.".into(),
        Err(e) => e.to_string(),
    }
}
