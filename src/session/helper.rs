//! A worker that scores a part of another one's run; see [`super::help`].

use super::engine::Engine;
use super::help::Emit;
use super::library::Library;
use super::link::Link;
use super::protocol::{Assist, Event, RunView, Status};
use super::run::{build_task, pruned_model};
use super::running::Running;
use super::spec::RunSpec;
use crate::backend::Device;
use crate::eval::{Comparison, Placed, Sheet, Task, shuffled, spread};
use crate::pace::Pace;
use crate::{Error, Result};

/// A worker that scores for another one's run.
pub struct Helper {
    engine: Engine,
    emit: Emit,
    kept: Option<Kept>,
}

/// What the next call about the same model and items needs again: a run and its controls differ in their reduction alone.
struct Kept {
    /// The settings without a reduction.
    key: String,
    task: Task,
    /// Of the compressed model: what it says of the items without their contexts.
    priors: Sheet,
}

impl Helper {
    /// Without a model; the first run that it is asked for loads one.
    pub fn new(library: Library, emit: Emit) -> Helper {
        Helper { engine: Engine::new(library), emit, kept: None }
    }

    /// Scores its part of the items from the last to the first, telling each.
    ///
    /// Errors: cancelled, or what the run itself will meet and report.
    pub async fn work(&mut self, ask: &Assist, pace: &Pace) -> Result<()> {
        let Some(Link { spec, .. }) = Link::parse(&ask.fragment)? else {
            return Err(Error::input("link of a run", "nothing", "settings"));
        };
        let engine = &mut self.engine;
        let loaded = engine.model(&spec.model).await?;
        let key = RunSpec { reduction: None, ..spec.clone() }.fragment("");
        let (task, priors) = match self.kept.take().filter(|kept| kept.key == key) {
            Some(kept) => (kept.task, Some(kept.priors)),
            None => (build_task(engine, &spec, &loaded).await?, None),
        };
        let device = Device::Cpu;
        let (dense, weights) = engine.baseline(&device, &loaded)?;
        let placed = Placed::new(&device, &loaded.config, &weights, &loaded.tokenizer, dense);
        let mut unheard = |_: &RunView, _: Status| {};
        let mut running = Running::new(&mut unheard);
        let pruned = pruned_model(engine, &spec, &loaded, &placed, pace, &mut running).await?;
        let arms = [&placed.arm(None), &placed.compressed(&pruned, spec.reduction.as_ref())];
        let known = engine.cache.known.sheet(&spec);
        let mut comparison = Comparison::new(&task, arms, known);
        comparison.sheets[1] = priors.unwrap_or_else(|| Sheet::of(&task));
        let order = match ask.items {
            0 => shuffled(task.len(), task.len(), spec.seed),
            some => spread(task.len(), some),
        };
        let order = part(order, ask.part, ask.of);
        let sides: &[usize] = if ask.baseline { &[0, 1] } else { &[1] };
        let mut tell = |comparison: &Comparison<'_>, item: usize| {
            let scored = comparison.told(item);
            (self.emit)(Event::Scored { call: ask.call, scored: Box::new(scored) });
        };
        let ended = comparison.share(&order, sides, pace, &mut Vec::new, &mut tell).await;
        engine.cache.known.keep_sheet(&spec, &comparison.sheets[0]);
        let priors = comparison.sheets[1].without_scores();
        self.kept = Some(Kept { key, task, priors });
        ended
    }
}

