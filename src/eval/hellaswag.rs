//! HellaSwag (arXiv 1905.07830): rows with activity_label, ctx_a, ctx_b, endings, label; texts cleaned as the harness does.

use super::evaluation::{Evaluation, Item};
use super::figures::Metric;
use super::harness::{CHOICE_METRICS, Choices, items};
use super::source::{CONTROLS, DATA, Line, N_OWN, PUBLISHED, Source};
use crate::Result;
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use serde::Deserialize;

static HELLASWAG: About = About {
    id: "hellaswag",
    label: "HellaSwag",
    summary: "Which of four endings follows a description of an activity? Chance is 25 %.",
    source: "arXiv 1905.07830, validation rows of Rowan/hellaswag as JSON lines. As PyPI lm_eval 0.4.13 scores it: the most likely ending, and the one most likely by character.",
    knobs: &[N_OWN, CONTROLS, PUBLISHED],
    families: &FAMILIES,
};

pub struct HellaSwag;

impl Evaluation for HellaSwag {
    fn about(&self) -> &'static About {
        &HELLASWAG
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec![DATA.into()]
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&["activity_label", "ctx_a", "endings"])
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        items(source, item)
    }

    fn metrics(&self) -> &'static [Metric] {
        CHOICE_METRICS
    }
}

#[derive(Deserialize)]
struct HellaSwagRow {
    activity_label: String,
    ctx_a: String,
    ctx_b: String,
    endings: Vec<String>,
    label: Number,
}

/// The hub serves the label as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(usize),
    Text(String),
}

fn item(line: &Line<'_>, source: &Source<'_>) -> Result<Box<dyn Item>> {
    let row: HellaSwagRow = line.parse()?;
    let context = format!("{}: {} {}", row.activity_label, row.ctx_a, capitalized(&row.ctx_b));
    let choices: Vec<String> = row.endings.iter().map(|e| cleaned(e)).collect();
    let label = match row.label {
        Number::Number(n) => n,
        Number::Text(t) => t.trim().parse().unwrap_or(usize::MAX),
    };
    Ok(Box::new(Choices::after(line, &cleaned(&context), &choices, label, source)?))
}

/// The first letter large, all others small, as Python's `capitalize` has it.
pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map_or_else(String::new, platform::upper);
    first + &platform::lower(chars.as_str())
}

/// Which small letter belongs to which large one. A browser knows it: the tables would cost 12 kB of the wasm (gzip).
#[cfg(target_arch = "wasm32")]
mod platform {
    use js_sys::JsString;

    pub fn upper(first: char) -> String {
        JsString::from(String::from(first)).to_upper_case().into()
    }

    pub fn lower(text: &str) -> String {
        JsString::from(text).to_lower_case().into()
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod platform {
    pub fn upper(first: char) -> String {
        first.to_uppercase().collect()
    }

    pub fn lower(text: &str) -> String {
        text.to_lowercase()
    }
}

/// Takes away what is left of the pages that the texts come from.
fn cleaned(text: &str) -> String {
    without_brackets(&text.trim().replace(" [title]", ". ")).replace("  ", " ")
}

/// Without every stretch from an opening to the next closing bracket on the same line.
fn without_brackets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let inside = &rest[open..];
        let line = inside.split('\n').next().unwrap_or_default();
        out.push_str(&rest[..open]);
        rest = match line.find(']') {
            Some(close) => &inside[close + 1..],
            None => {
                out.push('[');
                &inside[1..]
            }
        };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_as_the_harness_does() {
        for (text, clean) in [
            (" How to [title] sing [step] well  now ", "How to. sing well now"),
            ("[header] A [title] B", " A. B"),
            ("a [b\nc] d", "a [b\nc] d"),
            ("a [[b] c] d", "a c] d"),
        ] {
            assert_eq!(cleaned(text), clean, "{text:?}");
        }
        assert_eq!(capitalized("éTUDE In c"), "Étude in c");
        assert_eq!(capitalized(""), "");
    }
}
