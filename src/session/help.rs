//! Scoring shared among workers: others begin at the far end of the order, and the run takes what they have found.
//!
//! Every worker has an engine of its own and the same models, so that a score is the same wherever it was made. The run
//! needs no other: what is not there when its turn comes, it scores itself.

use super::protocol::{Event, RunView};
use super::spec::{OWN, RunSpec};
use crate::backend::Device;
use crate::eval::{Scored, Sheet};
use std::cell::RefCell;
use std::rc::Rc;

/// Hears every event, in order.
pub type Emit = Rc<dyn Fn(Event)>;

/// What others have scored of the run that is on. Clones are the same one.
#[derive(Clone, Default)]
pub struct Help {
    emit: Option<Emit>,
    found: Rc<RefCell<Found>>,
}

#[derive(Default)]
struct Found {
    run: u64,
    scored: Vec<Scored>,
}

/// A run that others were asked to help with; they are let go when this is dropped.
pub(super) struct Asked {
    help: Help,
    run: u64,
}

impl Help {
    /// Help that is asked for by events; without them nobody is asked.
    pub(super) fn new(emit: Emit) -> Help {
        Help { emit: Some(emit), found: Rc::default() }
    }

    /// Keeps what another worker has scored, if it belongs to the run that is on.
    pub fn put(&self, run: u64, scored: Scored) {
        let mut found = self.found.borrow_mut();
        if found.run == run {
            found.scored.push(scored);
        }
    }

    /// Asks others to help with the items of a run, where they can: they have no files of the user's own, and they compute
    /// on the CPU. `known` is what there is of the baseline.
    pub(super) fn ask(
        &self,
        spec: &RunSpec,
        view: &RunView,
        device: &Device,
        known: Option<&Sheet>,
    ) -> Asked {
        let run = view.number;
        *self.found.borrow_mut() = Found { run, scored: Vec::new() };
        let can_help = spec.model != OWN && spec.data.is_empty() && matches!(device, Device::Cpu);
        if let Some(emit) = self.emit.as_ref().filter(|_| can_help) {
            let fragment = view.link.clone();
            emit(Event::Assist { run, fragment, baseline: !known.is_some_and(Sheet::is_complete) });
        }
        Asked { help: self.clone(), run }
    }
}

impl Asked {
    /// What has come in since the last time.
    pub fn take(&self) -> Vec<Scored> {
        std::mem::take(&mut self.help.found.borrow_mut().scored)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        *self.help.found.borrow_mut() = Found::default();
        self.help.emit.iter().for_each(|emit| emit(Event::Dismiss { run: self.run }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_another_run_is_not_taken() {
        let help = Help::default();
        let scored = |item| Scored { item, priors: [None, None], scores: [None, None] };
        *help.found.borrow_mut() = Found { run: 3, scored: Vec::new() };
        let asked = Asked { help: help.clone(), run: 3 };
        help.put(2, scored(1));
        help.put(3, scored(5));
        assert_eq!(asked.take(), [scored(5)]);
        assert!(asked.take().is_empty());
        drop(asked);
        help.put(3, scored(6));
        assert!(help.found.borrow().scored.is_empty(), "the run is over");
    }
}
