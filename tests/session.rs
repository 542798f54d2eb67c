//! A session as the page drives it: requests in, views out.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;
use whittle::pace::Pace;
use whittle::session::protocol::{File, Request};
use whittle::session::{Library, Next, Session};

type Told = Rc<RefCell<Vec<Value>>>;

/// A session whose events are kept as the page would get them.
fn listening() -> (Session, Told) {
    let events = Told::default();
    let heard = events.clone();
    let session = Session::new(Library::new(env!("CARGO_MANIFEST_DIR")), move |event| {
        heard.borrow_mut().push(serde_json::to_value(&event).expect("an event is JSON"));
    });
    (session, events)
}

fn of_type(events: &Told, kind: &str) -> Vec<Value> {
    events.borrow().iter().filter(|event| event["type"] == kind).cloned().collect()
}

fn set(session: &mut Session, events: &Told, controls: &[(&str, &str)]) {
    for (id, (name, value)) in (1..).zip(controls) {
        let request = Request::Set { name: (*name).into(), value: (*value).into() };
        let next = session.handle(id, request);
        let view = of_type(events, "view").pop().expect("a view");
        assert_eq!(next, Next::Run, "{name}={value}: {view}");
        assert_eq!(view["answers"], id);
    }
}

/// Runs, and gives the last view, with the run's parts put together under `run`.
fn finished(session: &mut Session, events: &Told) -> Value {
    pollster::block_on(session.run(&Pace::default()));
    let mut view = of_type(events, "view").pop().expect("a view");
    assert_eq!(view["status"]["state"], "complete", "{}", view["notices"]);
    let parts = of_type(events, "result").into_iter().filter(|event| event["run"] == view["run"]);
    view["run"] = together(parts.map(|event| event["part"].clone()));
    view
}

