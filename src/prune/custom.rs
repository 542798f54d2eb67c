//! A mask by an own score: a formula over the weight and what is known of its input and its output row.
//!
//! Names: w the weight; x the norm of its input, ||x_j||; h the diagonal of the inverse Hessian, (H⁻¹)_jj; row and column
//! the sums of absolute weights of its output row and of its input. The lowest scores go, as with every other mask.
//! Magnitude is abs(w), Wanda abs(w)*x, RIA (abs(w)/column+abs(w)/row)*x^0.5, mask S of MRP w^2/h.

use super::by_matrix::{ByMatrix, HostInputs, MatrixJob, Needs, Work};
use super::check;
use super::knobs::{DAMPING, INPUTS_DENSE, LAYERS, MATRICES, ONLY, RATIOS, RUN, SEQUENCES};
use super::masked::{self, REFIT};
use super::pattern::{PATTERN, SPARSITY, THRESHOLD};
use super::swaps::SWAPS;
use crate::config::FAMILIES;
use crate::formula::{Formula, LONGEST};
use crate::method::{About, Knob, KnobKind, Setting};
use crate::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Custom;

const NAMES: [&str; 5] = ["w", "x", "h", "row", "column"];

const SCORE: Knob = Knob {
    id: "score",
    label: "Score",
    help: "Weights of the lowest score go. Names: w, x (norm of the input), h (diagonal of the inverse Hessian), row and column (sums of absolute weights); + - * / ^ ( ), abs, sqrt, exp, ln",
    kind: KnobKind::Text { longest: LONGEST, default: "abs(w)*x" },
};

static ABOUT: About = About {
    id: "custom",
    label: "Own formula",
    summary: "Removes the weights whose score is lowest, by a formula of your own.",
    source: "Whoever writes the formula. The default is Wanda's score (arXiv 2306.11695, equation 1).",
    knobs: &[
        SCORE,
        SPARSITY,
        PATTERN,
        THRESHOLD,
        SWAPS,
        REFIT,
        DAMPING,
        INPUTS_DENSE,
        RATIOS,
        MATRICES,
        ONLY,
        LAYERS,
        SEQUENCES,
        RUN,
    ],
    families: &FAMILIES,
};

fn formula(setting: &Setting) -> Result<Formula> {
    Formula::parse(setting.text("score"), &NAMES)
}

impl ByMatrix for Custom {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, setting: &Setting) -> Result<()> {
        check::weights(setting)?;
        formula(setting).map(drop)
    }

    fn needs(&self, setting: &Setting, cols: usize) -> Needs {
        let needs = match formula(setting) {
            Ok(formula) if !formula.reads(1) && !formula.reads(2) => Needs::Nothing,
            Ok(formula) if !formula.reads(2) => Needs::SquareSums,
            _ => Needs::Factor,
        };
        needs.max(masked::needs(needs, setting, cols))
    }

    fn on_host<'a>(&'a self, job: MatrixJob<'a>, inputs: &'a HostInputs) -> Work<'a> {
        Box::pin(async move {
            let formula = formula(job.setting)?;
            let columns = Columns::of(&formula, &job, inputs);
            let (text, broken) = (job.setting.text("score").to_string(), AtomicBool::new(false));
            let score = |row: &[f64], scores: &mut [f64]| {
                if !columns.score(&formula, row, scores) {
                    broken.store(true, Ordering::Relaxed);
                }
            };
            let outcome = masked::on_host(job, inputs, &score).await?;
            match broken.into_inner() {
                false => Ok(outcome),
                true => {
                    let expected = "scores that are finite: no division by 0, no root or logarithm of what is below 0";
                    Err(Error::input("score", text, expected))
                }
            }
        })
    }
}

/// What a formula reads of every input `[cols]`; zeros where it does not.
struct Columns {
    norms: Vec<f64>,
    inverse: Vec<f64>,
    sums: Vec<f64>,
}

impl Columns {
    fn of(formula: &Formula, job: &MatrixJob<'_>, inputs: &HostInputs) -> Columns {
        let zeros = || vec![0.0f64; inputs.cols];
        let mut sums = zeros();
        for row in job.weights.chunks_exact(inputs.cols) {
            sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += f64::from(w.abs()));
        }
        // As in RIA: an input without weights has shares of 0, not of 0 / 0.
        sums.iter_mut().for_each(|sum| *sum = sum.max(f64::MIN_POSITIVE));
        let norms = || inputs.square_sums.iter().map(|s| s.sqrt()).collect();
        Columns {
            norms: if formula.reads(1) { norms() } else { zeros() },
            inverse: if formula.reads(2) { inputs.hessian().inverse_diagonal() } else { zeros() },
            sums,
        }
    }

    /// Fills the scores of a row. False where one is not finite.
    fn score(&self, formula: &Formula, row: &[f64], scores: &mut [f64]) -> bool {
        let sum = row.iter().map(|w| w.abs()).sum::<f64>().max(f64::MIN_POSITIVE);
        let mut stack = Vec::new();
        for (j, (score, w)) in scores.iter_mut().zip(row).enumerate() {
            let names = [*w, self.norms[j], self.inverse[j], sum, self.sums[j]];
            *score = formula.value(&names, &mut stack);
        }
        scores.iter().all(|s| s.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use crate::prune::tests::{layer, pruned, setting, zeros};
    use crate::prune::{abouts, check_setting};

    #[test]
    fn published_scores_as_formulas_give_the_masks_of_the_methods() {
        let case = layer(20, 96, 300, 93);
        for pattern in ["sparsity=0.5", "sparsity=0.7,threshold=layer", "pattern=2:4"] {
            for (formula, method) in [
                ("abs(w)", "magnitude"),
                ("abs(w)*x", "wanda"),
                ("(abs(w)/column+abs(w)/row)*x^0.5", "ria"),
                ("w^2/h", "mrp"),
            ] {
                let own = pruned(&case, &format!("custom:score={formula},{pattern}"));
                let pattern = match method {
                    "mrp" => pattern.replace("layer", "block"),
                    _ => pattern.to_string(),
                };
                let expected = pruned(&case, &format!("{method}:{pattern}"));
                assert_eq!(zeros(&own), zeros(&expected), "{formula} {pattern}");
            }
        }
    }

    #[test]
    fn a_formula_comes_back_from_a_spec_and_a_wrong_one_is_refused_with_its_place() {
        let text = "custom:score=w^2/h,sparsity=0.6";
        assert_eq!(setting(text).to_string(), text);
        assert!(check_setting(&setting(text)).is_ok());
        let error = check_setting(&setting("custom:score=abs(w)*size")).unwrap_err().to_string();
        assert!(error.contains("at character 8") && error.contains("column"), "{error}");
        let long = format!("custom:score={}", "w+".repeat(150));
        assert!(crate::method::Setting::parse(&long, &abouts()).is_err());
    }

    #[test]
    fn a_score_that_is_not_finite_is_an_error() {
        use crate::prune::tests::model::load;
        let loaded = load("llama-f32-gqa");
        for formula in ["1/(w-w)", "ln(0-abs(w))", "sqrt(0-1)*w"] {
            let spec = format!("custom:score={formula}");
            let error = loaded.prune(&spec, &mut None).err().expect(formula).to_string();
            assert!(error.contains("finite"), "{formula}: {error}");
        }
    }
}
