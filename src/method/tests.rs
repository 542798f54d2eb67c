//! SPECs and knobs.

use super::*;

static DEMO: About = About {
    id: "demo",
    label: "Demo",
    summary: "",
    source: "",
    knobs: &[
        Knob {
            id: "p",
            label: "",
            help: "",
            kind: KnobKind::Number { min: 0.0, max: 1.0, step: 0.1, default: 0.5 },
        },
        Knob {
            id: "pattern",
            label: "",
            help: "",
            kind: KnobKind::Choice { options: &[("free", ""), ("2:4", "")], default: "free" },
        },
        Knob { id: "layers", label: "", help: "", kind: KnobKind::Layers },
        Knob {
            id: "n",
            label: "",
            help: "",
            kind: KnobKind::Number { min: 1.0, max: 9.0, step: 1.0, default: 1.0 },
        },
        Knob {
            id: "words",
            label: "",
            help: "",
            kind: KnobKind::Text { default: "none", longest: 4 },
        },
    ],
    families: &[],
};

#[test]
fn a_spec_comes_back_in_canonical_form() {
    for (spec, canonical) in [
        ("demo", "demo"),
        ("demo:p=0.5", "demo"),
        ("demo:layers=,words=four", "demo:words=four"),
        ("demo:layers=1023", "demo:layers=1023"),
        ("demo:layers=1+3,pattern=2:4,p=0.25", "demo:p=0.25,pattern=2:4,layers=1+3"),
    ] {
        let setting = Setting::parse(spec, &[&DEMO]).unwrap().unwrap();
        assert_eq!(setting.to_string(), canonical);
    }
    assert!(Setting::parse("off", &[&DEMO]).unwrap().is_none());
}

#[test]
fn a_value_is_its_own_option_and_no_other() {
    let of = |spec: &str| Setting::parse(spec, &[&DEMO]).unwrap().unwrap();
    let setting = of("demo:pattern=2:4");
    let pattern = setting.knobs().find(|(id, _)| *id == "pattern").unwrap().1;
    assert!(pattern.is("2:4") && !pattern.is("free") && !Value::Number(1.0).is("1"));
    let mut setting = of("demo:layers=3+5,n=2,words=two");
    assert_eq!((setting.layers("layers"), setting.text("words")), (&[3, 5][..], "two"));
    assert_eq!((setting.number("n"), setting.choice("pattern")), (2.0, "free"));
    // A comma would end it in a SPEC, and what is no ASCII in a link.
    assert!(setting.set_knob("words", "a,b").is_err() && setting.set_knob("words", "é").is_err());
    assert_eq!(setting.text("words"), "two");
    let error = setting.set_knob("words", "a,bc").unwrap_err().to_string();
    assert!(error.contains("found \"a,bc\""), "{error}");
}

#[test]
fn the_longest_spec_is_read_and_a_longer_one_is_not() {
    let spec = |length: usize| "x".repeat(length);
    let error = |length| Setting::parse(&spec(length), &[&DEMO]).unwrap_err().to_string();
    assert!(error(MAX_SPEC).contains("one of demo"), "{}", error(MAX_SPEC));
    assert!(error(MAX_SPEC + 1).contains("at most"), "{}", error(MAX_SPEC + 1));
}

#[test]
fn a_bad_spec_names_what_is_possible() {
    for (spec, part) in [
        ("nope", "one of demo"),
        ("demo:q=1", "p, pattern, layers, n, words"),
        ("demo:p=2", "a number from 0 to 1"),
        ("demo:p=NaN", "a number from 0 to 1"),
        ("demo:n=1.5", "a whole number from 1 to 9"),
        ("demo:words=three", "found \"5 characters\"; expected 1 to 4"),
        ("demo:words=é", "found \"é\""),
        ("demo:words=ééé", "found \"6 characters\""),
        ("demo:layers=1024", "increasing layer numbers"),
        ("demo:layers=3+3", "increasing layer numbers"),
        ("demo:pattern=3:4", "one of free, 2:4"),
        ("demo:layers=3+1", "increasing layer numbers"),
        ("demo:p", "KEY=VALUE"),
    ] {
        let error = Setting::parse(spec, &[&DEMO]).unwrap_err().to_string();
        assert!(error.contains(part), "{spec}: {error}");
    }
}
