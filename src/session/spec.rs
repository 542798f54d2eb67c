//! Everything that decides a run, its control names, and the link that carries it.
//!
//! A link is `#v=1&m=MODEL@HASH&ev=SPEC&d=HASH&seed=N&tr=SPEC&sp=SPEC&gen=N&t=X&p=PROMPT&b=BACKEND`, keys always in
//! this order, values percent-encoded; a prompt that is shorter in base64url stands so, under `p64`. The prompt is not
//! the last, so that a full stop that a mail put behind the link can be told from one of the prompt. A link is hostile
//! until parsed here: lengths are bounded before anything is decoded, every value is checked, unknown keys are
//! reported and dropped. What mail and chat programs do to a link is undone.

use super::bundle::{Entry, INDEX, data_hash};
use crate::config::ModelConfig;
use crate::method::{Setting, Value, decimal};
use crate::{Error, Result, eval, prune, reduce};
use std::collections::BTreeMap;

/// Version of the link format; a newer one is refused.
const LINK_VERSION: u32 = 1;
const MAX_LINK: usize = 64 * 1024;
const MAX_PROMPT_CHARS: usize = 8192;
/// Id of a model that the user opened from files.
pub const OWN: &str = "own";

/// Which backend a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Auto,
    Cpu,
    Gpu,
}

/// Id and name for people.
pub const BACKENDS: &[(&str, &str)] =
    &[("auto", "Automatic (the faster one)"), ("cpu", "CPU"), ("gpu", "GPU (WebGPU)")];

/// A complete description of a run. Equal specs give equal links.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// A bundled id, or [`OWN`].
    pub model: String,
    pub evaluation: Setting,
    pub reduction: Option<Setting>,
    pub pruning: Option<Setting>,
    pub seed: u64,
    pub tokens: usize,
    pub temperature: f64,
    pub prompt: String,
    pub backend: Backend,
}

impl RunSpec {
    /// What the page shows with no click: the first bundled model, one reduction, one pruning.
    pub fn first() -> RunSpec {
        let mut spec = RunSpec::of_model(&INDEX.models[0]);
        spec.reduction = Some(Setting::default_of(reduce::abouts()[0]));
        spec.pruning = Some(Setting::default_of(prune::abouts()[0]));
        spec
    }

    /// Defaults of a bundled model, nothing compressed.
    pub fn of_model(entry: &Entry) -> RunSpec {
        let abouts = eval::abouts();
        let wanted = entry.evaluations.first().map_or("", String::as_str);
        let about = abouts.iter().find(|a| a.id == wanted).unwrap_or(&abouts[0]);
        RunSpec {
            model: entry.id.clone(),
            evaluation: Setting::default_of(about),
            reduction: None,
            pruning: None,
            seed: 1,
            tokens: entry.tokens,
            temperature: 0.0,
            prompt: entry.prompt.clone(),
            backend: Backend::Auto,
        }
    }

