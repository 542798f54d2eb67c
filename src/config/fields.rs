//! Reads config.json field by field: every field taken is checked, what is left over is known.
//!
//! A field is removed when it is read, so that the rest can be compared with the list of harmless
//! fields and the unknown ones reported. `null` counts as absent, as in transformers.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::sniff;

/// Largest number of elements in one tensor: 2 GiB of f32, so that a byte count fits 32-bit `usize`.
const MAX_ELEMENTS: u64 = 1 << 29;

#[derive(Default)]
pub(super) struct Fields {
    map: Map<String, Value>,
    /// Put before a field's name in messages: "" or "rope_parameters.".
    prefix: String,
}

impl Fields {
    pub fn parse(json: &[u8]) -> Result<Self> {
        if let Some(problem) = sniff::foreign(json) {
            return Err(Error::file("config.json", problem));
        }
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let value: Value = serde_json::from_slice(&quote_bare_floats(json, ""))
            .map_err(|e| Error::file("config.json", format!("is not valid JSON: {e}")))?;
        match value {
            Value::Object(map) => Ok(Self { map, prefix: String::new() }),
            other => Err(Error::file(
                "config.json",
                format!("holds {}; expected a JSON object", brief(&other)),
            )),
        }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|v| !v.is_null())
    }

    /// Whether the file does not have the field at all; `null` is a value here.
    pub fn is_absent(&self, name: &str) -> bool {
        !self.map.contains_key(name)
    }

    /// Adds a field, as if the file had it.
    pub fn put(&mut self, name: &str, value: Value) {
        self.map.insert(name.to_string(), value);
    }

    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|v| !v.is_null())
    }

    /// A nested object, its fields named `NAME.FIELD` in messages.
    pub fn object(&mut self, name: &str) -> Result<Option<Fields>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(map)) => {
                Ok(Some(Fields { map, prefix: format!("{}{name}.", self.prefix) }))
            }
            Some(other) => Err(self.error(name, &other, "an object")),
        }
    }

    pub fn error(&self, name: &str, found: &Value, expected: impl Into<String>) -> Error {
        Error::config(format!("{}{name}", self.prefix), brief(found), expected)
    }

    pub fn size(&mut self, name: &str, range: RangeInclusive<usize>) -> Result<usize> {
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        let Some(value) = self.take(name) else {
            return Err(Error::config(format!("{}{name}", self.prefix), "absent", expected()));
        };
        value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| range.contains(n))
            .ok_or_else(|| self.error(name, &value, expected()))
    }

    pub fn size_or(
        &mut self,
        name: &str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize> {
        if self.contains(name) { self.size(name, range) } else { Ok(default) }
    }

    pub fn flag_or(&mut self, name: &str, default: bool) -> Result<bool> {
        match self.take(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.error(name, &other, "true or false")),
        }
    }

    /// A finite number above zero.
    pub fn positive(&mut self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match float(&value) {
            Some(x) if x > 0.0 && x.is_finite() => Ok(Some(x)),
            _ => Err(self.error(name, &value, "a finite number above 0")),
        }
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.error(name, &other, "a string")),
        }
    }

    /// The normalisation epsilon; kept below 1 so that a typing slip is not taken for a model.
    pub fn eps_or(&mut self, name: &str, default: f64) -> Result<f32> {
        let eps = self.positive(name)?.unwrap_or(default);
        if (1e-30..1.0).contains(&eps) {
            return Ok(eps as f32);
        }
        Err(Error::config(name, eps, "a number from 1e-30 to 1"))
    }

    /// Refuses any value but the given ones (or absence).
    pub fn only(&mut self, name: &str, allowed: &[Value], expected: &str) -> Result<()> {
        match self.take(name) {
            Some(found) if !allowed.contains(&found) => Err(self.error(name, &found, expected)),
            _ => Ok(()),
        }
    }

    /// A token id; transformers writes -1 or null for "none" in older files.
    pub fn token(&mut self, name: &str, vocab_size: usize) -> Result<Option<u32>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) if value.as_i64() == Some(-1) => Ok(None),
            Some(value) => self.token_value(name, &value, vocab_size).map(Some),
        }
    }

    /// One token id or a list of them.
    pub fn tokens(&mut self, name: &str, vocab_size: usize) -> Result<Vec<u32>> {
        let Some(Value::Array(list)) = self.map.get(name) else {
            return Ok(self.token(name, vocab_size)?.into_iter().collect());
        };
        let list = list.clone();
        self.map.remove(name);
        list.iter().map(|value| self.token_value(name, value, vocab_size)).collect()
    }

    fn token_value(&self, name: &str, value: &Value, vocab_size: usize) -> Result<u32> {
        match value.as_u64() {
            Some(id) if id < vocab_size as u64 => Ok(id as u32),
            _ => Err(self.error(name, value, format!("a token id below vocab_size {vocab_size}"))),
        }
    }

    /// The names nobody took, less the harmless ones, sorted.
    pub fn leftover(&self, harmless: impl Fn(&str) -> bool) -> Vec<String> {
        // The map is ordered by name.
        self.map
            .keys()
            .filter(|name| !harmless(name))
            .map(|name| format!("{}{name}", self.prefix))
            .collect()
    }
}