/// Every `of`-th place of an order from its end, beginning with the `part`-th.
fn part(mut order: Vec<usize>, part: usize, of: usize) -> Vec<usize> {
    order.reverse();
    order.into_iter().skip(part).step_by(of.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::help::Help;
    use super::super::run::run_with_items;
    use super::*;
    use crate::eval::items::ItemResult;
    use crate::eval::{Score, Scored};
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn the_parts_of_several_helpers_are_the_whole_from_its_end() {
        let order = vec![3, 1, 4, 0, 2];
        assert_eq!(part(order.clone(), 0, 1), [2, 0, 4, 1, 3]);
        assert_eq!(part(order.clone(), 0, 2), [2, 4, 3]);
        assert_eq!(part(order.clone(), 1, 2), [0, 1]);
        assert_eq!(part(order, 0, 0).len(), 5, "a message without a number is one helper");
    }

    const LINK: &str =
        "#v=1&m=recall-mamba2&ev=recall:n=40,controls=0&tr=stride:cut=0.2&gen=1&b=cpu";

    fn engine() -> Engine {
        Engine::new(Library::new(env!("CARGO_MANIFEST_DIR")))
    }

    /// What helpers say of the run's items when they are asked for it.
    fn scored_by_helpers(of: usize) -> Vec<Scored> {
        let all = Rc::new(RefCell::new(Vec::new()));
        for part in 0..of {
            let kept = all.clone();
            let emit = move |event| match event {
                Event::Scored { call: 7, scored } => kept.borrow_mut().push(*scored),
                other => panic!("{other:?}"),
            };
            let mut helper = Helper::new(Library::new(env!("CARGO_MANIFEST_DIR")), Rc::new(emit));
            let (fragment, base) = (LINK.to_string(), String::new());
            let ask = Assist { call: 7, fragment, baseline: true, items: 0, base, part, of };
            pollster::block_on(helper.work(&ask, &Pace::default())).unwrap();
        }
        all.take()
    }

    /// A run whose call for help is answered at once with these scores.
    fn run_with(scored: Vec<Scored>) -> Vec<ItemResult> {
        let mut engine = engine();
        let slot = Rc::new(RefCell::new(Help::default()));
        let help = slot.clone();
        let asked = Rc::new(RefCell::new(Vec::new()));
        let heard = asked.clone();
        let emit = move |event| match event {
            Event::Assist { run: 7, call, baseline: true, .. } => {
                scored.iter().for_each(|one| help.borrow().put(call, one.clone()));
                heard.borrow_mut().push("assist");
            }
            Event::Dismiss { run: 7 } => heard.borrow_mut().push("dismiss"),
            other => panic!("{other:?}"),
        };
        engine.help = Help::new(Rc::new(emit));
        slot.replace(engine.help.clone());
        let spec = Link::parse(LINK).unwrap().unwrap().spec;
        let pace = Pace::default();
        let mut show = |_: &RunView, _: Status| {};
        let run = run_with_items(&mut engine, &spec, 7, &pace, &mut show);
        let (_, details) = pollster::block_on(run).unwrap();
        assert_eq!(*asked.borrow(), ["assist", "dismiss"]);
        details.items
    }

    #[test]
    fn a_run_with_helpers_finds_what_it_finds_alone_and_uses_what_they_say() {
        let alone = format!("{:?}", run_with(Vec::new()));
        let mut theirs = scored_by_helpers(3);
        assert_eq!(theirs.len(), 40);
        assert_eq!(format!("{:?}", run_with(theirs.clone())), alone);
        theirs.truncate(15);
        assert_eq!(format!("{:?}", run_with(theirs.clone())), alone, "a part of them");
        // What was said is believed and not scored again; what cannot be a score is scored here.
        for scored in &mut theirs {
            if let Some(Score::Answer { nats, .. }) = &mut scored.scores[1] {
                *nats += 1.0;
            }
        }
        assert_ne!(format!("{:?}", run_with(theirs.clone())), alone);
        for scored in &mut theirs {
            if let Some(Score::Answer { nats, .. }) = &mut scored.scores[1] {
                *nats = f64::NAN;
            }
        }
        theirs.push(Scored { item: 40, ..theirs[0].clone() });
        assert_eq!(format!("{:?}", run_with(theirs)), alone);
    }

    /// Figures of the controls of a run with real helpers, how many items those scored for controls, and how many
    /// calls there were.
    fn controls_with(of: usize) -> (String, usize, usize) {
        let link = LINK.replace("controls=0", "controls=9").replace("stride", "utrc");
        let mut engine = engine();
        let slot = Rc::new(RefCell::new(Help::default()));
        let (help, counts) = (slot.clone(), Rc::new(RefCell::new((0, 0))));
        let counted = counts.clone();
        // As in the page they stay for every call, and keep what the next one needs again.
        let open = |_| {
            let (help, counted) = (help.clone(), counted.clone());
            let put = move |event| {
                let Event::Scored { call, scored } = event else { panic!("{event:?}") };
                counted.borrow_mut().0 += 1;
                help.borrow().put(call, *scored);
            };
            Helper::new(Library::new(env!("CARGO_MANIFEST_DIR")), Rc::new(put))
        };
        let helpers = RefCell::new((0..of).map(open).collect::<Vec<Helper>>());
        let emit = move |event| {
            let Event::Assist { call, fragment, baseline, items, .. } = event else { return };
            counted.borrow_mut().1 += 1;
            for (part, helper) in helpers.borrow_mut().iter_mut().enumerate() {
                let (fragment, base) = (fragment.clone(), String::new());
                let ask = Assist { call, fragment, baseline, items, base, part, of };
                pollster::block_on(helper.work(&ask, &Pace::default())).unwrap();
            }
        };
        engine.help = Help::new(Rc::new(emit));
        slot.replace(engine.help.clone());
        let spec = Link::parse(&link).unwrap().unwrap().spec;
        let pace = Pace::default();
        let mut show = |_: &RunView, _: Status| {};
        let run = run_with_items(&mut engine, &spec, 7, &pace, &mut show);
        let (view, _) = pollster::block_on(run).unwrap();
        assert!(!view.controls.is_empty());
        let (scored, calls) = *counts.borrow();
        assert_eq!(calls, 1 + view.controls.len(), "the items, then each control");
        (format!("{:?}", view.controls), scored, view.controls.len())
    }

    #[test]
    fn controls_are_what_they_are_alone_whoever_scores_them() {
        let (alone, none, _) = controls_with(0);
        let (helped, scored, controls) = controls_with(2);
        assert_eq!(helped, alone);
        assert_eq!(
            (none, scored),
            (0, 40 + 9 * controls),
            "every item of the run and of every control came from a helper"
        );
    }
}
