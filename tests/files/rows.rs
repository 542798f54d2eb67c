//! Rows of the hub's data sets on the command line, against a hub on this machine.

use crate::hub_server::{COMMIT, Hub, Seen, head, hub};
use crate::tiny::{texts, tiny};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use whittle::session::bundle::sha256_hex;

const SPLIT: &str = "some/set:default:validation";

fn nothing(_: &mut Value) {}

/// Rows of two questions each, numbered.
fn rows(n: usize) -> Vec<Value> {
    let row = |i| json!({"target": format!("house {i}"), "context": "It was a fine “évening”", "extra": [i, null, {"b": 1, "a": 2}]});
    (0..n).map(row).collect()
}

/// The same as JSON lines.
fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// What the rows service answers to `?..&offset=..&length=..`.
fn page(path: &str, rows: &[Value]) -> Value {
    let number = |key: &str| {
        let pair = path.split(['?', '&']).find_map(|p| p.strip_prefix(key)).expect(key);
        pair.parse::<usize>().expect("a number")
    };
    let (offset, length) = (number("offset=").min(rows.len()), number("length="));
    let of = rows.iter().enumerate().skip(offset).take(length);
    let of = of.map(|(i, row)| json!({"row_idx": i, "row": row, "truncated_cells": []}));
    json!({"features": [], "rows": of.collect::<Vec<_>>(), "num_rows_total": rows.len(), "num_rows_per_page": 100, "partial": false})
}

