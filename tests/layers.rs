//! What ARCHITECTURE.md says of the sources is true: who may use whom, which shader belongs to which kernel, what
//! the page's scripts never do, and which commands and files the documents name.
//!
//! Reads text, not compiled code, so that it needs nothing but the standard library.
#![cfg(not(target_arch = "wasm32"))]

#[path = "layers/circles.rs"]
mod circles;
#[path = "layers/names.rs"]
mod names;

use circles::circle_complaints;
use names::root_names;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of src/. One may use what stands left of it (above, here); those on one line do not use each other.
const LAYERS: &[&[&str]] = &[
    &["error"],
    &["rng", "pace", "method", "sniff", "order", "bundle", "threads", "arithmetic"],
    &["config", "formula", "weights", "tokenizer"],
    &["backend"],
    &["kernels"],
    &["models"],
    &["reduce", "prune", "export"],
    &["eval"],
    &["session"],
    &["web", "cli"],
];

/// What lib.rs gives out under its own name, and where it lives.
const EXPORTS: &[(&str, &str)] = &[("Error", "error"), ("Result", "error"), ("Rng", "rng")];

/// Ways from a string to markup or code.
const FORBIDDEN_IN_SCRIPTS: &[&str] =
    &["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("];

/// A Rust file that is longer usually holds two ideas.
const MOST_LINES: usize = 400;

/// Folders whose paths the documents may name in backticks.
const FOLDERS: &[&str] =
    &["src/", "shaders/", "www/", "tests/", "docs/", "training/", "models/", "xtask/", "benches/"];

// ---- Layers.

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// What is wrong with the uses of one file; `path` is below src/.
fn layer_complaints(path: &str, source: &str) -> Vec<String> {
    let inner = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let user = inner.split('/').next().unwrap_or_default();
    let order = || LAYERS.iter().map(|l| l.join(", ")).collect::<Vec<_>>().join(" | ");
    let Some(own) = layer_of(user) else {
        return vec![format!("src/{path}: give `{user}` its place in LAYERS of tests/layers.rs")];
    };
    let mut complaints = Vec::new();
    for (line, name) in root_names(source, inner.split('/').count()) {
        let export = EXPORTS.iter().find(|(export, _)| *export == name);
        let used = export.map_or(name, |(_, module)| module);
        let problem = match layer_of(used) {
            None => format!("names `crate::{name}`, which is no module of LAYERS"),
            Some(_) if used == user => continue,
            Some(layer) if layer < own => continue,
            Some(layer) if layer == own => format!("uses `{used}`, which stands beside `{user}`"),
            Some(_) => format!("uses `{used}`, which stands to the right of `{user}`"),
        };
        complaints.push(format!(
            "src/{path}, line {line}: {problem}; a module uses only what stands to its left in {}",
            order()
        ));
    }
    complaints
}

// ---- Shaders, scripts, documents.

/// Whether Rust text includes shaders/NAME.wgsl, by its path or through a macro that is given the name.
fn includes(text: &str, shader: &str) -> bool {
    text.contains(&format!("shaders/{shader}.wgsl\""))
        || (text.contains("shaders/\", $") && text.contains(&format!("\"{shader}\"")))
}

/// `kernels`: kernel -> the text of its file and of those below it; `list`: src/kernels/mod.rs.
fn shader_complaints(
    shaders: &[String],
    kernels: &BTreeMap<String, String>,
    list: &str,
) -> Vec<String> {
    let mut complaints = Vec::new();
    for shader in shaders {
        let users: Vec<&str> = kernels
            .iter()
            .filter(|(_, text)| includes(text, shader))
            .map(|(kernel, _)| kernel.as_str())
            .collect();
        // A part that several kernels include carries the name of the one it belongs to.
        let owner = |kernel: &&&str| shader.starts_with(&format!("{kernel}_"));
        match users.as_slice() {
            [] => complaints.push(format!("shaders/{shader}.wgsl is included by no kernel")),
            [_] => {}
            several if several.iter().any(|k| owner(&k)) => {}
            several => complaints.push(format!(
                "shaders/{shader}.wgsl is included by {}; one kernel owns a shader, and a shared part is named \
                 KERNEL_PART after its owner",
                several.join(", ")
            )),
        }
        for kernel in users {
            let tested = list.contains(&format!("all.extend({kernel}::cases())"));
            if !tested {
                complaints.push(format!(
                    "kernel {kernel} has a shader and is missing in cases() of src/kernels/mod.rs"
                ));
            }
        }
    }
    complaints
}

