//! A score as an expression over named numbers, written by the person who tries an idea.
//!
//! sum := product (("+" | "-") product)*, product := sign (("*" | "/") sign)*, sign := "-" sign | power,
//! power := atom ("^" sign)?, atom := number | name | function "(" sum ")" | "(" sum ")"
//!
//! Functions: abs, sqrt, exp, ln. There are no loops, no names but those given, at most [`LONGEST`] characters and
//! [`DEEPEST`] parentheses and signs inside each other; so a formula is read and computed in bounded time and memory.
//! Division by 0 and the like give numbers that are not finite, as everywhere in f64: whoever shows a score must ask.

use crate::method::decimal;
use crate::{Error, Result};

/// Characters of a formula.
pub const LONGEST: usize = 200;
/// Parts inside each other.
pub const DEEPEST: usize = 24;
/// More numbers than are held at once: a level keeps a sum, a product and a power open.
pub const STACK: usize = 80;

/// A checked formula, in the order in which it is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Number(f64),
    /// The number of a name.
    Name(usize),
    Negate,
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Call(Function),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    Abs,
    Sqrt,
    Exp,
    Ln,
}

const FUNCTIONS: [(&str, Function); 4] = [
    ("abs", Function::Abs),
    ("sqrt", Function::Sqrt),
    ("exp", Function::Exp),
    ("ln", Function::Ln),
];

impl Formula {
    /// Reads a formula over `names`. Errors: what was found at which character, and what was expected there.
    pub fn parse(text: &str, names: &[&str]) -> Result<Formula> {
        let length = text.chars().count();
        if length > LONGEST {
            let expected = format!("at most {LONGEST} characters");
            return Err(Error::input("formula", format!("{length} characters"), expected));
        }
        let mut reader = Reader { rest: text, text, names, depth: 0, steps: Vec::new() };
        reader.sum()?;
        match reader.next() {
            None => Ok(Formula { steps: reader.steps }),
            Some(_) => Err(reader.wrong("+, -, *, /, ^ or the end")),
        }
    }

    /// Whether it reads the name of this number.
    pub fn reads(&self, name: usize) -> bool {
        self.steps.contains(&Step::Name(name))
    }

    /// The steps as pairs (what, operand) for a machine with a stack: 0 a number (bits of f32), 1 a name, 2 minus, 3 to 7
    /// + - * / ^, 8 to 11 abs, sqrt, exp, ln.
    pub fn code(&self) -> Vec<[u32; 2]> {
        let code = |step: &Step| match *step {
            Step::Number(x) => [0, (x as f32).to_bits()],
            Step::Name(i) => [1, i as u32],
            Step::Negate => [2, 0],
            Step::Add => [3, 0],
            Step::Subtract => [4, 0],
            Step::Multiply => [5, 0],
            Step::Divide => [6, 0],
            Step::Power => [7, 0],
            Step::Call(function) => [8 + function as u32, 0],
        };
        self.steps.iter().map(code).collect()
    }

    /// The most numbers that such a machine holds at once.
    pub fn stack(&self) -> usize {
        let (mut held, mut most) = (0usize, 0);
        for step in &self.steps {
            held = match step {
                Step::Number(_) | Step::Name(_) => held + 1,
                Step::Negate | Step::Call(_) => held,
                _ => held.saturating_sub(1),
            };
            most = most.max(held);
        }
        most
    }

    /// The value for the numbers of the names, one each. `stack` is memory that calls share.
    pub fn value(&self, names: &[f64], stack: &mut Vec<f64>) -> f64 {
        stack.clear();
        for step in &self.steps {
            let value = match *step {
                Step::Number(x) => x,
                Step::Name(i) => names.get(i).copied().unwrap_or(f64::NAN),
                Step::Negate => -pop(stack),
                Step::Call(function) => function.of(pop(stack)),
                two => {
                    let (b, a) = (pop(stack), pop(stack));
                    two.of(a, b)
                }
            };
            stack.push(value);
        }
        pop(stack)
    }
}

/// The parser leaves as many values as a step takes; if it did not, the result would show it.
fn pop(stack: &mut Vec<f64>) -> f64 {
    stack.pop().unwrap_or(f64::NAN)
}

