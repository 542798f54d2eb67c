//! Scoring shared among workers: others begin at the far end of the order, and the run takes what they have found.
//!
//! Every worker has an engine of its own and the same models, so that a score is the same wherever it was made. The run
//! needs no other: what is not there when its turn comes, it scores itself.

use super::protocol::Event;
use super::spec::{OWN, RunSpec};
use crate::backend::Device;
use crate::eval::Scored;
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
    /// The number of the newest call, or of its end.
    call: u64,
    scored: Vec<Scored>,
}

impl Found {
    /// What comes for an earlier call is not taken from now on. Gives the number of the next.
    fn turn(&mut self) -> u64 {
        self.call += 1;
        self.scored.clear();
        self.call
    }
}

/// What others are asked for.
pub(super) struct Ask<'a> {
    /// The settings, which are in the link too.
    pub spec: &'a RunSpec,
    pub fragment: String,
    /// Whether the baseline has to be scored too.
    pub baseline: bool,
    /// So many items, evenly spread; 0 for all.
    pub items: usize,
}

/// What others were asked to help with; they are let go when this is dropped.
pub(super) struct Asked {
    help: Help,
    run: u64,
}

impl Help {
    /// Help that is asked for by events; without them nobody is asked.
    pub(super) fn new(emit: Emit) -> Help {
        Help { emit: Some(emit), found: Rc::default() }
    }

    /// Keeps what another worker has scored, if it belongs to the newest call.
    pub fn put(&self, call: u64, scored: Scored) {
        let mut found = self.found.borrow_mut();
        if found.call == call {
            found.scored.push(scored);
        }
    }

    /// Asks others to help with items of run `run`, where they can: they have no files of the user's own, and they compute
    /// on the CPU.
    pub(super) fn ask(&self, run: u64, device: &Device, ask: Ask<'_>) -> Asked {
        let Ask { spec, fragment, baseline, items } = ask;
        let call = self.found.borrow_mut().turn();
        let can_help = spec.model != OWN && spec.data.is_empty() && matches!(device, Device::Cpu);
        if let Some(emit) = self.emit.as_ref().filter(|_| can_help) {
            emit(Event::Assist { run, call, fragment, baseline, items });
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
        self.help.found.borrow_mut().turn();
        self.help.emit.iter().for_each(|emit| emit(Event::Dismiss { run: self.run }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_another_call_is_not_taken() {
        let help = Help::default();
        let scored = |item| Scored { item, priors: [None, None], scores: [None, None] };
        let spec = RunSpec::first();
        let ask = |items| {
            help.ask(
                3,
                &Device::Cpu,
                Ask { spec: &spec, fragment: "".into(), baseline: true, items },
            )
        };
        let first = ask(0);
        let call = help.found.borrow().call;
        help.put(call - 1, scored(1));
        help.put(call, scored(5));
        assert_eq!(first.take(), [scored(5)]);
        assert!(first.take().is_empty());
        drop(first);
        help.put(call, scored(6));
        assert!(help.found.borrow().scored.is_empty(), "the call is over");
        let second = ask(8);
        help.put(call, scored(7));
        assert!(second.take().is_empty(), "meant for the first call of the same run");
    }
}
