//! Quality and speed, measured on the same items for two models.

mod arm;
mod figures;
mod generate;
mod items;
pub mod published;
mod speed;
mod stats;
mod tasks;

pub use arm::{Arm, Context, filler};
pub use figures::Score;
pub use generate::{Sampling, choose, generate};
pub use items::Prior;
pub use speed::{median_interval, speed};
pub use stats::{Estimate, paired_bootstrap, wilson};
pub use tasks::{Task, abouts, files, no_context};

use serde::Serialize;

/// One quality metric of a baseline and a compressed model on the same items.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Quality {
    /// "accuracy", "perplexity", "bits_per_byte", "bits_per_target", "context_benefit", "context_benefit_nats"
    pub metric: &'static str,
    pub label: &'static str,
    /// How it is defined, on which data; one sentence.
    pub definition: String,
    /// "share" (0..=1), "" for plain numbers, "bits"
    pub unit: &'static str,
    pub higher_is_better: bool,
    pub baseline: Estimate,
    pub compressed: Estimate,
    /// compressed - baseline, paired over items.
    pub change: Estimate,
    /// Items scored so far and in all.
    pub items: usize,
    pub items_total: usize,
}

/// Speed of the two, measured in turns in one process.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Speed {
    pub prompt_tokens: usize,
    pub decode_tokens: usize,
    pub baseline: SpeedSide,
    pub compressed: SpeedSide,
    /// compressed / baseline, formed in rounds made in turns; median and its 95 % interval.
    pub prefill_ratio: Estimate,
    pub decode_ratio: Estimate,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SpeedSide {
    pub prefill_tokens_per_s: Estimate,
    pub decode_tokens_per_s: Estimate,
    /// Prefill of the prompt and the first token.
    pub first_token_ms: Estimate,
}