    /// Sets one control by its name. Errors: an unknown name or a value out of range; nothing is changed then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "model" => self.set_model(value)?,
            "eval" => self.evaluation = eval::parse(value)?,
            "reduce" => self.reduction = Setting::parse(value, &reduce::abouts())?,
            "prune" => self.pruning = parse_prune(value)?,
            "seed" => self.seed = number(name, value, 0, u64::from(u32::MAX))?,
            "tokens" => self.tokens = number(name, value, 1, 512)? as usize,
            "temperature" => self.temperature = temperature(value)?,
            "prompt" => self.prompt = prompt(value)?,
            "backend" => self.backend = backend(value)?,
            _ => self.set_knob(name, value)?,
        }
        Ok(())
    }

    /// Another model keeps the methods where they can run on it, and takes its own evaluation and prompt.
    fn set_model(&mut self, id: &str) -> Result<()> {
        if id == OWN {
            self.model = OWN.into();
            return Ok(());
        }
        let entry = Entry::find(id)?;
        let fresh = RunSpec::of_model(entry);
        let keeps = entry.evaluations.iter().any(|e| e == self.evaluation.about.id);
        if !keeps {
            self.evaluation = fresh.evaluation;
            self.prompt = fresh.prompt;
            self.tokens = fresh.tokens;
        }
        if self.reduction.as_ref().is_some_and(|s| !reduce::runs_on(&entry.family, s)) {
            self.reduction = Some(Setting::default_of(reduce::abouts()[0]));
        }
        self.model = fresh.model;
        Ok(())
    }

    fn set_knob(&mut self, name: &str, value: &str) -> Result<()> {
        let unknown = || Error::input("control", name, "a control of this page");
        let (group, knob) = name.split_once('.').ok_or_else(unknown)?;
        let setting = match group {
            "eval" => Some(&mut self.evaluation),
            "reduce" => self.reduction.as_mut(),
            "prune" => self.pruning.as_mut(),
            _ => None,
        };
        let setting = setting.ok_or_else(unknown)?;
        let mut changed = setting.clone();
        changed.set_knob(knob, value)?;
        if group == "prune" {
            prune::check_setting(&changed)?;
        }
        *setting = changed;
        Ok(())
    }

    /// A cut beyond what the chosen layers can save becomes the most that they can; which model it is decides that, so
    /// neither a slider nor a link can know. Gives a sentence that says so.
    pub fn fit(&mut self, config: &ModelConfig) -> Option<String> {
        let setting = self.reduction.as_mut()?;
        let most = reduce::too_much(config, setting)?;
        let mut fitted = setting.clone();
        fitted.set_knob("cut", &most.to_string()).ok()?;
        // Where something else is wrong too, its error says more.
        reduce::check(config, &fitted).ok()?;
        *setting = fitted;
        Some(format!(
            "With these layers of this model a cut of {most} is the most there is; it was set to that."
        ))
    }

    /// Control name -> value.
    pub fn values(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        let mut put = |name: &str, value: String| map.insert(name.to_string(), value);
        put("model", self.model.clone());
        put("seed", self.seed.to_string());
        put("tokens", self.tokens.to_string());
        put("temperature", self.temperature.to_string());
        put("prompt", self.prompt.clone());
        put("backend", self.backend.id().into());
        let groups = [
            ("eval", Some(&self.evaluation)),
            ("reduce", self.reduction.as_ref()),
            ("prune", self.pruning.as_ref()),
        ];
        for (group, setting) in groups {
            let id = setting.map_or("off", |s| s.about.id);
            put(group, id.into());
            for (knob, value) in setting.into_iter().flat_map(Setting::knobs) {
                put(&format!("{group}.{knob}"), Value::to_string(value));
            }
        }
        map
    }

    /// The address fragment. `model_hash` is the sha256 of the weights.
    pub fn fragment(&self, model_hash: &str) -> String {
        let short = &model_hash[..model_hash.len().min(16)];
        let off = || "off".to_string();
        let reduction = self.reduction.as_ref().map_or_else(off, Setting::to_string);
        let pruning = self.pruning.as_ref().map_or_else(off, Setting::to_string);
        let pairs = [
            ("v", LINK_VERSION.to_string()),
            ("m", format!("{}@{short}", self.model)),
            ("ev", self.evaluation.to_string()),
            ("d", data_hash(&eval::files(&self.evaluation))),
            ("seed", self.seed.to_string()),
            ("tr", reduction),
            ("sp", pruning),
            ("gen", self.tokens.to_string()),
            ("t", self.temperature.to_string()),
        ];
        let mut encoded: Vec<String> =
            pairs.iter().map(|(k, v)| format!("{k}={}", encode(v))).collect();
        encoded.push(prompt_pair(&self.prompt));
        encoded.push(format!("b={}", self.backend.id()));
        format!("#{}", encoded.join("&"))
    }
}

/// A parsed link and what has to be told about it.
#[derive(Debug, Clone)]
pub struct Link {
    pub spec: RunSpec,
    /// Hash of the model the link was made with, possibly shortened.
    pub model_hash: String,
    /// Sentences for the reader: unknown keys, other data.
    pub notes: Vec<String>,
}

