//! Perplexity of a whole text of the user's own: windows that overlap, or pieces that do not.

use super::arm::Arm;
use super::evaluation::{Evaluation, Item, Work};
use super::figures::{BITS_PER_BYTE, Metric, PERPLEXITY};
use super::score::Score;
use super::source::{CONTROLS, DATA, Source, text};
use crate::config::FAMILIES;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::{Error, Result};

static ROLLING: About = About {
    id: "rolling",
    label: "Your own text",
    summary: "Perplexity of a whole text, read in windows that overlap; each token is scored once.",
    source: "The first window scores all tokens but its first, every later one its last `stride` tokens after the others, which are its context. A remainder shorter than a stride is left out.",
    knobs: &[
        Knob {
            id: "window",
            label: "Window",
            help: "Tokens of a window",
            kind: KnobKind::Number { min: 2.0, max: 4096.0, step: 1.0, default: 512.0 },
        },
        Knob {
            id: "stride",
            label: "Stride",
            help: "Tokens that each window scores; at most the window less one",
            kind: KnobKind::Number { min: 1.0, max: 4095.0, step: 1.0, default: 256.0 },
        },
        CONTROLS,
    ],
    families: &FAMILIES,
};

static WIKITEXT2: About = About {
    id: "wikitext2-2048",
    label: "WikiText-2, pieces of 2048",
    summary: "Perplexity of WikiText-2's raw test split as the papers on pruning report it.",
    source: "arXiv 1609.07843, file wiki.test.raw. Lines joined by two line breaks, the whole encoded at once and cut into pieces of 2048 tokens, of which each scores all but its first token, without anything before it (as in arXiv 2301.00774, 2306.11695). A remainder is left out. A reduction has one token of context here, so it does nothing.",
    knobs: &[],
    families: &FAMILIES,
};

/// Tokens of a piece.
const PIECE: usize = 2048;

pub struct Rolling;
pub struct WikiText2;

impl Evaluation for Rolling {
    fn about(&self) -> &'static About {
        &ROLLING
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec![DATA.into()]
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&[])
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        let [window, stride] =
            ["window", "stride"].map(|knob| source.setting.number(knob) as usize);
        if stride >= window {
            let expected = format!("less than the window, {window}");
            return Err(Error::input("stride", stride, expected));
        }
        let text = text(&source.files[0])?;
        let ids = source.tokenizer.encode(text)?;
        spans(&ids, text.len(), source, places(ids.len(), window, stride))
    }

    fn metrics(&self) -> &'static [Metric] {
        &[PERPLEXITY, BITS_PER_BYTE]
    }
}

impl Evaluation for WikiText2 {
    fn about(&self) -> &'static About {
        &WIKITEXT2
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec![DATA.into()]
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&[])
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        let text = joined(text(&source.files[0])?);
        let ids = source.tokenizer.encode(&text)?;
        let pieces = (0..ids.len() / PIECE).map(|i| (i * PIECE, i * PIECE + 1, (i + 1) * PIECE));
        spans(&ids, text.len(), source, pieces.collect())
    }

    fn metrics(&self) -> &'static [Metric] {
        &[PERPLEXITY, BITS_PER_BYTE]
    }
}

/// The text as the hub's rows, joined by two line breaks, have it: a line of the file keeps its break, one of white space
/// is an empty row.
fn joined(raw: &str) -> String {
    let row = |line: &str| if line.trim().is_empty() { String::new() } else { format!("{line}\n") };
    raw.split_terminator('\n').map(row).collect::<Vec<_>>().join("\n\n")
}

/// Begin, first scored token and end of every window.
fn places(n: usize, window: usize, stride: usize) -> Vec<(usize, usize, usize)> {
    if n < window {
        return Vec::new();
    }
    let later = (window + stride..=n).step_by(stride);
    let later = later.map(|end| (end - window, end - stride, end));
    [(0, 1, window)].into_iter().chain(later).collect()
}

/// Tokens from `begin` on, of which those before `scored` are context.
struct Span {
    id: String,
    ids: Vec<u32>,
    context: usize,
    bytes: f64,
}

fn spans(
    ids: &[u32],
    bytes: usize,
    source: &Source<'_>,
    places: Vec<(usize, usize, usize)>,
) -> Result<Vec<Box<dyn Item>>> {
    let (file, _) = &source.files[0];
    if places.is_empty() {
        let problem = format!("has {} tokens, too few for one window", ids.len());
        return Err(Error::file(file, problem));
    }
    let decoded = |ids: &[u32]| source.tokenizer.decode_bytes(ids).len() as f64;
    // Of the text as given: a tokenizer may normalise it.
    let as_given = bytes as f64 / decoded(ids);
    let span = |(begin, scored, end): (usize, usize, usize)| Span {
        id: format!("{file}:{begin}"),
        ids: ids[begin..end].to_vec(),
        context: scored - begin,
        bytes: decoded(&ids[scored..end]) * as_given,
    };
    Ok(places.into_iter().map(|place| Box::new(span(place)) as _).collect())
}

impl Item for Span {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn context(&self) -> &[u32] {
        &self.ids[..self.context]
    }

    fn options(&self) -> Vec<&[u32]> {
        vec![&self.ids[self.context..]]
    }

    fn score<'a>(&'a self, arm: &'a Arm<'a>, _prior: &'a [f64]) -> Work<'a, Score> {
        Box::pin(async move {
            let (context, target) = self.ids.split_at(self.context);
            let context = arm.read_in_steps(context).await?;
            let values = arm.device.read(&arm.nll(&context, target).await?).await?;
            let nats = values.chunks_exact(2).map(|pair| f64::from(pair[0])).sum();
            let tokens = target.len();
            Ok(Score::Span { nats, prior: None, tokens, bytes: self.bytes })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_but_the_first_is_scored_once() {
        for (n, window, stride) in [(10, 4, 2), (10, 4, 3), (4, 4, 1), (100, 32, 7)] {
            let places = places(n, window, stride);
            let scored: Vec<usize> = places.iter().flat_map(|&(_, from, to)| from..to).collect();
            assert!(scored.windows(2).all(|w| w[1] == w[0] + 1), "{places:?}");
            assert_eq!(scored[0], 1);
            assert!(n - 1 - scored[scored.len() - 1] < stride, "{places:?}");
            assert!(places.iter().all(|&(from, _, to)| to - from == window));
        }
        assert!(places(3, 4, 2).is_empty());
    }

    #[test]
    fn lines_are_joined_as_the_rows_of_the_hub_are() {
        // Rows: "", " = A = \n", "", " b \n".
        assert_eq!(joined(" \n = A = \n \n b \n"), "\n\n = A = \n\n\n\n\n b \n");
    }
}
