//! A session as the page drives it: requests in, views out.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;
use whittle::pace::Pace;
use whittle::session::protocol::{Event, Request};
use whittle::session::{Library, Next, Session};

/// Sets controls one after the other, runs, and gives quality, link and texts of the last view.
fn run(controls: &[(&str, &str)]) -> [Value; 4] {
    let last = Rc::new(RefCell::new(Value::Null));
    let seen = last.clone();
    let library = Library::new(env!("CARGO_MANIFEST_DIR"));
    let mut session = Session::new(library, move |event| {
        if let Event::View(view) = event {
            *seen.borrow_mut() = serde_json::to_value(&view).expect("a view is JSON");
        }
    });
    for (name, value) in controls {
        let request = Request::Set { name: (*name).into(), value: (*value).into() };
        assert_eq!(session.handle(request), Next::Run, "{name}={value}: {}", last.borrow());
    }
    pollster::block_on(session.run(&Pace::default()));
    let view = last.take();
    assert_eq!(view["run"]["finished"], true, "{}", view["notices"]);
    let run = &view["run"];
    [
        run["quality"].clone(),
        view["fragment"].clone(),
        run["compressed"]["text"].clone(),
        run["cost"]["matrices"].as_array().map_or(Value::Null, |m| m.len().into()),
    ]
}

#[test]
fn reduction_and_pruning_give_the_same_numbers_in_either_order() {
    let start = [
        ("model", "lm-mamba2"),
        ("backend", "cpu"),
        ("eval", "text:context=128,target=64,windows=1,controls=0"),
        ("tokens", "3"),
        ("reduce", "off"),
        ("prune", "off"),
    ];
    let (reduce, prune) = (("reduce", "utrc:cut=0.2"), ("prune", "wanda:sparsity=0.7,sequences=2"));
    let with = |more: &[(&'static str, &'static str)]| run(&[&start[..], more].concat());
    let first = with(&[reduce, prune]);
    assert_eq!(first, with(&[prune, reduce]));
    // Off and on again on the way.
    assert_eq!(first, with(&[prune, reduce, ("prune", "off"), ("reduce", "off"), prune, reduce]));
    // Both count: neither alone gives these numbers.
    assert_ne!(first[0], with(&[reduce])[0]);
    assert_ne!(first[0], with(&[prune])[0]);
}
