//! Shader text without comments and indentation, taken out by the compiler: 7 kB less to load. Lines stay where they
//! are, so an error message of the driver names the line of the file.

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

/// The text without what follows `//` in a line and without white space at its ends.
pub const fn bare<const LEN: usize>(text: &str) -> [u8; LEN] {
    let mut out = [0; LEN];
    walk(text.as_bytes(), &mut out);
    out
}

/// Writes as far as `out` reaches; gives the length that is needed. WGSL has no strings that could hold `//`.
const fn walk(text: &[u8], out: &mut [u8]) -> usize {
    let (mut at, mut len) = (0, 0);
    while at < text.len() {
        while at < text.len() && (text[at] == b' ' || text[at] == b'\t') {
            at += 1;
        }
        let mut end = at;
        while end < text.len() && text[end] != b'\n' {
            if text[end] == b'/' && end + 1 < text.len() && text[end + 1] == b'/' {
                break;
            }
            end += 1;
        }
        let mut next = end;
        while next < text.len() && text[next] != b'\n' {
            next += 1;
        }
        while end > at && (text[end - 1] == b' ' || text[end - 1] == b'\t') {
            end -= 1;
        }
        while at < end {
            if len < out.len() {
                out[len] = text[at];
            }
            (at, len) = (at + 1, len + 1);
        }
        if next < text.len() {
            if len < out.len() {
                out[len] = b'\n';
            }
            len += 1;
        }
        at = next + 1;
    }
    len
}

#[cfg(test)]
mod tests {
    #[test]
    fn comments_and_indentation_go_and_lines_stay() {
        let bare = wgsl!("// head é\n  fn a() { // x\n\n\t\tlet b = 1 / 2;  \n}");
        assert_eq!(bare, "\nfn a() {\n\nlet b = 1 / 2;\n}");
        assert_eq!(wgsl!(""), "");
    }
}
