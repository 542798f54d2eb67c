//! What is new in a run since it was last told of: the pieces that go to the page.

use super::protocol::{Part, RunView, Side, Which};

/// What was told of one run so far.
#[derive(Default)]
pub(super) struct Told {
    last: Option<RunView>,
}

impl Told {
    /// The pieces that lead from what was told before to `now`; none of them twice.
    pub fn news(&mut self, now: &RunView) -> Vec<Part> {
        let mut parts = Vec::new();
        let last = self.last.take().unwrap_or_default();
        // Before the model and the device are known there is nothing to tell.
        if now.backend.is_empty() {
            return parts;
        }
        if last.backend.is_empty() {
            parts.push(Part::Begin { backend: now.backend.clone() });
        }
        parts.extend(text(Which::Baseline, &last.baseline, &now.baseline));
        if let (None, Some(ms)) = (last.first_number_ms, now.first_number_ms) {
            parts.push(Part::FirstNumber { ms });
        }
        if now.cost != last.cost {
            parts.extend(now.cost.clone().map(|cost| Part::Cost { cost: Box::new(cost) }));
        }
        parts.extend(text(Which::Compressed, &last.compressed, &now.compressed));
        if now.quality != last.quality {
            parts.push(Part::Quality { quality: now.quality.clone() });
        }
        if now.speed != last.speed {
            parts.extend(now.speed.clone().map(|speed| Part::Speed { speed: Box::new(speed) }));
        }
        if now.trace.is_some() != last.trace.is_some() {
            parts.extend(now.trace.clone().map(|trace| Part::Trace { trace }));
        }
        if now.published.is_some() != last.published.is_some() {
            parts.extend(now.published.clone().map(|published| Part::Published { published }));
        }
        if now.words.is_some() != last.words.is_some() {
            parts.extend(now.words.clone().map(|words| Part::Words { words }));
        }
        if now.states.is_some() != last.states.is_some() {
            parts.extend(now.states.clone().map(|states| Part::States { states }));
        }
        let more = now.controls.iter().skip(last.controls.len()).cloned();
        parts.extend(more.map(|control| Part::Control { control }));
        if now.finished && !last.finished {
            parts.push(Part::Done);
        }
        self.last = Some(now.clone());
        parts
    }
}

fn text(side: Which, last: &Side, now: &Side) -> Option<Part> {
    // Where the other side's text shows a difference, this side's own has not changed.
    if (&last.text, last.tokens, last.done) == (&now.text, now.tokens, now.done) {
        return None;
    }
    let (same, rest) = agreed(&last.text, &now.text);
    let text = rest.to_string();
    let (tokens, differs_at, done) = (now.tokens, now.differs_at, now.done);
    Some(Part::Text { side, at: same, text, tokens, differs_at, done })
}

/// Characters that two texts have in common from the start, and what follows them in the second.
fn agreed<'a>(a: &str, b: &'a str) -> (usize, &'a str) {
    let pairs = a.chars().zip(b.char_indices());
    let same = pairs.take_while(|(x, (_, y))| x == y).count();
    (same, b.char_indices().nth(same).map_or("", |(at, _)| &b[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(text: &str, tokens: usize, done: bool) -> Side {
        Side { text: text.into(), tokens, differs_at: None, done }
    }

    #[test]
    fn text_goes_on_from_where_it_was_and_nothing_is_told_twice() {
        let mut told = Told::default();
        assert!(told.news(&RunView::default()).is_empty(), "before there is a device");
        let mut run = RunView { backend: "CPU".into(), ..RunView::default() };
        run.baseline = side("Grö\u{fffd}", 1, false);
        let first = told.news(&run);
        assert!(matches!(first[0], Part::Begin { .. }), "{first:?}");
        assert!(told.news(&run).is_empty());
        // A character whose second byte came with the next token.
        run.baseline = side("Größe", 2, true);
        let Part::Text { at, text, tokens, done, .. } = &told.news(&run)[0] else { panic!() };
        assert_eq!((*at, text.as_str(), *tokens, *done), (3, "ße", 2, true));
        run.finished = true;
        assert_eq!(told.news(&run), [Part::Done]);
        assert!(told.news(&run).is_empty());
    }
}
