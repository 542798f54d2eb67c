//! NOTICES.txt of a built page: every crate that is in the engine, with the texts of its licences as its package has them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Result, cargo, output};
use crate::packages::WASM_TARGET;

/// Beginnings of the names of files that a package keeps its licence in.
const FILES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];

const HEAD: &str = "\
Whittle is licensed under MIT or Apache-2.0, as you choose. Its engine (worker_bg.wasm) holds the crates below, and parts of
the Rust standard library (https://github.com/rust-lang/rust, MIT or Apache-2.0). The bundled models were trained for Whittle;
where evaluation texts come from stands in models/eval/SOURCES.md, and whose methods these are in docs/SOURCES.md.
`cargo xtask page` makes this list from what is linked.
";

/// Writes the list into `folder`. Errors: a crate whose package has no text of a licence and names none.
pub fn write(folder: &Path) -> Result<()> {
    let mut tree = cargo();
    tree.args(["tree", "--locked", "--package", "whittle", "--target", WASM_TARGET]);
    tree.args(["--edges", "normal", "--prefix", "none", "--format", "{p}|{l}|{r}"]);
    let list = list(&output(&mut tree)?, &registries()?)?;
    let path = folder.join("NOTICES.txt");
    fs::write(&path, list).map_err(|e| format!("{}: {e}", path.display()))
}

/// Folders that hold the sources of packages.
fn registries() -> Result<Vec<PathBuf>> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let sources = home.ok_or("neither CARGO_HOME nor HOME is set")?.join("registry/src");
    let folders = fs::read_dir(&sources).map_err(|e| format!("{}: {e}", sources.display()))?;
    Ok(folders.filter_map(|folder| Some(folder.ok()?.path())).collect())
}

/// The notices of a tree with one `NAME vVERSION|LICENCE|REPOSITORY` a line. Texts that several crates share stand once.
fn list(tree: &str, registries: &[PathBuf]) -> Result<String> {
    let mut crates = Vec::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // A crate that stood before has a mark at the end of its line.
    let lines = tree.lines().map(|line| line.trim_end_matches(" (*)"));
    let mut lines: Vec<&str> = lines.filter(|line| !line.starts_with("whittle ")).collect();
    lines.sort_unstable();
    lines.dedup();
    for line in lines {
        let mut parts = line.split('|');
        let package = parts.next().unwrap_or_default();
        let (licence, place) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        // What follows the version says "(proc-macro)".
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let version = version.trim_start_matches('v');
        let entry = format!("{name} {version}: {licence} {place}").trim_end().to_string();
        if crates.last() == Some(&entry) {
            continue;
        }
        let found = licences(&format!("{name}-{version}"), registries);
        if found.is_empty() && licence.is_empty() {
            return Err(format!("{name} {version} names no licence; look into its package"));
        }
        for text in found {
            texts.entry(text).or_default().push(format!("{name} {version}"));
        }
        crates.push(entry);
    }
    let mut out = format!("{HEAD}\n{}\n", crates.join("\n"));
    for (text, names) in texts {
        out += &format!("\n{}\n{}\n\n{}\n", "-".repeat(80), names.join(", "), text);
    }
    Ok(out)
}

/// Texts of the licences in a package's folder, in the order of their names.
fn licences(package: &str, registries: &[PathBuf]) -> Vec<String> {
    let mut paths: Vec<PathBuf> = registries
        .iter()
        .filter_map(|registry| fs::read_dir(registry.join(package)).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
            FILES.iter().any(|front| name.starts_with(front))
        })
        .collect();
    paths.sort();
    let texts = paths.iter().filter_map(|path| fs::read_to_string(path).ok());
    texts.map(|text| text.trim().replace("\r\n", "\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_is_named_once_and_equal_texts_stand_once() {
        let folder = env::temp_dir().join(format!("whittle-notices-{}", std::process::id()));
        for package in ["a-1.0.0", "b-2.0.0"] {
            fs::create_dir_all(folder.join(package)).expect("room");
            fs::write(folder.join(package).join("LICENSE-MIT"), "MIT text\r\n").expect("room");
        }
        fs::write(folder.join("b-2.0.0/COPYING"), "Other text").expect("room");
        let tree = "whittle v0.1.0 (/x)|MIT|\nb v2.0.0|MIT|https://b\na v1.0.0 (proc-macro)|MIT|\nb v2.0.0|MIT|https://b (*)\nc v3.0.0|ISC|\n";
        let found = list(tree, std::slice::from_ref(&folder)).expect("a list");
        fs::remove_dir_all(&folder).expect("this test's own");
        for (part, times) in [
            ("a 1.0.0: MIT\n", 1),
            ("b 2.0.0: MIT https://b\n", 1),
            ("c 3.0.0: ISC\n", 1),
            ("MIT text", 1),
            ("a 1.0.0, b 2.0.0\n", 1),
            ("Other text", 1),
        ] {
            assert_eq!(found.matches(part).count(), times, "{part} in {found}");
        }
        assert!(list("d v1.0.0||\n", &[]).is_err());
    }
}
