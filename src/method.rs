//! What a compression method says about itself, and the SPEC text that selects one.
//!
//! A method's [`About`] is the only description of it: the page's controls, `whittle methods`, the parser of
//! SPECs and links, and the tests all read it.
//!
//! SPEC grammar: `off`, or `ID`, or `ID:KEY=VALUE,KEY=VALUE`, e.g. `wanda:sparsity=0.6,pattern=2:4`.
//! A list of layers is written with plus signs: `layers=1+3`. Keys that are left out take their defaults.

use crate::{Error, Result};
use serde::Serialize;
use std::fmt;

/// Longest SPEC that is read.
const MAX_SPEC: usize = 512;

/// A method's description of itself.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct About {
    /// Short name used in SPECs and links.
    pub id: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// One or two plain sentences.
    pub summary: &'static str,
    /// Paper and equation, and where we differ.
    pub source: &'static str,
    /// Its settings, in the order in which they are shown and written.
    pub knobs: &'static [Knob],
    /// model_type values it can run on.
    pub families: &'static [&'static str],
}

/// One setting of a method.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Knob {
    /// Key in SPECs.
    pub id: &'static str,
    /// For people.
    pub label: &'static str,
    /// What the value means, with its unit.
    pub help: &'static str,
    /// Which values it takes.
    pub kind: KnobKind,
}

/// The values a knob takes.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum KnobKind {
    /// A number. Whole numbers only, where the least one and the step are whole.
    Number {
        /// Least value that is taken.
        min: f64,
        /// Greatest value that is taken.
        max: f64,
        /// What a slider moves by; values between its steps are taken too.
        step: f64,
        /// Where a SPEC says nothing.
        default: f64,
    },
    /// One of (id, label).
    Choice {
        /// In the order in which they are shown.
        options: &'static [(&'static str, &'static str)],
        /// Id of the option that is taken where a SPEC says nothing.
        default: &'static str,
    },
    /// Layer indices; empty means that the method's own rule chooses.
    Layers,
    /// A text of printable ASCII without commas; the method reads it.
    Text {
        /// Most characters.
        longest: usize,
        /// Where a SPEC says nothing.
        default: &'static str,
    },
}

/// A knob's value, already checked against its kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Of a [`KnobKind::Number`].
    Number(f64),
    /// Id of the option.
    Choice(&'static str),
    /// Layers in increasing order, from 0; empty where the method's own rule chooses.
    Layers(Vec<usize>),
    /// As the person wrote it.
    Text(String),
}

impl Value {
    /// Whether it is this option of a choice.
    pub fn is(&self, option: &str) -> bool {
        matches!(self, Value::Choice(x) if *x == option)
    }
}

/// A chosen method with every knob set. Built only by [`Setting::parse`], so its values are valid.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The method.
    pub about: &'static About,
    values: Vec<Value>,
}

impl Setting {
    /// Reads a SPEC. `None` is "off".
    ///
    /// Errors: an unknown method, key or value, naming what was found and what is possible.
    pub fn parse(spec: &str, methods: &[&'static About]) -> Result<Option<Setting>> {
        let spec = spec.trim();
        if spec.len() > MAX_SPEC {
            let expected = format!("at most {MAX_SPEC} characters");
            return Err(Error::input("SPEC", format!("{} characters", spec.len()), expected));
        }
        if spec == "off" || spec.is_empty() {
            return Ok(None);
        }
        let (id, rest) = spec.split_once(':').unwrap_or((spec, ""));
        let known = || methods.iter().map(|m| m.id).collect::<Vec<_>>().join(", ");
        let about = *methods
            .iter()
            .find(|m| m.id == id)
            .ok_or_else(|| Error::input("method", id, format!("off, or one of {}", known())))?;
        let mut setting = Setting::default_of(about);
        for pair in rest.split(',').filter(|pair| !pair.is_empty()) {
            setting.set(pair)?;
        }
        Ok(Some(setting))
    }

    /// The method with every knob at its default.
    pub fn default_of(about: &'static About) -> Setting {
        Setting { about, values: about.knobs.iter().map(|knob| knob.kind.default()).collect() }
    }

    fn set(&mut self, pair: &str) -> Result<()> {
        let bad = || Error::input(format!("{} setting", self.about.id), pair, "KEY=VALUE");
        let (key, text) = pair.split_once('=').ok_or_else(bad)?;
        self.set_knob(key, text)
    }

    /// Sets one knob. Errors: an unknown knob or a value out of range; nothing is changed then.
    pub fn set_knob(&mut self, key: &str, text: &str) -> Result<()> {
        let about = self.about;
        let expected = || about.knobs.iter().map(|k| k.id).collect::<Vec<_>>().join(", ");
        let index = about
            .knobs
            .iter()
            .position(|knob| knob.id == key)
            .ok_or_else(|| Error::input(format!("{} setting", about.id), key, expected()))?;
        self.values[index] = about.knobs[index].parse(text)?;
        Ok(())
    }

    /// Every knob with its value, in order.
    pub fn knobs(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.about.knobs.iter().map(|knob| knob.id).zip(&self.values)
    }

    /// This setting with the values of every knob that `other` has too, where they mean something here.
    pub fn like(mut self, other: &Setting) -> Setting {
        for (id, value) in other.knobs() {
            let _ = self.set_knob(id, &value.to_string());
        }
        self
    }

    fn value(&self, id: &str) -> &Value {
        let index = self.about.knobs.iter().position(|knob| knob.id == id);
        &self.values[index.unwrap_or_else(|| panic!("{} has no knob {id}", self.about.id))]
    }

    /// The value of a number knob; asking for a knob that the method does not have is our mistake.
    pub fn number(&self, id: &str) -> f64 {
        match self.value(id) {
            Value::Number(x) => *x,
            other => panic!("knob {id} is {other:?}, not a number"),
        }
    }

    /// The value of a choice knob.
    pub fn choice(&self, id: &str) -> &'static str {
        match self.value(id) {
            Value::Choice(x) => x,
            other => panic!("knob {id} is {other:?}, not a choice"),
        }
    }

