//! A hub on this machine: it lists a model, sends on to another host for its weights, and fails as it is told to.

use crate::tiny::{Tiny, fresh, texts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use whittle::session::bundle::sha256_hex;

/// The commit of the only revision.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const MODEL: &str = "some/model-1";
pub const TEXT: &str = "A text of some words.";

/// A request, as far as these tests look at it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub path: String,
    pub host: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

impl Seen {
    /// First byte that is asked for.
    pub fn from(&self) -> usize {
        let range = self.range.as_deref().and_then(|r| r.strip_prefix("bytes="));
        range.map_or(0, |r| r.trim_end_matches('-').parse().expect("a number"))
    }
}

/// Takes a request over; gives whether it was answered.
type Instead = dyn Fn(&Seen, &Site, &mut TcpStream) -> bool + Send + Sync;

/// What is served.
pub struct Site {
    pub files: BTreeMap<String, Vec<u8>>,
    pub listing: Value,
    port: u16,
}

impl Site {
    pub fn weights(&self) -> &[u8] {
        &self.files["model.safetensors"]
    }
}

pub struct Hub {
    pub site: Arc<Site>,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// HF_HOME of the programs that are started.
    pub home: PathBuf,
}

/// A hub with one model and some files that nobody needs. `change` may alter the listing.
pub fn hub(
    name: &str,
    model: &Tiny,
    change: impl Fn(&mut Value),
    instead: impl Fn(&Seen, &Site, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> Hub {
    let mut files: BTreeMap<String, Vec<u8>> = model.files().into_iter().collect();
    for other in ["README.md", "pytorch_model.bin", "onnx/model.onnx"] {
        files.insert(other.into(), b"not needed".to_vec());
    }
    let sibling = |(name, bytes): (&String, &Vec<u8>)| {
        let mut about =
            json!({"rfilename": name, "size": bytes.len(), "blobId": &sha256_hex(bytes)[..40]});
        if name.ends_with(".safetensors") {
            about["lfs"] =
                json!({"sha256": sha256_hex(bytes), "size": bytes.len(), "pointerSize": 134});
        }
        about
    };
    let siblings: Vec<Value> = files.iter().map(sibling).collect();
    let mut listing = json!({"sha": COMMIT, "tags": ["license:apache-2.0"], "siblings": siblings});
    change(&mut listing);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let site = Arc::new(Site { files, listing, port });
    let seen = Arc::default();
    let hub = Hub { site: site.clone(), seen: Arc::clone(&seen), home: fresh(name) };
    let instead: Arc<Instead> = Arc::new(instead);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (site, seen, instead) = (site.clone(), seen.clone(), instead.clone());
            // A reader that goes away is no fault of the server.
            std::thread::spawn(move || drop(serve(stream, &site, &seen, &*instead)));
        }
    });
    hub
}

fn serve(
    mut stream: TcpStream,
    site: &Site,
    seen: &Mutex<Vec<Seen>>,
    instead: &Instead,
) -> std::io::Result<()> {
    let mut request = Seen::default();
    for (number, line) in BufReader::new(stream.try_clone()?).lines().enumerate() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if number == 0 {
            request.path = line.split(' ').nth(1).unwrap_or_default().to_string();
            continue;
        }
        let (key, value) = line.split_once(": ").unwrap_or_default();
        match key.to_lowercase().as_str() {
            "host" => request.host = value.into(),
            "range" => request.range = Some(value.into()),
            "authorization" => request.authorization = Some(value.into()),
            _ => {}
        }
    }
    seen.lock().expect("nobody panics").push(request.clone());
    if instead(&request, site, &mut stream) {
        return Ok(());
    }
    usual(&request, site, &mut stream)
}

/// What the hub does when nothing is wrong.
fn usual(request: &Seen, site: &Site, stream: &mut TcpStream) -> std::io::Result<()> {
    let path = request.path.split('?').next().unwrap_or_default();
    if path.starts_with("/api/models/some/model-1/revision/") {
        return head(stream, "200 OK", &[], site.listing.to_string().as_bytes());
    }
    let resolve = format!("/{MODEL}/resolve/{COMMIT}/");
    let cdn = path.strip_prefix("/cdn/");
    if let Some(file) = path.strip_prefix(&resolve).filter(|file| file.ends_with(".safetensors")) {
        let location = format!("location: http://localhost:{}/cdn/{file}", site.port);
        return head(stream, "302 Found", &[&location], b"");
    }
    let Some(bytes) = path.strip_prefix(&resolve).or(cdn).and_then(|file| site.files.get(file))
    else {
        return head(stream, "404 Not Found", &["x-error-code: EntryNotFound"], b"");
    };
    let from = request.from();
    if request.range.is_none() {
        return head(stream, "200 OK", &[], bytes);
    }
    let range = format!("content-range: bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
    head(stream, "206 Partial Content", &[&range], &bytes[from..])
}

/// An answer with its length.
pub fn head(
    stream: &mut TcpStream,
    status: &str,
    headers: &[&str],
    body: &[u8],
) -> std::io::Result<()> {
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{more}content-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}

impl Hub {
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("nobody panics").clone()
    }

    /// Requests for the bytes of the weights.
    pub fn of_weights(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.path.starts_with("/cdn/")).collect()
    }

    pub fn folder(&self) -> PathBuf {
        self.home.join("hub/models--some--model-1")
    }

    /// `whittle score` of a hub model on a short text, with only what a test sets in its environment.
    pub fn command(&self, model: &str, set: &[(&str, &str)]) -> Command {
        std::fs::create_dir_all(&self.home).expect("a folder below target");
        let text = self.home.join("text");
        std::fs::write(&text, TEXT).expect("room");
        let text = text.to_string_lossy();
        let args = ["score", "--backend", "cpu", "--json", "--model", model, "--text", &text];
        self.program(&args, set)
    }

    /// The program beside this hub, with only what a test sets in its environment.
    pub fn program(&self, args: &[&str], set: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whittle"));
        command.args(args).env_clear().env("HF_HOME", &self.home);
        command.env("HF_ENDPOINT", format!("http://127.0.0.1:{}", self.site.port));
        command.env("HF_HUB_DOWNLOAD_TIMEOUT", "60").envs(set.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Exit code, standard output, standard error.
    pub fn score(&self, model: &str, set: &[(&str, &str)]) -> (Option<i32>, String, String) {
        let output = self.command(model, set).output().expect("the program starts");
        let (out, err) = texts(&output);
        (output.status.code(), out, err)
    }

    /// Ends with code 1, and its last line holds all of these.
    pub fn fails(&self, set: &[(&str, &str)], parts: &[&str]) -> String {
        let (code, _, err) = self.score(MODEL, set);
        assert_eq!(code, Some(1), "{err}");
        let last = err.lines().last().unwrap_or_default().to_string();
        parts.iter().for_each(|part| assert!(last.contains(part), "{last}, not {part}"));
        last
    }
}
