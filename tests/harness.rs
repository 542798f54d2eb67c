//! Tasks of papers against the public harness: tests/fixtures/harness, made by training/make_harness_fixtures.py.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use whittle::backend::Device;
use whittle::eval::{DATA, Placed, Score, Sheet, Source, Task, parse};
use whittle::models::Model;
use whittle::pace::Pace;
use whittle::session::{Engine, Library};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/harness").join(name)
}

/// Log-likelihoods differ by float32 sums in another order: 1e-3 is what the comparison of the two programs asks for.
const TOLERANCE: f64 = 1e-3;

#[test]
fn log_likelihoods_decisions_and_figures_are_those_of_the_public_harness() {
    let expected = std::fs::read(fixture("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let mut engine = Engine::new(Library::new(env!("CARGO_MANIFEST_DIR")));
    let loaded = pollster::block_on(engine.model("lm-llama")).unwrap();
    let (config, tokenizer) = (&loaded.config, &loaded.tokenizer);
    let weights = loaded.weights.for_new_device();
    let model = Rc::new(Model::load(&Device::Cpu, config, &weights).unwrap());
    let placed = Placed::new(&Device::Cpu, config, &weights, tokenizer, model);
    for (name, expected) in expected.as_object().unwrap() {
        let data = std::fs::read(fixture(&format!("{name}.jsonl"))).unwrap();
        let setting = parse(&format!("{name}:n=2000")).unwrap();
        let files = [(DATA.to_string(), Rc::new(data))];
        let problems = RefCell::default();
        let source =
            Source { setting: &setting, files: &files, seed: 1, tokenizer, config, problems };
        let task = Task::build(&source).unwrap();
        assert!(task.problems.is_empty(), "{name}: {:?}", task.problems);
        let items = expected["items"].as_array().unwrap();
        assert_eq!(task.len(), items.len(), "{name}");
        let work = async {
            let mut sheet = Sheet::of(&task);
            sheet.complete(&task, &placed.arm(None), &Pace::default(), &mut |_| {}).await
        };
        let scores = pollster::block_on(work).unwrap();
        for (i, (score, item)) in scores.iter().zip(items).enumerate() {
            let nats = match score {
                Score::Choice { nats, .. } => nats.clone(),
                Score::Answer { nats, .. } | Score::Document { nats, .. } => vec![*nats],
                Score::Span { .. } => panic!("{name} has no spans"),
            };
            for (ours, theirs) in nats.iter().zip(item["log_likelihoods"].as_array().unwrap()) {
                let theirs = theirs.as_f64().unwrap();
                let near = (ours + theirs).abs() < TOLERANCE;
                assert!(near, "{name}, item {i}: {} here, {theirs} there", -ours);
            }
            assert_eq!(score.right(), item["right"].as_bool(), "{name}, item {i}");
        }
        let figures = task.figures(&scores, &scores);
        for (metric, theirs) in expected["figures"].as_object().unwrap() {
            let ours = figures.iter().find(|q| q.metric == metric.as_str()).unwrap();
            let (ours, theirs) = (ours.baseline.value, theirs.as_f64().unwrap());
            assert!(
                (ours / theirs - 1.0).abs() < 1e-4 || ours == theirs,
                "{name}: {metric} {ours}, {theirs}"
            );
        }
    }
}

#[test]
fn a_line_that_is_no_item_is_named_and_the_others_are_kept() {
    let mut engine = Engine::new(Library::new(env!("CARGO_MANIFEST_DIR")));
    let loaded = pollster::block_on(engine.model("lm-llama")).unwrap();
    let text = r#"{"context": "The sky is", "choices": ["blue", "a shoe"], "answer": 0}
{"context": "The sky is", "choices": ["blue", "a shoe"]}

{"context": "It was a fine", "target": "evening"}
{"context": "no end
{"context": "The sky is", "choices": ["blue", "a shoe"], "answer": "green"}
"#;
    let setting = parse("questions").unwrap();
    let build = |text: &str| {
        let files = [(DATA.to_string(), Rc::new(text.as_bytes().to_vec()))];
        Task::build(&Source {
            setting: &setting,
            files: &files,
            seed: 1,
            tokenizer: &loaded.tokenizer,
            config: &loaded.config,
            problems: RefCell::default(),
        })
    };
    let task = build(text).unwrap();
    assert_eq!(task.len(), 2);
    assert_eq!([task.item(0).id(), task.item(1).id()], ["data:1", "data:4"]);
    for (problem, parts) in task.problems.iter().zip([
        ["line 2", "answer"],
        ["line 5", "not an item"],
        ["line 6", "green"],
    ]) {
        assert!(parts.iter().all(|part| problem.contains(part)), "{problem}");
    }
    assert_eq!(task.problems.len(), 3);
    let error = build("{}\n").err().unwrap().to_string();
    assert!(error.contains("line 1") && error.contains("context"), "{error}");
}
