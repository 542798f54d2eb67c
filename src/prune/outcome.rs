//! How work ends that solves linear systems.

/// How the work on a matrix ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A linear system could not be solved: the damping is too small, for f32 or at all. The weights are of no use.
    NotPositive,
}