fn script_complaints(path: &str, text: &str) -> Vec<String> {
    let stands_alone =
        |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || "_$".contains(c));
    let uses = |what: &&&str| text.match_indices(**what).any(|(at, _)| stands_alone(at));
    let found = FORBIDDEN_IN_SCRIPTS.iter().filter(uses);
    found.map(|what| format!("{path}: contains {what}; text enters through textContent")).collect()
}

/// The commands that xtask's HELP lists: two spaces, the word, then what it does.
fn commands(xtask_main: &str) -> Vec<&str> {
    let help = xtask_main.split("const HELP").nth(1).and_then(|text| text.split("\";").next());
    let lines = help.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("  "));
    let lines = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    lines.filter_map(|line| line.split_whitespace().next()).collect()
}

/// Commands and paths in a document that do not exist.
fn document_complaints(
    path: &str,
    text: &str,
    commands: &[&str],
    exists: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let mut complaints = Vec::new();
    for after in text.split("cargo xtask ").skip(1) {
        let end = after.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(after.len());
        let command = &after[..end];
        if !command.is_empty() && !commands.contains(&command) {
            complaints.push(format!(
                "{path}: names `cargo xtask {command}`; xtask has {}",
                commands.join(", ")
            ));
        }
    }
    for quoted in text.split('`').skip(1).step_by(2) {
        let is_path = FOLDERS.iter().any(|folder| quoted.starts_with(folder))
            && quoted
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "/._-".contains(c));
        if is_path && !exists(quoted) {
            complaints.push(format!("{path}: names `{quoted}`, which is not there"));
        }
    }
    complaints
}

/// Markdown files that comments name, and words for documents that a reader cannot open.
fn mention_complaints(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some((_, comment)) = line.split_once("//") else { continue };
        for word in comment.split(|c: char| !(c.is_alphanumeric() || "_-./".contains(c))) {
            let name = word.trim_end_matches('.');
            let is_ours = name.ends_with(".md") && !name.contains("NAME");
            if is_ours
                && !["", "docs", "training", "models/lm-llama"]
                    .iter()
                    .any(|f| root().join(f).join(name).exists())
            {
                complaints
                    .push(format!("{path}, line {}: names {name}, which is not there", number + 1));
            }
        }
        let words = comment.to_lowercase();
        for closed in ["research sheet", "the issue", "our notes"] {
            if words.contains(closed) {
                complaints.push(format!(
                    "{path}, line {}: speaks of \"{closed}\", which no reader can open",
                    number + 1
                ));
            }
        }
    }
    complaints
}

// ---- The repository.

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Like [`files`], and nothing where there are none.
fn files_if_any(folder: &Path, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|e| panic!("{}: {e}", next.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let below = path.strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/");
                found.push((below, read(&path)));
            }
        }
    }
    found.sort();
    found
}

