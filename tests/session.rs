//! A session as the page drives it: requests in, views out.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;
use whittle::pace::Pace;
use whittle::session::protocol::{Event, Request};
use whittle::session::{Library, Next, Session};

/// Sets controls one after the other, runs, and gives the last view, with the run's parts put together under `run`.
fn view_after(controls: &[(&str, &str)]) -> Value {
    let last = Rc::new(RefCell::new(Value::Null));
    let parts = Rc::new(RefCell::new(Vec::new()));
    let (seen, heard) = (last.clone(), parts.clone());
    let library = Library::new(env!("CARGO_MANIFEST_DIR"));
    let mut session = Session::new(library, move |event| match event {
        Event::View(view) => {
            *seen.borrow_mut() = serde_json::to_value(&view).expect("a view is JSON");
        }
        Event::Result { run, part } => {
            heard.borrow_mut().push((run, serde_json::to_value(&part).expect("a part is JSON")));
        }
        _ => {}
    });
    for (id, (name, value)) in (1..).zip(controls) {
        let request = Request::Set { name: (*name).into(), value: (*value).into() };
        assert_eq!(session.handle(id, request), Next::Run, "{name}={value}: {}", last.borrow());
        assert_eq!(last.borrow()["answers"], id);
    }
    pollster::block_on(session.run(&Pace::default()));
    let mut view = last.take();
    assert_eq!(view["status"]["state"], "complete", "{}", view["notices"]);
    let (number, parts) = (view["run"].as_u64().expect("a run"), parts.take());
    assert!(parts.iter().all(|(run, _)| *run == number));
    view["run"] = together(parts.into_iter().map(|(_, part)| part));
    view
}

/// What the parts of a run say in the end, as the page puts them together.
fn together(parts: impl Iterator<Item = Value>) -> Value {
    let mut run = serde_json::json!({ "finished": false, "controls": [] });
    for part in parts {
        match part["kind"].as_str().expect("a kind") {
            "text" => {
                let side = part["side"].as_str().expect("a side").to_string();
                let known = run[&side]["text"].as_str().unwrap_or_default();
                let kept = known.chars().take(part["at"].as_u64().expect("a place") as usize);
                let text: String =
                    kept.chain(part["text"].as_str().expect("text").chars()).collect();
                run[&side]["text"] = text.into();
            }
            "control" => {
                run["controls"].as_array_mut().expect("a list").push(part["control"].clone())
            }
            "done" => run["finished"] = true.into(),
            kind @ ("cost" | "quality" | "speed" | "trace" | "published") => {
                run[kind] = part[kind].clone();
            }
            "begin" | "first_number" => {}
            other => panic!("a part of kind {other}"),
        }
    }
    assert_eq!(run["finished"], true);
    run
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
