//! Whether anything that is scored reaches a reduction: every evaluation runs twice, on data that differ only in what is
//! scored, through the same items, arms and comparison as a run, and reductions record what they are given.

use super::source::{File, Source};
use super::{Arm, Comparison, EVALUATIONS, OF_OWN_DATA, Placed, Score, Task, parse};
use crate::backend::Device;
use crate::config::ModelConfig;
use crate::method::Setting;
use crate::models::{Model, Weights};
use crate::pace::Pace;
use crate::reduce::seen::{Seen, record};
use crate::tokenizer::Tokenizer;
use crate::weights::Checkpoint;
use serde_json::json;
use std::path::Path;
use std::rc::Rc;

pub(super) struct Fixture {
    pub config: ModelConfig,
    pub weights: Weights,
    pub tokenizer: Tokenizer,
}

pub(super) fn fixture(name: &str) -> Fixture {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
    let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
    let config = ModelConfig::parse(&read("config.json")).unwrap();
    let files = vec![("model.safetensors".to_string(), read("model.safetensors"))];
    let mut checkpoint = Checkpoint::open(files).unwrap();
    for embedding in ["model.embed_tokens.weight", "backbone.embeddings.weight"] {
        if checkpoint.has(embedding) {
            checkpoint.tie(embedding, "lm_head.weight").unwrap();
        }
    }
    let weights = Weights::new(Rc::new(checkpoint));
    Fixture { config, weights, tokenizer: Tokenizer::parse(&read("tokenizer.json")).unwrap() }
}

const PROSE: &str = "The house stood upon a hill, and every window of it looked over the river, where in the \
    morning the boats went by; nobody spoke of the night before, and the mist";

/// The data of an evaluation: one item whose scored part is the first or the second of two.
pub(super) fn data(id: &str, second: bool) -> String {
    let pick = |a: &'static str, b: &'static str| if second { b } else { a };
    let context =
        "n01 n15 k01 v07 n14 n08 n09 k25 v03 n02 n01 n03 n09 n07 n14 n07 n00 k02 v09 n00 n02 n04";
    let digits = "d19 d09 d30 d18 d04 d19 d01 d02 d31 d07 d30 d08 d25 d23 ! d11 d01 d27 d00 d26";
    let line = match id {
        "continuation" => json!({"context": PROSE, "label": 1, "choices":
            [pick(" lay low", " had gone"), pick(" was white", " rose up"), " is", " of"]}),
        "cloze" => json!({"context": PROSE, "target": pick("rose", "fell")}),
        "recall" => {
            json!({"context": context, "query": pick("? k25", "? k01"), "answer": pick("v03", "v07")})
        }
        "copy" => {
            json!({"context": digits.replace('!', "n01"), "query": "?", "answer": pick("d19 d09", "d30 d18")})
        }
        "induction" => json!({"context": digits, "query": "!", "answer": pick("d11", "d27")}),
        "questions" => {
            json!({"context": PROSE, "choices": [pick("rose", "fell"), pick("lay", "sank")], "answer": 1})
        }
        "lambada" => json!({"text": format!("{PROSE} {}", pick("rose", "fell"))}),
        "hellaswag" => {
            json!({"activity_label": "Walking", "ctx_a": PROSE, "ctx_b": "then", "label": 0,
            "endings": [pick("it rose", "it fell"), "a", pick("b", "c"), "d"]})
        }
        "piqa" => {
            json!({"goal": PROSE, "sol1": pick("Rise.", "Fall."), "sol2": "Stay.", "label": 0})
        }
        "arc-easy" | "arc-challenge" => json!({"question": PROSE, "answerKey": "A",
            "choices": {"text": [pick("rose", "fell"), "b", "c"], "label": ["A", "B", "C"]}}),
        "winogrande" => json!({"sentence": format!("{PROSE} and the _ {}.", pick("rose", "fell")),
            "option1": "fog", "option2": "sun", "answer": "1"}),
        // Whole texts: the window's context is the beginning, what is scored follows it.
        "text" | "rolling" => {
            return format!("{PROSE} {} and fell.", pick("rose", "fell"));
        }
        other => panic!(
            "{other} has no case here; an evaluation that is not held against this test is not sound"
        ),
    };
    format!("{line}\n")
}

