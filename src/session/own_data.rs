//! Data of the user's own on the page: opened once, read by every evaluation that can.

use super::link::Link;
use super::protocol::{DataView, Level, WhyNot};
use super::{Next, Session, fits};
use crate::bundle::sha256_hex;
use crate::error::printable;
use crate::method::{About, Setting};
use crate::{Error, Result, eval};

/// Largest file, as on the command line.
const MOST_BYTES: usize = 64 << 20;
/// Lines left out that are named one by one.
const NAMED: usize = 5;

/// The file that is open.
pub(super) struct OwnData {
    /// As it is shown.
    pub view: DataView,
    /// The evaluations that can read it.
    pub readers: Vec<&'static About>,
}

impl OwnData {
    /// What a link says of it.
    pub fn hash(&self) -> &str {
        &self.view.sha256[..16]
    }
}

impl Session {
    /// Takes data of the user's own, and an evaluation that reads it where the chosen one does not.
    ///
    /// Errors: too large, or rows that no evaluation knows. What was open before stays then.
    pub(super) fn open_data(&mut self, name: &str, bytes: Vec<u8>) -> Result<Next> {
        let name = printable(name, 80);
        let size = bytes.len();
        if size > MOST_BYTES {
            return Err(Error::file(
                name,
                format!("has {size} bytes, at most {MOST_BYTES} are read"),
            ));
        }
        let readers = eval::readers(&bytes);
        let Some(first) = readers.first() else {
            let problem = match bytes.starts_with(b"PAR1") {
                true => "is a parquet file; docs/own-data.md says how to make JSON lines of it",
                false => {
                    "has no rows that are known here; expected JSON lines of {context, choices, answer}, {context, target} or of a task, or a text in UTF-8"
                }
            };
            return Err(Error::file(name, problem));
        };
        let view = DataView { name, bytes: size as u64, sha256: sha256_hex(&bytes) };
        if readers.iter().all(|about| about.id != self.spec.evaluation.about.id) {
            self.spec.evaluation = Setting::default_of(first);
        }
        let opened = OwnData { view, readers };
        let waited = self.data.is_none() && eval::is_of_own_data(&self.spec.evaluation);
        let other = waited.then(|| other_data(&self.spec.data, opened.hash())).flatten();
        self.engine.open_data(bytes);
        self.data = Some(opened);
        // What is still to be measured was to be measured on other items.
        self.sweep = None;
        other.into_iter().for_each(|text| self.notice(Level::Warning, text));
        // A link that waits for its model goes on when that is opened.
        Ok(if self.awaited.is_some() { Next::Nothing } else { Next::Run })
    }

    pub(super) fn why_not(&self) -> WhyNot {
        let readers = self.data.as_ref().map(|data| &data.readers[..]);
        fits::why_not(&self.spec, self.engine.own(), readers)
    }

    /// Says so where a link's data is not the one that is open; where none is, it has to be opened first.
    pub(super) fn check_data(&mut self, link: &Link, next: Next) -> Next {
        if !eval::is_of_own_data(&link.spec.evaluation) {
            return next;
        }
        match &self.data {
            Some(data) => {
                let other = other_data(&link.spec.data, data.hash());
                other.into_iter().for_each(|text| self.notice(Level::Warning, text));
                next
            }
            None => {
                let which = match link.spec.data.as_str() {
                    "" => String::new(),
                    hash => format!(" (sha256 {hash})"),
                };
                let label = link.spec.evaluation.about.label;
                self.notice(Level::Warning, format!("This link is of data{which} that its maker opened for {label}. Open the same file under Evaluation, and it runs."));
                Next::Nothing
            }
        }
    }

    /// Tells what was left out of the data.
    pub(super) fn left_out(&mut self, problems: &[String]) {
        for problem in problems.iter().take(NAMED) {
            self.notice(Level::Warning, format!("Left out: {problem}."));
        }
        if problems.len() > NAMED {
            let more = problems.len() - NAMED;
            self.notice(Level::Warning, format!("{more} more lines of the data were left out."));
        }
    }
}

fn other_data(made_with: &str, here: &str) -> Option<String> {
    let differ = !made_with.is_empty() && made_with != here;
    differ.then(|| super::link::other_data(made_with, here))
}
