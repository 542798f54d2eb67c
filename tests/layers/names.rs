//! What a Rust file names of the crate's root, read from its text: comments and literals are left out.

/// Modules of the crate's root that a file names through `crate::` or `super::`, with the line.
///
/// `depth` is 1 for src/NAME.rs and src/NAME/mod.rs, 2 for src/NAME/PART.rs, and so on.
pub fn root_names(source: &str, depth: usize) -> Vec<(usize, &str)> {
    let words = words(source);
    let word = |i: usize| words.get(i).map_or("", |(_, word)| *word);
    // One entry for each open brace: whether it opened a module.
    let mut braces: Vec<bool> = Vec::new();
    let mut found = Vec::new();
    for i in 0..words.len() {
        match word(i) {
            "{" => braces.push(i >= 2 && word(i - 2) == "mod"),
            "}" => drop(braces.pop()),
            "crate" if word(i + 1) == "::" => found.extend(names_at(&words, i + 2)),
            "super" if i == 0 || word(i - 1) != "::" || word(i.saturating_sub(2)) == "self" => {
                let ups = (0..).take_while(|k| word(i + 2 * k) == "super").count();
                let here = depth + braces.iter().filter(|is_module| **is_module).count();
                if ups == here {
                    found.extend(names_at(&words, i + 2 * ups));
                }
            }
            _ => {}
        }
    }
    found
}

/// A path that begins with `crate` (no ups) or with so many `super`, counted from the file's own module.
#[derive(Debug, PartialEq)]
pub struct Path<'a> {
    pub ups: Option<usize>,
    pub names: Vec<&'a str>,
}

/// Every such path of a file outside its `mod tests`, with groups written out.
pub fn paths(source: &str) -> Vec<Path<'_>> {
    let words = words(source);
    let word = |i: usize| words.get(i).map_or("", |(_, word)| *word);
    // One entry for each open brace: the module it opened, or nothing.
    let mut braces: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for i in 0..words.len() {
        let opened = braces.iter().filter(|name| !name.is_empty()).count();
        let is_test = braces.contains(&"tests");
        match word(i) {
            "{" => braces.push(if i >= 2 && word(i - 2) == "mod" { word(i - 1) } else { "" }),
            "}" => drop(braces.pop()),
            "crate" if word(i + 1) == "::" && !is_test => {
                expand(&words, i + 2, &mut Vec::new(), &mut |names| {
                    found.push(Path { ups: None, names })
                });
            }
            "super" if !is_test && (i == 0 || word(i - 1) != "::") => {
                let ups = (0..).take_while(|k| word(i + 2 * k) == "super").count();
                if ups > opened {
                    expand(&words, i + 2 * ups, &mut Vec::new(), &mut |names| {
                        found.push(Path { ups: Some(ups - opened), names })
                    });
                }
            }
            _ => {}
        }
    }
    found
}

/// Writes out the tree of names that begins at `i`; gives the place after it.
fn expand<'a>(
    words: &[(usize, &'a str)],
    i: usize,
    before: &mut Vec<&'a str>,
    found: &mut dyn FnMut(Vec<&'a str>),
) -> usize {
    let word = |i: usize| words.get(i).map_or("", |(_, word)| *word);
    if word(i) == "{" {
        let mut at = i + 1;
        while !["}", ""].contains(&word(at)) {
            at = if word(at) == "," { at + 1 } else { expand(words, at, before, found) };
        }
        return at + 1;
    }
    before.push(word(i));
    let end = match word(i + 1) {
        "::" => expand(words, i + 2, before, found),
        "as" => {
            found(before.clone());
            i + 3
        }
        _ => {
            found(before.clone());
            i + 1
        }
    };
    before.pop();
    end
}

/// The name at `i`, or those of the group `{a, b::{c, d}}` that begins there: a and b.
fn names_at<'a>(words: &[(usize, &'a str)], i: usize) -> Vec<(usize, &'a str)> {
    let Some(&(line, first)) = words.get(i) else { return Vec::new() };
    if first != "{" {
        return vec![(line, first)];
    }
    let (mut depth, mut names) = (0, Vec::new());
    for pair in words[i..].windows(2) {
        depth += i32::from(pair[0].1 == "{") - i32::from(pair[0].1 == "}");
        if depth == 0 {
            break;
        }
        if depth == 1 && ["{", ","].contains(&pair[0].1) && pair[1].1 != "}" {
            names.push(pair[1]);
        }
    }
    names
}

/// Words and signs with their lines; numbers are left out.
fn words(source: &str) -> Vec<(usize, &str)> {
    let (mut words, mut at, mut line) = (Vec::new(), 0, 1);
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let (length, counts) = match comment_or_literal(rest) {
            Some(length) => (length, false),
            None if is_word(first) => {
                (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), !first.is_ascii_digit())
            }
            None if rest.starts_with("::") => (2, true),
            None => (first.len_utf8(), !first.is_whitespace()),
        };
        if counts {
            words.push((line, &rest[..length]));
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    words
}

/// Bytes of the comment or literal that `text` begins with.
fn comment_or_literal(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    if text.starts_with('\'') {
        return Some(character_or_lifetime(text));
    }
    let unprefixed = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let body = raw.trim_start_matches('#');
        let end = format!("\"{}", "#".repeat(raw.len() - body.len()));
        let opened = body.strip_prefix('"')?;
        let inside = opened.find(&end).map_or(opened.len(), |n| n + end.len());
        return Some(text.len() - opened.len() + inside);
    }
    let mut escaped = false;
    let body = unprefixed.strip_prefix('"')?;
    let inside = body.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(prefix + 1 + inside.map_or(body.len(), |n| n + 1))
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let (step, change) = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        (at, depth) = (at + step, depth + change);
        if depth == 0 {
            break;
        }
    }
    at
}

fn character_or_lifetime(text: &str) -> usize {
    if text.starts_with("'\\") {
        return text[3..].find('\'').map_or(text.len(), |n| n + 4);
    }
    let one = text[1..].chars().next().map_or(0, char::len_utf8);
    if text[1 + one..].starts_with('\'') { one + 2 } else { 1 }
}
