//! Figures with their intervals, as the command line prints them.

use crate::eval::{Estimate, Quality};

/// A figure in its unit.
pub fn shown(q: &Quality, e: &Estimate) -> String {
    match &*q.unit {
        "share" if !e.low.is_finite() => format!("{:.1} % [too few items]", e.value * 100.0),
        "share" => {
            format!("{:.1} % [{:.1}, {:.1}]", e.value * 100.0, e.low * 100.0, e.high * 100.0)
        }
        _ => range(e, 3),
    }
}

/// A number and its interval.
pub fn range(e: &Estimate, digits: usize) -> String {
    if !e.low.is_finite() {
        return format!("{:.digits$} [too few items]", e.value);
    }
    format!("{:.digits$} [{:.digits$}, {:.digits$}]", e.value, e.low, e.high)
}
