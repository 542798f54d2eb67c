//! The entries of a zip archive whose files are stored, not compressed, as `torch.save` writes it.
//!
//! Source: PKWARE APPNOTE 6.3, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3 (zip64).

use std::collections::BTreeMap;
use std::ops::Range;

/// Longest comment that may stand behind the end record, and the record itself.
const END_AT_MOST: usize = 65_535 + 22;

/// Where the bytes of each entry stand, by name. Errors: a sentence for the message.
pub(super) fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, &'static str> {
    const CUT: &str = "is a zip archive whose list of files is cut off or wrong; fetch it again";
    let (count, mut at) = directory(bytes).ok_or(CUT)?;
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let head =
            slice(bytes, at, 46).filter(|head| head.starts_with(b"PK\x01\x02")).ok_or(CUT)?;
        let [name, extra, comment] = [28, 30, 32].map(|place| number(head, place, 2) as usize);
        let text = slice(bytes, at + 46, name).ok_or(CUT)?;
        let extra_bytes = slice(bytes, at + 46 + name, extra).ok_or(CUT)?;
        if number(head, 10, 2) != 0 {
            return Err("is a zip archive with compressed files; torch.save stores them");
        }
        let [size, offset] = place(head, extra_bytes).ok_or(CUT)?;
        let range = data(bytes, offset, size).ok_or(CUT)?;
        entries.insert(String::from_utf8_lossy(text).into_owned(), range);
        at += 46 + name + extra + comment;
    }
    Ok(entries)
}

/// Number of entries and place of the central directory.
fn directory(bytes: &[u8]) -> Option<(u64, usize)> {
    let from = bytes.len().saturating_sub(END_AT_MOST);
    let end = from + bytes[from..].windows(4).rposition(|word| word == b"PK\x05\x06")?;
    let record = slice(bytes, end, 22)?;
    let (count, at) = (number(record, 10, 2), number(record, 16, 4));
    if count < 0xffff && at < 0xffff_ffff {
        return Some((count, at as usize));
    }
    let locator = slice(bytes, end.checked_sub(20)?, 20)?;
    let wide = slice(bytes, usize::try_from(number(locator, 8, 8)).ok()?, 56)?;
    let is_wide = locator.starts_with(b"PK\x06\x07") && wide.starts_with(b"PK\x06\x06");
    is_wide.then_some(())?;
    Some((number(wide, 32, 8), usize::try_from(number(wide, 48, 8)).ok()?))
}

/// Size and offset of an entry; what does not fit 32 bits stands in the zip64 field, in this order.
fn place(head: &[u8], mut extra: &[u8]) -> Option<[u64; 2]> {
    let small = [number(head, 24, 4), number(head, 20, 4), number(head, 42, 4)];
    let mut wide: &[u8] = &[];
    while let Some(field) = extra.split_at_checked(4) {
        let (body, rest) = field.1.split_at_checked(number(field.0, 2, 2) as usize)?;
        if number(field.0, 0, 2) == 1 {
            wide = body;
        }
        extra = rest;
    }
    let mut next = |value: u64| match value {
        0xffff_ffff => {
            let (first, rest) = wide.split_at_checked(8)?;
            wide = rest;
            Some(number(first, 0, 8))
        }
        value => Some(value),
    };
    let [size, packed, offset] = [next(small[0])?, next(small[1])?, next(small[2])?];
    (size == packed).then_some([size, offset])
}

/// The bytes behind a local header.
fn data(bytes: &[u8], offset: u64, size: u64) -> Option<Range<usize>> {
    let (offset, size) = (usize::try_from(offset).ok()?, usize::try_from(size).ok()?);
    let head = slice(bytes, offset, 30).filter(|head| head.starts_with(b"PK\x03\x04"))?;
    let start = offset + 30 + number(head, 26, 2) as usize + number(head, 28, 2) as usize;
    slice(bytes, start, size)?;
    Some(start..start + size)
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

/// A little-endian number of `length` bytes at a place that is there.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
}
