//! The same for what people write by hand: formulas, grids of a sweep, published runs, items of an evaluation.

use super::fuzz::{fuzz, mutated, tries};
use super::tiny::tiny;
use serde_json::json;
use std::rc::Rc;
use whittle::Rng;
use whittle::cli::{sweep::grid, verify::published};
use whittle::eval::{EVALUATIONS, OF_OWN_DATA, Source, Task, files, parse};
use whittle::method::Setting;
use whittle::session::open;

/// `n` texts made of `sound` ones.
fn texts(sound: &[String], n: usize, seed: u64) -> impl Iterator<Item = String> {
    let mut rng = Rng::new(seed);
    let sound = sound.to_vec();
    (0..n).map(move |i| {
        let text = mutated(sound[i % sound.len()].as_bytes(), &mut rng);
        String::from_utf8_lossy(&text).into_owned()
    })
}

#[test]
fn a_formula_is_checked_or_refused_and_means_the_same_when_it_is_written_again() {
    let formulas = [
        "abs(w)*x",
        "w^2/h",
        "(abs(w)/rows+abs(w)/cols)*x^0.5",
        "-w+1e-3",
        "max(w,x)",
        "sqrt(abs(w))*log(1+x)",
        "((((w))))",
    ];
    let sound: Vec<String> = formulas.map(|f| format!("custom:score={f}")).to_vec();
    fuzz(texts(&sound, tries(20_000), 11), |text| {
        let Ok(Some(setting)) = Setting::parse(text, &whittle::prune::abouts()) else {
            return false;
        };
        let again = Setting::parse(&setting.to_string(), &whittle::prune::abouts());
        assert_eq!(again.expect("made here").expect("a method").to_string(), setting.to_string());
        whittle::prune::check_setting(&setting).is_ok()
    });
}

#[test]
fn a_grid_of_a_sweep_is_read_or_refused() {
    let sound = [
        "models = [\"lm-mamba2\"]\neval = [\"cloze:n=8\"]\nreduce = [\"off\", \"utrc:cut=0.2\"]\nseeds = [1, 2]\n",
        "models = [\"a\", \"b\"]\neval = [\"recall:level=easy\"]\nprune = [\"mrp:pattern=2:4,mask=S\"]\nspeed = true\n",
    ];
    fuzz(texts(&sound.map(String::from), tries(10_000), 12), |text| match grid::parse(text, &[]) {
        Ok(file) => {
            file.grid.cells().iter().for_each(|cell| drop(grid::name(cell)));
            true
        }
        Err(_) => false,
    });
}

#[test]
fn a_published_run_is_read_or_refused() {
    let side = json!({"value": 0.5, "low": 0.4, "high": null, "n": 40});
    let quality = json!({"metric": "accuracy", "label": "Accuracy", "definition": "", "unit": "share",
        "higher_is_better": true, "baseline": side, "compressed": side, "change": side,
        "items": 40, "items_total": 40, "verdict": "none"});
    let run = json!({"link": "#v=1&m=lm-mamba2@00&ev=cloze:n=8&tr=utrc&sp=off&p=a", "finished": true,
        "quality": [quality], "cost": {"sparsity": 0.5, "lengths": [1, 2]}, "backend": "CPU",
        "baseline": {"text": "a"}, "compressed": {"text": "b"}});
    let point = json!({"fragment": "#v=1", "complete": true, "key": "00", "quality": [quality]});
    let kept = json!({"format": "whittle-runs", "runs": [{"point": point}]});
    let sound = [run.to_string(), format!("{point}\n{point}\n"), kept.to_string()];
    fuzz(texts(&sound, tries(10_000), 13), |text| published::runs("run.json", text).is_ok());
}

#[test]
fn items_are_made_or_refused_whatever_the_evaluation() {
    let loaded = open(tiny(1).files()).expect("sound");
    let (config, tokenizer) = (&loaded.config, &loaded.tokenizer);
    let context = "ab ab a b ba ab b a ab ba";
    let items = [
        json!({"context": context, "choices": ["a", "b", "ab"], "label": 1}),
        json!({"context": context, "choices": ["a", "b"], "answer": "B"}),
        json!({"context": context, "target": "ab"}),
        json!({"context": context, "query": "a", "answer": "ab"}),
        json!({"text": "ab ab a"}),
        json!({"page": " = ab = \n a ' ab ' ( b ) @-@ a"}),
        json!({"activity_label": "A", "ctx_a": "a [b] c", "ctx_b": "éb", "endings": ["a", "b"], "label": "1"}),
        json!({"goal": "a", "sol1": "b", "sol2": "ab", "label": 0}),
        json!({"question": "a", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "A"}),
        json!({"sentence": "a _ b.", "option1": "a", "option2": "b", "answer": "2"}),
        json!("ab ".repeat(800)),
    ];
    let sound: Vec<String> = items.iter().map(|item| format!("{item}\n")).collect();
    let settings: Vec<Setting> = EVALUATIONS
        .iter()
        .chain(OF_OWN_DATA)
        .map(|evaluation| match evaluation.about().id {
            "text" => "text:windows=2,context=4,target=3".to_string(),
            "rolling" => "rolling:window=6,stride=2".into(),
            id => id.into(),
        })
        .map(|spec| parse(&spec).expect("a SPEC"))
        .collect();
    // Each item meets each evaluation.
    let pairs = texts(&sound, tries(4000), 14)
        .enumerate()
        .map(|(number, text)| (number / sound.len() % settings.len(), text));
    fuzz(pairs, |(which, text)| {
        let setting = &settings[*which];
        let bytes = Rc::new(text.clone().into_bytes());
        let files: Vec<_> = files(setting).into_iter().map(|name| (name, bytes.clone())).collect();
        let problems = Default::default();
        let source = Source { setting, files: &files, seed: 1, tokenizer, config, problems };
        match Task::build(&source) {
            Ok(task) => {
                (0..task.len()).for_each(|i| assert!(!task.item(i).context().is_empty()));
                true
            }
            Err(_) => false,
        }
    });
}
