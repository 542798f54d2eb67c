//! Models of the hub on the command line, against a hub on this machine.

use crate::hub_server::{COMMIT, Hub, MODEL, Seen, TEXT, head, hub};
use crate::tiny::{json_of, texts, tiny};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::LazyLock;

fn nothing(_: &mut Value) {}

fn mean(json: &str) -> f64 {
    let json: Value = serde_json::from_str(json).expect("JSON");
    json["mean_nll"].as_f64().expect("a number")
}

/// What the same model gives from a folder.
static EXPECTED: LazyLock<f64> = LazyLock::new(|| {
    let folder = tiny(1).folder("hub-plain");
    let text = folder.join("text");
    std::fs::write(&text, TEXT).expect("room");
    let (folder, text) = (folder.display().to_string(), text.display().to_string());
    let args = ["score", "--backend", "cpu", "--json", "--model", &folder, "--text", &text];
    json_of(&args).0["mean_nll"].as_f64().expect("a number")
});

fn fetched(hub: &Hub, set: &[(&str, &str)]) -> String {
    let (code, out, err) = hub.score(MODEL, set);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(mean(&out), *EXPECTED);
    err
}

#[test]
fn what_is_needed_is_fetched_once_into_the_cache_that_all_tools_share() {
    let hub = hub("hub-whole", &tiny(1), nothing, |_, _, _| false);
    let err = fetched(&hub, &[("HF_TOKEN", "hf_secret")]);
    for part in [COMMIT, "licence apache-2.0", "3 files", "model.safetensors: "] {
        assert!(err.contains(part), "{err}, not {part}");
    }
    let seen = hub.seen();
    let names: BTreeSet<&str> =
        seen[1..].iter().filter_map(|s| s.path.rsplit('/').next()).collect();
    assert_eq!(names, BTreeSet::from(["config.json", "model.safetensors", "tokenizer.json"]));
    for Seen { path, host, authorization, .. } in &seen {
        let own = host.starts_with("127.0.0.1");
        assert_eq!(path.starts_with("/cdn/"), !own, "{path} at {host}");
        assert_eq!(authorization.as_deref(), own.then_some("Bearer hf_secret"), "{path}");
    }
    let folder = hub.folder();
    assert_eq!(std::fs::read_to_string(folder.join("refs/main")).expect("a file"), COMMIT);
    let snapshot = folder.join("snapshots").join(COMMIT);
    let link = std::fs::read_link(snapshot.join("model.safetensors")).expect("a link");
    assert!(link.starts_with("../../blobs"), "{}", link.display());
    assert_eq!(std::fs::read_dir(folder.join("blobs")).expect("a folder").count(), 3);
    // From here on nobody is asked.
    for name in [MODEL.to_string(), format!("{MODEL}@main"), format!("{MODEL}@{COMMIT}")] {
        let (code, out, err) = hub.score(&name, &[("HF_ENDPOINT", "http://127.0.0.1:1")]);
        assert_eq!(code, Some(0), "{name}: {err}");
        assert_eq!(mean(&out), mean(&hub.score(MODEL, &[("HF_HUB_OFFLINE", "1")]).1), "{name}");
    }
    assert_eq!(hub.seen().len(), seen.len());
}

/// Half of the weights, and then the end of the connection.
fn half_at_first(
    request: &Seen,
    site: &crate::hub_server::Site,
    stream: &mut std::net::TcpStream,
) -> bool {
    let is_first = request.path.starts_with("/cdn/") && request.range.is_none();
    if is_first {
        let whole = site.weights();
        let sent = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", whole.len());
        sent.and_then(|()| stream.write_all(&whole[..whole.len() / 2])).expect("a reader");
    }
    is_first
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let hub = hub("hub-broken", &tiny(1), nothing, half_at_first);
    fetched(&hub, &[]);
    let from: Vec<usize> = hub.of_weights().iter().map(Seen::from).collect();
    assert_eq!(from, [0, hub.site.weights().len() / 2]);
}

#[test]
fn a_program_that_is_ended_leaves_a_beginning_that_the_next_goes_on_with() {
    let hub = hub("hub-ended", &tiny(1), nothing, |request, site, stream| {
        let is_taken = half_at_first(request, site, stream);
        // Held open until the reader is gone.
        if is_taken {
            let _ = std::io::Read::read(stream, &mut [0]);
        }
        is_taken
    });
    let mut child = hub.command(MODEL, &[]).spawn().expect("the program starts");
    let half = hub.site.weights().len() as u64 / 2;
    let blobs = hub.folder().join("blobs");
    let is_half = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.ends_with(".incomplete") && entry.metadata().is_ok_and(|about| about.len() == half)
    };
    while !std::fs::read_dir(&blobs).is_ok_and(|mut files| files.any(|e| e.is_ok_and(is_half))) {
        assert!(child.try_wait().expect("a child").is_none(), "it ended before half had come");
        std::thread::yield_now();
    }
    child.kill().expect("still there");
    child.wait().expect("a child");
    fetched(&hub, &[]);
    let from: Vec<usize> = hub.of_weights().iter().map(Seen::from).collect();
    assert_eq!(from, [0, half as usize]);
}

#[test]
fn a_server_that_knows_no_ranges_sends_all_again() {
    let hub = hub("hub-no-ranges", &tiny(1), nothing, |request, site, stream| {
        let again = request.path.starts_with("/cdn/") && request.range.is_some();
        if again {
            head(stream, "200 OK", &[], site.weights()).expect("a reader");
        }
        again || half_at_first(request, site, stream)
    });
    fetched(&hub, &[]);
}

