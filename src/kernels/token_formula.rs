//! One number a token by a formula that a person wrote: its steps on a small stack.
//!
//! Shapes: values `[names * tokens, 1]`, the numbers of one name after those of another; scores `[tokens, 1]`. All in
//! f32. Where a step has no finite result (a division by 0, a root or a logarithm of what is below 0, e^89) the score is
//! -infinity: such a token is the first to go, and whoever shows scores leaves it out.

use super::rows::numbers;
use super::token_rank::token_rank;
use super::{Case, groups, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, Tensor};
use crate::formula::{Formula, STACK};
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = Shader {
    name: "token_formula",
    source: &[wgsl!(include_str!("../../shaders/token_formula.wgsl"))],
    reads: 2,
    writes: 1,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    tokens: u32,
    steps: u32,
    lowest: f32,
}

/// The formula of every token; `values` `[names * tokens, 1]` in the order of the formula's names.
pub fn token_formula(
    device: &Device,
    formula: &Formula,
    values: &Tensor,
    (names, tokens): (usize, usize),
) -> Tensor {
    assert_eq!((values.rows(), values.cols()), (names * tokens, 1), "token_formula values");
    let code = formula.code();
    assert!(formula.stack() <= STACK, "token_formula: {} numbers at once", formula.stack());
    let named = code.iter().filter(|step| step[0] == NAME).map(|step| step[1] as usize);
    assert!(named.max().is_none_or(|most| most < names), "token_formula names");
    match device {
        Device::Cpu => {
            let scores = (0..tokens).map(|t| score(&code, values.cpu(), (t, tokens)));
            Tensor::on_cpu(tokens, 1, scores.collect())
        }
        Device::Gpu(gpu) => {
            let steps: Vec<u32> = code.iter().flatten().copied().collect();
            on_gpu(gpu, &device.ids(&steps), values, tokens)
        }
    }
}

/// The step that pushes the number of a name.
const NAME: u32 = 1;

/// The score of token `t`.
fn score(code: &[[u32; 2]], values: &[f32], (t, tokens): (usize, usize)) -> f32 {
    let (mut stack, mut top) = ([0.0f32; STACK], 0);
    for &[what, operand] in code {
        let found = match what {
            0 => Some(f32::from_bits(operand)),
            NAME => Some(values[operand as usize * tokens + t]),
            2 | 8.. => {
                top -= 1;
                one(what, stack[top])
            }
            _ => {
                top -= 2;
                two(what, stack[top], stack[top + 1])
            }
        };
        let Some(found) = found.filter(|x| x.is_finite()) else { return f32::NEG_INFINITY };
        stack[top] = found;
        top += 1;
    }
    stack[0]
}

fn one(what: u32, a: f32) -> Option<f32> {
    match what {
        2 => Some(-a),
        8 => Some(a.abs()),
        9 => (a >= 0.0).then(|| a.sqrt()),
        10 => (a <= 88.0).then(|| a.exp()),
        _ => (a >= 1e-37).then(|| a.ln()),
    }
}

fn two(what: u32, a: f32, b: f32) -> Option<f32> {
    match what {
        3 => Some(a + b),
        4 => Some(a - b),
        5 => Some(a * b),
        6 => (b != 0.0).then(|| a / b),
        _ => power(a, b),
    }
}

fn power(a: f32, b: f32) -> Option<f32> {
    match (a, b) {
        (_, 0.0) => Some(1.0),
        (_, 2.0) => Some(a * a),
        (0.0, _) => (b > 0.0).then_some(0.0),
        _ => Some(a.powf(b)), // undefined where a is below 0 and b no whole number
    }
}

fn on_gpu(gpu: &Gpu, code: &Ids, values: &Tensor, tokens: usize) -> Tensor {
    let scores = gpu.alloc(tokens * 4);
    let params = Params {
        tokens: tokens as u32,
        steps: code.len() as u32 / 2,
        // A shader may not write it down.
        lowest: f32::NEG_INFINITY,
    };
    gpu.dispatch(&Dispatch {
        shader: &SHADER,
        entry: "main",
        constants: &[],
        params: bytemuck::bytes_of(&params),
        reads: &[values.gpu(), code.gpu()],
        writes: &[&scores],
        groups: [groups(tokens, 64), 1, 1],
    });
    Tensor::on_gpu(tokens, 1, scores)
}

