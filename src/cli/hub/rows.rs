//! `org/name:config:split`: rows of a data set of the hub as JSON lines, in the cache folder that all tools share.
//!
//! The hub's rows service gives a hundred at a time; each row becomes one line, its fields in the order of their names. A
//! split that is in the cache is used as it is, with no request. One that broke off goes on behind its last whole line.
//! Source: the hub's dataset viewer, `GET /rows?dataset=&config=&split=&offset=&length=`; its address as in the `datasets`
//! package.

use super::failure;
use super::place::{self, Kind, Name, is_plain};
use super::store::{Store, make_folder_of};
use super::transfer::Client;
use crate::bundle::sha256_hex;
use crate::cli::folder::MOST_BYTES;
use crate::cli::note::note;
use crate::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs::{self, File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

/// Most rows that an evaluation scores.
const MOST_ROWS: usize = 20_000;
/// Rows of one answer, the most that the service gives.
const PAGE: usize = 100;
const FORM: &str = "a file, or org/name:config:split of a data set of the Hugging Face hub, such as Rowan/hellaswag:default:validation";

/// One split of a data set, checked: no part of it leads out of the cache's folder or of the hub's address.
struct Split {
    name: Name,
    config: String,
    split: String,
}

#[derive(Deserialize)]
struct About {
    sha: String,
    #[serde(default)]
    tags: Vec<String>,
}

/// What the rows service answers.
#[derive(Deserialize)]
struct Answer {
    rows: Vec<Row>,
    num_rows_total: usize,
    /// Whether the service knows the beginning of the split only.
    #[serde(default)]
    partial: bool,
}

#[derive(Deserialize)]
struct Row {
    row_idx: usize,
    row: Map<String, Value>,
    /// Fields that the service cut off.
    #[serde(default)]
    truncated_cells: Vec<String>,
}

/// The file of a split's rows in the cache, fetched if need be; nothing where `text` is no name of that form.
///
/// Errors: a name that could lead elsewhere, rows that cannot be had whole, a transfer that failed; each in its own sentence.
pub fn file(text: &str) -> Result<Option<PathBuf>> {
    let Some(split) = Split::parse(text)? else { return Ok(None) };
    let store = Store::of(&split.name);
    let kept = store.snapshot(&split.name).map(|folder| folder.join(split.file()));
    if let Some(kept) = kept.filter(|file| file.is_file()) {
        return Ok(Some(kept));
    }
    if place::is_offline() {
        let cache = store.cache().display();
        let expected = format!(
            "rows in the cache {cache}, since HF_HUB_OFFLINE is set; unset it, or name a file"
        );
        return Err(Error::input("--data", split.full(), expected));
    }
    fetch(&split, &store).map(Some)
}

impl Split {
    fn parse(text: &str) -> Result<Option<Split>> {
        let Some((name, rest)) = text.split_once(':') else { return Ok(None) };
        if name.contains('@') {
            let expected =
                "the data set without @REVISION: the hub gives the rows of its newest commit";
            return Err(Error::input("--data", text, expected));
        }
        let Some(name) = Name::parse(name)? else { return Ok(None) };
        let name = Name { kind: Kind::Dataset, ..name };
        match rest.split_once(':') {
            Some((config, split)) if is_plain(config) && is_plain(split) => {
                Ok(Some(Split { name, config: config.into(), split: split.into() }))
            }
            _ => Err(Error::input("--data", text, FORM)),
        }
    }

    fn full(&self) -> String {
        format!("{}:{}:{}", self.name.short_name(), self.config, self.split)
    }

    /// Its name in a snapshot.
    fn file(&self) -> String {
        format!("rows--{}--{}.jsonl", self.config, self.split)
    }
}

/// Fetches every row, unless there are too many, and gives the file.
fn fetch(split: &Split, store: &Store) -> Result<PathBuf> {
    let client = Client::open()?;
    let about = About::parse(split, &client.about(&split.name, "")?)?;
    let place = store.root().join("snapshots").join(&about.sha).join(split.file());
    let key = format!("{}--{}", about.sha, split.file());
    let _lock = store.lock(&key, &split.full())?;
    if !place.is_file() {
        let partial = store.root().join("blobs").join(format!("{key}.incomplete"));
        make_folder_of(&partial)?;
        take(&client, split, &about, &partial)?;
        let bytes = fs::read(&partial).map_err(|e| failure::disk(&partial, &e))?;
        let hash = sha256_hex(&bytes);
        let blob = store.root().join("blobs").join(&hash);
        fs::rename(&partial, &blob).map_err(|e| failure::disk(&blob, &e))?;
        store.show(&hash, &place)?;
        note(&format!("{}: {} bytes, sha256 {hash}", split.full(), bytes.len()));
    }
    store.refer(&split.name, &about.sha)?;
    Ok(place)
}

impl About {
    fn parse(split: &Split, json: &[u8]) -> Result<About> {
        let about: About = serde_json::from_slice(json).map_err(|e| odd(split, &e.to_string()))?;
        let is_hex = about.sha.len() == 40 && about.sha.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex.then_some(about).ok_or_else(|| odd(split, "its commit is not 40 hex digits"))
    }

    fn licence(&self) -> &str {
        self.tags.iter().find_map(|tag| tag.strip_prefix("license:")).unwrap_or("none stated")
    }
}

/// Adds what is missing to `partial`: an answer's rows are written at once, so that a beginning is always a beginning.
fn take(client: &Client, split: &Split, about: &About, partial: &PathBuf) -> Result<()> {
    let disk = |e: std::io::Error| failure::disk(partial, &e);
    let mut options = OpenOptions::new();
    let mut out = options.create(true).read(true).append(true).open(partial).map_err(disk)?;
    let (mut done, mut bytes) = beginning(partial, &mut out).map_err(disk)?;
    let mut total = None;
    while total.is_none_or(|total| done < total) {
        let answer = ask(client, split, about, done)?;
        check(split, &answer, done, total)?;
        if total.is_none() {
            let (full, licence) = (split.full(), about.licence());
            let rows = answer.num_rows_total;
            note(&format!("{full} is commit {}, licence {licence}: {rows} rows.", about.sha));
        }
        total = Some(answer.num_rows_total);
        let lines: String =
            answer.rows.iter().map(|row| format!("{}\n", Value::Object(row.row.clone()))).collect();
        bytes += lines.len() as u64;
        if bytes > MOST_BYTES {
            return Err(too_large(split, "its rows have more than 64 MiB"));
        }
        out.write_all(lines.as_bytes()).map_err(disk)?;
        done += answer.rows.len();
        show(split, done, answer.num_rows_total);
    }
    out.sync_all().map_err(disk)
}

/// Whole lines that are there, and their bytes; a last one that was cut short is taken away.
fn beginning(partial: &PathBuf, out: &mut File) -> std::io::Result<(usize, u64)> {
    let there = fs::read(partial)?;
    let whole = there.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    out.set_len(whole as u64)?;
    Ok((there[..whole].iter().filter(|&&b| b == b'\n').count(), whole as u64))
}

fn ask(client: &Client, split: &Split, about: &About, offset: usize) -> Result<Answer> {
    let Split { name, config, split: part } = split;
    let dataset = name.short_name().replace('/', "%2F");
    let query =
        format!("dataset={dataset}&config={config}&split={part}&offset={offset}&length={PAGE}");
    let url = format!("{}/rows?{query}", place::rows_endpoint()?);
    let (body, headers) = client.answer(name, &url, &format!("rows of {config}, {part}"))?;
    let of = headers.get("x-revision").and_then(|value| value.to_str().ok());
    if let Some(other) = of.filter(|commit| *commit != about.sha) {
        return Err(Error::Hub(format!(
            "{}: the rows are still those of commit {other}, the data set is at {}; try again later.",
            split.full(),
            about.sha
        )));
    }
    serde_json::from_slice(&body).map_err(|e| odd(split, &e.to_string()))
}

/// Errors: not the rows that were asked for, or not the whole of them.
fn check(split: &Split, answer: &Answer, offset: usize, total: Option<usize>) -> Result<()> {
    let all = answer.num_rows_total;
    if answer.partial {
        return Err(too_large(split, "the hub's service has its beginning only"));
    }
    if all > MOST_ROWS {
        return Err(too_large(split, &format!("it has {all} rows, more than {MOST_ROWS}")));
    }
    if all == 0 {
        return Err(Error::Hub(format!("{}: the split has no rows.", split.full())));
    }
    if total.is_some_and(|total| total != all) || offset > all {
        return Err(odd(split, "the number of rows changed on the way"));
    }
    let wanted = PAGE.min(all.saturating_sub(offset));
    let is_next = |(i, row): (usize, &Row)| row.row_idx == offset + i;
    if answer.rows.len() != wanted || !answer.rows.iter().enumerate().all(is_next) {
        let found = answer.rows.len();
        return Err(odd(
            split,
            &format!("{found} rows where {wanted} from row {offset} were asked for"),
        ));
    }
    match answer.rows.iter().find(|row| !row.truncated_cells.is_empty()) {
        Some(row) => {
            let cut =
                format!("row {} comes cut short ({})", row.row_idx, row.truncated_cells.join(", "));
            Err(too_large(split, &cut))
        }
        None => Ok(()),
    }
}

/// On a terminal, a line that is written over.
fn show(split: &Split, done: usize, total: usize) {
    if std::io::stderr().is_terminal() {
        let end = if done == total { "\n" } else { "" };
        eprint!("\r\x1b[Kwhittle: {}: {done} of {total} rows{end}", split.full());
    }
}

fn odd(split: &Split, what: &str) -> Error {
    Error::Hub(format!("{}: the hub's answer is not understood ({what}).", split.full()))
}

fn too_large(split: &Split, what: &str) -> Error {
    Error::Hub(format!(
        "{}: {what}; refused. Fetch the files of the data set with `hf download --repo-type dataset {}` and name one (docs/own-data.md).",
        split.full(),
        split.name.short_name()
    ))
}