    /// The value of a text knob.
    pub fn text(&self, id: &str) -> &str {
        match self.value(id) {
            Value::Text(x) => x,
            other => panic!("knob {id} is {other:?}, not a text"),
        }
    }

    /// The value of a layer list.
    pub fn layers(&self, id: &str) -> &[usize] {
        match self.value(id) {
            Value::Layers(x) => x,
            other => panic!("knob {id} is {other:?}, not a list of layers"),
        }
    }
}

/// The canonical SPEC: knobs in their order, defaults left out, so that equal settings give equal text.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.about.id)?;
        let mut mark = ':';
        for (knob, value) in self.about.knobs.iter().zip(&self.values) {
            if *value != knob.kind.default() {
                write!(f, "{mark}{}={value}", knob.id)?;
                mark = ',';
            }
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(x) => write!(f, "{x}"),
            Value::Choice(x) => write!(f, "{x}"),
            Value::Text(x) => write!(f, "{x}"),
            Value::Layers(x) => {
                let list: Vec<String> = x.iter().map(usize::to_string).collect();
                write!(f, "{}", list.join("+"))
            }
        }
    }
}

impl KnobKind {
    fn default(&self) -> Value {
        match self {
            Self::Number { default, .. } => Value::Number(*default),
            Self::Choice { default, .. } => Value::Choice(default),
            Self::Layers => Value::Layers(Vec::new()),
            Self::Text { default, .. } => Value::Text(default.to_string()),
        }
    }
}

impl Knob {
    fn parse(&self, text: &str) -> Result<Value> {
        match &self.kind {
            KnobKind::Number { min, max, step, .. } => {
                let is_whole = min.fract() == 0.0 && step.fract() == 0.0;
                let fits = |x: &f64| (*min..=*max).contains(x) && (!is_whole || x.fract() == 0.0);
                decimal(text).filter(fits).map(Value::Number).ok_or_else(|| {
                    let what = if is_whole { "a whole number" } else { "a number" };
                    Error::input(self.id, text, format!("{what} from {min} to {max}"))
                })
            }
            KnobKind::Choice { options, .. } => {
                let found = options.iter().find(|(id, _)| *id == text);
                found.map(|(id, _)| Value::Choice(id)).ok_or_else(|| {
                    let ids: Vec<&str> = options.iter().map(|(id, _)| *id).collect();
                    Error::input(self.id, text, format!("one of {}", ids.join(", ")))
                })
            }
            KnobKind::Layers => parse_layers(self.id, text),
            KnobKind::Text { longest, .. } => parse_text(self.id, text, *longest),
        }
    }
}

/// A number in decimal digits, with an exponent or without.
#[cfg(not(target_arch = "wasm32"))]
pub fn decimal(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// The same by the browser's own reader, which rounds as Rust's does: that one's tables are 13 kB to load (gzip).
#[cfg(target_arch = "wasm32")]
pub fn decimal(text: &str) -> Option<f64> {
    // JavaScript also takes "", white space, hexadecimal and Infinity for numbers.
    let is_plain = |b: u8| b.is_ascii_digit() || b"+-.eE".contains(&b);
    let number = wasm_bindgen::JsValue::from_str(text).unchecked_into_f64();
    (!text.is_empty() && text.bytes().all(is_plain) && !number.is_nan()).then_some(number)
}

fn parse_text(id: &str, text: &str, longest: usize) -> Result<Value> {
    let fits = |c: char| (' '..='~').contains(&c) && c != ',';
    match (1..=longest).contains(&text.len()) && text.chars().all(fits) {
        true => Ok(Value::Text(text.to_string())),
        false => {
            let expected = format!("1 to {longest} printable ASCII characters without commas");
            let found = match text.len() > longest {
                true => format!("{} characters", text.len()),
                false => text.to_string(),
            };
            Err(Error::input(id, found, expected))
        }
    }
}

fn parse_layers(id: &str, text: &str) -> Result<Value> {
    let expected = "increasing layer numbers joined by plus signs, e.g. 1+3";
    let numbers: Option<Vec<usize>> = match text {
        "" => Some(Vec::new()),
        _ => text.split('+').map(|n| n.parse().ok().filter(|&n: &usize| n < 1024)).collect(),
    };
    numbers
        .filter(|list| list.windows(2).all(|w| w[0] < w[1]))
        .map(Value::Layers)
        .ok_or_else(|| Error::input(id, text, expected))
}

#[cfg(test)]
mod tests;