/// Windows of whole texts end their context where the prose does, which has `n` tokens.
pub(super) fn spec(id: &str, n: usize) -> String {
    match id {
        "text" => format!("text:windows=1,context={n},target=3,work=persuasion"),
        "rolling" => format!("rolling:window={n},stride=4"),
        id => id.into(),
    }
}

/// Everything that the reductions were given, and what became of the item, on the second of two arms.
fn run(fixture: &Fixture, reduction: &str, id: &str, second: bool) -> (Vec<Seen>, Vec<Score>) {
    let n = fixture.tokenizer.encode(PROSE).map_or(0, |ids| ids.len());
    let setting = parse(&spec(id, n)).unwrap();
    let bytes = Rc::new(data(id, second).into_bytes());
    let names = super::files(&setting);
    let files: Vec<File> = names.into_iter().map(|name| (name, bytes.clone())).collect();
    let Fixture { config, weights, tokenizer } = fixture;
    let problems = Default::default();
    let source = Source { setting: &setting, files: &files, seed: 1, tokenizer, config, problems };
    let task = Task::build(&source).unwrap_or_else(|e| panic!("{id}: {e}"));
    assert!(task.problems.is_empty(), "{id}: {:?}", task.problems);
    let model = Rc::new(Model::load(&Device::Cpu, config, weights).unwrap());
    let placed = Placed::new(&Device::Cpu, config, weights, tokenizer, model);
    let abouts = crate::reduce::abouts();
    let reduction = Setting::parse(reduction, &abouts).unwrap();
    let (dense, reduced) = (placed.arm(None), placed.arm(reduction.as_ref()));
    let mut scores = Vec::new();
    let seen = record(|| {
        let mut comparison = Comparison::new(&task, [&dense, &reduced], None);
        let order: Vec<usize> = (0..task.len()).collect();
        let pace = Pace::default();
        pollster::block_on(comparison.run(&order, &pace, &mut |_, _| {})).unwrap();
        scores = comparison.scores(1, &order);
    });
    assert!(!seen.is_empty(), "{id}: nothing was reduced");
    (seen, scores)
}

/// Models whose vocabulary has an evaluation's words.
pub(super) fn models(id: &str) -> &'static [&'static str] {
    match id {
        "recall" => &["recall-mamba", "recall-mamba2", "recall-llama"],
        "copy" | "induction" => &["copy-mamba", "copy-mamba2", "copy-llama"],
        _ => &["lm-mamba", "lm-mamba2", "lm-llama"],
    }
}

#[test]
fn what_is_scored_never_reaches_a_reduction_whatever_the_evaluation() {
    for evaluation in EVALUATIONS.iter().chain(OF_OWN_DATA) {
        let id = evaluation.about().id;
        // Their pieces have one token of context, which nothing reduces.
        if id.starts_with("wikitext") {
            continue;
        }
        for name in models(id) {
            let fixture = fixture(name);
            let [(seen, scores), (seen_then, scores_then)] =
                [false, true].map(|second| run(&fixture, "utrc:keep=0.7", id, second));
            assert_ne!(scores, scores_then, "{id} on {name}: what is scored did not change");
            assert!(seen == seen_then, "{id} on {name}: a reduction was given what is scored");
        }
    }
}

/// The control: the released code's scorer hands what is scored to the reduction, and the same record shows it.
#[test]
fn the_released_scorer_is_caught_by_the_same_record() {
    let fixture = fixture("lm-mamba2");
    let reduction = Setting::parse("utrc:keep=0.7", &crate::reduce::abouts()).unwrap();
    let seen = [false, true].map(|second| {
        let setting = parse("cloze").unwrap();
        let files =
            [(super::files(&setting)[0].clone(), Rc::new(data("cloze", second).into_bytes()))];
        let Fixture { config, weights, tokenizer } = &fixture;
        let problems = Default::default();
        let source =
            Source { setting: &setting, files: &files, seed: 1, tokenizer, config, problems };
        let task = Task::build(&source).unwrap();
        let model = Rc::new(Model::load(&Device::Cpu, config, weights).unwrap());
        let placed = Placed::new(&Device::Cpu, config, weights, tokenizer, model);
        let arm: Arm<'_> = placed.arm(reduction.as_ref());
        record(|| {
            let published = pollster::block_on(task.item(0).as_published(&arm, &[]));
            assert!(published.unwrap().is_some());
        })
    });
    assert!(!seen[0].is_empty() && seen[0] != seen[1], "the record shows nothing");
}