impl Step {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Step::Add => a + b,
            Step::Subtract => a - b,
            Step::Multiply => a * b,
            Step::Divide => a / b,
            Step::Power => a.powf(b),
            _ => f64::NAN,
        }
    }
}

impl Function {
    fn of(self, x: f64) -> f64 {
        match self {
            Function::Abs => x.abs(),
            Function::Sqrt => x.sqrt(),
            Function::Exp => x.exp(),
            Function::Ln => x.ln(),
        }
    }
}

/// Reads from left to right and writes down what is to be computed.
struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    names: &'a [&'a str],
    depth: usize,
    steps: Vec<Step>,
}

impl<'a> Reader<'a> {
    /// The next character that is no space, left in place.
    fn next(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches(' ');
        self.rest.chars().next()
    }

    fn takes(&mut self, wanted: char) -> bool {
        let found = self.next() == Some(wanted);
        if found {
            self.rest = &self.rest[wanted.len_utf8()..];
        }
        found
    }

    /// Characters as long as they fit.
    fn word(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn wrong(&mut self, expected: &str) -> Error {
        let found = self.next().map_or_else(|| "the end".to_string(), |c| c.to_string());
        let place = self.text.chars().count() - self.rest.chars().count() + 1;
        Error::input("formula", format!("{found} at character {place}"), expected)
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        match self.depth > DEEPEST {
            true => Err(self.wrong(&format!("at most {DEEPEST} parts inside each other"))),
            false => Ok(()),
        }
    }

    fn sum(&mut self) -> Result<()> {
        self.product()?;
        loop {
            let step = match self.next() {
                Some('+') => Step::Add,
                Some('-') => Step::Subtract,
                _ => return Ok(()),
            };
            self.rest = &self.rest[1..];
            self.product()?;
            self.steps.push(step);
        }
    }

    fn product(&mut self) -> Result<()> {
        self.sign()?;
        loop {
            let step = match self.next() {
                Some('*') => Step::Multiply,
                Some('/') => Step::Divide,
                _ => return Ok(()),
            };
            self.rest = &self.rest[1..];
            self.sign()?;
            self.steps.push(step);
        }
    }

    fn sign(&mut self) -> Result<()> {
        self.deeper()?;
        if self.takes('-') {
            self.sign()?;
            self.steps.push(Step::Negate);
        } else {
            self.atom()?;
            if self.takes('^') {
                self.sign()?;
                self.steps.push(Step::Power);
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn atom(&mut self) -> Result<()> {
        match self.next() {
            Some('(') => self.parentheses(),
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() => self.named(),
            _ => Err(self.wrong("a number, a name, a function or (")),
        }
    }

    fn parentheses(&mut self) -> Result<()> {
        if !self.takes('(') {
            return Err(self.wrong("("));
        }
        self.sum()?;
        match self.takes(')') {
            true => Ok(()),
            false => Err(self.wrong("+, -, *, /, ^ or )")),
        }
    }

    fn number(&mut self) -> Result<()> {
        let before = self.rest;
        let word = self.word(|c| c.is_ascii_digit() || c == '.');
        match decimal(word).filter(|x| x.is_finite()) {
            Some(x) => {
                self.steps.push(Step::Number(x));
                Ok(())
            }
            None => {
                self.rest = before;
                Err(self.wrong("a number such as 2 or 0.5"))
            }
        }
    }

    fn named(&mut self) -> Result<()> {
        let before = self.rest;
        let word = self.word(|c| c.is_ascii_alphanumeric() || c == '_');
        if let Some((_, function)) = FUNCTIONS.iter().find(|(name, _)| *name == word) {
            self.parentheses()?;
            self.steps.push(Step::Call(*function));
            return Ok(());
        }
        match self.names.iter().position(|name| *name == word) {
            Some(index) => {
                self.steps.push(Step::Name(index));
                Ok(())
            }
            None => {
                self.rest = before;
                let functions = FUNCTIONS.map(|(name, _)| format!("{name}(..)")).join(", ");
                Err(self.wrong(&format!("one of {}, {functions}", self.names.join(", "))))
            }
        }
    }
}

#[cfg(test)]
mod tests;