/// Sets controls one after the other and runs.
fn view_after(controls: &[(&str, &str)]) -> Value {
    let (mut session, events) = listening();
    set(&mut session, &events, controls);
    finished(&mut session, &events)
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
            kind @ ("cost" | "quality" | "speed" | "trace" | "published" | "words" | "states"
            | "items") => {
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

const SMALL: [(&str, &str); 6] = [
    ("model", "recall-mamba2"),
    ("backend", "cpu"),
    ("eval", "recall:n=12,controls=0"),
    ("tokens", "3"),
    ("reduce", "utrc:cut=0.2"),
    ("prune", "wanda:sparsity=0.3,sequences=2"),
];

/// What does not depend on the clock.
fn figures(view: &Value) -> [Value; 4] {
    let run = &view["run"];
    [&run["quality"], &run["baseline"], &run["compressed"], &run["trace"]].map(Clone::clone)
}

#[test]
fn a_run_after_a_change_gives_what_a_fresh_session_gives() {
    let (mut session, events) = listening();
    set(&mut session, &events, &SMALL);
    finished(&mut session, &events);
    let change = [("prune.sparsity", "0.6"), ("reduce.cut", "0.1")];
    set(&mut session, &events, &change);
    let second = finished(&mut session, &events);
    assert_eq!(figures(&second), figures(&view_after(&[&SMALL[..], &change].concat())));
}

#[test]
fn the_cost_on_paper_is_the_cost_of_the_run() {
    for (name, value) in [
        ("prune.sparsity", "0.6"),
        ("prune", "structured:unit=heads,share=0.5,sequences=2"),
        ("prune", "off"),
        ("reduce.cut", "0.6"),
    ] {
        let (mut session, events) = listening();
        set(&mut session, &events, &SMALL);
        finished(&mut session, &events);
        let desk = session.desk().borrow().clone().expect("a model is there");
        let paper = serde_json::to_value(desk.cost(name, value).unwrap()).unwrap();
        set(&mut session, &events, &[(name, value)]);
        let run = finished(&mut session, &events);
        for figure in ["flops_saved_layers", "flops_saved_total", "sparsity", "sparsity_of_model"] {
            let (paper, run) = (&paper[figure], &run["run"]["cost"][figure]);
            let [p, r] = [paper, run].map(|x| x.as_f64().expect("a number"));
            assert!((p - r).abs() < 1e-9, "{name}={value}, {figure}: {p} on paper, {r} in the run");
        }
        assert_eq!(paper["lengths"], run["run"]["cost"]["lengths"], "{name}={value}");
        assert!(desk.cost("prune.sparsity", "7").is_err());
    }
}

#[test]
fn a_sweep_tells_a_point_for_every_value_and_each_is_that_of_a_run() {
    let (mut session, events) = listening();
    set(&mut session, &events, &SMALL);
    let whole = finished(&mut session, &events);
    let values = vec!["0.3".to_string(), "0.6".into()];
    let sweep = Request::Sweep { knob: "prune.sparsity".into(), values };
    assert_eq!(session.handle(9, sweep), Next::Nothing);
    session.handle(10, Request::Pause);
    assert!(!session.is_sweeping());
    session.handle(11, Request::Pause);
    while session.is_sweeping() {
        pollster::block_on(session.step(&Pace::default()));
    }
    assert_eq!(of_type(&events, "view").pop().unwrap()["sweep"], Value::Null);
    let points = of_type(&events, "point");
    let series: Vec<&str> = points.iter().filter_map(|p| p["series"].as_str()).collect();
    assert_eq!(series, ["run", "prune.sparsity wanda", "prune.sparsity wanda"]);
    let point = |i: usize| &points[i]["point"];
    assert_eq!(point(0)["key"], point(1)["key"]);
    assert_eq!(point(0)["quality"], point(1)["quality"]);
    assert_eq!(point(0)["quality"], whole["run"]["quality"]);
    assert_eq!(point(0)["cost"], point(1)["cost"]);
    assert_ne!(point(1)["key"], point(2)["key"]);
    assert!(point(2)["prune"].as_str().unwrap().contains("0.6"));
    assert!(point(2)["speed"]["prefill_ratio"]["value"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_link_of_ones_own_model_waits_for_its_files_and_says_where_they_differ() {
    let (mut session, events) = listening();
    let link = "#v=1&m=own@0123456789abcdef&ev=continuation:n=2&gen=1".to_string();
    assert_eq!(session.handle(1, Request::Link { fragment: link }), Next::Nothing);
    let view = of_type(&events, "view").pop().unwrap();
    let said = view["notices"][0]["text"].as_str().unwrap();
    assert!(said.contains("0123456789abcdef") && said.contains("Open the same files"), "{said}");
    assert!(view["fragment"].as_str().unwrap().contains("m=own@0123456789abcdef"));
    assert_eq!(session.handle(2, open_recall()), Next::Run);
    let view = of_type(&events, "view").pop().unwrap();
    let notices = view["notices"].to_string();
    assert!(notices.contains("other weights of own (0123456789abcdef)"), "{notices}");
    assert!(notices.contains("does not judge this model"), "{notices}");
    assert_eq!(view["settings"]["eval"], "recall");
}

/// A bundled model as files of the user's own.
fn open_recall() -> Request {
    let read = |name: &str| File { name: name.into(), bytes: recall_file(name).into() };
    let files = ["config.json", "tokenizer.json", "model.safetensors"].map(read).into();
    Request::Open { files, origin: String::new(), random: false }
}

fn recall_file(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/recall-llama");
    std::fs::read(folder.join(name)).expect("a file of a bundled model")
}

#[test]
fn the_hash_of_ones_own_weights_is_told_while_the_run_goes_on_and_stands_in_its_link() {
    let (mut session, events) = listening();
    let link = "#v=1&m=own&ev=recall:level=easy,n=8&gen=1&b=cpu".to_string();
    session.handle(1, Request::Link { fragment: link });
    assert_eq!(session.handle(2, open_recall()), Next::Run);
    finished(&mut session, &events);
    let hash = whittle::bundle::sha256_hex(&recall_file("model.safetensors"));
    let in_link = format!("m=own@{}&", &hash[..16]);
    let place = |found: &dyn Fn(&Value) -> bool| events.borrow().iter().position(found);
    let first_number = place(&|e| e["part"]["kind"] == "first_number").expect("a number");
    let quality = place(&|e| e["part"]["kind"] == "quality").expect("a figure");
    let known = place(&|e| e["model"]["sha256"] == hash).expect("the hash");
    assert!(first_number < known && known < quality, "{first_number} {known} {quality}");
    let fragment = |at: usize| events.borrow()[at]["fragment"].to_string();
    assert!(fragment(known).contains(&in_link), "{}", fragment(known));
    let before = place(&|e| e["model"]["sha256"] == "").expect("a view without it");
    assert!(before < first_number && fragment(before).contains("m=own@&"), "{}", fragment(before));
    let point = of_type(&events, "point").pop().expect("a point");
    assert!(point["point"]["fragment"].as_str().expect("a link").contains(&in_link), "{point}");
}

fn last_view(events: &Told) -> Value {
    of_type(events, "view").pop().expect("a view")
}

fn open_data(session: &mut Session, id: u64, name: &str, text: &str) -> Next {
    let bytes = text.as_bytes().to_vec();
    session.handle(id, Request::OpenData { name: name.into(), bytes })
}

fn said(view: &Value) -> String {
    let notices = view["notices"].as_array().expect("a list").iter();
    notices.filter_map(|notice| notice["text"].as_str()).collect::<Vec<_>>().join("\n")
}

const QUESTIONS: &str = r#"{"context": "The sky is", "choices": ["blue", "a shoe"], "answer": 0}
{"context": "The sky is", "choices": ["blue", "a shoe"]}
{"context": "It was a fine", "target": "evening"}
"#;

#[test]
fn data_of_the_users_own_is_read_by_what_fits_it_and_named_in_the_link() {
    let (mut session, events) = listening();
    let start = [("model", "lm-mamba2"), ("backend", "cpu"), ("tokens", "1"), ("reduce", "off")];
    set(&mut session, &events, &start);
    let before = last_view(&events);
    assert_eq!(before["data"], Value::Null);
    assert!(before["why_not"]["eval"]["questions"].as_str().expect("why").contains("open a file"));

    assert_eq!(open_data(&mut session, 9, "mine.jsonl", QUESTIONS), Next::Run);
    let view = finished(&mut session, &events);
    assert_eq!(view["settings"]["eval"], "questions");
    assert_eq!(view["run"]["quality"][0]["items"], 2);
    assert!(said(&view).contains("line 2") && said(&view).contains("answer"), "{}", said(&view));
    let hash = whittle::bundle::sha256_hex(QUESTIONS.as_bytes());
    let opened =
        serde_json::json!({"name": "mine.jsonl", "bytes": QUESTIONS.len(), "sha256": hash});
    assert_eq!(view["data"], opened);
    let link = view["fragment"].as_str().expect("a link").to_string();
    assert!(link.contains(&format!("&ev=questions&d={}&", &hash[..16])), "{link}");

    // Other items under the same setting are scored anew.
    let one = QUESTIONS.lines().last().expect("a line");
    assert_eq!(open_data(&mut session, 10, "one.jsonl", one), Next::Run);
    let other = finished(&mut session, &events);
    assert_eq!(other["run"]["quality"][0]["items"], 1);
    assert_eq!(other["notices"].as_array().map(Vec::len), Some(0), "{}", other["notices"]);
    // A link of the first file says so, and does not claim that file for what is measured now.
    session.handle(11, Request::Link { fragment: link.clone() });
    let view = last_view(&events);
    assert!(said(&view).contains("made with other data"), "{}", said(&view));
    assert!(!view["fragment"].as_str().expect("a link").contains(&hash[..16]));
    // Another model keeps the task.
    session.handle(12, Request::Set { name: "model".into(), value: "lm-llama".into() });
    assert_eq!(last_view(&events)["settings"]["eval"], "questions");

    // What no evaluation reads leaves everything as it was.
    let before = last_view(&events);
    assert_eq!(open_data(&mut session, 13, "odd.jsonl", "{\"a\": 1}"), Next::Nothing);
    let after = last_view(&events);
    assert!(
        said(&after).contains("odd.jsonl") && said(&after).contains("choices"),
        "{}",
        said(&after)
    );
    assert_eq!([&after["data"], &after["settings"]], [&before["data"], &before["settings"]]);
    // A text takes an evaluation of texts.
    open_data(&mut session, 14, "a.txt", "It was a fine evening.");
    let view = last_view(&events);
    assert_eq!(view["settings"]["eval"], "rolling");
    assert!(view["why_not"]["eval"]["questions"].as_str().expect("why").contains("no such rows"));

    // A link whose data is not open waits for it, and says where it is another.
    let (mut waiting, events) = listening();
    let hello = Request::Hello { fragment: link, base: String::new() };
    assert_eq!(waiting.handle(1, hello), Next::Nothing);
    assert!(
        said(&last_view(&events)).contains("Open the same file"),
        "{}",
        said(&last_view(&events))
    );
    assert_eq!(open_data(&mut waiting, 2, "one.jsonl", one), Next::Run);
    assert!(said(&last_view(&events)).contains("made with other data"));
    assert_eq!(last_view(&events)["settings"]["eval"], "questions");
}

/// What a session tells of the peers of its settings, once it is asked.
fn peers(session: &mut Session, events: &Told) -> Vec<Value> {
    assert!(!session.is_asked());
    assert_eq!(session.handle(90, Request::Peers), Next::Nothing);
    assert!(session.is_asked());
    pollster::block_on(session.answer(&Pace::default()));
    assert!(!session.is_asked(), "it is measured once");
    of_type(events, "peers").into_iter().map(|event| event["found"].clone()).collect()
}

#[test]
fn peers_are_told_one_by_one_against_the_run_and_name_their_settings() {
    let (mut session, events) = listening();
    let settings = [
        ("model", "recall-llama"),
        ("backend", "cpu"),
        ("eval", "recall:n=8"),
        ("tokens", "1"),
        ("reduce", "off"),
        ("prune", "rtn:bits=4,group=32"),
    ];
    set(&mut session, &events, &settings);
    let view = finished(&mut session, &events);
    let told = peers(&mut session, &events);
    let last = told.last().unwrap();
    assert_eq!((&last["done"], &last["text"]), (&true.into(), &"Measured".into()), "{last}");
    assert_eq!(last["fragment"], view["fragment"]);
    let found = last["found"]["peers"].as_array().unwrap();
    let prunings: Vec<&str> = found.iter().map(|p| p["prune"].as_str().unwrap()).collect();
    assert_eq!(prunings[0], "off");
    // int4 in groups of 64 is GPTQ's default.
    for wanted in ["mrp:pattern=2:4", "gptq:bits=8,group=row", "gptq"] {
        assert!(prunings.contains(&wanted), "{wanted} of {prunings:?}");
    }
    assert!(prunings.iter().any(|p| p.starts_with("structured")), "{prunings:?}");
    // One more in every event but those that say what is on.
    let counts: Vec<usize> =
        told.iter().map(|t| t["found"]["peers"].as_array().unwrap().len()).collect();
    assert!(counts.is_sorted() && counts[0] == 0 && told[0]["done"] == false, "{counts:?}");
    // The run's own side is the one that the run measured, and the dense peer is its baseline.
    let dense = &found[0]["quality"][0];
    let (of_run, of_dense) = (&view["run"]["quality"][0]["compressed"], &dense["compressed"]);
    assert_eq!(dense["baseline"]["value"], of_run["value"]);
    assert_eq!(of_dense["value"], view["run"]["quality"][0]["baseline"]["value"]);
    let bytes = |cost: &Value| cost["bytes_per_token"].as_f64().unwrap();
    assert!(bytes(&found[0]["cost"]) > bytes(&last["found"]["cost"]));
}

#[test]
fn nothing_compressed_has_no_peers_and_a_cancel_forgets_the_question() {
    let (mut session, events) = listening();
    let settings = [("model", "recall-llama"), ("reduce", "off"), ("prune", "off")];
    set(&mut session, &events, &settings);
    let told = peers(&mut session, &events);
    assert!(told[0]["text"].as_str().unwrap().contains("nothing compressed"), "{told:?}");
    session.handle(91, Request::Peers);
    session.handle(92, Request::Cancel);
    assert!(!session.is_asked());
}
