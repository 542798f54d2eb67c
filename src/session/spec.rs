//! Everything that decides a run, and its control names. The link that carries it is read in `link`.

use super::bundle::{Entry, INDEX, data_hash};
use super::link_text::{LINK_VERSION, encode, prompt_pair};
use crate::config::ModelConfig;
use crate::method::{Setting, Value, decimal};
use crate::{Error, Result, eval, prune, reduce};
use std::collections::BTreeMap;

pub(super) const MAX_PROMPT_CHARS: usize = 8192;
/// Id of a model that the user opened from files.
pub const OWN: &str = "own";

/// Which backend a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Whichever reads 128 tokens faster; a GPU that is a program on the CPU is passed over.
    Auto,
    /// wasm simd128, or the native kernels.
    Cpu,
    /// WebGPU, natively Vulkan; an error where there is none.
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
    /// `org/name@commit` where the user's own model came from the hub; else empty.
    pub origin: String,
    /// What both sides are judged by.
    pub evaluation: Setting,
    /// Of the contexts that the compressed side reads; `None` is "off".
    pub reduction: Option<Setting>,
    /// Of the weights of the compressed side; `None` is "off".
    pub pruning: Option<Setting>,
    /// Chooses items, sampled tokens and every random choice of a method; fits in 32 bits.
    pub seed: u64,
    /// Most tokens that are written after the prompt: 1 to 512.
    pub tokens: usize,
    /// 0 takes the most likely token; at most 5.
    pub temperature: f64,
    /// At most 8,192 characters.
    pub prompt: String,
    /// Where both sides run.
    pub backend: Backend,
    /// First 16 hex digits of the sha256 of the user's own data; empty where nothing is known of it.
    pub data: String,
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
            origin: String::new(),
            evaluation: Setting::default_of(about),
            reduction: None,
            pruning: None,
            seed: 1,
            tokens: entry.tokens,
            temperature: 0.0,
            prompt: entry.prompt.clone(),
            backend: Backend::Auto,
            data: String::new(),
        }
    }

    /// Sets one control by its name. Errors: an unknown name or a value out of range; nothing is changed then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "model" => self.set_model(value)?,
            "eval" => self.evaluation = eval::parse(value)?,
            "reduce" => {
                let chosen = Setting::parse(value, &reduce::abouts())?;
                self.reduction = chosen.map(|c| taking_over(c, value, self.reduction.as_ref()));
            }
            "prune" => {
                let chosen = parse_prune(value)?;
                let taken = chosen.clone().map(|c| taking_over(c, value, self.pruning.as_ref()));
                let fits = taken.as_ref().is_none_or(|s| prune::check_setting(s).is_ok());
                self.pruning = if fits { taken } else { chosen };
            }
            "seed" => self.seed = number(name, value, 0, u64::from(u32::MAX))?,
            "tokens" => self.tokens = number(name, value, 1, 512)? as usize,
            "temperature" => self.temperature = temperature(value)?,
            "prompt" => self.prompt = prompt(value)?,
            "backend" => self.backend = backend(value)?,
            _ => self.set_knob(name, value)?,
        }
        Ok(())
    }

    /// Another model keeps the methods where they can run on it, and takes its own evaluation and prompt; data of the
    /// user's own stays.
    fn set_model(&mut self, id: &str) -> Result<()> {
        if id == OWN {
            self.model = OWN.into();
            return Ok(());
        }
        let entry = Entry::find(id)?;
        let fresh = RunSpec::of_model(entry);
        let is_its_own = entry.evaluations.iter().any(|e| e == self.evaluation.about.id);
        if !is_its_own && !eval::is_of_own_data(&self.evaluation) {
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
        if self.model == OWN && !self.origin.is_empty() {
            put("origin", self.origin.clone());
        }
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

    /// What a link says of the evaluation's data.
    pub(super) fn data_hash(&self) -> String {
        match eval::is_of_own_data(&self.evaluation) {
            true => self.data.clone(),
            false => data_hash(&eval::files(&self.evaluation)),
        }
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
            ("d", self.data_hash()),
            ("seed", self.seed.to_string()),
            ("tr", reduction),
            ("sp", pruning),
            ("gen", self.tokens.to_string()),
            ("t", self.temperature.to_string()),
        ];
        let mut encoded: Vec<String> =
            pairs.iter().map(|(k, v)| format!("{k}={}", encode(v))).collect();
        if self.model == OWN && !self.origin.is_empty() {
            encoded.insert(2, format!("h={}", encode(&self.origin)));
        }
        encoded.push(prompt_pair(&self.prompt));
        encoded.push(format!("b={}", self.backend.id()));
        format!("#{}", encoded.join("&"))
    }
}

/// Where a model of the hub comes from: nothing, or `org/name@commit` with a commit of 40 hex digits.
///
/// Errors: anything else.
pub fn origin(text: &str) -> Result<String> {
    let plain = |part: &str| {
        let marks = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        (1..=96).contains(&part.len()) && part.chars().all(marks) && !part.starts_with('.')
    };
    let is_commit = |text: &str| {
        text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts = text.split_once('@').and_then(|(name, commit)| {
        let (owner, short) = name.split_once('/')?;
        (plain(owner) && plain(short) && is_commit(commit)).then_some(())
    });
    match (text, parts) {
        ("", _) | (_, Some(())) => Ok(text.to_string()),
        _ => Err(Error::input(
            "model of the hub",
            text,
            "org/name@commit, the commit of 40 hex digits",
        )),
    }
}

/// A method that is named alone takes over what was changed of the one before it, where it has the same knob: two methods
/// are compared at equal settings.
fn taking_over(mut chosen: Setting, value: &str, before: Option<&Setting>) -> Setting {
    let Some(before) = before.filter(|_| !value.contains(':')) else { return chosen };
    let usual = Setting::default_of(before.about);
    for ((id, value), (_, usual)) in before.knobs().zip(usual.knobs()) {
        if value != usual {
            // What does not mean anything here stays at its default.
            let _ = chosen.set_knob(id, &value.to_string());
        }
    }
    chosen
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
    /// As in [`BACKENDS`]: the control's value, and the link's.
    pub fn id(self) -> &'static str {
        match self {
            Backend::Auto => "auto",
            Backend::Cpu => "cpu",
            Backend::Gpu => "gpu",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_method_takes_over_what_was_changed_and_it_has_too() {
        let mut spec = RunSpec::first();
        spec.set("prune", "wanda:pattern=2:4,sequences=3").unwrap();
        spec.set("prune", "mrp").unwrap();
        assert_eq!(spec.pruning.as_ref().unwrap().to_string(), "mrp:pattern=2:4,sequences=3");
        // It knows no pattern.
        spec.set("prune", "structured").unwrap();
        assert_eq!(spec.pruning.as_ref().unwrap().to_string(), "structured:sequences=3");
        spec.set("prune", "mrp:block=64").unwrap();
        assert_eq!(spec.pruning.as_ref().unwrap().to_string(), "mrp:block=64", "as the SPEC says");
        spec.set("reduce", "utrc:cut=0.1").unwrap();
        spec.set("reduce", "evit").unwrap();
        assert_eq!(spec.reduction.as_ref().unwrap().number("cut"), 0.1);
        spec.set("reduce", "off").unwrap();
        spec.set("reduce", "utrc").unwrap();
        assert_eq!(spec.reduction.unwrap().to_string(), "utrc", "nothing was before it");
    }
}
