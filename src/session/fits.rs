//! What cannot be chosen with a model, and why: methods that its family lacks, tasks that it was not made for.

use super::open::Loaded;
use super::protocol::WhyNot;
use super::spec::{OWN, RunSpec};
use crate::bundle::Entry;
use crate::method::{About, KnobKind, Setting};
use crate::{eval, prune, reduce};
use std::collections::BTreeMap;

/// Evaluations with a vocabulary of their own, which models of prose do not have.
const TOYS: [&str; 3] = ["recall", "copy", "induction"];
/// The bundled task models have less than 100 words, a tokenizer of prose has at least its 256 bytes.
const TOY_VOCABULARY: usize = 256;

/// What cannot be chosen beside the rest of a spec. `own` is the user's own model where it is the chosen one.
/// `readers` are the evaluations that can read the user's own data; absent where no file is open.
pub(super) fn why_not(
    spec: &RunSpec,
    own: Option<&Loaded>,
    readers: Option<&[&'static About]>,
) -> WhyNot {
    let entry = Entry::find(&spec.model).ok();
    let family = match (entry, own) {
        (Some(entry), _) => entry.family.as_str(),
        (None, Some(own)) if spec.model == OWN => own.config.family(),
        _ => return WhyNot::new(),
    };
    let mut all = WhyNot::new();
    let mut put = |control: String, found: BTreeMap<String, String>| {
        if !found.is_empty() {
            all.insert(control, found);
        }
    };
    put("reduce".into(), by_family(&reduce::abouts(), family));
    put("prune".into(), by_family(&prune::abouts(), family));
    let mut evaluations = by_family(&eval::abouts(), family);
    for about in eval::abouts() {
        if let Some(why) = unfit(about.id, entry, own) {
            evaluations.insert(about.id.into(), why);
        }
    }
    for about in eval::own_abouts() {
        let why = match readers {
            None => "open a file of your own first",
            Some(readers) if readers.iter().all(|a| a.id != about.id) => {
                "the file that is open has no such rows"
            }
            Some(_) => continue,
        };
        evaluations.insert(about.id.into(), why.into());
    }
    put("eval".into(), evaluations);
    for (knob, found) in spec.reduction.iter().flat_map(|s| scores(s, family)) {
        put(format!("reduce.{knob}"), found);
    }
    all
}

fn by_family(abouts: &[&'static About], family: &str) -> BTreeMap<String, String> {
    let lacking = abouts.iter().filter(|a| !a.families.contains(&family));
    let why = |a: &&&About| format!("needs a model of type {}", a.families.join(" or "));
    lacking.map(|a| (a.id.to_string(), why(&a))).collect()
}

/// Options of a reduction's knobs that the family has nothing to make of.
fn scores(setting: &Setting, family: &str) -> Vec<(&'static str, BTreeMap<String, String>)> {
    let mut all = Vec::new();
    for knob in setting.about.knobs {
        let KnobKind::Choice { options, .. } = &knob.kind else { continue };
        let is_unfit = |option: &&(&str, &str)| {
            let mut other = setting.clone();
            other.set_knob(knob.id, option.0).is_ok() && !reduce::runs_on(family, &other)
        };
        let why = format!("not with a model of type {family}");
        let unfit = options.iter().filter(is_unfit).map(|(id, _)| (id.to_string(), why.clone()));
        all.push((knob.id, unfit.collect()));
    }
    all
}

/// Why a task says nothing about a model.
fn unfit(task: &str, entry: Option<&Entry>, own: Option<&Loaded>) -> Option<String> {
    if let Some(entry) = entry {
        let fits = entry.evaluations.iter().any(|e| e == task);
        return (!fits).then(|| format!("{} was not trained for it", entry.label));
    }
    let vocabulary = own?.tokenizer.vocab_size();
    let (is_toy_task, is_toy) = (TOYS.contains(&task), vocabulary < TOY_VOCABULARY);
    (is_toy_task != is_toy).then(|| match is_toy {
        true => format!("a vocabulary of {vocabulary} tokens has no prose"),
        false => "needs a model with the words of this task".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_family_lacks_is_named_with_its_reason() {
        let mut spec = RunSpec::first();
        spec.set("model", "lm-mamba2").unwrap();
        spec.set("reduce", "evit").unwrap();
        let found = why_not(&spec, None, None);
        assert!(found["reduce"]["lazy"].contains("llama"), "{found:?}");
        assert!(!found["reduce"].contains_key("utrc"));
        assert!(found["eval"]["recall"].contains("not trained"));
        assert!(!found["eval"].contains_key("text"));
        assert!(found["reduce.score"].contains_key("column"), "{found:?}");
        spec.set("model", "lm-llama").unwrap();
        let found = why_not(&spec, None, Some(&eval::readers(b"A text.")));
        assert!(!found["eval"].contains_key("rolling"));
        assert!(found["eval"]["piqa"].contains("no such rows"));
        assert!(!found.get("reduce").is_some_and(|r| r.contains_key("lazy")));
        assert!(found["reduce.score"].contains_key("delta"));
    }

    #[test]
    fn what_is_not_named_can_be_set() {
        for entry in &crate::bundle::INDEX.models {
            let mut spec = RunSpec::first();
            spec.set("model", &entry.id).unwrap();
            let found = why_not(&spec, None, None);
            assert!(found["eval"]["piqa"].contains("open a file"));
            for about in reduce::abouts() {
                let named = found.get("reduce").is_some_and(|r| r.contains_key(about.id));
                let runs = reduce::runs_on(&entry.family, &Setting::default_of(about));
                assert!(named || runs, "{} on {}", about.id, entry.id);
            }
        }
    }
}
