//! Added tokens: strings cut out of the text before anything else, the longest at each place.

/// Either a token found in the text or a stretch of text without any.
pub(super) enum Piece<'a> {
    Token(u32),
    Text(&'a str),
}

/// An added token and which white space around it belongs to it.
struct Sought {
    content: String,
    id: u32,
    lstrip: bool,
    rstrip: bool,
}

#[derive(Default)]
pub(super) struct Added {
    /// Sorted by length, longest first.
    tokens: Vec<Sought>,
    starts: Vec<u8>,
}

impl Added {
    /// `strip`: whether white space before and behind it is taken too.
    pub fn insert(&mut self, content: &str, id: u32, strip: [bool; 2]) {
        let before = |t: &Sought| (content.len(), t.id) < (t.content.len(), id);
        let at = self.tokens.partition_point(before);
        let (content, [lstrip, rstrip]) = (content.to_string(), strip);
        self.tokens.insert(at, Sought { content: content.clone(), id, lstrip, rstrip });
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
            let Some(token) = found.flatten() else {
                at += 1;
                continue;
            };
            let end = at + token.content.len();
            // White space that the token before has taken is not there any more.
            let start = if token.lstrip { from.max(text[..at].trim_end().len()) } else { at };
            if from < start {
                piece(Piece::Text(&text[from..start]));
            }
            piece(Piece::Token(token.id));
            let behind = &text[end..];
            let taken = if token.rstrip { behind.len() - behind.trim_start().len() } else { 0 };
            (at, from) = (end + taken, end + taken);
        }
        if from < text.len() {
            piece(Piece::Text(&text[from..]));
        }
    }

    fn longest_at(&self, text: &str, at: usize) -> Option<&Sought> {
        let rest = &text.as_bytes()[at..];
        self.tokens.iter().find(|token| rest.starts_with(token.content.as_bytes()))
    }
}
