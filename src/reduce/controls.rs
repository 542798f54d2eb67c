//! What every reduction is compared with: removals that choose without looking, at the same lengths.
//!
//! How many tokens stay after which layer follows from the shared knobs (cut, keep, layers, schedule, guard) and the
//! number of tokens alone, so a control that takes these knobs over keeps exactly as many.

use super::{Place, abouts, place_of};
use crate::method::Setting;

/// Methods that look at nothing.
pub const CONTROLS: [&str; 4] = ["random", "stride", "last", "prefix"];

/// Those of a method at the input: its own scores, and what each is called.
const AT_INPUT: [(&str, &str); 2] =
    [("random", "Random tokens of the input"), ("stride", "Even stride over the input")];

/// The controls of a setting with their names. One that knows the filler is among them where the task marks it; one
/// that is the setting itself is not.
pub fn controls(setting: &Setting, knows_filler: bool) -> Vec<(&'static str, Setting)> {
    if place_of(setting) == Place::Input {
        let other = |(score, label): (&str, &'static str)| {
            let mut control = setting.clone();
            control.set_knob("score", score).is_ok().then_some((label, control))
        };
        let all = AT_INPUT.into_iter().filter_map(other);
        return all.filter(|(_, control)| control.to_string() != setting.to_string()).collect();
    }
    let blind = abouts().into_iter().filter(|about| CONTROLS.contains(&about.id));
    let mut list: Vec<_> =
        blind.map(|about| (about.label, Setting::default_of(about).like(setting))).collect();
    if let Some(about) = abouts().into_iter().find(|about| knows_filler && about.id == "evit") {
        let mut oracle = Setting::default_of(about).like(setting);
        if oracle.set_knob("score", "oracle").is_ok() {
            list.push(("Oracle (knows the filler)", oracle));
        }
    }
    list.retain(|(_, control)| control.to_string() != setting.to_string());
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;
    use crate::reduce::{Schedule, runs_on};

    #[test]
    fn a_control_keeps_as_many_tokens_as_the_method() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let mut compared = 0;
        for model in ["lm-mamba2", "lm-mamba", "lm-llama", "recall-llama"] {
            let json = std::fs::read(root.join(model).join("config.json")).unwrap();
            let config = ModelConfig::parse(&json).unwrap();
            for about in abouts() {
                let mut setting = Setting::default_of(about);
                if !runs_on(config.family(), &setting) {
                    continue;
                }
                for (knob, value) in [("cut", "0.15"), ("guard", "off"), ("keep", "0.8")] {
                    setting.set_knob(knob, value).unwrap();
                    let lengths = |s: &Setting| Schedule::resolve(&config, s, 301);
                    for (name, control) in controls(&setting, true) {
                        assert_eq!(lengths(&control), lengths(&setting), "{setting}: {name}");
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared > 400, "{compared}");
    }

    #[test]
    fn a_control_is_not_compared_with_itself() {
        let of = |spec: &str, filler| {
            let setting = Setting::parse(spec, &abouts()).unwrap().unwrap();
            let list = controls(&setting, filler);
            list.iter().map(|(_, c)| c.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            of("stride:cut=0.1", false),
            ["random:cut=0.1", "last:cut=0.1", "prefix:cut=0.1"]
        );
        assert_eq!(of("evit:score=oracle", true), CONTROLS);
        assert_eq!(of("evit:score=delta", true)[4], "evit:score=oracle");
        assert_eq!(of("surprisal", false), ["surprisal:score=random", "surprisal:score=stride"]);
        assert_eq!(of("surprisal:score=random", false), ["surprisal:score=stride"]);
        // Another seed is another draw.
        assert_eq!(of("random:seed=3", false), ["stride", "last", "prefix"]);
    }
}
