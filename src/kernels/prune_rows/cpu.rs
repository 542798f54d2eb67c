//! The plain definition in f64, against which the shader is tested; the methods themselves are in `prune`.

use super::{Factored, RowPlan, RowWay};
use crate::backend::Tensor;
use crate::order::mark_lowest;

/// See `super::mark`.
pub fn mark(w: &Tensor, hessian: Factored<'_>, plan: &RowPlan) -> [Tensor; 2] {
    let (rows, n) = (w.rows(), w.cols());
    let rule = Rule { plan, u: f64s(hessian.u), n };
    let mut revived = w.cpu().to_vec();
    let mut keep = Vec::new();
    for row in revived.chunks_exact_mut(n) {
        (0..n).filter(|&j| hessian.scales.cpu()[n + j] == 0.0).for_each(|j| row[j] = 0.0);
        let row: Vec<f64> = row.iter().map(|w| f64::from(*w)).collect();
        let goes = rule.goes(&row, (0, n), plan.remove[0], 0);
        keep.extend(goes.iter().map(|goes| if *goes { 0.0 } else { 1.0 }));
    }
    [Tensor::on_cpu(rows, n, revived), Tensor::on_cpu(rows, n, keep)]
}

/// See `super::compensate`.
pub fn compensate(w: &Tensor, hessian: Factored<'_>, plan: &RowPlan, way: RowWay) -> Tensor {
    let (n, rows) = (w.rows(), w.cols());
    let rule = Rule { plan, u: f64s(hessian.u), n };
    let mut out = vec![0.0f32; n * rows];
    for r in 0..rows {
        let value = |j: usize| f64::from(w.cpu()[j * rows + r] * hessian.scales.cpu()[n + j]);
        let mut row: Vec<f64> = (0..n).map(value).collect();
        for (a, b, remove) in plan.blocks(n) {
            match way {
                RowWay::InTurn => rule.in_turn(&mut row, (a, b), remove),
                RowWay::Jointly => rule.jointly(&mut row, (a, b), remove),
            }
        }
        (0..n).for_each(|j| out[j * rows + r] = row[j] as f32);
    }
    Tensor::on_cpu(n, rows, out)
}

struct Rule<'a> {
    plan: &'a RowPlan,
    u: Vec<f64>,
    n: usize,
}

fn f64s(t: &Tensor) -> Vec<f64> {
    t.cpu().iter().map(|x| f64::from(*x)).collect()
}

impl Rule<'_> {
    /// G_ij with the columns before `span` frozen.
    fn g(&self, i: usize, j: usize, span: usize) -> f64 {
        (span..=i.min(j)).map(|t| self.u[t * self.n + i] * self.u[t * self.n + j]).sum()
    }

    /// Which of the columns a..b go, by G from `span` on.
    fn goes(&self, row: &[f64], (a, b): (usize, usize), remove: usize, span: usize) -> Vec<bool> {
        let RowPlan { zeros, group, joint, .. } = *self.plan;
        let mut goes = vec![false; b - a];
        let (size, is_grouped) = if group == 1 { (b - a, false) } else { (group, true) };
        for from in (a..b).step_by(size) {
            let to = (from + size).min(b);
            let zeros = if is_grouped { (to - from) * zeros / group } else { remove };
            let members = match joint {
                true => self.best_subset(row, (from, to), zeros, span),
                false => self.lowest(row, (from, to), zeros, span),
            };
            members.iter().for_each(|&j| goes[j - a] = true);
        }
        goes
    }

    fn lowest(&self, row: &[f64], (a, b): (usize, usize), zeros: usize, span: usize) -> Vec<usize> {
        let score = |j: usize| row[j] * row[j] / self.g(j, j, span.min(j));
        let scores: Vec<f64> = (a..b).map(score).collect();
        let mut goes = vec![false; b - a];
        mark_lowest(&scores, zeros.min(b - a), &mut goes);
        (a..b).zip(goes).filter(|(_, goes)| *goes).map(|(j, _)| j).collect()
    }

    fn best_subset(
        &self,
        row: &[f64],
        (a, b): (usize, usize),
        zeros: usize,
        span: usize,
    ) -> Vec<usize> {
        let subsets = (0u32..1 << (b - a)).filter(|bits| bits.count_ones() as usize == zeros);
        let members = |bits: u32| (a..b).filter(|j| bits >> (j - a) & 1 == 1).collect::<Vec<_>>();
        let loss = |bits: u32| {
            let members = members(bits);
            let x = self.solve(row, &members, span);
            members.iter().zip(&x).map(|(&j, x)| row[j] * x).sum::<f64>()
        };
        let best = subsets.min_by(|&x, &y| loss(x).total_cmp(&loss(y)));
        members(best.unwrap_or(0))
    }

    /// (G_PP)⁻¹ w_P by elimination.
    fn solve(&self, row: &[f64], members: &[usize], span: usize) -> Vec<f64> {
        let mut a: Vec<Vec<f64>> = members
            .iter()
            .map(|&i| members.iter().map(|&j| self.g(i, j, span)).chain([row[i]]).collect())
            .collect();
        eliminate(&mut a)
    }

    fn in_turn(&self, row: &mut [f64], (a, b): (usize, usize), remove: usize) {
        let is_grouped = self.plan.group > 1;
        let size = if is_grouped { self.plan.group } else { b - a };
        for from in (a..b).step_by(size) {
            let to = (from + size).min(b);
            // One by one a column counts with all columns before it frozen; a group with those before the group.
            let span = if self.plan.joint { from } else { usize::MAX };
            let goes = self.goes(row, (from, to), remove, span);
            for j in (from..to).filter(|j| goes[j - from]) {
                let e = row[j] / self.u[j * self.n + j];
                (j..self.n).for_each(|c| row[c] -= e * self.u[j * self.n + c]);
                row[j] = 0.0;
            }
        }
    }

    fn jointly(&self, row: &mut [f64], (a, b): (usize, usize), remove: usize) {
        let goes = self.goes(row, (a, b), remove, a);
        let members: Vec<usize> = (a..b).filter(|j| goes[j - a]).collect();
        let lambda = self.solve(row, &members, a);
        for (&i, x) in members.iter().zip(lambda) {
            (a..self.n).for_each(|j| row[j] -= x * self.g(i, j, a));
        }
        members.iter().for_each(|&j| row[j] = 0.0);
    }
}

/// Solves the system of rows `[p, p + 1]`, the last column its right side, by Gauss and Jordan.
pub fn eliminate(a: &mut [Vec<f64>]) -> Vec<f64> {
    let p = a.len();
    for c in 0..p {
        let pivot = a[c].clone();
        for row in a.iter_mut().enumerate().filter(|(i, _)| *i != c).map(|(_, row)| row) {
            let factor = row[c] / pivot[c];
            row.iter_mut().zip(&pivot).skip(c).for_each(|(x, y)| *x -= factor * y);
        }
    }
    (0..p).map(|i| a[i][p] / a[i][i]).collect()
}
