//! Lines of an input that is not trusted: bounded, and one that is no text does not end the others.

use std::io::{BufRead, BufReader, Read};

/// Bytes of one line.
const MOST_BYTES: usize = 32 << 20;

/// A line, without its end.
#[derive(Debug, PartialEq)]
pub enum Line {
    Text(String),
    /// Why it is none.
    Refused(String),
}

/// The lines of an input.
pub struct Lines<R> {
    from: BufReader<R>,
    most: usize,
}

impl<R: Read> Lines<R> {
    pub fn new(from: R) -> Lines<R> {
        Lines { from: BufReader::new(from), most: MOST_BYTES }
    }

    /// The next line; nothing where the input has ended or cannot be read.
    pub fn next(&mut self) -> Option<Line> {
        let mut bytes = Vec::new();
        let most = self.most as u64 + 1;
        let read = self.from.by_ref().take(most).read_until(b'\n', &mut bytes).ok()?;
        if read == 0 {
            return None;
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        } else if bytes.len() > self.most {
            self.skip()?;
            return Some(Line::Refused(format!("a line of more than {} bytes", self.most)));
        }
        let not_text = |_| Line::Refused("a line that is not UTF-8 text".into());
        Some(String::from_utf8(bytes).map_or_else(not_text, Line::Text))
    }

    /// Passes over what is left of a line.
    fn skip(&mut self) -> Option<()> {
        loop {
            let buffer = self.from.fill_buf().ok()?;
            let (n, is_end) = match buffer.iter().position(|b| *b == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.from.consume(n);
            if is_end {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_or_no_text_is_refused_and_the_next_one_is_read() {
        let input = b"one\n12345678\n\xff\xfe\n\n123456789012345\nlast";
        let mut lines = Lines { from: BufReader::with_capacity(4, &input[..]), most: 8 };
        let text = |text: &str| Some(Line::Text(text.into()));
        assert_eq!(lines.next(), text("one"));
        assert_eq!(lines.next(), text("12345678"), "as long as may be");
        assert!(matches!(lines.next(), Some(Line::Refused(why)) if why.contains("UTF-8")));
        assert_eq!(lines.next(), text(""));
        assert!(matches!(lines.next(), Some(Line::Refused(why)) if why.contains("8 bytes")));
        assert_eq!(lines.next(), text("last"));
        assert_eq!(lines.next(), None);
    }
}