/// Files below a folder with this ending, as (path below it with forward slashes, text).
fn files(folder: &Path, ending: &str) -> Vec<(String, String)> {
    let found = files_if_any(folder, ending);
    assert!(!found.is_empty(), "no *{ending} below {}", folder.display());
    found
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_module_uses_only_what_stands_to_its_left() {
    let sources = files(&root().join("src"), ".rs");
    let modules = sources.iter().filter(|(path, _)| path != "lib.rs" && !path.starts_with("bin/"));
    let modules: Vec<_> = modules.collect();
    let uses: usize = modules.iter().map(|(_, text)| root_names(text, 1).len()).sum();
    assert!(uses > modules.len() / 2, "{uses} uses in {} files: are they read?", modules.len());
    none(modules.iter().flat_map(|(path, text)| layer_complaints(path, text)).collect());

    let library = read(&root().join("src/lib.rs"));
    for module in LAYERS.iter().flat_map(|layer| layer.iter()) {
        assert!(
            library.contains(&format!("mod {module};")),
            "LAYERS names {module}, lib.rs does not"
        );
    }
}

#[test]
fn files_of_a_module_do_not_use_each_other_in_circles() {
    none(circle_complaints(&files(&root().join("src"), ".rs")));
}

#[test]
fn a_file_has_one_idea_and_at_most_400_lines() {
    let long = |(path, text): &(String, String)| {
        let lines = text.lines().count();
        (lines > MOST_LINES)
            .then(|| format!("src/{path} has {lines} lines; two ideas read better apart"))
    };
    none(files(&root().join("src"), ".rs").iter().filter_map(long).collect());
}

#[test]
fn comments_name_only_documents_that_exist() {
    let folders = ["src", "tests", "shaders", "www", "xtask/src", "page-bench/src"];
    let mut complaints = Vec::new();
    for folder in folders {
        for ending in [".rs", ".wgsl", ".js"] {
            for (path, text) in files_if_any(&root().join(folder), ending) {
                complaints.extend(mention_complaints(&format!("{folder}/{path}"), &text));
            }
        }
    }
    none(complaints);
}

#[test]
fn every_shader_belongs_to_one_kernel_and_every_kernel_is_tested() {
    let shaders = files(&root().join("shaders"), ".wgsl");
    let shaders: Vec<String> =
        shaders.iter().map(|(path, _)| path.trim_end_matches(".wgsl").to_string()).collect();
    let mut kernels: BTreeMap<String, String> = BTreeMap::new();
    let mut outside = Vec::new();
    for (path, text) in files(&root().join("src"), ".rs") {
        match path.strip_prefix("kernels/") {
            Some(inner) => {
                let kernel = inner.trim_end_matches(".rs").split('/').next().unwrap_or_default();
                kernels.entry(kernel.to_string()).or_default().push_str(&text);
            }
            None if text.contains(".wgsl\"") => {
                outside.push(format!("src/{path} includes a shader"))
            }
            None => {}
        }
    }
    let list = kernels.remove("mod").expect("src/kernels/mod.rs");
    none(outside);
    none(shader_complaints(&shaders, &kernels, &list));
}

#[test]
fn no_script_of_the_page_turns_text_into_markup_or_code() {
    let scripts = files(&root().join("www"), ".js");
    none(scripts.iter().flat_map(|(path, text)| script_complaints(path, text)).collect());
}

#[test]
fn the_documents_name_commands_and_files_that_exist() {
    let main = read(&root().join("xtask/src/main.rs"));
    let commands = commands(&main);
    assert!(commands.contains(&"serve") && commands.contains(&"test"), "{commands:?}");
    let mut documents = files(&root().join("docs"), ".md");
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "training/README.md"] {
        documents.push((name.into(), read(&root().join(name))));
    }
    let exists = |path: &str| root().join(path).exists();
    let complain =
        |(path, text): &(String, String)| document_complaints(path, text, &commands, &exists);
    none(documents.iter().flat_map(complain).collect());
    let lines = read(&root().join("ARCHITECTURE.md")).lines().count();
    assert!(lines <= 150, "ARCHITECTURE.md has {lines} lines; it is a picture of at most 150");
}

// ---- The checks themselves can fail.

