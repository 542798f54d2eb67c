//! WikiText by documents, as the public harness's task `wikitext` scores it: perplexity by word and by byte.

use super::arm::Arm;
use super::evaluation::{Evaluation, Item, Work};
use super::figures::{BITS_PER_BYTE, BYTE_PERPLEXITY, Metric, WORD_PERPLEXITY};
use super::harness::items;
use super::pair::{Encoder, Pair};
use super::score::Score;
use super::source::{CONTROLS, DATA, Line, N_OWN, Source};
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use crate::{Error, Result};
use serde::Deserialize;

static WIKITEXT: About = About {
    id: "wikitext",
    label: "WikiText by documents",
    summary: "Perplexity by word and by byte of WikiText's documents, each for itself.",
    source: "arXiv 1609.07843, rows of EleutherAI/wikitext_document_level as JSON lines (page). As PyPI lm_eval 0.4.13 scores it: the spaces that the corpus put around punctuation are taken out, words and bytes are counted before that; the first tokens of a document follow begin-of-text, those beyond the model's positions what stands before them. A reduction has one token of context in most places, so it does little.",
    knobs: &[N_OWN, CONTROLS],
    families: &FAMILIES,
};

pub struct WikiText;

impl Evaluation for WikiText {
    fn about(&self) -> &'static About {
        &WIKITEXT
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec![DATA.into()]
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&["page"])
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        items(source, item)
    }

    fn metrics(&self) -> &'static [Metric] {
        &[WORD_PERPLEXITY, BYTE_PERPLEXITY, BITS_PER_BYTE]
    }
}

#[derive(Deserialize)]
struct Row {
    page: String,
}

fn item(line: &Line<'_>, source: &Source<'_>) -> Result<Box<dyn Item>> {
    let Row { page } = line.parse()?;
    let pairs = Encoder::of(source).rolling(&detokenized(&page))?;
    if pairs.is_empty() {
        return Err(Error::input("page", "an empty text", "a document"));
    }
    Ok(Box::new(Document { id: line.id(), pairs, words: words(&page), bytes: page.len() }))
}

/// A document in the pieces in which it is read.
struct Document {
    id: String,
    pairs: Vec<Pair>,
    words: usize,
    bytes: usize,
}

impl Item for Document {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn context(&self) -> &[u32] {
        &self.pairs[0].context
    }

    fn options(&self) -> Vec<&[u32]> {
        vec![&self.pairs[0].continuation]
    }

    fn score<'a>(&'a self, arm: &'a Arm<'a>, _prior: &'a [f64]) -> Work<'a, Score> {
        Box::pin(async move {
            let mut nats = 0.0;
            for pair in &self.pairs {
                nats += pair.cost(arm).await?.0;
            }
            Ok(Score::Document { nats, words: self.words, bytes: self.bytes })
        })
    }
}

/// White space as Python's `\s` has it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Stretches between white space, an empty one at an end counted too.
fn words(text: &str) -> usize {
    let mut before = false;
    let mut runs = 0;
    for c in text.chars() {
        runs += usize::from(is_space(c) && !before);
        before = is_space(c);
    }
    runs + 1
}

/// A document without the spaces that the corpus put around punctuation, in the harness's steps and their order.
fn detokenized(page: &str) -> String {
    let replace = |text: String, pairs: &[(&str, &str)]| {
        pairs.iter().fold(text, |text, (from, to)| text.replace(from, to))
    };
    let digits = ('0'..='9').map(|digit| (format!("/' {digit}/"), "/'[0-9]/"));
    let text = page.replace("s '", "s'");
    // The harness puts the pattern in, not the digit.
    let text = digits.fold(text, |text, (from, to)| text.replace(&from, to));
    let text = replace(text, &[(" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", ".")]);
    let text = replace(text, &[(" : ", ": "), (" ; ", "; "), (" . ", ". ")]);
    let text = replace(text, &[(" ! ", "! "), (" ? ", "? "), (" , ", ", ")]);
    let brackets = [('(', ')'), ('[', ']'), ('{', '}'), ('"', '"'), ('\'', '\'')];
    let text = brackets.into_iter().fold(text, |text, (open, close)| inside(&text, open, close));
    let text = replace(text, &[("= = = =", "===="), ("= = =", "==="), ("= =", "==")]);
    replace(
        text,
        &[(" \u{b0} ", "\u{b0}"), (" \n", "\n"), ("\n ", "\n"), (" N ", " 1 "), (" 's", "'s")],
    )
}

/// Takes white space off at both ends of what stands between a bracket and the next one that closes.
fn inside(text: &str, open: char, close: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open)
        && let Some((between, behind)) = after.split_once(close)
    {
        out.push_str(before);
        out.push(open);
        out.push_str(between.trim_matches(is_space));
        out.push(close);
        rest = behind;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_as_the_harness_does() {
        // len(re.split(r"\s+", text)) in Python.
        for (text, n) in [("", 1), ("a", 1), (" a  b\n", 4), ("\u{1c}a\u{a0}b", 3)] {
            assert_eq!(words(text), n, "{text:?}");
        }
    }
}
