//! Seals a built page: lists its files with their SHA-256 in dist/sw.js, so that the service worker keeps exactly this build.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::command::{Result, output};

const FOLDER: &str = "dist";
const WORKER: &str = "sw.js";
/// Of the models only what the opening needs is kept ahead; the rest when it is first used.
const OPENING: &[&str] =
    &["models/lm-mamba/", "models/eval/calibration.txt", "models/eval/continuation.jsonl"];

/// `engines` are the names of the modules, the plain one first.
pub fn seal(engines: &[String; 2]) -> Result<()> {
    name_engines(engines)?;
    let mut names = Vec::new();
    list(Path::new(FOLDER), "", &mut names)?;
    names.sort();
    let sums = output(Command::new("sha256sum").args(&names).current_dir(FOLDER))?;
    // A line is 64 digits, two characters, the name.
    let files: Vec<String> =
        sums.lines().map(|line| format!("[{:?}, {:?}]", &line[66..], &line[..64])).collect();
    let build = &hash(&sums)?[..16];
    let path = Path::new(FOLDER).join(WORKER);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let sealed = text
        .replace("const BUILD = \"\";", &format!("const BUILD = \"{build}\";"))
        .replace("const FILES = [];", &format!("const FILES = [\n  {},\n];", files.join(",\n  ")));
    if sealed == text {
        return Err(format!("{}: found no empty BUILD and FILES to fill in", path.display()));
    }
    fs::write(&path, sealed).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("sealed build {build}: {} files", files.len());
    Ok(())
}

/// Writes the SHA-256 of both engines into the page, which shows that of its own.
fn name_engines(engines: &[String; 2]) -> Result<()> {
    let path = Path::new(FOLDER).join("index.html");
    let mut text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    for (attribute, engine) in ["data-engine", "data-relaxed"].iter().zip(engines) {
        let sum = output(Command::new("sha256sum").arg(engine).current_dir(FOLDER))?;
        let [from, to] = ["", &sum[..64]].map(|value| format!("{attribute}=\"{value}\""));
        let named = text.replacen(&from, &to, 1);
        if named == text {
            return Err(format!("{}: found no empty {attribute} to fill in", path.display()));
        }
        text = named;
    }
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// What is kept ahead, below `folder`, as paths of the page.
fn list(folder: &Path, below: &str, names: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = if below.is_empty() { name.into() } else { format!("{below}/{name}") };
        if path.is_dir() {
            list(&path, &name, names)?;
        } else if keeps(&name) {
            names.push(name);
        }
    }
    Ok(())
}

fn keeps(name: &str) -> bool {
    name != WORKER
        && (!name.starts_with("models/") || OPENING.iter().any(|part| name.starts_with(part)))
}

/// SHA-256 of a text, as sha256sum writes it.
pub fn hash(text: &str) -> Result<String> {
    let failed = |e: std::io::Error| format!("sha256sum: {e}");
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    child
        .stdin
        .take()
        .ok_or("sha256sum has no input")?
        .write_all(text.as_bytes())
        .map_err(failed)?;
    let done = child.wait_with_output().map_err(failed)?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
