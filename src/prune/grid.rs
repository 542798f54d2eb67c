//! The grid that weights are rounded to: w becomes s (c - z), c = round(w / s) + z, at least 0 and at most 2^bits - 1.
//!
//! s and z belong to an output row or to `group` neighbouring inputs of it. With lowest and highest weight l <= 0 <= h:
//!   not symmetric  s = (h - l) / (2^bits - 1), z = round(-l / s)
//!   symmetric      s = 2 max(-l, h) / (2^bits - 1), z = 2^(bits - 1)
//! Halves are rounded to the even neighbour. 0 is on every grid, so a pruned weight stays 0.
//!
//! Source: Frantar et al. 2022 (arXiv 2210.17323), the min-max grid of its released code. Where we differ: s is rounded
//! to f16, in which it is stored, before any weight is rounded, so that what is measured is what is stored; a symmetric
//! grid of weights that are all positive reaches them too.

use crate::backend::{Bits, Blocks};
use crate::method::{Knob, KnobKind, Setting};
use half::f16;
use std::sync::Mutex;

/// Bits of a weight.
pub const BITS: Knob = Knob {
    id: "bits",
    label: "Bits",
    help: "Bits of a weight, without its share of the scales",
    kind: KnobKind::Choice { options: &[("8", "int8"), ("4", "int4")], default: "4" },
};

/// How far a scale reaches.
pub const GROUP: Knob = Knob {
    id: "group",
    label: "Group",
    help: "Neighbouring inputs of an output row that share a scale; smaller groups are finer and take more bytes",
    kind: KnobKind::Choice {
        options: &[("row", "whole row"), ("32", "32"), ("64", "64"), ("128", "128")],
        default: "64",
    },
};

/// Whether 0 lies in the middle of the grid.
pub const GRID: Knob = Knob {
    id: "grid",
    label: "Grid",
    help: "Symmetric: as far below 0 as above. From lowest to highest: every scale has a zero point beside it",
    kind: KnobKind::Choice {
        options: &[("symmetric", "symmetric"), ("range", "from lowest to highest")],
        default: "symmetric",
    },
};

/// How the grids of a matrix are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub bits: Bits,
    /// Inputs that share a grid.
    pub group: usize,
    pub is_symmetric: bool,
}

/// One grid; 0 is `zero` steps above its lowest point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    scale: f16,
    zero: f64,
    most: f64,
}

impl Rule {
    /// From the values of the three knobs, for rows of `cols` inputs.
    pub fn of(setting: &Setting, cols: usize) -> Rule {
        let bits = if setting.choice("bits") == "8" { Bits::Eight } else { Bits::Four };
        // "row" is the only choice that is not a number.
        let group = setting.choice("group").parse::<usize>().unwrap_or(cols).min(cols).max(1);
        Rule { bits, group, is_symmetric: setting.choice("grid") == "symmetric" }
    }

    /// The grid of some weights.
    pub fn grid(&self, weights: &[f64]) -> Levels {
        let most = f64::from(self.bits.most());
        let mut low = weights.iter().copied().fold(0.0, f64::min);
        let mut high = weights.iter().copied().fold(0.0, f64::max);
        if self.is_symmetric {
            high = high.max(-low);
            low = -high;
        }
        if high <= low {
            (low, high) = (-1.0, 1.0); // all weights are 0
        }
        let scale = f16::from_f64((high - low) / most).clamp(f16::MIN_POSITIVE_SUBNORMAL, f16::MAX);
        let zero = match self.is_symmetric {
            true => (most + 1.0) / 2.0,
            false => (-low / scale.to_f64()).round_ties_even().min(most),
        };
        Levels { scale, zero, most }
    }
}

impl Levels {
    fn code(&self, w: f64) -> f64 {
        ((w / self.scale.to_f64()).round_ties_even() + self.zero).clamp(0.0, self.most)
    }

    /// The nearest point of the grid.
    pub fn nearest(&self, w: f64) -> f64 {
        self.scale.to_f64() * (self.code(w) - self.zero)
    }

    /// What has to be subtracted from codes and zeros so that they fit a signed byte.
    fn centre(&self) -> f64 {
        (self.most + 1.0) / 2.0
    }
}

/// The grids of a matrix `[rows, groups]`, as batches of rows find them.
pub struct MatrixLevels {
    pub rule: Rule,
    cols: usize,
    found: Mutex<Vec<Option<Levels>>>,
}

impl MatrixLevels {
    pub fn new(rule: Rule, rows: usize, cols: usize) -> MatrixLevels {
        let found = Mutex::new(vec![None; rows * cols.div_ceil(rule.group)]);
        MatrixLevels { rule, cols, found }
    }

