//! What somebody published: a link, or a file with figures and their links.

use crate::cli::load;
use crate::eval::Quality;
use crate::session::link::Link;
use crate::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// One published run.
pub struct Published {
    /// The link that was published, or the one that stands beside the figures.
    pub link: Link,
    /// Absent where nothing but a link was published.
    pub figures: Option<Figures>,
}

/// What a file says beside its link.
pub struct Figures {
    /// Every metric with both sides, their change and intervals.
    pub quality: Vec<Quality>,
    /// What was counted, as JSON: of a run, or of a point.
    pub cost: Value,
    /// Whether it is a point of a sweep or a history and not a run.
    pub is_point: bool,
    /// Both texts of a run.
    pub texts: Option<[String; 2]>,
    /// Name of the device that it ran on; empty where none is told.
    pub backend: String,
}

/// `whittle run --json`, and what a sweep or a page writes of a run.
#[derive(Deserialize)]
struct Record {
    #[serde(alias = "fragment")]
    link: String,
    #[serde(alias = "complete")]
    finished: bool,
    quality: Vec<Quality>,
    #[serde(default)]
    cost: Value,
    #[serde(default)]
    backend: String,
    baseline: Option<Side>,
    compressed: Option<Side>,
    key: Option<String>,
}

#[derive(Deserialize)]
struct Side {
    text: String,
}

/// The runs of `from`: of the file of this name, or of the link that it is.
///
/// Errors: neither, no JSON, a run that did not come to its end or has no figure.
pub fn read(from: &str) -> Result<Vec<Published>> {
    if Path::new(from).exists() {
        return runs(from, &load::text(from)?);
    }
    let is_link = from.contains("v=");
    let link = is_link.then(|| Link::parse(from)).transpose()?.flatten();
    let link = link.ok_or_else(|| {
        let expected = "a link with a fragment after #, or a file of `whittle run --json`, `whittle sweep` or the page's history";
        Error::input("verify", from, expected)
    })?;
    Ok(vec![Published { link, figures: None }])
}

/// The runs of a file's text.
pub fn runs(name: &str, text: &str) -> Result<Vec<Published>> {
    let failed = |problem: String| Error::file(name, problem);
    let mut found = Vec::new();
    for (i, record) in records(text).map_err(|e| failed(e.to_string()))?.into_iter().enumerate() {
        let run = published(record).map_err(|e| failed(format!("run {}: {e}", i + 1)))?;
        found.push(run);
    }
    match found.is_empty() {
        true => Err(failed("has no run; expected the JSON of at least one".into())),
        false => Ok(found),
    }
}

/// The JSON objects of runs: one, a list, the page's file, or one a line.
fn records(text: &str) -> serde_json::Result<Vec<Value>> {
    let whole: Value = match serde_json::from_str(text) {
        Ok(whole) => whole,
        Err(error) => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let lines: Vec<_> = lines.map(serde_json::from_str).collect();
            // Text that is no list of lines either gets the message about the whole.
            return match lines.len() {
                0 | 1 => Err(error),
                _ => lines.into_iter().collect(),
            };
        }
    };
    let list = match whole {
        Value::Array(list) => list,
        Value::Object(mut fields) if fields.get("runs").is_some_and(Value::is_array) => {
            fields["runs"].as_array_mut().map(std::mem::take).unwrap_or_default()
        }
        one => vec![one],
    };
    let inner = |mut kept: Value| match kept.get_mut("point") {
        Some(point) => point.take(),
        None => kept,
    };
    Ok(list.into_iter().map(inner).collect())
}

fn published(record: Value) -> Result<Published> {
    let problem = |found: String, expected: &str| Error::input("a published run", found, expected);
    let record: Record = serde_json::from_value(record).map_err(|e| {
        problem(e.to_string(), "the JSON of `whittle run --json`, `whittle sweep` or the page")
    })?;
    if !record.finished {
        return Err(problem("one that was broken off".into(), "one that came to its end"));
    }
    if record.quality.is_empty() {
        return Err(problem("no figure".into(), "at least one"));
    }
    let link = Link::parse(&record.link)?
        .ok_or_else(|| problem(record.link.clone(), "a link with a fragment after #"))?;
    let texts = record.baseline.zip(record.compressed).map(|(b, c)| [b.text, c.text]);
    let (quality, cost, backend) = (record.quality, record.cost, record.backend);
    let is_point = record.key.is_some();
    Ok(Published { link, figures: Some(Figures { quality, cost, is_point, texts, backend }) })
}
