//! Readers of the parts of a tokenizer.json that stand before and behind its model: normalizer, cuts, template, decoder.

use super::Step;
use super::parts::{FILE, MAX_STEPS, MAX_VOCAB, Norm, Normalizer, Pieces, Scheme};
use super::split::{Behavior, PATTERNS, Split};
use crate::error::{Error, Result};
use serde_json::Value;

pub(super) fn refuse(what: &str, found: &Value, expected: &str) -> Error {
    let found: String = found.to_string().chars().take(120).collect();
    Error::file(FILE, format!("{what} is {found}, which is not implemented; expected {expected}"))
}

pub(super) fn kind(component: &Value) -> &str {
    component.get("type").and_then(Value::as_str).unwrap_or("")
}

pub(super) fn flag(component: &Value, name: &str, default: bool) -> bool {
    component.get(name).and_then(Value::as_bool).unwrap_or(default)
}

pub(super) fn list<'a>(component: &'a Value, name: &str) -> &'a [Value] {
    component.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn known_pattern(component: &Value) -> Result<Split> {
    let plain = component.get("behavior").and_then(Value::as_str) == Some("Isolated")
        && !flag(component, "invert", false);
    let regex = component.get("pattern").and_then(|p| p.get("Regex")).and_then(Value::as_str);
    let known = PATTERNS.iter().find(|(pattern, _)| plain && Some(*pattern) == regex);
    known.map(|(_, max_digits)| Split::Llama3 { max_digits: *max_digits }).ok_or_else(|| {
        refuse("pre_tokenizer", component, "the isolating expression of Llama 3 or Qwen 2")
    })
}

/// A cut at a plain string, or by one of the known expressions.
pub(super) fn split(component: &Value) -> Result<Step> {
    let Some(pattern) = string_pattern(component) else {
        return known_pattern(component).map(Step::Split);
    };
    let behavior = match component.get("behavior").and_then(Value::as_str) {
        Some("Removed") => Behavior::Removed,
        Some("Isolated") => Behavior::Isolated,
        Some("MergedWithPrevious") => Behavior::MergedWithPrevious,
        Some("MergedWithNext") => Behavior::MergedWithNext,
        _ => return Err(refuse("pre_tokenizer", component, "another behavior at a string")),
    };
    if pattern.is_empty() || flag(component, "invert", false) {
        return Err(refuse("pre_tokenizer", component, "a string to cut at"));
    }
    Ok(Step::Literal { pattern: pattern.to_string(), behavior })
}

fn string_pattern(component: &Value) -> Option<&str> {
    component.get("pattern")?.get("String")?.as_str()
}

/// The stand-in for a space, and where it goes without one.
pub(super) fn metaspace(component: &Value) -> Result<(char, Scheme)> {
    let text = component.get("replacement").and_then(Value::as_str).unwrap_or("\u{2581}");
    let mut chars = text.chars();
    let (Some(replacement), None) = (chars.next(), chars.next()) else {
        return Err(refuse("Metaspace", component, "a replacement of one character"));
    };
    let scheme = match component.get("prepend_scheme").and_then(Value::as_str) {
        _ if !flag(component, "add_prefix_space", true) => Scheme::Never,
        None | Some("always") => Scheme::Always,
        Some("first") => Scheme::First,
        Some("never") => Scheme::Never,
        Some(_) => return Err(refuse("Metaspace", component, "always, first or never")),
    };
    Ok((replacement, scheme))
}

pub(super) fn read_normalizer(
    component: Option<&Value>,
    normalizer: &mut Normalizer,
) -> Result<()> {
    let Some(component) = component else { return Ok(()) };
    let expected = "null, NFC, Prepend, Replace of a string, or a Sequence of them";
    let refused = || Err(refuse("normalizer", component, expected));
    let text = |name: &str| component.get(name).and_then(Value::as_str).map(str::to_string);
    if normalizer.0.len() >= MAX_STEPS {
        return refused();
    }
    match (kind(component), text("prepend"), string_pattern(component), text("content")) {
        ("NFC", ..) => normalizer.0.push(Norm::Nfc),
        ("Prepend", Some(front), ..) => normalizer.0.push(Norm::Prepend(front)),
        ("Replace", _, Some(from), Some(to)) if !from.is_empty() => {
            normalizer.0.push(Norm::Replace(from.to_string(), to));
        }
        ("Sequence", ..) => {
            let mut parts = list(component, "normalizers").iter();
            parts.try_for_each(|part| read_normalizer(Some(part), normalizer))?;
        }
        _ => return refused(),
    }
    Ok(())
}

