//! The stories of the page (`www/stories.json`) are true: their links parse, and what they claim comes out of the engine.
//! `docs/stories.md` says the same for readers; `WRITE=1 cargo test --test stories` writes it anew.
#![cfg(not(target_arch = "wasm32"))]

use serde::Deserialize;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use whittle::pace::Pace;
use whittle::session::link::Link;
use whittle::session::protocol::RunView;
use whittle::session::spec::RunSpec;
use whittle::session::{Engine, Library, run};

#[derive(Deserialize)]
struct Story {
    id: String,
    title: String,
    claim: String,
    #[serde(rename = "move")]
    moves: String,
    see: String,
    link: String,
    check: Check,
}

/// The metric of the story's setting minus that of `over` lies between `low` and `high`.
#[derive(Deserialize)]
struct Check {
    metric: String,
    /// Items; 0 leaves the story's own.
    n: usize,
    over: Over,
    low: f64,
    high: f64,
    /// Bytes of weights that one token reads, as a share of the dense model's.
    #[serde(default)]
    bytes: Option<[f64; 2]>,
}

/// What the story is compared with: the dense model, or the same link with other methods.
#[derive(Deserialize)]
#[serde(untagged)]
enum Over {
    /// "baseline"
    Named(String),
    Other {
        reduce: Option<String>,
        prune: Option<String>,
    },
}

#[derive(Deserialize)]
struct Preset {
    reduce: String,
    prune: String,
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let text = fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn stories() -> Vec<Story> {
    read("www/stories.json")
}

fn spec_of(story: &Story) -> RunSpec {
    let link = Link::parse(&story.link).unwrap_or_else(|e| panic!("{}: {e}", story.id));
    let link = link.unwrap_or_else(|| panic!("{}: an empty link", story.id));
    assert!(link.notes.is_empty(), "{}: {:?}", story.id, link.notes);
    link.spec
}

fn measured(mut spec: RunSpec, n: usize) -> RunView {
    let set = |spec: &mut RunSpec, name: &str, value: &str| {
        spec.set(name, value).unwrap_or_else(|e| panic!("{name}={value}: {e}"));
    };
    if n > 0 {
        set(&mut spec, "eval.n", &n.to_string());
        set(&mut spec, "eval.controls", "0");
    }
    set(&mut spec, "tokens", "1");
    set(&mut spec, "backend", "cpu");
    let mut engine = Engine::new(Library::new(env!("CARGO_MANIFEST_DIR")));
    pollster::block_on(run(&mut engine, &spec, 1, &Pace::default(), &mut |_, _| {}))
        .expect("the run of a story")
        .0
}

fn holds(story: &Story) {
    let check = &story.check;
    let ours = measured(spec_of(story), check.n);
    let of = |view: &RunView| {
        let found = view.quality.iter().find(|q| q.metric == check.metric);
        found.unwrap_or_else(|| panic!("{}: no metric {}", story.id, check.metric)).clone()
    };
    let there = match &check.over {
        Over::Named(name) => {
            assert_eq!(name, "baseline", "{}", story.id);
            of(&ours).baseline.value
        }
        Over::Other { reduce, prune } => {
            let mut other = spec_of(story);
            for (name, value) in [("reduce", reduce), ("prune", prune)] {
                if let Some(value) = value {
                    other.set(name, value).unwrap();
                }
            }
            of(&measured(other, check.n)).compressed.value
        }
    };
    let here = of(&ours).compressed.value;
    let difference = here - there;
    assert!(
        (check.low..=check.high).contains(&difference),
        "{}: {here} - {there} = {difference} is not in {}..={}",
        story.id,
        check.low,
        check.high
    );
    if let Some([low, high]) = check.bytes {
        let cost = serde_json::to_value(&ours).unwrap()["cost"]["decode"].clone();
        let share = cost["bytes"].as_f64().unwrap() / cost["bytes_dense"].as_f64().unwrap();
        assert!((low..=high).contains(&share), "{}: {share} of the bytes", story.id);
    }
}

#[test]
fn stories_about_removed_tokens_hold() {
    stories().iter().filter(|s| spec_of(s).pruning.is_none()).for_each(holds);
}

#[test]
fn stories_about_removed_weights_hold() {
    stories().iter().filter(|s| spec_of(s).pruning.is_some()).for_each(holds);
}

#[test]
fn links_of_stories_and_specs_of_presets_are_written_as_the_engine_writes_them() {
    let written = |setting: &Option<whittle::method::Setting>| {
        setting.as_ref().map_or_else(|| "off".to_string(), ToString::to_string)
    };
    let mut ids = Vec::new();
    for story in stories() {
        let spec = spec_of(&story);
        let canonical = spec.fragment("");
        for part in story.link.trim_start_matches('#').split('&').filter(|p| !p.starts_with("m=")) {
            assert!(canonical.contains(part), "{}: {part} is not in {canonical}", story.id);
        }
        assert!(!ids.contains(&story.id), "{} twice", story.id);
        ids.push(story.id);
    }
    for preset in read::<Vec<Preset>>("www/presets.json") {
        let mut spec = RunSpec::first();
        spec.set("reduce", &preset.reduce).unwrap();
        spec.set("prune", &preset.prune).unwrap();
        assert_eq!(written(&spec.reduction), preset.reduce);
        assert_eq!(written(&spec.pruning), preset.prune);
    }
}

#[test]
fn the_page_opens_on_the_first_story() {
    let page = fs::read_to_string(path("www/app.js")).unwrap();
    let opening = format!("const OPENING = \"{}\";", stories()[0].link);
    assert!(page.contains(&opening), "www/app.js has no {opening}");
}

#[test]
fn the_stories_for_readers_are_those_of_the_page() {
    let mut text = String::from(
        "# Stories\n\nMade from `www/stories.json` by `WRITE=1 cargo test --test stories`; do not edit. Each story sets the page up \
         for one claim. Open the page with the link after its address, or choose it under Stories; `tests/stories.rs` checks \
         that the claim holds on the engine.\n",
    );
    for story in stories() {
        let Story { title, claim, moves, see, link, .. } = story;
        writeln!(
            text,
            "\n## {title}\n\n{claim}\n\n- Move: {moves}\n- See: {see}\n- Link: `{link}`"
        )
        .unwrap();
    }
    let file = path("docs/stories.md");
    if std::env::var_os("WRITE").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == text, "docs/stories.md is behind: WRITE=1 cargo test --test stories");
}