/// Sizes around the workgroup of 64, and every step, also where it has no result.
pub fn cases() -> Vec<Case> {
    let texts = [
        (1, "a"),
        (63, "a*b-c/2+abs(b)"),
        (64, "(a+3)^2*-b+c^3"),
        (65, "sqrt(abs(a))+exp(b)/(1+ln(abs(c)+1))"),
        (301, "a*(b+(c*(a+(b*(c+(a*(b+c)))))))-2^-1"),
        (70, "ln(a)+sqrt(b)+c^0.5+1/(a-a*1)"),
    ];
    let case = |(tokens, text): (usize, &'static str)| Case {
        name: format!("token_formula {text} of {tokens}"),
        tolerance: 1e-4,
        why: "exp and ln differ by some units in the last place, and a power is 2^(b log2 a) on a GPU",
        run: Box::new(move |device| {
            let formula = Formula::parse(text, &["a", "b", "c"]).expect("a formula");
            let values = random(device, &mut Rng::new(4), 3 * tokens, 1);
            let scores = token_formula(device, &formula, &values, (3, tokens));
            // Differences of infinities say nothing: the order of the tokens stands for scores that may be absent.
            vec![match text.starts_with("ln") {
                true => numbers(device, &token_rank(device, &scores, 0..tokens), tokens),
                false => scores,
            }]
        }),
    };
    texts.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn scores(text: &str, values: &[f32]) -> Vec<f32> {
        let formula = Formula::parse(text, &NAMES).expect(text);
        let tokens = values.len() / 3;
        let values = Device::Cpu.tensor(values.len(), 1, values);
        token_formula(&Device::Cpu, &formula, &values, (3, tokens)).cpu().to_vec()
    }

    #[test]
    fn scores_are_those_of_the_formula_in_f64() {
        let mut rng = Rng::new(3);
        let values = rng.normals(3 * 20, 1.0);
        for text in ["a*b-c", "abs(a)^1.5/(1+b^2)", "-a^3+exp(b)-sqrt(abs(c))", "ln(abs(a)+1)*2^c"]
        {
            let formula = Formula::parse(text, &NAMES).expect(text);
            for (t, found) in scores(text, &values).into_iter().enumerate() {
                let of = |name: usize| f64::from(values[name * 20 + t]);
                let expected = formula.value(&[of(0), of(1), of(2)], &mut Vec::new());
                let d = (f64::from(found) - expected).abs();
                assert!(d <= 1e-5 * expected.abs().max(1.0), "{text}: {found} {expected}");
            }
        }
    }

    #[test]
    fn what_has_no_finite_result_is_the_lowest() {
        let values = [0.0, 4.0, -1.0, 1.0, 0.0, 0.0];
        for (text, expected) in [
            ("1/a", [f32::NEG_INFINITY, 0.25]),
            ("1/(1/a)", [f32::NEG_INFINITY, 4.0]),
            ("ln(a)-ln(4)", [f32::NEG_INFINITY, 0.0]),
            ("sqrt(b)", [f32::NEG_INFINITY, 1.0]),
            ("exp(25*a)", [1.0, f32::NEG_INFINITY]),
            ("b^0.5", [f32::NEG_INFINITY, 1.0]),
            ("a^0+b^3", [0.0, 2.0]),
        ] {
            assert_eq!(scores(text, &values), expected, "{text}");
        }
    }

    #[test]
    fn ten_thousand_random_formulas_give_finite_scores_or_the_lowest() {
        let mut rng = Rng::new(5);
        let parts = [
            "a", "b", "c", "abs(", "sqrt(", "exp(", "ln(", "(", ")", "+", "-", "*", "/", "^", "2",
            "0.5", "99999999", "1e", " ",
        ];
        let values = [0.0, 1e30, -3.0, 0.5, -1e-30, 7.0];
        let mut read = 0;
        for _ in 0..10_000 {
            let n = rng.below(40);
            let text: String = (0..n).map(|_| parts[rng.below(parts.len())]).collect();
            match Formula::parse(&text, &NAMES) {
                Ok(formula) => {
                    read += 1;
                    assert!(formula.stack() <= STACK, "{text}");
                    let found = scores(&text, &values);
                    let fits = |s: &f32| s.is_finite() || *s == f32::NEG_INFINITY;
                    assert!(found.iter().all(fits), "{text}: {found:?}");
                }
                Err(e) => assert!(e.to_string().contains("character"), "{text}: {e}"),
            }
        }
        assert!(read > 100, "{read} were formulas");
    }

    #[test]
    fn the_deepest_formula_fits_the_stack() {
        // Every level holds a sum and a product open.
        let deep = format!("{}a{}", "1+1*(".repeat(23), ")".repeat(23));
        let formula = Formula::parse(&deep, &NAMES).expect("within both bounds");
        assert!(formula.stack() > 40 && formula.stack() <= STACK, "{}", formula.stack());
        assert_eq!(scores(&deep, &[1.0, 2.0, 3.0]), [24.0]);
    }
}
