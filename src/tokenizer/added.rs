//! Added tokens: strings cut out of the text before anything else, the longest at each place.

use std::collections::HashMap;

/// Either a token found in the text or a stretch of text without any.
pub(super) enum Piece<'a> {
    Token(u32),
    Text(&'a str),
}

/// An added token and which white space around it belongs to it.
struct Sought {
    /// Bytes of its content.
    length: usize,
    id: u32,
    lstrip: bool,
    rstrip: bool,
}

/// The tokens as a tree of bytes: 100,000 of them are put in and looked for as quickly as ten.
#[derive(Default)]
pub(super) struct Added {
    tokens: Vec<Sought>,
    /// (place, byte) -> place; the root is 0.
    children: HashMap<(u32, u8), u32>,
    /// The token that ends at a place.
    ends: HashMap<u32, usize>,
}

impl Added {
    /// `strip`: whether white space before and behind it is taken too. Of two with one content the lower id counts.
    pub fn insert(&mut self, content: &str, id: u32, strip: [bool; 2]) {
        let mut place = 0;
        for byte in content.bytes() {
            let next = self.children.len() as u32 + 1;
            place = *self.children.entry((place, byte)).or_insert(next);
        }
        let [lstrip, rstrip] = strip;
        let token = Sought { length: content.len(), id, lstrip, rstrip };
        match self.ends.get(&place) {
            Some(&at) if self.tokens[at].id <= id => {}
            Some(&at) => self.tokens[at] = token,
            None => {
                self.ends.insert(place, self.tokens.len());
                self.tokens.push(token);
            }
        }
    }

    /// Cuts the text at every token; pieces of text are never empty.
    pub fn each<'a>(&self, text: &'a str, piece: &mut dyn FnMut(Piece<'a>)) {
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            // A token starts with the first byte of a character, so `at` is a boundary when one fits.
            let Some(token) = self.longest_at(&text.as_bytes()[at..]) else {
                at += 1;
                continue;
            };
            let end = at + token.length;
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

    fn longest_at(&self, text: &[u8]) -> Option<&Sought> {
        let (mut place, mut longest) = (0, None);
        for &byte in text {
            let Some(&next) = self.children.get(&(place, byte)) else { break };
            place = next;
            longest = self.ends.get(&place).or(longest);
        }
        longest.map(|&at| &self.tokens[at])
    }
}
