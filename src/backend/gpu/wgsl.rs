//! Shader text without comments, indentation and spaces that say nothing, taken out by the compiler: 8 kB less to load.
//! Natively lines stay where they are, so an error message of the driver names the line of the file or part; the page goes
//! without those too that end where a statement does.

/// `wgsl!(include_str!("..."))`: the text as the engine carries it.
macro_rules! wgsl {
    ($text:expr) => {{
        const TEXT: &str = $text;
        const LEN: usize = $crate::backend::gpu::wgsl::bare_len(TEXT);
        static BARE: [u8; LEN] = $crate::backend::gpu::wgsl::bare::<LEN>(TEXT);
        match std::str::from_utf8(&BARE) {
            Ok(text) => text,
            Err(_) => panic!("a shader is UTF-8 and only whole ASCII runs are taken out"),
        }
    }};
}
pub(crate) use wgsl;

/// Length of [`bare`].
pub const fn bare_len(text: &str) -> usize {
    walk(text.as_bytes(), &mut [])
}

/// The text without what follows `//` in a line, without white space at its ends and beside punctuation.
pub const fn bare<const LEN: usize>(text: &str) -> [u8; LEN] {
    let mut out = [0; LEN];
    walk(text.as_bytes(), &mut out);
    out
}

/// Whether every line stays.
const LINES: bool = !cfg!(target_arch = "wasm32");

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Two of these side by side may be one word: `- -a`, `a / *b`.
const fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'^' | b'<' | b'>' | b'=' | b'!' | b'~'
    )
}

const fn is_punctuation(byte: u8) -> bool {
    is_operator(byte)
        || matches!(byte, b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b';' | b':')
}

/// Whether a space between these two says nothing.
const fn is_spare(before: u8, after: u8) -> bool {
    (is_punctuation(before) || is_punctuation(after))
        && !(is_operator(before) && is_operator(after))
}

/// Where a line ends, and where what stands before its comment and the blanks around that begins and ends.
const fn line(text: &[u8], start: usize) -> (usize, usize, usize) {
    let (mut at, mut next) = (start, start);
    while at < text.len() && is_blank(text[at]) {
        at += 1;
    }
    while next < text.len() && text[next] != b'\n' {
        next += 1;
    }
    let mut end = at;
    while end < next && !(text[end] == b'/' && end + 1 < next && text[end + 1] == b'/') {
        end += 1;
    }
    while end > at && is_blank(text[end - 1]) {
        end -= 1;
    }
    (next, at, end)
}

/// Whether what follows this on a new line could as well follow it at once.
const fn ends_by_itself(byte: u8) -> bool {
    matches!(byte, b'\n' | b';' | b',' | b'{' | b'}' | b'(')
}

/// Writes as far as `out` reaches; gives the length that is needed. WGSL has no strings that could hold `//`.
const fn walk(text: &[u8], out: &mut [u8]) -> usize {
    let (mut start, mut len, mut last) = (0, 0, b'\n');
    while start < text.len() {
        let (next, mut at, end) = line(text, start);
        while at < end {
            let mut byte = text[at];
            let first = at;
            while is_blank(text[at]) {
                (byte, at) = (b' ', at + 1);
            }
            if first == at {
                at += 1;
            } else if is_spare(text[first - 1], text[at]) {
                continue;
            }
            if len < out.len() {
                out[len] = byte;
            }
            (len, last) = (len + 1, byte);
        }
        if next < text.len() && (LINES || !ends_by_itself(last)) {
            if len < out.len() {
                out[len] = b'\n';
            }
            (len, last) = (len + 1, b'\n');
        }
        start = next + 1;
    }
    len
}

#[cfg(test)]
mod tests {
    #[test]
    fn comments_and_indentation_go_and_lines_stay() {
        let bare = wgsl!("// head é\n  fn a() { // x\n\n\t\tlet b = 1 / 2;  \n}");
        assert_eq!(bare, "\nfn a(){\n\nlet b=1/2;\n}");
        assert_eq!(wgsl!(""), "");
    }

    #[test]
    fn spaces_between_words_and_between_operators_stay() {
        assert_eq!(wgsl!("a: array<u32, 2>; return x  y;"), "a:array<u32,2>;return x y;");
        assert_eq!(wgsl!("a - -b / *c < - d  &&  !e"), "a- -b/ *c< -d&& !e");
    }
}