impl Link {
    /// What is to be said where the weights are not those that the link was made with; `here` is their sha256.
    pub fn other_weights(&self, here: &str) -> Option<String> {
        let made_with = &self.model_hash;
        let differ =
            !made_with.is_empty() && !here.is_empty() && !here.starts_with(made_with.as_str());
        differ.then(|| {
            let (model, here) = (&self.spec.model, &here[..here.len().min(16)]);
            format!("The link was made with other weights of {model} ({made_with}); these are {here}. Figures will differ.")
        })
    }

    /// Reads a whole link or its fragment. `None` when there is nothing in it.
    ///
    /// Errors: too long, a newer version, or a value that is not valid; the message names it.
    pub fn parse(text: &str) -> Result<Option<Link>> {
        let fragment = text.split_once('#').map_or(text, |(_, f)| f);
        if fragment.len() > MAX_LINK {
            let found = format!("{} characters", fragment.len());
            return Err(Error::input("link", found, format!("at most {MAX_LINK}")));
        }
        let fragment = mended(fragment);
        if fragment.is_empty() {
            return Ok(None);
        }
        let mut pairs = BTreeMap::new();
        for pair in fragment.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.insert(key.to_string(), decode(value)?);
        }
        version(pairs.remove("v"))?;
        Self::from_pairs(pairs).map(Some)
    }

    fn from_pairs(mut pairs: BTreeMap<String, String>) -> Result<Link> {
        if let Some(coded) = pairs.remove("p64") {
            pairs.insert("p".into(), from_base64(&coded)?);
        }
        let model = pairs.remove("m").unwrap_or_else(|| INDEX.models[0].id.clone());
        let (id, model_hash) = model.split_once('@').unwrap_or((&model, ""));
        let mut spec = match id {
            OWN => RunSpec { model: OWN.into(), ..RunSpec::of_model(&INDEX.models[0]) },
            id => RunSpec::of_model(Entry::find(id)?),
        };
        let names = [
            ("ev", "eval"),
            ("seed", "seed"),
            ("tr", "reduce"),
            ("sp", "prune"),
            ("gen", "tokens"),
            ("t", "temperature"),
            ("b", "backend"),
            ("p", "prompt"),
        ];
        for (key, name) in names {
            if let Some(value) = pairs.remove(key) {
                spec.set(name, &value)?;
            }
        }
        let mut notes = Vec::new();
        let data = data_hash(&eval::files(&spec.evaluation));
        if pairs.remove("d").is_some_and(|d| d != data) {
            notes.push("The link was made with other evaluation data; figures will differ.".into());
        }
        if !pairs.is_empty() {
            let keys: Vec<String> = pairs.keys().take(8).map(|k| printable(k)).collect();
            notes.push(format!("The link has keys that are not known here: {}.", keys.join(", ")));
        }
        Ok(Link { spec, model_hash: printable(model_hash), notes })
    }
}