/// A hub with a data set; `change` may alter an answer with rows, `instead` takes a request over.
fn set(
    name: &str,
    n: usize,
    change: impl Fn(&mut Value, &Seen) + Send + Sync + 'static,
    instead: impl Fn(&Seen, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> Hub {
    let rows = rows(n);
    hub(name, &tiny(1), nothing, move |seen, _, stream| {
        if instead(seen, stream) {
            return true;
        }
        if seen.path == "/api/datasets/some/set/revision/main" {
            let about = json!({"sha": COMMIT, "tags": ["license:cc-by-4.0"]}).to_string();
            return head(stream, "200 OK", &[], about.as_bytes()).is_ok();
        }
        let is_rows =
            seen.path.starts_with("/rows?dataset=some%2Fset&config=default&split=validation&");
        if is_rows {
            let mut answer = page(&seen.path, &rows);
            change(&mut answer, seen);
            let revision = format!("x-revision: {COMMIT}");
            head(stream, "200 OK", &[&revision], answer.to_string().as_bytes()).expect("a reader");
        }
        is_rows
    })
}

/// A grid whose data are rows of the hub, which `--list` reads and does not measure.
fn grid(hub: &Hub, data: &str) -> PathBuf {
    std::fs::create_dir_all(&hub.home).expect("a folder below target");
    let file = hub.home.join("grid.toml");
    let text = format!("models = [\"lm-llama\"]\neval = [\"questions\"]\ndata = {data:?}\n");
    std::fs::write(&file, text).expect("room");
    file
}

/// Exit code and standard error of reading the rows.
fn read(hub: &Hub, data: &str, more: &[(&str, &str)]) -> (Option<i32>, String) {
    let grid = grid(hub, data).to_string_lossy().into_owned();
    let output = hub.program(&["sweep", &grid, "--list"], more).output().expect("it starts");
    (output.status.code(), texts(&output).1)
}

fn offsets(hub: &Hub) -> Vec<String> {
    let of =
        |seen: Seen| seen.path.split("offset=").nth(1).map(|rest| rest.replace("&length=100", ""));
    hub.seen().into_iter().filter_map(of).collect()
}

fn snapshot(hub: &Hub) -> PathBuf {
    let root = hub.home.join("hub/datasets--some--set");
    root.join("snapshots").join(COMMIT).join("rows--default--validation.jsonl")
}

#[test]
fn all_rows_are_fetched_once_into_the_cache_and_their_hash_is_said() {
    let hub = set("rows-whole", 230, |_, _| (), |_, _| false);
    let (code, err) = read(&hub, SPLIT, &[("HF_TOKEN", "hf_secret")]);
    assert_eq!(code, Some(0), "{err}");
    let expected = lines(&rows(230));
    // As the page makes it of the same row: tests/e2e/own-data.test.mjs.
    let first = r#"{"context":"It was a fine “évening”","extra":[0,null,{"a":2,"b":1}],"target":"house 0"}"#;
    assert_eq!(expected.lines().next(), Some(first));
    let hash = sha256_hex(expected.as_bytes());
    for part in [COMMIT, "licence cc-by-4.0", "230 rows", &hash] {
        assert!(err.contains(part), "{err}, not {part}");
    }
    assert_eq!(offsets(&hub), ["0", "100", "200"]);
    assert!(hub.seen().iter().all(|s| s.authorization.as_deref() == Some("Bearer hf_secret")));
    assert_eq!(std::fs::read_to_string(snapshot(&hub)).expect("a file"), expected);
    let link = std::fs::read_link(snapshot(&hub)).expect("a link");
    assert_eq!(link, Path::new("../../blobs").join(&hash));
    // From here on nobody is asked.
    let (asked, away) = (hub.seen().len(), [("HF_ENDPOINT", "http://127.0.0.1:1")]);
    assert_eq!(read(&hub, SPLIT, &away), (Some(0), String::new()));
    assert_eq!(read(&hub, SPLIT, &[("HF_HUB_OFFLINE", "1")]).0, Some(0));
    assert_eq!(hub.seen().len(), asked);
}

#[test]
fn rows_of_the_hub_are_scored_as_the_same_rows_in_a_file() {
    let hub = set("rows-scored", 3, |_, _| (), |_, _| false);
    std::fs::create_dir_all(&hub.home).expect("a folder below target");
    let file = hub.home.join("rows.jsonl");
    std::fs::write(&file, lines(&rows(3))).expect("room");
    let run = |data: &str| {
        let args = ["run", "--model", "lm-llama", "--eval", "questions:controls=0", "--data", data];
        let more = ["--backend", "cpu", "--tokens", "1", "--prune", "magnitude", "--json"];
        let output = hub.program(&[&args[..], &more].concat(), &[]).output().expect("it starts");
        let (out, err) = texts(&output);
        let view: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        (view["quality"].clone(), view["link"].clone())
    };
    let found = run(SPLIT);
    assert_eq!(found, run(&file.to_string_lossy()));
    assert_eq!(found.0[0]["items"], 3);
    let hash = sha256_hex(lines(&rows(3)).as_bytes());
    let link = found.1.as_str().expect("a link");
    assert!(link.contains(&format!("&d={}&", &hash[..16])), "{link}");
}

#[test]
fn rows_that_broke_off_go_on_behind_the_last_whole_one() {
    let hub = set(
        "rows-broken",
        230,
        |_, _| (),
        |seen, stream| {
            seen.path.contains("offset=200")
                && head(stream, "503 Service Unavailable", &[], b"").is_ok()
        },
    );
    let (code, err) = read(&hub, SPLIT, &[]);
    assert!(code == Some(1) && err.contains("503"), "{err}");
    // What a program that is ended in the middle of a line leaves.
    let blobs = snapshot(&hub).ancestors().nth(3).expect("a folder").join("blobs");
    let partial =
        std::fs::read_dir(&blobs).expect("a folder").next().expect("a file").expect("one");
    let there = std::fs::read_to_string(partial.path()).expect("text");
    assert_eq!(there, lines(&rows(230)[..200]));
    std::fs::write(partial.path(), format!("{there}{{\"cut sho")).expect("room");
    let whole = set("rows-broken-2", 230, |_, _| (), |_, _| false);
    let home = hub.home.to_string_lossy().into_owned();
    let (code, err) = read(&whole, SPLIT, &[("HF_HOME", &home)]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(offsets(&whole), ["200"]);
    assert_eq!(std::fs::read_to_string(snapshot(&hub)).expect("a file"), lines(&rows(230)));
}

#[test]
fn what_is_not_the_whole_of_the_rows_is_refused_in_a_sentence_of_its_own() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 9] = [
        ("many", |a| a["num_rows_total"] = 20_001.into(), "more than 20000"),
        ("none", |a| *a = json!({"rows": [], "num_rows_total": 0}), "has no rows"),
        ("partial", |a| a["partial"] = true.into(), "beginning only"),
        (
            "cut",
            |a| a["rows"][1]["truncated_cells"] = json!(["context"]),
            "row 1 comes cut short (context)",
        ),
        ("short", |a| drop(a["rows"].as_array_mut().expect("rows").pop()), "2 rows where 3"),
        ("order", |a| a["rows"][0]["row_idx"] = 1.into(), "were asked for"),
        ("list", |a| a["rows"][0]["row"] = json!([1]), "not understood"),
        ("error", |a| *a = json!({"error": "no"}), "not understood"),
        (
            "endless",
            |a| a["rows"][2]["row"] = json!({"context": "x".repeat(33 << 20)}),
            "without an end",
        ),
    ];
    let mut sentences = BTreeSet::new();
    for (name, change, part) in cases {
        let hub = set(&format!("rows-{name}"), 3, move |answer, _| change(answer), |_, _| false);
        let (code, err) = read(&hub, SPLIT, &[]);
        let last = err.lines().last().unwrap_or_default().to_string();
        assert!(code == Some(1) && last.contains(part), "{name}: {err}");
        assert!(last.contains("some/set"), "{last}");
        assert!(!snapshot(&hub).exists(), "{name}");
        assert!(sentences.insert(last.clone()), "{last} twice");
    }
    let other = set(
        "rows-revision",
        3,
        |_, _| (),
        |seen, stream| {
            let header = "x-revision: 76543210abcdef0123456789abcdef0123456789";
            let answer = page("?offset=0&length=100", &rows(3)).to_string();
            seen.path.starts_with("/rows")
                && head(stream, "200 OK", &[header], answer.as_bytes()).is_ok()
        },
    );
    let (code, err) = read(&other, SPLIT, &[]);
    assert!(code == Some(1) && err.contains("still those of commit 7654"), "{err}");
    let grown = set(
        "rows-grown",
        130,
        |answer, seen| {
            if seen.path.contains("offset=100") {
                answer["num_rows_total"] = 131.into();
            }
        },
        |_, _| false,
    );
    let (code, err) = read(&grown, SPLIT, &[]);
    assert!(code == Some(1) && err.contains("changed on the way"), "{err}");
}

#[test]
fn names_that_lead_elsewhere_and_refusals_of_the_hub_are_said() {
    let hub = set("rows-names", 3, |_, _| (), |_, _| false);
    for (data, part) in [
        ("some/set:default", "org/name:config:split"),
        ("some/set:../x:validation", "org/name:config:split"),
        ("some/set:default:vali/dation", "org/name:config:split"),
        ("some/set@v1:default:validation", "newest commit"),
        ("some/../set:default:validation", "No such file"),
    ] {
        let (code, err) = read(&hub, data, &[]);
        assert!(code == Some(2) && err.contains(part), "{data}: {err}");
    }
    let (code, err) = read(&hub, SPLIT, &[("HF_HUB_OFFLINE", "1")]);
    assert!(code == Some(2) && err.contains("HF_HUB_OFFLINE"), "{err}");
    assert!(hub.seen().is_empty());
    let (code, err) = read(&hub, "some/set:default:test", &[]);
    assert!(
        code == Some(1)
            && err.contains("no such data set")
            && err.contains("rows of default, test"),
        "{err}"
    );
    let closed = set(
        "rows-closed",
        3,
        |_, _| (),
        |_, stream| head(stream, "401 Unauthorized", &[], b"<html>").is_ok(),
    );
    let (code, err) = read(&closed, SPLIT, &[]);
    assert!(
        code == Some(1) && err.contains("401") && err.contains("the data set is private"),
        "{err}"
    );
    let silent = set(
        "rows-silent",
        3,
        |_, _| (),
        |_, stream| {
            // Until the reader is gone.
            std::io::Read::read(stream, &mut [0]).is_ok()
        },
    );
    let (code, err) = read(&silent, SPLIT, &[("HF_HUB_DOWNLOAD_TIMEOUT", "1")]);
    assert!(code == Some(1) && err.contains("said nothing for 1 seconds"), "{err}");
}
