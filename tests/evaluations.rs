//! Every evaluation against transformers: tests/fixtures/evaluations, made by training/make_evaluation_fixtures.py. Items,
//! arms and comparison are those of a run.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::Value;
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use whittle::backend::Device;
use whittle::eval::{
    Comparison, EVALUATIONS, OF_OWN_DATA, Placed, Score, Source, Task, files, parse,
};
use whittle::models::Model;
use whittle::pace::Pace;
use whittle::session::{Engine, Library};

/// Largest difference of a token's log-likelihood, and of a sum of many: float32 in another order, as in tests/parity.rs.
const TOKEN: f64 = 1e-3;
const PER_TOKEN: f64 = 2e-5;

fn expected() -> Vec<Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/evaluations/expected.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Evaluations that tests/harness.rs holds against the public harness.
const OF_PAPERS: [&str; 7] =
    ["lambada", "hellaswag", "piqa", "arc-easy", "arc-challenge", "winogrande", "wikitext"];

#[test]
fn every_evaluation_is_pinned_from_outside() {
    let cases = expected();
    let pinned: Vec<&str> = cases.iter().map(|case| case["eval"].as_str().unwrap()).collect();
    for evaluation in EVALUATIONS.iter().chain(OF_OWN_DATA) {
        let id = evaluation.about().id;
        let is_pinned = pinned.iter().any(|spec| spec.split(':').next() == Some(id));
        assert!(is_pinned || OF_PAPERS.contains(&id), "nothing outside says what {id} must give");
    }
}

#[test]
fn items_of_every_evaluation_have_the_log_likelihoods_of_transformers() {
    for case in expected() {
        let (name, spec) = (case["model"].as_str().unwrap(), case["eval"].as_str().unwrap());
        let mut engine = Engine::new(Library::new(env!("CARGO_MANIFEST_DIR")));
        let loaded = pollster::block_on(engine.model(name)).unwrap();
        let (config, tokenizer) = (&loaded.config, &loaded.tokenizer);
        let weights = loaded.weights.for_new_device();
        let model = Rc::new(Model::load(&Device::Cpu, config, &weights).unwrap());
        let placed = Placed::new(&Device::Cpu, config, &weights, tokenizer, model);
        let setting = parse(spec).unwrap();
        let data = Rc::new(case["data"].as_str().unwrap().as_bytes().to_vec());
        let files: Vec<_> = files(&setting).into_iter().map(|name| (name, data.clone())).collect();
        let problems = RefCell::default();
        let source =
            Source { setting: &setting, files: &files, seed: 1, tokenizer, config, problems };
        let task = Task::build(&source).unwrap();
        let items = case["items"].as_array().unwrap();
        assert_eq!(task.len(), items.len(), "{name} {spec}");
        let arms = [&placed.arm(None), &placed.arm(None)];
        let mut comparison = Comparison::new(&task, arms, None);
        let all: Vec<usize> = (0..task.len()).collect();
        let pace = Pace::default();
        pollster::block_on(comparison.run(&all, &pace, &mut |_, _| {})).unwrap();
        for (i, (score, item)) in comparison.scores(0, &all).iter().zip(items).enumerate() {
            let (nats, prior, tokens) = match score {
                Score::Choice { nats, prior, .. } => (nats.clone(), prior.clone(), 1),
                Score::Document { .. } => panic!("{spec} has no documents"),
                Score::Answer { nats, tokens, .. } => (vec![*nats], Vec::new(), *tokens),
                Score::Span { nats, prior, tokens, .. } => {
                    (vec![*nats], prior.iter().copied().collect(), *tokens)
                }
            };
            let tolerance = TOKEN + PER_TOKEN * tokens as f64;
            for (ours, theirs) in [(nats, "log_likelihoods"), (prior, "prior")] {
                let none = Vec::new();
                let theirs = item[theirs].as_array().unwrap_or(&none);
                assert_eq!(ours.len(), theirs.len(), "{name} {spec}, item {i}");
                for (ours, theirs) in ours.iter().zip(theirs) {
                    let theirs = theirs.as_f64().unwrap();
                    let near = (ours + theirs).abs() < tolerance;
                    assert!(near, "{name} {spec}, item {i}: {} here, {theirs} there", -ours);
                }
            }
        }
    }
}
