//! The user's own questions: JSON lines of {context, choices, answer} or {context, target}.

use super::evaluation::{Evaluation, Item};
use super::figures::{ACCURACY, BITS_OF_ANSWER, Metric};
use super::harness::{Choices, Continued, items};
use super::pair::Encoder;
use super::source::{CONTROLS, DATA, Line, N_OWN, PUBLISHED, Source};
use crate::config::FAMILIES;
use crate::method::{About, Setting};
use crate::{Error, Result};
use serde::Deserialize;

static QUESTIONS: About = About {
    id: "questions",
    label: "Your own questions",
    summary: "Questions of your own: one JSON line each, with choices or with a target.",
    source: "Lines {context, choices, answer} (the answer is the place of the right choice from 0, its letter, or its text) or {context, target}. The most likely choice is taken; a target is right if each of its tokens was the most likely one. Choices and targets follow a space.",
    knobs: &[N_OWN, CONTROLS, PUBLISHED],
    families: &FAMILIES,
};

pub struct Questions;

impl Evaluation for Questions {
    fn about(&self) -> &'static About {
        &QUESTIONS
    }

    fn files(&self, _: &Setting) -> Vec<String> {
        vec![DATA.into()]
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&["context"])
    }

    fn items(&self, source: &Source<'_>) -> Result<Vec<Box<dyn Item>>> {
        items(source, item)
    }

    fn metrics(&self) -> &'static [Metric] {
        &[ACCURACY, BITS_OF_ANSWER]
    }
}

#[derive(Deserialize)]
struct QuestionRow {
    context: String,
    choices: Option<Vec<String>>,
    answer: Option<Answer>,
    target: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Place(usize),
    Text(String),
}

fn item(line: &Line<'_>, source: &Source<'_>) -> Result<Box<dyn Item>> {
    let row: QuestionRow = line.parse()?;
    match (row.choices, row.answer, row.target) {
        (Some(choices), Some(answer), None) => {
            let label = place(&choices, &answer)?;
            Ok(Box::new(Choices::after(line, &row.context, &choices, label, source)?))
        }
        (None, None, Some(target)) => {
            let target = format!(" {target}");
            let pair = Encoder::of(source).pair(&row.context, &target)?;
            Ok(Box::new(Continued { id: line.id(), pair, bytes: target.len() }))
        }
        (choices, answer, target) => {
            let there = [
                ("choices", choices.is_some()),
                ("answer", answer.is_some()),
                ("target", target.is_some()),
            ];
            let found = there.iter().filter(|(_, is)| *is).map(|(name, _)| *name);
            let found = found.collect::<Vec<_>>().join(" and ");
            Err(Error::input("fields beside context", found, "choices and answer, or target"))
        }
    }
}

/// Which choice an answer names: by its place from 0, its text, or its letter.
fn place(choices: &[String], answer: &Answer) -> Result<usize> {
    let found = match answer {
        Answer::Place(place) => Some(*place).filter(|p| *p < choices.len()),
        Answer::Text(text) => choices.iter().position(|c| c == text).or_else(|| {
            let letter =
                |i: &usize| text.len() == 1 && text.bytes().next() == Some(b'A' + *i as u8);
            (0..choices.len().min(26)).find(letter)
        }),
    };
    found.ok_or_else(|| {
        let found = match answer {
            Answer::Place(place) => place.to_string(),
            Answer::Text(text) => text.clone(),
        };
        let expected = format!(
            "a place from 0 to {}, a letter, or the text of a choice",
            choices.len().saturating_sub(1)
        );
        Error::input("answer", found, expected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_place_a_letter_or_the_text_of_a_choice() {
        let choices = ["C", "red", "blue"].map(String::from);
        let of = |json: &str| place(&choices, &serde_json::from_str(json).unwrap());
        assert_eq!(of("2").unwrap(), 2);
        assert_eq!(of("\"blue\"").unwrap(), 2);
        assert_eq!(of("\"B\"").unwrap(), 1);
        assert_eq!(of("\"C\"").unwrap(), 0, "a text goes before a letter");
        for wrong in ["3", "\"D\"", "\"green\""] {
            let error = of(wrong).unwrap_err().to_string();
            assert!(error.contains("answer") && error.contains("0 to 2"), "{error}");
        }
    }
}
