//! Which file uses which inside one module of the crate's root, and whether two files use each other by any way round.
//!
//! A file and those below it (mod.rs and its parts) are one idea cut in pieces and may use each other. What stands in
//! `mod tests`, and from a kernel's `cases()` on, compares one file with another and is no part of either.

use super::names::{Path, paths};
use std::collections::{BTreeMap, BTreeSet};

/// Complaints about circles. `sources` are (path below src/, text).
pub fn circle_complaints(sources: &[(String, String)]) -> Vec<String> {
    let module = |path: &str| -> Vec<String> {
        let inner = path.trim_end_matches(".rs").trim_end_matches("/mod");
        inner.split('/').map(String::from).collect()
    };
    let files: BTreeMap<Vec<String>, &str> =
        sources.iter().map(|(path, text)| (module(path), text.as_str())).collect();
    let mut graph: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> = BTreeMap::new();
    for (from, text) in &files {
        let text = text.split("pub fn cases()").next().unwrap_or_default();
        let targets = paths(text).into_iter().filter_map(|path| target(&files, from, path));
        let targets = targets.filter(|to| !from.starts_with(to) && !to.starts_with(from));
        graph.insert(from, targets.filter(|to| to[0] == from[0]).collect());
    }
    let mut complaints = BTreeSet::new();
    for start in graph.keys() {
        if let Some(mut circle) = way_back(&graph, start) {
            let least = (0..circle.len()).min_by_key(|&i| circle[i].clone()).unwrap_or(0);
            circle.rotate_left(least);
            complaints.insert(format!(
                "src/: {} use each other in a circle; move what both need into a file of its own",
                circle.join(" -> ")
            ));
        }
    }
    complaints.into_iter().collect()
}

/// The file that a path leads to, if it is one of ours: the longest beginning of it that is a file.
fn target<'a>(
    files: &'a BTreeMap<Vec<String>, &str>,
    from: &[String],
    path: Path<'_>,
) -> Option<&'a Vec<String>> {
    let base = match path.ups {
        None => &from[..0],
        Some(ups) => from.get(..from.len().checked_sub(ups)?)?,
    };
    let mut whole: Vec<String> = base.to_vec();
    whole.extend(path.names.iter().map(|name| name.to_string()));
    (1..=whole.len()).rev().find_map(|n| files.get_key_value(&whole[..n])).map(|(key, _)| key)
}

/// A shortest way from `start` back to it, as names.
fn way_back(
    graph: &BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>>,
    start: &Vec<String>,
) -> Option<Vec<String>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in &ways {
            for next in graph.get(way[way.len() - 1]).into_iter().flatten() {
                if *next == start {
                    return Some(way.iter().map(|part| part.join("/")).collect());
                }
                if seen.insert(*next) {
                    longer.push(way.iter().copied().chain([*next]).collect());
                }
            }
        }
        ways = longer;
    }
    None
}

#[test]
fn a_circle_is_found_however_it_is_written_and_a_parent_is_none() {
    let files = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect()
    };
    let circles = |list: &[(&str, &str)]| circle_complaints(&files(list)).len();
    let a_uses_b = ("m/a.rs", "use super::{Trait, b::{self, B}};");
    assert_eq!(
        circles(&[a_uses_b, ("m/b.rs", "fn f() { crate::m::a::f() }"), ("m/mod.rs", "")]),
        1
    );
    assert_eq!(
        circles(&[a_uses_b, ("m/b.rs", "use super::c::C;"), ("m/c.rs", "use super::a::A;")]),
        1
    );
    assert_eq!(circles(&[a_uses_b, ("m/b.rs", "mod tests { use super::super::a::A; }")]), 0);
    assert_eq!(circles(&[("m/mod.rs", "use a::A;"), ("m/a.rs", "use super::Trait;")]), 0);
    assert_eq!(circles(&[("m/a.rs", "use super::b::B;"), ("n/b.rs", "use crate::m::a::A;")]), 0);
}
