//! Tests of the selections: vectors worked out by hand, and what every method keeps.

mod selections;
pub(super) mod vectors;
