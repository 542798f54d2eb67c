//! How values stand in a link: percent-encoding, base64url, and undoing what mail and chat programs do to it.

use crate::{Error, Result};

/// Version of the link format; a newer one is refused.
pub(super) const LINK_VERSION: u32 = 1;

/// The fragment as it was made, of one that went through a mail or a chat: line breaks in it, `&amp;` for `&`, quotes,
/// brackets and punctuation behind it.
pub(super) fn mended(fragment: &str) -> String {
    let mut text: String = fragment.chars().filter(|c| !matches!(c, '\r' | '\n' | '\t')).collect();
    while text.contains("&amp;") {
        text = text.replace("&amp;", "&");
    }
    let mut text = text.trim().to_string();
    loop {
        let last_key = text.rsplit('&').next().unwrap_or_default();
        // A prompt that stands last, as older links have it, may end with these itself.
        let is_prompt = last_key.starts_with("p=");
        let is_stray = |c: char| {
            ");]}>'\"*!?\u{201d}\u{2019}\u{bb}".contains(c) || !is_prompt && ".,:".contains(c)
        };
        let Some(rest) = text.strip_suffix(is_stray) else { return text };
        text = rest.to_string();
    }
}

/// `p=` with the prompt percent-encoded, or `p64=` with its UTF-8 in base64url, whichever is shorter: a prompt of the most
/// characters there may be, four bytes each, takes 43,692 characters of a link's 65,536.
pub(super) fn prompt_pair(prompt: &str) -> String {
    let (plain, coded) = (encode(prompt), to_base64(prompt.as_bytes()));
    match plain.len() <= coded.len() + 2 {
        true => format!("p={plain}"),
        false => format!("p64={coded}"),
    }
}

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648, section 5, without padding.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = (at(0) << 16) | (at(1) << 8) | at(2);
        for i in 0..=three.len() {
            out.push(BASE64URL[((bits >> (18 - 6 * i)) & 63) as usize] as char);
        }
    }
    out
}

pub(super) fn from_base64(text: &str) -> Result<String> {
    let bad = || Error::input("link", printable(text), "a prompt in base64url under p64");
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for four in text.as_bytes().chunks(4) {
        let mut bits = 0;
        for (i, letter) in four.iter().enumerate() {
            let value = BASE64URL.iter().position(|b| b == letter).ok_or_else(bad)?;
            bits |= (value as u32) << (18 - 6 * i);
        }
        match four.len() {
            1 => return Err(bad()),
            n => bytes.extend(&bits.to_be_bytes()[1..n]),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

/// At most 40 characters, nothing invisible.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(40).collect()
}

/// Percent-encodes all but letters, digits and a few marks that survive chat programs and address bars.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(byte as char),
            b'-' | b'_' | b'.' | b'~' | b':' | b',' | b'=' | b'@' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

pub(super) fn decode(text: &str) -> Result<String> {
    let bad = || Error::input("link", printable(text), "percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let pair = tail.get(..2).and_then(|p| std::str::from_utf8(p).ok()).ok_or_else(bad)?;
        if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        bytes.push(u8::from_str_radix(pair, 16).map_err(|_| bad())?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| bad())
}