/// The fragment as it was made, of one that went through a mail or a chat: line breaks in it, `&amp;` for `&`, quotes,
/// brackets and punctuation behind it.
fn mended(fragment: &str) -> String {
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
fn prompt_pair(prompt: &str) -> String {
    let (plain, coded) = (encode(prompt), to_base64(prompt.as_bytes()));
    match plain.len() <= coded.len() + 2 {
        true => format!("p={plain}"),
        false => format!("p64={coded}"),
    }
}

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648, section 5, without padding.
fn to_base64(bytes: &[u8]) -> String {
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

fn from_base64(text: &str) -> Result<String> {
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

fn version(found: Option<String>) -> Result<()> {
    let found = found.unwrap_or_default();
    match found.parse::<u32>() {
        Ok(LINK_VERSION) => Ok(()),
        Ok(v) if v > LINK_VERSION => Err(Error::input(
            "link version",
            v,
            format!("{LINK_VERSION}; the link was made with a newer Whittle, reload the page"),
        )),
        _ => Err(Error::input("link version", printable(&found), format!("v={LINK_VERSION}"))),
    }
}

/// At most 40 characters, nothing invisible.
fn printable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(40).collect()
}

fn parse_prune(value: &str) -> Result<Option<Setting>> {
    let setting = Setting::parse(value, &prune::abouts())?;
    setting.iter().try_for_each(prune::check_setting)?;
    Ok(setting)
}

fn number(name: &str, value: &str, min: u64, max: u64) -> Result<u64> {
    let found = value.parse().ok().filter(|n| (min..=max).contains(n));
    found.ok_or_else(|| Error::input(name, value, format!("a whole number from {min} to {max}")))
}

fn temperature(value: &str) -> Result<f64> {
    let found = decimal(value).filter(|t| (0.0..=5.0).contains(t));
    found.ok_or_else(|| Error::input("temperature", value, "a number from 0 to 5"))
}

fn prompt(value: &str) -> Result<String> {
    let length = value.chars().count();
    if length > MAX_PROMPT_CHARS {
        let found = format!("{length} characters");
        return Err(Error::input("prompt", found, format!("at most {MAX_PROMPT_CHARS}")));
    }
    Ok(value.to_string())
}

fn backend(value: &str) -> Result<Backend> {
    match value {
        "auto" => Ok(Backend::Auto),
        "cpu" => Ok(Backend::Cpu),
        "gpu" => Ok(Backend::Gpu),
        _ => Err(Error::input("backend", value, "auto, cpu or gpu")),
    }
}

impl Backend {
    pub fn id(self) -> &'static str {
        match self {
            Backend::Auto => "auto",
            Backend::Cpu => "cpu",
            Backend::Gpu => "gpu",
        }
    }
}

/// Percent-encodes all but letters, digits and a few marks that survive chat programs and address bars.
fn encode(text: &str) -> String {
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

fn decode(text: &str) -> Result<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn a_link_gives_back_its_spec_and_equal_specs_give_equal_links() {
        let mut spec = RunSpec::first();
        spec.set("prompt", "Größe & 'quotes' (100 %) +=#\n日本").unwrap();
        spec.set("eval", "text:context=1,target=512").unwrap();
        spec.set("eval.windows", "2").unwrap();
        spec.set("prune.sparsity", "0.7").unwrap();
        spec.set("seed", "9").unwrap();
        let link = spec.fragment("0123456789abcdef0123");
        let read = Link::parse(&format!("https://example.org/whittle/{link}")).unwrap().unwrap();
        assert_eq!(read.spec.values(), spec.values());
        assert_eq!(read.model_hash, "0123456789abcdef");
        assert!(read.notes.is_empty(), "{:?}", read.notes);
        assert_eq!(read.spec.fragment("0123456789abcdef"), link);
    }

    #[test]
    fn a_link_that_a_mail_or_a_chat_has_damaged_opens_as_it_was() {
        let mut spec = RunSpec::first();
        spec.set("prompt", "Why? (\"So\" & so.) It was.").unwrap();
        let link = spec.fragment("0123456789abcdef");
        let half = link.len() / 2;
        for damaged in [
            link.replace('&', "&amp;"),
            link.replace('&', "&amp;amp;"),
            format!("{}\r\n{}", &link[..half], &link[half..]),
            format!("{link}."),
            format!("{link}),"),
            format!("  {link}\u{201d}!\n"),
        ] {
            let read = Link::parse(&damaged).unwrap().unwrap();
            assert_eq!(read.spec.fragment("0123456789abcdef"), link, "{damaged}");
        }
        // Older links end with the prompt, whose full stop is its own.
        let old = Link::parse("#v=1&m=lm-mamba&p=It%20was.").unwrap().unwrap();
        assert_eq!(old.spec.prompt, "It was.");
        let cut = Link::parse("(#v=1&m=lm-mamba&sp=wanda).").unwrap().unwrap();
        assert_eq!(cut.spec.pruning.unwrap().about.id, "wanda");
    }

    #[test]
    fn the_longest_prompt_of_any_script_has_a_link_that_opens() {
        for letter in ["a", " ", "\u{e9}", "\u{65e5}", "\u{1f600}"] {
            let mut spec = RunSpec::first();
            let prompt = letter.repeat(MAX_PROMPT_CHARS);
            spec.set("prompt", &prompt).unwrap();
            let link = spec.fragment("0123456789abcdef");
            let read = Link::parse(&link).unwrap().unwrap();
            assert!(read.spec.prompt == prompt, "{letter}: {} characters", link.len());
        }
        for (text, coded) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")]
        {
            // RFC 4648, section 10.
            assert_eq!(to_base64(text.as_bytes()), coded);
            assert_eq!(from_base64(coded).unwrap(), text);
        }
        assert!(from_base64("Z").is_err() && from_base64("Zm9v!").is_err());
    }

    #[test]
    fn another_model_takes_the_default_reduction_where_the_chosen_one_cannot_run() {
        for (from, to, spec) in [
            ("lm-llama", "lm-mamba", "lazy"),
            ("lm-llama", "lm-mamba2", "evit:score=column"),
            ("lm-mamba", "lm-llama", "evit:score=delta"),
        ] {
            let mut run = RunSpec::first();
            run.set("model", from).unwrap();
            run.set("reduce", spec).unwrap();
            run.set("model", to).unwrap();
            assert_eq!(run.reduction.unwrap().about.id, "utrc", "{spec}");
        }
        let mut run = RunSpec::first();
        run.set("reduce", "evit:score=l1").unwrap();
        run.set("model", "lm-llama").unwrap();
        assert_eq!(run.reduction.unwrap().to_string(), "evit:score=l1");
    }

    #[test]
    fn pruning_knobs_that_do_not_fit_together_change_nothing() {
        let mut spec = RunSpec::first();
        spec.set("prune", "mrp").unwrap();
        let error = spec.set("prune.mask", "M").unwrap_err().to_string();
        assert!(error.contains("a pattern such as 2:4"), "{error}");
        assert_eq!(spec.pruning.as_ref().unwrap().to_string(), "mrp");
        spec.set("prune.pattern", "2:4").unwrap();
        spec.set("prune.mask", "M").unwrap();
        assert!(spec.set("prune.pattern", "unstructured").is_err());
        assert!(spec.set("prune.threshold", "block").is_err());
        assert!(spec.set("prune.ratios", "sensitivity").is_err());
        assert_eq!(spec.pruning.unwrap().to_string(), "mrp:pattern=2:4,mask=M");
    }

    #[test]
    fn hostile_links_are_refused_by_name() {
        let long = format!("#v=1&p={}", "a".repeat(70_000));
        for (link, part) in [
            ("#v=2&m=lm-mamba", "newer"),
            ("#m=lm-mamba", "link version"),
            ("#v=1&m=../../etc/passwd", "one of lm-mamba2"),
            ("#v=1&tr=utrc:cut=NaN", "a number from"),
            ("#v=1&sp=wanda:sparsity=1e999", "a number from"),
            ("#v=1&sp=mrp:mask=M", "a pattern such as 2:4"),
            ("#v=1&sp=wanda:pattern=2:4,threshold=layer", "threshold"),
            ("#v=1&seed=-1", "whole number"),
            ("#v=1&gen=100000000", "whole number"),
            ("#v=1&ev=continuation:n=10.5", "a whole number from 1"),
            ("#v=1&p64=%20", "base64url"),
            ("#v=1&p=%ff", "percent-encoded"),
            ("#v=1&p=%", "percent-encoded"),
            ("#v=1&b=<img onerror=alert(1)>", "auto, cpu or gpu"),
            (long.as_str(), "at most"),
        ] {
            let error = Link::parse(link).unwrap_err().to_string();
            assert!(error.contains(part), "{link:.60}: {error}");
        }
        let odd = Link::parse("#v=1&__proto__=1&constructor=2").unwrap().unwrap();
        assert!(odd.notes[0].contains("__proto__"));
        assert!(Link::parse("#").unwrap().is_none());
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut rng = Rng::new(7);
        let base = RunSpec::first().fragment("00");
        for _ in 0..3000 {
            let mut bytes = base.clone().into_bytes();
            for _ in 0..1 + rng.below(6) {
                let at = rng.below(bytes.len());
                bytes[at] = rng.below(256) as u8;
            }
            let _ = Link::parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
