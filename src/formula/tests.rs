//! Formulas: their values, their code, and the place of every error.

use super::*;
use crate::Rng;

const NAMES: [&str; 3] = ["w", "x", "row"];

fn value(text: &str) -> f64 {
    Formula::parse(text, &NAMES).expect(text).value(&[-3.0, 4.0, 0.5], &mut Vec::new())
}

#[test]
fn precedence_is_that_of_school() {
    for (text, expected) in [
        ("1+2*3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("2-3-4", -5.0),
        ("16/4/2", 2.0),
        ("2^3^2", 512.0),
        ("-w^2", -9.0),
        ("2^-1", 0.5),
        ("--2", 2.0),
        ("abs(w)*x", 12.0),
        ("sqrt(x)+ln(exp(row))", 2.5),
        ("abs(w)/row+.5", 6.5),
    ] {
        assert!((value(text) - expected).abs() < 1e-12, "{text}: {}", value(text));
    }
    assert_eq!(value("1/0"), f64::INFINITY);
}

#[test]
fn every_error_has_its_place() {
    for (text, part) in [
        ("", "the end at character 1"),
        ("w+", "the end at character 3"),
        ("w+*x", "expected a number, a name, a function or ("),
        ("w x", "x at character 3"),
        ("abs w", "w at character 5"),
        ("abs(w", "the end at character 6"),
        ("w*(x+1))", ") at character 8"),
        ("w + size", "one of w, x, row, abs(..)"),
        ("2..5*w", "2 at character 1"),
        ("w;x", "; at character 2"),
        ("wé", "é at character 2"),
    ] {
        let error = Formula::parse(text, &NAMES).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    let deep = format!("{}w{}", "(".repeat(60), ")".repeat(60));
    for text in [deep.as_str(), &"-".repeat(150), &"w".repeat(300)] {
        assert!(Formula::parse(text, &NAMES).is_err(), "{text}");
    }
}

#[test]
fn ten_thousand_random_texts_are_read_or_refused_with_a_place() {
    let mut rng = Rng::new(91);
    let parts = [
        "w",
        "x",
        "row",
        "abs(",
        "sqrt(",
        "exp(",
        "ln(",
        "(",
        ")",
        "+",
        "-",
        "*",
        "/",
        "^",
        "2",
        "0.5",
        "1e",
        " ",
        "é",
        "\"",
        ",",
        "=",
        "9999999999",
        ".",
    ];
    let (mut read, mut stack) = (0, Vec::new());
    for _ in 0..10_000 {
        let text: String = (0..rng.below(24)).map(|_| parts[rng.below(parts.len())]).collect();
        match Formula::parse(&text, &NAMES) {
            Ok(formula) => {
                read += 1;
                let _ = formula.value(&[-3.0, 4.0, 0.5], &mut stack);
                assert!(stack.is_empty(), "{text}: a step too few");
            }
            Err(e) => assert!(e.to_string().contains("character"), "{text}: {e}"),
        }
    }
    assert!(read > 100, "{read} were formulas");
}

fn parsed(text: &str) -> Formula {
    Formula::parse(text, &NAMES).expect(text)
}

#[test]
fn the_code_is_the_formula_in_the_order_of_a_stack() {
    let bits = |x: f32| x.to_bits();
    for (text, expected) in [
        (
            "2*w-abs(x)^row",
            &[[0, bits(2.0)], [1, 0], [5, 0], [1, 1], [8, 0], [1, 2], [7, 0], [4, 0]][..],
        ),
        ("-w/0.5", &[[1, 0], [2, 0], [0, bits(0.5)], [6, 0]]),
        (
            "sqrt(w)+exp(x)+ln(row)",
            &[[1, 0], [9, 0], [1, 1], [10, 0], [3, 0], [1, 2], [11, 0], [3, 0]],
        ),
    ] {
        assert_eq!(parsed(text).code(), expected, "{text}");
    }
    for (text, expected) in [
        ("w", 1),
        ("-abs(w)", 1),
        ("abs(w)+x", 2),
        ("-w+x", 2),
        ("w+x+row", 2),
        ("w+x*row", 3),
        ("(w+x)*(row+2)", 3),
        ("w+(x+(row+(2+1)))", 5),
        ("w*x+w*x", 3),
    ] {
        assert_eq!(parsed(text).stack(), expected, "{text}");
    }
    let formula = parsed("row*2-w");
    assert_eq!([0, 1, 2].map(|name| formula.reads(name)), [true, false, true]);
}

#[test]
fn the_longest_and_the_deepest_formula_are_read_and_one_more_is_not() {
    let long = |n: usize| Formula::parse(&format!("w{}", " ".repeat(n - 1)), &NAMES);
    assert!(long(LONGEST).is_ok());
    assert!(long(LONGEST + 1).unwrap_err().to_string().contains("201 characters"));
    let deep = |n: usize| format!("{}w{}", "(".repeat(n), ")".repeat(n));
    // The formula itself is the first part.
    assert!(Formula::parse(&deep(DEEPEST - 1), &NAMES).is_ok());
    let error = Formula::parse(&deep(DEEPEST), &NAMES).unwrap_err().to_string();
    assert!(error.contains("at most 24 parts"), "{error}");
    // Side by side they are no deeper.
    assert_eq!(value(&["(w)"; 40].join("+")), -120.0);
    let signs = format!("{}x", "-".repeat(DEEPEST - 1));
    assert_eq!(value(&signs), -4.0);
}

#[test]
fn names_may_hold_digits_and_underscores_and_a_missing_number_is_none() {
    let names = ["a_b", "c2"];
    let formula = Formula::parse("a_b + c2", &names).unwrap();
    assert_eq!(formula.value(&[1.0, 2.0], &mut Vec::new()), 3.0);
    assert!(formula.value(&[1.0], &mut Vec::new()).is_nan());
    assert!(Formula::parse("c", &names).is_err());
    // What an earlier call left behind is not read.
    assert_eq!(formula.value(&[1.0, 2.0], &mut vec![7.0; 3]), 3.0);
}