    /// Keeps the grid of a row's inputs from `from` on.
    pub fn keep(&self, row: usize, from: usize, grid: Levels) {
        let at = row * self.cols.div_ceil(self.rule.group) + from / self.rule.group;
        self.found.lock().expect("keeping a grid does not panic")[at] = Some(grid);
    }

    /// Codes and scales of `weights` `[rows, cols]`, all of which lie on their grids.
    pub fn blocks(self, weights: &[f32]) -> Blocks {
        let Rule { bits, group, is_symmetric } = self.rule;
        let grids = self.found.into_inner().expect("keeping a grid does not panic");
        let grids: Vec<Levels> = grids.into_iter().map(|g| g.expect("a grid a group")).collect();
        let rows = weights.len() / self.cols.max(1);
        let groups = self.cols.div_ceil(group);
        let mut codes = Vec::with_capacity(weights.len());
        for (row, grids) in weights.chunks(self.cols.max(1)).zip(grids.chunks(groups.max(1))) {
            for (weights, grid) in row.chunks(group).zip(grids) {
                let code = |w: &f32| (grid.code(f64::from(*w)) - grid.centre()) as i8;
                codes.extend(weights.iter().map(code));
            }
        }
        let scales = grids.iter().map(|g| g.scale).collect();
        let zero = |g: &Levels| (g.zero - g.centre()) as i8;
        let zeros = if is_symmetric { Vec::new() } else { grids.iter().map(zero).collect() };
        Blocks { rows, cols: self.cols, bits, group, codes, scales, zeros }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    fn rules() -> impl Iterator<Item = Rule> {
        [Bits::Four, Bits::Eight].into_iter().flat_map(|bits| {
            [true, false].map(|is_symmetric| Rule { bits, group: 32, is_symmetric })
        })
    }

    #[test]
    fn a_weight_moves_by_half_a_step_at_most_and_zero_not_at_all() {
        let mut rng = Rng::new(7);
        for rule in rules() {
            for shift in [-3.0f32, 0.0, 0.4, 3.0] {
                let weights: Vec<f64> =
                    rng.normals(32, 1.0).iter().map(|w| f64::from(w + shift)).collect();
                let grid = rule.grid(&weights);
                let step = grid.scale.to_f64();
                for w in &weights {
                    // The highest of a symmetric grid has half a step less, and f16 moves the ends by 2^-11.
                    let most = if rule.is_symmetric { 1.0 } else { 0.5 };
                    let slack = step * 0.01 + w.abs() * 6e-4;
                    let moved = (grid.nearest(*w) - w).abs();
                    assert!(moved <= most * step + slack, "{rule:?} {shift}: {w} by {moved}");
                }
                assert_eq!(grid.nearest(0.0), 0.0, "{rule:?} {shift}");
                let again: Vec<f64> = weights.iter().map(|w| grid.nearest(*w)).collect();
                assert!(again.iter().all(|w| grid.nearest(*w) == *w), "{rule:?}: not idempotent");
            }
        }
    }

    #[test]
    fn codes_and_scales_give_back_the_rounded_weights_to_the_bit() {
        let mut rng = Rng::new(8);
        for rule in rules() {
            for (rows, cols, group) in [(3, 70, 32), (2, 33, 64), (4, 128, 128), (1, 1, 1)] {
                let rule = Rule { group: group.min(cols), ..rule };
                let grids = MatrixLevels::new(rule, rows, cols);
                let mut weights = rng.normals(rows * cols, 0.1);
                weights[0] = 0.0;
                for (row, weights) in weights.chunks_mut(cols).enumerate() {
                    for (g, weights) in weights.chunks_mut(rule.group).enumerate() {
                        let values: Vec<f64> = weights.iter().map(|w| f64::from(*w)).collect();
                        let grid = rule.grid(&values);
                        grids.keep(row, g * rule.group, grid);
                        weights.iter_mut().for_each(|w| *w = grid.nearest(f64::from(*w)) as f32);
                    }
                }
                let blocks = grids.blocks(&weights);
                assert_eq!(blocks.to_f32(), weights, "{rule:?} {rows}x{cols}");
                assert_eq!(blocks.zeros.is_empty(), rule.is_symmetric);
            }
        }
    }

    #[test]
    fn weights_at_the_ends_of_f16_stay_finite() {
        for rule in rules() {
            for weights in [[0.0; 4], [1e-12, -1e-12, 0.0, 1e-13], [1e9, -1e9, 3.0, 0.0]] {
                let grid = rule.grid(&weights);
                assert!(weights.iter().all(|w| grid.nearest(*w).is_finite()), "{rule:?}");
                assert_eq!(grid.nearest(0.0), 0.0);
            }
        }
    }
}
