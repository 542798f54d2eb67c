//! The link that carries a run.
//!
//! A link is `#v=1&m=MODEL@HASH&h=ORIGIN&ev=SPEC&d=HASH&seed=N&tr=SPEC&sp=SPEC&gen=N&t=X&p=PROMPT&b=BACKEND`, keys always in
//! this order, values percent-encoded; a prompt that is shorter in base64url stands so, under `p64`. The prompt is not
//! the last, so that a full stop that a mail put behind the link can be told from one of the prompt. A link is hostile
//! until parsed here: lengths are bounded before anything is decoded, every value is checked, unknown keys are
//! reported and dropped. What mail and chat programs do to a link is undone.

use super::bundle::{Entry, INDEX};
use super::link_text::{LINK_VERSION, decode, from_base64, mended, printable};
use super::spec::{OWN, RunSpec, origin};
use crate::{Error, Result, eval};
use std::collections::BTreeMap;

const MAX_LINK: usize = 64 * 1024;

/// A parsed link and what has to be told about it.
#[derive(Debug, Clone)]
pub struct Link {
    /// The settings; everything that the link does not name is at its default.
    pub spec: RunSpec,
    /// Hash of the model the link was made with, possibly shortened.
    pub model_hash: String,
    /// Whether it was made with bundled evaluation data that are not those here.
    pub other_bundled_data: bool,
    /// Sentences for the reader: unknown keys, other data.
    pub notes: Vec<String>,
}

impl Link {
    /// What is to be said where the weights are not those that the link was made with. `here` gives their sha256, for which
    /// files may have to be read: only a link that names a hash asks.
    pub fn other_weights<'a>(&self, here: &dyn Fn() -> &'a str) -> Option<String> {
        let made_with = &self.model_hash;
        let here = if made_with.is_empty() { "" } else { here() };
        let differ = !here.is_empty() && !here.starts_with(made_with.as_str());
        differ.then(|| {
            let (model, here) = (&self.spec.model, &here[..here.len().min(16)]);
            format!("The link was made with other weights of {model} ({made_with}); these are {here}. Figures will differ.")
        })
    }

    /// What is to be said where the user's own data is not what the link was made with; `here` is its hash, empty where no
    /// file is open.
    pub fn other_data(&self, here: &str) -> Option<String> {
        let made_with = &self.spec.data;
        let differ = !made_with.is_empty() && !here.is_empty() && here != made_with;
        differ.then(|| other_data(made_with, here))
    }

    /// What a link of the user's own model waits for.
    pub fn waits(&self) -> String {
        let hash = &self.model_hash;
        let which = if hash.is_empty() { String::new() } else { format!(" (weights {hash})") };
        match self.spec.origin.as_str() {
            "" => format!(
                "This link is of a model that its maker opened from files{which}. Open the same files, and it runs."
            ),
            origin => format!(
                "This link is of {origin}, a model of the hub{which}. Nothing is fetched until you say so, under Model."
            ),
        }
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
        spec.origin = origin(&pairs.remove("h").unwrap_or_default())?;
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
        let data = pairs.remove("d");
        let mut other_bundled_data = false;
        if eval::is_of_own_data(&spec.evaluation) {
            spec.data = data.map(own_data).transpose()?.unwrap_or_default();
        } else if data.is_some_and(|d| d != spec.data_hash()) {
            other_bundled_data = true;
            notes.push("The link was made with other evaluation data; figures will differ.".into());
        }
        if !pairs.is_empty() {
            let keys: Vec<String> = pairs.keys().take(8).map(|k| printable(k)).collect();
            notes.push(format!("The link has keys that are not known here: {}.", keys.join(", ")));
        }
        Ok(Link { spec, model_hash: printable(model_hash), other_bundled_data, notes })
    }
}

/// What is to be said of two hashes that differ.
pub(super) fn other_data(made_with: &str, here: &str) -> String {
    format!(
        "The link was made with other data (sha256 {made_with}); this is {here}. Figures will differ."
    )
}

/// The hash of data that only the link's author may have.
fn own_data(hash: String) -> Result<String> {
    let is_hash = hash.len() <= 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    match is_hash {
        true => Ok(hash),
        false => Err(Error::input("d", printable(&hash), "the hash of a file, in hex digits")),
    }
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

#[cfg(test)]
mod tests {
    use super::super::link_text::to_base64;
    use super::super::spec::MAX_PROMPT_CHARS;
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
    fn a_link_says_which_data_of_the_users_own_it_was_made_with() {
        let mut spec = RunSpec::first();
        spec.set("eval", "piqa").unwrap();
        spec.data = "0123456789abcdef".into();
        let read = Link::parse(&spec.fragment("00")).unwrap().unwrap();
        assert_eq!(read.spec.data, spec.data);
        assert!(read.other_data(&spec.data).is_none() && read.other_data("").is_none());
        let said = read.other_data("fedcba9876543210").unwrap();
        assert!(said.contains("0123456789abcdef") && said.contains("fedcba"), "{said}");
        // Bundled data is what it is.
        spec.set("eval", "cloze").unwrap();
        assert!(!spec.fragment("00").contains("0123456789abcdef"));
        let error = Link::parse("#v=1&ev=piqa&d=%3Cb%3E").unwrap_err().to_string();
        assert!(error.contains("hex digits"), "{error}");
    }

    #[test]
    fn a_link_of_a_hub_model_carries_its_commit() {
        let mut spec = RunSpec::first();
        spec.set("model", OWN).unwrap();
        spec.origin = origin(&format!("some/model-1@{}", "0a".repeat(20))).unwrap();
        let link = spec.fragment("0123456789abcdef");
        let read = Link::parse(&link).unwrap().unwrap();
        assert_eq!(read.spec.origin, spec.origin);
        assert_eq!(read.spec.fragment("0123456789abcdef"), link);
        // It is part of that model alone.
        spec.set("model", "lm-mamba").unwrap();
        assert!(!spec.fragment("00").contains("some/model"));
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
            ("#v=1&m=own&h=../../x@0", "org/name@commit"),
            ("#v=1&m=own&h=org/name@main", "40 hex digits"),
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
