//! Gives the engine's files of a built page names of their own build, so that an old worker in a cache never meets a new
//! page: worker-start.js, worker.js, the two modules, and whoever names them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{Result, output};
use crate::engines;
use crate::seal::hash;

const FOLDER: &str = "dist";
/// File, and the one that names it.
const NAMED: [(&str, &str); 4] = [
    (engines::PLAIN, "worker.js"),
    (engines::RELAXED, "worker-start.js"),
    ("worker.js", "worker-start.js"),
    ("worker-start.js", "engine.js"),
];

/// Renames the four, rewrites what names them, and gives the new names of the two modules, the plain one first.
pub fn name() -> Result<[String; 2]> {
    let files = NAMED.map(|(file, _)| file);
    let sums = output(Command::new("sha256sum").args(files).current_dir(FOLDER))?;
    let build = &hash(&sums)?[..10];
    for (file, namer) in NAMED {
        let path = Path::new(FOLDER).join(namer);
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let changed = renamed(&text, file, build)
            .ok_or_else(|| format!("{}: found no mention of {file}", path.display()))?;
        fs::write(&path, changed).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    for file in files {
        let [from, to] = [file, &versioned(file, build)].map(|name| Path::new(FOLDER).join(name));
        fs::rename(&from, &to).map_err(|e| format!("{}: {e}", from.display()))?;
    }
    Ok([engines::PLAIN, engines::RELAXED].map(|file| versioned(file, build)))
}

/// "worker_bg.wasm" -> "worker_bg-0123456789.wasm".
fn versioned(file: &str, build: &str) -> String {
    let (stem, ending) = file.rsplit_once('.').unwrap_or((file, ""));
    format!("{stem}-{build}.{ending}")
}

/// The text with every quoted mention of the file renamed; nothing where there is none.
fn renamed(text: &str, file: &str, build: &str) -> Option<String> {
    let mut changed = text.to_string();
    for before in ["\"", "'", "\"./", "'./"] {
        changed = changed
            .replace(&format!("{before}{file}"), &format!("{before}{}", versioned(file, build)));
    }
    (changed != text).then_some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_mention_is_renamed_and_prose_is_not() {
        let text = "new URL('worker_bg.wasm', base); import(\"./worker.js\"); // worker.js";
        let wasm = renamed(text, "worker_bg.wasm", "0a").unwrap();
        assert_eq!(
            renamed(&wasm, "worker.js", "0a").unwrap(),
            "new URL('worker_bg-0a.wasm', base); import(\"./worker-0a.js\"); // worker.js"
        );
        assert_eq!(renamed(text, "worker-start.js", "0a"), None);
    }
}
