//! Tests of the selections: vectors worked out by hand, and what every method keeps.

mod costs;
mod inputs;
mod lengths;
mod selections;
pub(super) mod vectors;
