//! One measured setting: what a sweep writes as a line, what a chart draws as a point, what a history keeps.

use super::{Estimate, Quality};
use crate::bundle::sha256_hex;
use serde::{Deserialize, Serialize};

/// A setting and what was measured of it. The same JSON in sweep files, in messages to the page and in its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Point {
    /// [`Point::key_of`] the settings: equal settings have equal keys.
    pub key: String,
    /// The link that gives these settings back, "#v=1&...".
    pub fragment: String,
    /// id@hash
    pub model: String,
    /// SPEC
    pub evaluation: String,
    /// SPEC or "off"
    pub reduce: String,
    /// SPEC or "off"
    pub prune: String,
    /// Of items and methods.
    pub seed: u64,
    /// Items scored.
    pub items: usize,
    /// Items of the evaluation's setting.
    pub items_wanted: usize,
    /// Nothing is still coming.
    pub complete: bool,
    /// Every metric of the evaluation; `compressed` is this setting, `baseline` the dense model.
    pub quality: Vec<Quality>,
    /// Over the contexts of the items.
    pub cost: PointCost,
    /// Absent where nothing was timed.
    pub speed: Option<PointSpeed>,
    /// Time that measuring took.
    pub ms: f64,
    /// Name of the device, for people.
    pub backend: String,
    /// ISO 8601; absent where the clock is not known, and where equal runs must give equal bytes.
    pub created: Option<String>,
}

/// Counted, not measured. Absent until it is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PointCost {
    /// FLOPs of reading the context, as a share of the dense model's, with the head of one token.
    pub flops_share: Option<f64>,
    /// Weights that one decoded token reads.
    pub bytes_per_token: Option<f64>,
    /// The same with every matrix dense.
    pub bytes_per_token_dense: Option<f64>,
    /// Size of the weights file.
    pub file_bytes: Option<f64>,
}

/// Measured in turns: compressed / baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PointSpeed {
    /// Tokens per second of reading a context.
    pub prefill_ratio: Option<Estimate>,
    /// Tokens per second of decoding.
    pub decode_ratio: Option<Estimate>,
}

impl Point {
    /// Names a setting: 32 hex digits of the hash over everything that decides its figures.
    ///
    /// `model` is the sha256 of the weights; `data` is the hash of the user's own data, "" for what is bundled.
    pub fn key_of(
        model: &str,
        evaluation: &str,
        seed: u64,
        reduce: &str,
        prune: &str,
        data: &str,
    ) -> String {
        let text = [model, evaluation, &seed.to_string(), reduce, prune, data].join("\n");
        sha256_hex(text.as_bytes())[..32].to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_point_comes_back_from_its_line_and_what_is_absent_is_null() {
        let none = Estimate { value: 0.5, low: f64::NAN, high: f64::NAN, n: 3 };
        let quality = Quality {
            metric: "accuracy".into(),
            label: "Accuracy".into(),
            definition: String::new(),
            unit: "share".into(),
            higher_is_better: true,
            baseline: none,
            compressed: none,
            change: none,
            items: 3,
            items_total: 3,
            verdict: Verdict::TooFew,
        };
        let point = Point {
            key: Point::key_of("ab", "continuation", 1, "off", "wanda", ""),
            fragment: "#v=1".into(),
            model: "m@ab".into(),
            evaluation: "continuation".into(),
            reduce: "off".into(),
            prune: "wanda".into(),
            seed: 1,
            items: 3,
            items_wanted: 3,
            complete: true,
            quality: vec![quality],
            cost: PointCost { flops_share: Some(0.75), ..PointCost::default() },
            speed: None,
            ms: 12.5,
            backend: "CPU".into(),
            created: None,
        };
        let line = serde_json::to_string(&point).unwrap();
        assert!(
            line.contains(r#""low":null"#) && line.contains(r#""verdict":"too_few""#),
            "{line}"
        );
        let back: Point = serde_json::from_str(&line).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), line);
        assert_eq!(point.key.len(), 32);
        assert_ne!(point.key, Point::key_of("ab", "continuation", 2, "off", "wanda", ""));
    }
}