/// The decoder of a BPE over characters, and whether it reads tokens as bytes; nothing for another decoder.
pub(super) fn pieces(decoder: Option<&Value>) -> Result<Option<(Pieces, bool)>> {
    let Some(decoder) = decoder else { return Ok(None) };
    let parts = match kind(decoder) {
        "Sequence" => list(decoder, "decoders"),
        _ => std::slice::from_ref(decoder),
    };
    if parts.iter().all(|part| kind(part) == "ByteLevel") {
        return Ok(None);
    }
    let (mut pieces, mut falls_back, mut fused) = (Pieces::default(), false, false);
    for part in parts {
        let number = |name: &str| part.get(name).and_then(Value::as_u64).unwrap_or(0);
        let content = part.get("content").and_then(Value::as_str);
        match (kind(part), string_pattern(part), content) {
            ("Replace", Some(from), Some(to)) if pieces.replace.0.is_empty() && !fused => {
                pieces.replace = (from.to_string(), to.to_string());
            }
            ("Metaspace", ..) if pieces.replace.0.is_empty() && !fused => {
                let (replacement, scheme) = metaspace(part)?;
                pieces.replace = (replacement.to_string(), " ".into());
                pieces.first = (scheme != Scheme::Never).then_some(replacement);
            }
            ("ByteFallback", ..) if !fused => falls_back = true,
            ("Fuse", ..) => fused = true,
            ("Strip", _, Some(" ")) if fused && number("start") <= 1 && number("stop") == 0 => {
                pieces.strips = number("start") == 1;
            }
            _ => {
                let expected = "ByteLevel, Metaspace, or Replace, ByteFallback, Fuse and Strip of one space, in this order";
                return Err(refuse("decoder", part, expected));
            }
        }
    }
    Ok(Some((pieces, falls_back)))
}

/// "<0x0A>" is the byte 10.
pub(super) fn byte_of(token: &[u8]) -> Option<u8> {
    let digits = token.strip_prefix(b"<0x")?.strip_suffix(b">").filter(|d| d.len() == 2)?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The ids that a template puts before a single text.
pub(super) fn prefix(processor: Option<&Value>) -> Result<Vec<u32>> {
    let Some(processor) = processor else { return Ok(Vec::new()) };
    if kind(processor) == "Sequence" {
        let parts = list(processor, "processors").iter().map(|part| match kind(part) {
            "Sequence" => Err(refuse("post_processor", part, "no Sequence within another")),
            _ => prefix(Some(part)),
        });
        return Ok(parts.collect::<Result<Vec<_>>>()?.concat());
    }
    if kind(processor) != "TemplateProcessing" {
        return Ok(Vec::new());
    }
    let before = list(processor, "single").iter().map_while(|part| part.get("SpecialToken"));
    let ids = before.take(MAX_STEPS).map(|token| {
        let name = token.get("id").and_then(Value::as_str)?;
        let ids = processor.get("special_tokens")?.get(name)?.get("ids")?.as_array()?;
        let id =
            |id: &Value| id.as_u64().filter(|id| *id < u64::from(MAX_VOCAB)).map(|id| id as u32);
        ids.iter().map(id).collect::<Option<Vec<u32>>>()
    });
    let ids: Option<Vec<Vec<u32>>> = ids.collect();
    ids.map(|ids| ids.concat()).ok_or_else(|| {
        refuse("post_processor", processor, "a template whose special tokens have ids")
    })
}

pub(super) fn check_decoder(decoder: Option<&Value>, byte_level: bool) -> Result<()> {
    let refused = |found: &Value| {
        Err(refuse("decoder", found, "ByteLevel for a BPE model, null for WordLevel"))
    };
    match decoder {
        None if byte_level => refused(&Value::Null),
        None => Ok(()),
        Some(found) if kind(found) == "Sequence" => match list(found, "decoders") {
            [only] => check_decoder(Some(only), byte_level),
            _ => refused(found),
        },
        Some(found) if byte_level && kind(found) == "ByteLevel" => Ok(()),
        Some(found) => refused(found),
    }
}
