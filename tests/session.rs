//! A session as the page drives it: requests in, views out.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;
use whittle::pace::Pace;
use whittle::session::protocol::{Event, Request};
use whittle::session::{Library, Next, Session};

/// Sets controls one after the other, runs, and gives the last view.
fn view_after(controls: &[(&str, &str)]) -> Value {
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
    view
}

/// Quality, link and texts of the last view.
fn run(controls: &[(&str, &str)]) -> [Value; 4] {
    let view = view_after(controls);
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

#[test]
fn a_cut_out_of_reach_becomes_the_most_there_is_and_a_notice_says_so() {
    let start = [
        ("model", "recall-mamba2"),
        ("backend", "cpu"),
        ("eval", "recall:n=2,controls=0"),
        ("tokens", "1"),
        ("prune", "off"),
    ];
    let with = |reduce: &'static str| view_after(&[&start[..], &[("reduce", reduce)]].concat());
    // Two layers have one anchor between them, where at most half of the tokens go: a quarter of the work.
    let view = with("utrc:cut=0.4");
    let notices = view["notices"].as_array().unwrap();
    let said = |n: &Value| {
        n["level"] == "warning" && n["text"].as_str().unwrap().contains("a cut of 0.25")
    };
    assert!(notices.iter().any(said), "{notices:?}");
    assert_eq!(view["settings"]["reduce.cut"], "0.25");
    assert!(view["fragment"].as_str().unwrap().contains("0.25"), "{}", view["fragment"]);

    let view = with("utrc:cut=0.25");
    assert_eq!(view["notices"].as_array().unwrap().len(), 0, "{}", view["notices"]);
    assert_eq!(view["settings"]["reduce.cut"], "0.25");
}
