//! Measuring: quality and speed of two models on the same items, cost on paper, sweeps.
//!
//! An evaluation is one file and one line in [`EVALUATIONS`].

mod agreement;
mod answer;
mod arc;
mod arm;
pub mod calibration;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod cancelled;
mod cloze;
pub mod compare;
mod continuation;
mod copy;
pub mod cost;
mod decode;
mod evaluation;
mod figures;
mod generate;
mod harness;
mod hellaswag;
mod induction;
pub mod items;
mod lambada;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod leak;
mod pair;
mod piqa;
mod placed;
mod point;
pub mod published;
mod quality;
mod questions;
mod recall;
mod registry;
mod requests;
mod rolling;
mod score;
mod source;
mod speed;
mod states;
mod stats;
pub mod sweep;
mod task;
mod text;
mod wikitext;
mod winogrande;

pub use agreement::Agreement;
pub use arm::{Arm, Context, filler};
pub use compare::{Comparison, Scored, Sheet, spread};
pub use cost::Cost;
pub use decode::Decode;
pub use evaluation::{Evaluation, Item, Prior, Work, no_context};
pub use figures::{Kind, Metric, Paired};
pub use generate::{Sampling, choose, generate};
pub use hellaswag::capitalized;
pub use pair::{Encoder, Pair};
pub use piqa::with_labels;
pub use placed::{Placed, PrunedModel};
pub use point::{Point, PointCost, PointSpeed};
pub use quality::{Quality, Verdict};
pub use registry::{
    EVALUATIONS, OF_OWN_DATA, abouts, evaluation_of, files, is_of_own_data, own_abouts, parse,
    readers,
};
pub use requests::{Requests, Stop};
pub use score::{Score, Sums};
pub use source::{DATA, File, Source, shuffled};
pub use speed::{Speed, SpeedSide, Timed, median_interval, reading, speed};
pub use states::{HALF_LIVES, StateUse, states};
pub use stats::{Estimate, paired_shares, wilson};
pub use task::Task;
