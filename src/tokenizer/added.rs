//! Added tokens: strings cut out of the text before anything else, the longest at each place.

/// Either a token found in the text or a stretch of text without any.
pub(super) enum Piece<'a> {
    Token(u32),
    Text(&'a str),
}

#[derive(Default)]
pub(super) struct Added {
    /// Sorted by length, longest first.
    tokens: Vec<(String, u32)>,
    starts: Vec<u8>,
}

impl Added {
    pub fn insert(&mut self, content: &str, id: u32) {
        let before = |t: &(String, u32)| (content.len(), t.1) < (t.0.len(), id);
        let at = self.tokens.partition_point(before);
        self.tokens.insert(at, (content.to_string(), id));
        if let Some(first) = content.bytes().next()
            && let Err(at) = self.starts.binary_search(&first)
        {
            self.starts.insert(at, first);
        }
    }

    /// Cuts the text at every token; pieces of text are never empty.
    pub fn each<'a>(&self, text: &'a str, piece: &mut dyn FnMut(Piece<'a>)) {
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            // A token starts with the first byte of a character, so `at` is a boundary when one fits.
            let found =
                self.starts.contains(&text.as_bytes()[at]).then(|| self.longest_at(text, at));
            let Some((length, id)) = found.flatten() else {
                at += 1;
                continue;
            };
            if from < at {
                piece(Piece::Text(&text[from..at]));
            }
            piece(Piece::Token(id));
            at += length;
            from = at;
        }
        if from < text.len() {
            piece(Piece::Text(&text[from..]));
        }
    }

    fn longest_at(&self, text: &str, at: usize) -> Option<(usize, u32)> {
        let rest = &text.as_bytes()[at..];
        let found = self.tokens.iter().find(|(content, _)| rest.starts_with(content.as_bytes()));
        found.map(|(content, id)| (content.len(), *id))
    }
}