#[test]
fn a_use_to_the_right_is_found_in_every_form() {
    for (path, source, part) in [
        ("models/x.rs", "use crate::eval::Arm;", "`eval`, which stands to the right of `models`"),
        ("models/x.rs", "use crate::{Result, kernels::{a, b}, eval::{Arm, Speed}};", "`eval`"),
        ("models/x.rs", "fn f() { let x = crate::session::run(); }", "`session`"),
        ("kernels/x/cpu.rs", "use super::super::super::models::Model;", "`models`"),
        ("pace.rs", "mod tests { use super::super::cli::main; }", "`cli`"),
        ("backend/mod.rs", "\n\nuse super::{kernels::add::add};", "line 3: uses `kernels`"),
        ("prune/x.rs", "use crate::reduce::Reducer;", "beside `prune`"),
        ("error.rs", "use crate::Rng;", "`rng`, which stands to the right of `error`"),
        ("eval/x.rs", "use crate::*;", "`crate::*`, which is no module"),
        ("novel.rs", "", "give `novel` its place"),
    ] {
        let complaints = layer_complaints(path, source);
        assert_eq!(complaints.len(), 1, "{path}: {source}: {complaints:?}");
        assert!(complaints[0].contains(part), "{}", complaints[0]);
    }
}

#[test]
fn what_is_allowed_or_only_spoken_of_is_not_a_use() {
    for (path, source) in [
        ("eval/x.rs", "use crate::{Error, Result, Rng, kernels::rows::copy}; use super::arm::Arm;"),
        ("models/x.rs", "mod tests { use super::super::{Model, State}; use super::*; }"),
        ("models/x.rs", "//! [`crate::eval`]\n/* crate::eval /* deeper */ crate::eval */"),
        (
            "models/x.rs",
            r####"const A: &str = "\" crate::eval"; const B: &str = r#"" crate::cli"#;"####,
        ),
        (
            "models/x.rs",
            "fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' } pub(crate) mod y {}",
        ),
    ] {
        assert_eq!(layer_complaints(path, source), [""; 0], "{source}");
    }
}

#[test]
fn a_stray_shader_a_bad_script_and_a_wrong_document_are_found() {
    let one = |complaints: Vec<String>, part: &str| {
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains(part), "{}", complaints[0]);
    };
    let kernel = |name: &str, shader: &str| {
        (name.to_string(), format!("include_str!(\"../../shaders/{shader}.wgsl\")"))
    };
    let kernels = BTreeMap::from([kernel("add", "add"), kernel("sum", "add")]);
    let list = "all.extend(add::cases()); all.extend(sum::cases());";
    let shaders = |name: &str| vec![name.to_string()];
    one(shader_complaints(&shaders("lonely"), &kernels, list), "included by no kernel");
    one(shader_complaints(&shaders("add"), &kernels, list), "included by add, sum");
    let kernels = BTreeMap::from([kernel("add", "add")]);
    one(shader_complaints(&shaders("add"), &kernels, ""), "missing in cases()");
    let parts = BTreeMap::from([kernel("add", "add_tile"), kernel("sum", "add_tile")]);
    none(shader_complaints(&shaders("add_tile"), &parts, list));

    one(script_complaints("a.js", "node.innerHTML = text"), "innerHTML");
    one(script_complaints("a.js", "x = eval(text)"), "eval(");
    none(script_complaints("a.js", "retrieval(x); evaluation(y)"));

    let help = "const HELP: &str = \"\\\nusage\n\n  serve [X]  builds\n           more\n  test   tests\n\nEnd\";";
    assert_eq!(commands(help), ["serve", "test"]);
    let check =
        |text: &str| document_complaints("D.md", text, &["serve"], &|path| path == "src/lib.rs");
    one(check("run `cargo xtask deploy` now"), "names `cargo xtask deploy`");
    one(check("see `src/gone.rs`"), "`src/gone.rs`, which is not there");
    none(check(
        "`cargo xtask serve`, `cargo xtask COMMAND`, `src/lib.rs`, `src/kernels/NAME.rs`, `cargo xtask`",
    ));
}
