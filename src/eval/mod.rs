//! Measuring: quality and speed of two models on the same items, cost on paper, sweeps.
//!
//! An evaluation is one file and one line in [`EVALUATIONS`].

mod answer;
mod arm;
mod cloze;
mod continuation;
mod copy;
mod evaluation;
mod figures;
mod generate;
mod induction;
mod point;
pub mod published;
mod quality;
mod recall;
mod score;
mod source;
mod speed;
mod stats;
mod text;

pub use arm::{Arm, Context, filler};
pub use evaluation::{
    EVALUATIONS, Evaluation, Item, Prior, Task, Work, abouts, evaluation_of, files, no_context,
    parse,
};
pub use figures::{Kind, Metric};
pub use generate::{Sampling, choose, generate};
pub use point::{Point, PointCost, PointSpeed};
pub use quality::{Quality, Verdict};
pub use score::{Score, Sums};
pub use source::{File, Source};
pub use speed::{Speed, SpeedSide, median_interval, speed};
pub use stats::{Estimate, wilson};