/// A float in any spelling: a number, "inf", "Infinity", or transformers 5's `{"__float__": ..}`.
pub(super) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => match text.trim_start_matches('+') {
            "inf" | "Infinity" | "Inf" => Some(f64::INFINITY),
            "-inf" | "-Infinity" | "-Inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        Value::Object(map) if map.len() == 1 => map.get("__float__").and_then(float),
        _ => None,
    }
}

/// Every tensor must be addressable in wasm32's 32 bits: refuses a product above `MAX_ELEMENTS`.
pub(super) fn check_products(products: &[(&str, &[usize])]) -> Result<()> {
    for (name, sides) in products {
        let elements = sides.iter().try_fold(1u64, |n, &side| n.checked_mul(side as u64));
        if elements.is_none_or(|n| n > MAX_ELEMENTS) {
            let sides: Vec<String> = sides.iter().map(usize::to_string).collect();
            let expected = format!("at most {MAX_ELEMENTS} elements in one tensor");
            return Err(Error::config(*name, sides.join(" x "), expected));
        }
    }
    Ok(())
}

/// A value as it stands in the file, shortened: it goes into a message.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 {
        return text;
    }
    text.chars().take(57).chain("...".chars()).collect()
}

/// Python's json writes infinities as bare words, which is not JSON. Published Mamba-2 files have
/// them, so they become strings here, outside of which nothing changes. `mark` goes round each word, inside its quotes.
pub(crate) fn quote_bare_floats<'a>(json: &'a [u8], mark: &str) -> Cow<'a, [u8]> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut out: Option<Vec<u8>> = None;
    let (mut i, mut in_string) = (0, false);
    while i < json.len() {
        let rest = &json[i..];
        let word = WORDS.iter().find(|word| !in_string && rest.starts_with(word));
        let step = match word {
            Some(word) => word.len(),
            None if in_string && rest[0] == b'\\' => rest.len().min(2),
            None => 1,
        };
        if word.is_some() {
            let out = out.get_or_insert_with(|| json[..i].to_vec());
            out.extend([b"\"", mark.as_bytes(), &rest[..step], mark.as_bytes(), b"\""].concat());
        } else {
            in_string ^= rest[0] == b'"';
            if let Some(out) = &mut out {
                out.extend_from_slice(&rest[..step]);
            }
        }
        i += step;
    }
    out.map_or(Cow::Borrowed(json), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_float_has_six_spellings_and_no_more() {
        for text in ["inf", "Infinity", "Inf", "+inf"] {
            assert_eq!(float(&json!(text)), Some(f64::INFINITY), "{text}");
            assert_eq!(float(&json!({"__float__": text})), Some(f64::INFINITY), "{text}");
        }
        for text in ["-inf", "-Infinity", "-Inf"] {
            assert_eq!(float(&json!(text)), Some(f64::NEG_INFINITY), "{text}");
        }
        assert_eq!(float(&json!(0.5)), Some(0.5));
        for other in [json!("nan"), json!({"__float__": 1, "more": 2}), json!({}), json!([1])] {
            assert_eq!(float(&other), None, "{other}");
        }
    }

    #[test]
    fn zero_is_not_positive_and_minus_one_is_no_token() {
        assert_eq!(fields(json!({"x": 1e-9})).positive("x").unwrap(), Some(1e-9));
        assert!(fields(json!({"x": 0})).positive("x").is_err());
        assert!(fields(json!({"x": "inf"})).positive("x").is_err());
        assert_eq!(fields(json!({"x": -1})).token("x", 9).unwrap(), None);
        assert_eq!(fields(json!({"x": 8})).token("x", 9).unwrap(), Some(8));
        assert!(fields(json!({"x": 9})).token("x", 9).is_err());
        assert!(fields(json!({"x": -2})).token("x", 9).is_err());
    }

    #[test]
    fn a_tensor_may_have_half_a_milliard_elements_and_not_one_more() {
        assert!(check_products(&[("x", &[1 << 29])]).is_ok());
        assert!(check_products(&[("x", &[(1 << 29) + 1])]).is_err());
        assert!(check_products(&[("x", &[1 << 20]), ("y", &[1 << 20, 1 << 20])]).is_err());
    }

    #[test]
    fn a_message_quotes_a_value_and_no_more_than_60_characters_of_it() {
        let error = |value: Value| fields(json!({})).error("x", &value, "less").to_string();
        let long = "y".repeat(58);
        assert!(error(json!(long)).contains(&format!("\"{long}\"")), "60 with its quotes");
        let longer = error(json!("y".repeat(59)));
        assert!(longer.contains(&format!("\"{}...", "y".repeat(56))), "{longer}");
        assert!(error(json!([1])).contains("[1]"));
    }
}
