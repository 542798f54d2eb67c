//! What is told of models: those that can be chosen, and the one that is loaded.

use serde::Serialize;

/// A bundled model before it is loaded.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ModelChoice {
    /// Value of the control `model`, and the model's name in links.
    pub id: String,
    /// For people.
    pub label: String,
    /// model_type
    pub family: String,
    /// Weights, each counted once.
    pub parameters: u64,
    /// Size of the weights file.
    pub bytes: u64,
    /// Ids of the evaluations that make sense for it; the first is its default.
    pub evaluations: Vec<String>,
}

/// The loaded model.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ModelView {
    /// A bundled id, or "own".
    pub id: String,
    /// For people.
    pub label: String,
    /// model_type
    pub family: String,
    /// Weights that the model uses, each counted once.
    pub parameters: u64,
    /// Size of the weights files.
    pub bytes: u64,
    /// Of the weights files, lower-case hex, empty until it is known; its first 16 digits name the model in links.
    pub sha256: String,
    /// The model card (Markdown, shown as plain text).
    pub card: String,
    /// config.json fields that nobody here knows.
    pub ignored: Vec<String>,
    /// Sentences about what was left out or is unusual.
    pub notes: Vec<String>,
}
