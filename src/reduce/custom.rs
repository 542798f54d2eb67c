//! Importance by an own formula over what is known of a token.
//!
//! Names: clip, l1, l2, noclip (the mixer's output y, as the score of that name), cosine (of y with the last token's),
//! position (0 for the first of the tokens that enter, 1 for the last), surprisal (nats, by the model itself), delta,
//! delta_norm, implicit (Mamba), row, column (attention). The lowest go, or are folded as UTRC does. UTRC and EViT score
//! by clip.

use super::evit::drop_lowest_of;
use super::own::{NAMES, SURPRISAL, formula};
use super::schedule::knobs;
use super::utrc::{Q_HIDDEN, Q_RESIDUAL, fold, matching};
use super::{Job, Plan, TokenReduction, score};
use crate::backend::{Device, Tensor};
use crate::config::{FAMILIES, ModelConfig};
use crate::formula::LONGEST;
use crate::kernels::rows::concat_rows;
use crate::kernels::token_formula::token_formula;
use crate::method::{About, Knob, KnobKind, Setting};
use crate::models::LayerOutput;

pub struct Custom;

static ABOUT: About = About {
    id: "custom",
    label: "Own formula",
    summary: "Drops or folds the tokens whose score is lowest, by a formula of your own.",
    source: "Whoever writes the formula. The default is the score of UTRC (arXiv 2410.14725, equation 5).",
    knobs: knobs![
        Knob {
            id: "formula",
            label: "Importance",
            help: "Tokens of the lowest score go. Names: clip, l1, l2, noclip, cosine, position, surprisal; delta, delta_norm, implicit (Mamba); row, column (attention); + - * / ^ ( ), abs, sqrt, exp, ln",
            kind: KnobKind::Text { longest: LONGEST, default: "clip" },
        },
        score::of_knob("mixer"),
        Knob {
            id: "gone",
            label: "What goes",
            help: "Dropped, as in EViT; or matched with the tokens that stay and folded, as in UTRC",
            kind: KnobKind::Choice {
                options: &[("dropped", "is dropped"), ("folded", "is folded as in UTRC")],
                default: "dropped",
            },
        },
        score::features_knob("mixer"),
        Q_HIDDEN,
        Q_RESIDUAL,
    ],
    families: &FAMILIES,
};

/// The names as the scores are called.
fn score_of(name: &str) -> &str {
    if name == "delta_norm" { "delta-norm" } else { name }
}

/// The importance of every token `[tokens, 1]`.
fn scores(device: &Device, output: &LayerOutput<'_>, job: &Job, setting: &Setting) -> Tensor {
    let formula = formula(setting).expect("check() has read it");
    let y = score::measured(output, setting);
    let none = device.zeros(job.tokens, 1);
    let column = |(i, name): (usize, &&str)| match formula.reads(i) {
        true => score::named(device, output, job, (y, score_of(name))),
        false => none.clone(),
    };
    let mut columns = NAMES.iter().enumerate().map(column);
    let first = columns.next().unwrap_or_else(|| none.clone());
    let values = columns.fold(first, |all, next| concat_rows(device, &all, &next));
    token_formula(device, &formula, &values, (NAMES.len(), job.tokens))
}

impl TokenReduction for Custom {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs_surprisal(&self, setting: &Setting) -> bool {
        formula(setting).is_ok_and(|formula| formula.reads(SURPRISAL))
    }

    fn plan(
        &self,
        device: &Device,
        output: &LayerOutput<'_>,
        job: &Job,
        setting: &Setting,
    ) -> Plan {
        let scores = scores(device, output, job, setting);
        match setting.choice("gone") {
            "folded" => fold(device, output, job, setting, scores),
            _ => drop_lowest_of(device, job, scores),
        }
    }

    fn flops(&self, config: &ModelConfig, job: &Job, setting: &Setting) -> f64 {
        let Ok(formula) = formula(setting) else { return 0.0 };
        let read = NAMES.iter().enumerate().filter(|(i, _)| formula.reads(*i));
        let scores: f64 = read.map(|(_, name)| score::flops_of(config, job, name)).sum();
        let is_folded = setting.choice("gone") == "folded";
        scores + if is_folded { matching(config, job, setting) } else { 0.0 }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::config::ModelConfig;
    use crate::reduce::tests::vectors::{devices, llama, mamba, run, setting};
    use crate::reduce::{abouts, check};
    use pollster::block_on;

    #[test]
    fn published_scores_as_formulas_keep_the_same_tokens() {
        let same = |config: &ModelConfig, own: &str, method: &str| {
            for device in devices() {
                let trace = |spec: &str| {
                    let reducer = run(&device, config, spec, 301).unwrap();
                    let all = block_on(reducer.trace(&device)).unwrap();
                    all.into_iter().map(|t| (t.kept, t.pruned, t.merged)).collect::<Vec<_>>()
                };
                assert_eq!(trace(own), trace(method), "{own}: {method}");
            }
        };
        for config in [mamba(12), llama(12)] {
            same(&config, "custom:formula=clip", "evit");
            same(&config, "custom:formula=clip,gone=folded", "utrc");
            same(&config, "custom:formula=l1*2", "evit:score=l1");
            same(&config, "custom:formula=position^2", "evit:score=recency");
            same(&config, "custom:formula=cosine", "evit:score=cosine");
        }
        same(&mamba(12), "custom:formula=delta", "evit:score=delta");
        same(&mamba(12), "custom:formula=delta_norm*2", "evit:score=delta-norm");
        same(&mamba(12), "custom:formula=implicit", "evit:score=implicit");
        same(&llama(12), "custom:formula=row", "lazy:schedule=even");
        same(&llama(12), "custom:formula=column,gone=folded", "utrc:score=column");
    }

    #[test]
    fn a_formula_comes_back_from_a_spec_and_a_wrong_one_is_refused_with_its_place() {
        let spec = "custom:formula=clip*(1+position)^2";
        assert_eq!(setting(spec).to_string(), spec);
        assert!(check(&mamba(6), &setting(spec)).is_ok());
        for (config, formula, part) in [
            (mamba(6), "clip*size", "at character 6"),
            (mamba(6), "clip+", "the end at character 6"),
            (mamba(6), "row", "llama"),
            (llama(6), "1+delta", "mamba"),
            (mamba(6), "delta+row", "one kind of layer"),
        ] {
            let spec = format!("custom:formula={formula}");
            let error = check(&config, &setting(&spec)).unwrap_err().to_string();
            assert!(error.contains(part), "{formula}: {error}");
        }
        let long = format!("custom:formula={}", "clip+".repeat(50));
        assert!(Setting::parse(&long, &abouts()).is_err());
    }
}