#[test]
fn another_content_than_the_hub_lists_is_removed() {
    let hub = hub("hub-hash", &tiny(1), nothing, |request, site, stream| {
        let is_weights = request.path.starts_with("/cdn/");
        if is_weights {
            let mut other = site.weights().to_vec();
            *other.last_mut().expect("bytes") ^= 1;
            head(stream, "200 OK", &[], &other).expect("a reader");
        }
        is_weights
    });
    hub.fails(&[], &["model.safetensors", "sha256", "removed"]);
    let blobs = std::fs::read_dir(hub.folder().join("blobs")).expect("a folder");
    assert_eq!(blobs.count(), 2);
    assert!(!hub.folder().join("refs/main").exists());
}

#[test]
fn each_refusal_of_the_hub_has_its_own_sentence() {
    let mut sentences = BTreeSet::new();
    let token = [("HF_TOKEN", "hf_secret")];
    type Case = (&'static str, &'static str, bool, &'static [&'static str]);
    let cases: [Case; 8] = [
        ("401 Unauthorized", "x-none: 0", false, &["401", "HF_TOKEN", "does not exist"]),
        ("401 Unauthorized", "x-none: 0", true, &["401", "does not accept the token"]),
        ("403 Forbidden", "x-none: 0", true, &["403", "Accept its conditions"]),
        ("404 Not Found", "x-error-code: RevisionNotFound", false, &["404", "commit main"]),
        ("404 Not Found", "x-error-code: RepoNotFound", false, &["404", "Check the name"]),
        ("429 Too Many Requests", "retry-after: 17", false, &["429", "wait 17 seconds"]),
        ("429 Too Many Requests", "x-none: 0", false, &["429", "some minutes"]),
        ("503 Service Unavailable", "x-none: 0", false, &["503", "later"]),
    ];
    for (number, (status, header, has_token, parts)) in cases.into_iter().enumerate() {
        let hub = hub(&format!("hub-status-{number}"), &tiny(1), nothing, move |_, _, stream| {
            head(stream, status, &[header], b"<html>").is_ok()
        });
        let said = hub.fails(if has_token { &token } else { &[] }, parts);
        assert!(said.contains(MODEL) && !said.contains("hf_secret"), "{said}");
        assert!(sentences.insert(said.clone()), "{said} twice");
    }
}

#[test]
fn no_network_no_room_and_no_end_have_theirs() {
    let hub_with =
        |name: &str, change: fn(&mut Value)| hub(name, &tiny(1), change, |_, _, _| false);
    let away = hub_with("hub-away", nothing);
    let set = [("HF_ENDPOINT", "http://127.0.0.1:1")];
    away.fails(&set, &[MODEL, "127.0.0.1:1 cannot be reached", "HF_HUB_OFFLINE=1"]);
    let full = hub_with("hub-full", |listing| {
        for sibling in listing["siblings"].as_array_mut().expect("a list") {
            if sibling["rfilename"] == "model.safetensors" {
                sibling["lfs"]["size"] = 1_000_000_000_000_000_000_u64.into();
            }
        }
    });
    full.fails(&[], &["1000000000.00 GB are to be fetched", "are free", "HF_HUB_CACHE"]);
    assert_eq!(full.seen().len(), 1, "nothing was fetched");
    for (name, length) in [("hub-endless", ""), ("hub-longer", "content-length: 1000000000000\r\n")]
    {
        let endless = hub(name, &tiny(1), nothing, move |request, _, stream| {
            let is_weights = request.path.starts_with("/cdn/");
            if is_weights {
                let start = write!(stream, "HTTP/1.1 200 OK\r\n{length}\r\n");
                start.expect("a reader");
                while stream.write_all(&[0; 4096]).is_ok() {}
            }
            is_weights
        });
        endless.fails(&[], &["model.safetensors", "the hub sends", "refused"]);
    }
}

#[test]
fn a_silent_hub_and_one_that_trickles_are_given_up_on() {
    let quick = [("HF_HUB_DOWNLOAD_TIMEOUT", "1")];
    let silent = hub("hub-silent", &tiny(1), nothing, |_, _, stream| {
        // Until the reader is gone.
        std::io::Read::read(stream, &mut [0]).is_ok()
    });
    silent.fails(&quick, &["said nothing for 1 seconds"]);
    let slow = hub("hub-slow", &tiny(1), nothing, |request, site, stream| {
        let is_weights = request.path.starts_with("/cdn/");
        if is_weights {
            let length = site.weights().len();
            let start = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            start.expect("a reader");
            // A byte now and then, as a bad line gives them.
            while stream.write_all(&[0]).is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        is_weights
    });
    slow.fails(&quick, &["model.safetensors: only", "bytes came in", "kept"]);
}

#[test]
fn without_a_network_by_choice_only_the_cache_is_used_and_no_name_leads_out_of_it() {
    let hub = hub("hub-offline", &tiny(1), nothing, |_, _, _| false);
    for (name, parts) in [
        ("some/other", ["hf download some/other", "HF_HUB_OFFLINE"]),
        ("some/model-1@v2", ["hf download some/model-1 --revision v2", "cache"]),
        ("some/model-1@../../x", ["revision", "commit"]),
        ("some/../model", ["bundled", "folder"]),
    ] {
        let output = hub.command(name, &[("HF_HUB_OFFLINE", "1")]).output().expect("it starts");
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {err}");
        assert!(parts.iter().all(|part| err.contains(part)), "{name}: {err}");
    }
    assert!(hub.seen().is_empty());
    let wrong = hub.score(MODEL, &[("HF_ENDPOINT", "huggingface.co")]);
    assert!(wrong.0 == Some(2) && wrong.2.contains("HF_ENDPOINT"), "{}", wrong.2);
}
