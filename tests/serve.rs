//! `whittle serve-stdio` as a program meets it: the harness's log-likelihoods, and lines that are no requests.
#![cfg(not(target_arch = "wasm32"))]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

struct Server {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Server {
    /// Starts one; gives what it says first.
    fn start(arguments: &[&str]) -> (Server, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whittle"));
        command.arg("serve-stdio").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut server = Server { child, to, from: BufReader::new(from) };
        let hello = server.read()["hello"].clone();
        (server, hello)
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn send(&mut self, line: &[u8]) -> Value {
        self.to.write_all(line).unwrap();
        self.to.write_all(b"\n").unwrap();
        self.read()
    }

    fn ask(&mut self, request: &Value) -> Value {
        let answer = self.send(request.to_string().as_bytes());
        assert_eq!(answer["id"], request["id"]);
        answer
    }

    fn end(self) {
        let Server { mut child, to, from } = self;
        drop((to, from));
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_dense_model_gives_the_log_likelihoods_of_the_public_harness() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/harness");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let expected: Value = serde_json::from_str(&read("expected.json")).unwrap();
    let (mut server, hello) = Server::start(&["--model", "lm-llama"]);
    assert_eq!([&hello["protocol"], &hello["max_length"]], [&json!(1), &json!(512)]);
    assert_eq!([&hello["reduce"], &hello["prune"]], [&json!("off"), &json!("off")]);
    let texts = read("lambada.jsonl");
    let pair = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = row["text"].as_str().unwrap();
        let (context, word) = text.rsplit_once(' ').unwrap_or(("", text));
        [context.to_string(), format!(" {word}")]
    };
    let pairs: Vec<[String; 2]> = texts.lines().map(pair).collect();
    let answer = server.ask(&json!({ "id": 7, "method": "loglikelihood", "pairs": pairs }));
    let items = expected["lambada"]["items"].as_array().unwrap();
    for (i, (found, item)) in answer["result"].as_array().unwrap().iter().zip(items).enumerate() {
        let theirs = item["log_likelihoods"][0].as_f64().unwrap();
        let ours = found[0].as_f64().unwrap();
        // The bound of tests/harness.rs.
        assert!((ours - theirs).abs() < 1e-3, "item {i}: {ours}, {theirs}");
        assert_eq!(found[1], item["right"], "item {i}");
    }
    assert_eq!(answer["result"].as_array().unwrap().len(), 40);

    // The one document that the harness leaves as it is.
    let page: Value = serde_json::from_str(read("wikitext.jsonl").lines().nth(9).unwrap()).unwrap();
    let rolling =
        json!({ "id": 8, "method": "loglikelihood_rolling", "texts": [page["page"], ""] });
    let answer = server.ask(&rolling);
    let theirs = expected["wikitext"]["items"][9]["log_likelihoods"][0].as_f64().unwrap();
    assert!((answer["result"][0].as_f64().unwrap() - theirs).abs() < 1e-3, "{answer}, {theirs}");
    assert_eq!(answer["result"][1], 0.0);
    server.end();
}

#[test]
fn a_text_ends_before_its_stop_and_a_compressed_model_says_so() {
    let arguments = ["--model", "lm-mamba2", "--reduce", "utrc:cut=0.3", "--prune", "magnitude"];
    let (mut server, hello) = Server::start(&arguments);
    assert_eq!([&hello["reduce"], &hello["prune"]], [&json!("utrc:cut=0.3"), &json!("magnitude")]);
    let context = "It was a fine evening, and they walked along the river to the old house.";
    let mut request =
        json!({ "id": 1, "method": "generate_until", "context": context, "max_tokens": 12 });
    let whole = server.ask(&request)["result"].as_str().unwrap().to_string();
    let (before, stop) = whole.trim_end().rsplit_once(' ').expect("twelve tokens have a space");
    request["until"] = json!([stop, "", "never in it"]);
    let cut = server.ask(&request)["result"].as_str().unwrap().to_string();
    assert!(whole.starts_with(&cut) && !cut.contains(stop), "{whole:?} {stop:?} {cut:?}");
    assert!(before.starts_with(cut.trim_end()), "{before:?} {cut:?}");
    server.end();
}

#[test]
fn a_line_that_is_no_request_is_answered_and_the_next_one_too() {
    let (mut server, _) = Server::start(&["--model", "recall-llama"]);
    let deep = "[".repeat(100_000);
    for (line, part) in [
        (&b"hello"[..], "a line {"),
        (b"\xff\xfe", "UTF-8"),
        (deep.as_bytes(), "a line {"),
        (b"[1, 2]", "a line {"),
        (br#"{"id": 3, "method": "exec", "pairs": []}"#, "exec"),
        (br#"{"id": 3, "method": "loglikelihood", "pairs": [["a"]]}"#, "length"),
        (br#"{"id": -3, "method": "loglikelihood", "pairs": []}"#, "integer"),
        (br#"{"id": 3, "method": "loglikelihood", "pairs": [], "more": 1}"#, "more"),
        (br#"{"id": 3, "method": "generate_until", "context": "", "max_tokens": 1e9}"#, "float"),
        (br#"{"id": 3, "method": "generate_until", "context": "", "max_tokens": 99999}"#, "at most"),
        (br#"{"id": 3, "method": "generate_until", "context": "", "max_tokens": 4, "temperature": -1}"#, "0 to 100"),
        (br#"{"id": 3, "method": "loglikelihood", "pairs": [["a", ""]]}"#, ""),
    ] {
        let answer = server.send(line);
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(error.contains(part), "{error}");
        assert!(answer["id"].is_null() || answer["id"] == 3, "{answer}");
    }
    let many = json!({ "id": 4, "method": "loglikelihood_rolling", "texts": vec!["a"; 5000] });
    let error = server.ask(&many)["error"].as_str().unwrap().to_string();
    assert!(error.contains("at most 4096"), "{error}");
    let nothing = server.ask(&json!({ "id": 5, "method": "loglikelihood", "pairs": [] }));
    assert_eq!(nothing["result"], json!([]));
    server.end();
}
