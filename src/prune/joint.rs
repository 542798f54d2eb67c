//! Mask M: of all ways to remove N of the M weights of a group, the one with the least joint loss
//! w_Pᵀ (G_PP)⁻¹ w_P, where G is the group's block of an inverse Hessian. Other groups are taken as untouched.
//!
//! Source: Zhao et al. 2024 (arXiv 2410.15567). The (G_PP)⁻¹ of all subsets belong to the group, not to the row,
//! and are computed once.

use super::hessian::Hessian;
use super::pattern::Pattern;
use super::system::System;
use crate::order;
use crate::{Error, Result, pace::Pace};

/// The subsets of every group with their quadratic forms.
pub struct Joint {
    group: usize,
    groups: Vec<Vec<Subset>>,
}

struct Subset {
    members: Vec<usize>,
    /// (G_PP)⁻¹, `[p, p]`
    form: Vec<f64>,
}

impl Joint {
    /// With G from the inverse of what remains when all columns before the group are frozen.
    pub async fn trailing_groups(
        hessian: &Hessian,
        pattern: Pattern,
        pace: &Pace,
    ) -> Result<Joint> {
        let (zeros, group) = of_groups(pattern)?;
        let mut groups = Vec::new();
        for a in (0..hessian.n).step_by(group) {
            let b = (a + group).min(hessian.n);
            let g = hessian.trailing_inverse(a, b, pace).await?;
            groups.push(subsets(&g, b - a, zeros, group));
        }
        Ok(Joint { group, groups })
    }

    /// With G from the inverse that `block` gives for columns a..b.
    pub fn of_blocks(
        n: usize,
        pattern: Pattern,
        block: &dyn Fn(usize, usize) -> Vec<f64>,
    ) -> Result<Joint> {
        let (zeros, group) = of_groups(pattern)?;
        let groups = (0..n).step_by(group).map(|a| {
            let b = (a + group).min(n);
            subsets(&block(a, b), b - a, zeros, group)
        });
        Ok(Joint { group, groups: groups.collect() })
    }

    /// Marks what goes of the columns `from..from + row.len()`; `from` begins a group. Ties fall to the subset that
    /// comes first in the order of its indices.
    pub fn mark(&self, from: usize, row: &[f64], mask: &mut [bool]) {
        mask.fill(false);
        let groups = &self.groups[from / self.group..];
        let parts = row.chunks(self.group).zip(mask.chunks_mut(self.group));
        for ((row, mask), subsets) in parts.zip(groups) {
            let mut best = (f64::INFINITY, &subsets[0].members);
            for subset in subsets {
                let loss = subset.loss(row);
                if loss < best.0 {
                    best = (loss, &subset.members);
                }
            }
            best.1.iter().for_each(|&j| mask[j] = true);
        }
    }
}

impl Subset {
    /// w_Pᵀ (G_PP)⁻¹ w_P
    fn loss(&self, row: &[f64]) -> f64 {
        let mut loss = 0.0;
        // A short last group may have nothing to remove, and a loss of 0.
        let size = self.members.len().max(1);
        for (&i, form) in self.members.iter().zip(self.form.chunks_exact(size)) {
            let sum: f64 = self.members.iter().zip(form).map(|(&j, f)| f * row[j]).sum();
            loss += row[i] * sum;
        }
        loss
    }
}

/// Zeros and size of the groups. Errors: there are none.
pub fn of_groups(pattern: Pattern) -> Result<(usize, usize)> {
    match pattern {
        Pattern::NofM { zeros, group } => Ok((zeros, group)),
        _ => Err(Error::input(
            "mask",
            "M with the unstructured pattern",
            "mask S, or a pattern such as 2:4, where the subsets of a group can be tried out",
        )),
    }
}

/// All subsets of `size` columns that the pattern may remove.
fn subsets(g: &[f64], size: usize, zeros: usize, group: usize) -> Vec<Subset> {
    let p = size * zeros / group;
    let of_size = (0u32..1 << size).filter(|bits| bits.count_ones() as usize == p);
    // In lexicographic order: the lower column counts more, so its bit is turned to the top.
    let mut keys: Vec<u64> = of_size.map(|bits| order::pair(!bits.reverse_bits(), bits)).collect();
    order::sort(&mut keys);
    let with_form = |key: u64| {
        let members: Vec<usize> = (0..size).filter(|j| key >> j & 1 == 1).collect();
        Subset { form: inverse_of(g, size, &members), members }
    };
    keys.into_iter().map(with_form).collect()
}

/// (G_PP)⁻¹; infinite where G_PP is not positive definite in f64, so that the subset is never taken first.
fn inverse_of(g: &[f64], size: usize, members: &[usize]) -> Vec<f64> {
    let p = members.len();
    let mut inverse = Vec::with_capacity(p * p);
    let mut system = System::default();
    for column in 0..p {
        let mut unit = vec![0.0; p];
        unit[column] = 1.0;
        system.choose(g, size, members);
        if !system.solve(&mut unit) {
            return vec![f64::INFINITY; p * p];
        }
        inverse.extend(unit);
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::prune::refit::RefitWay;
    use crate::prune::tests::{Layer, f64s, gram_of, hessian, loss, pruned, refitted, zeros};

    #[test]
    fn of_equal_losses_the_first_subset_goes() {
        // Independent inputs of the same size and weights of the same size: every pair costs the same.
        let one = |a: usize, b: usize| {
            let size = b - a;
            (0..size * size).map(|k| f64::from(u8::from(k / size == k % size))).collect()
        };
        let (o, x) = (false, true);
        let joint = Joint::of_blocks(10, Pattern::NofM { zeros: 2, group: 4 }, &one).unwrap();
        let mut mask = [false; 10];
        joint.mark(0, &[1.0; 10], &mut mask);
        assert_eq!(mask, [x, x, o, o, x, x, o, o, x, o], "of a last group of two one goes");
        // (1, 2) and (1, 3) tie, and come before (2, 3).
        let mut mask = [false; 4];
        joint.mark(4, &[3.0, 1.0, 2.0, -2.0], &mut mask);
        assert_eq!(mask, [o, x, x, o]);
    }

    #[test]
    fn sparsegpt_with_mask_m_takes_the_pair_for_which_all_others_make_up_best() {
        // All inputs share most of what they are: what one weight did, its neighbours can.
        let mut rng = Rng::new(21);
        let token = |shared: f32| (shared, rng.normals(8, 0.5));
        let tokens: Vec<(f32, Vec<f32>)> =
            Rng::new(22).normals(60, 1.0).into_iter().map(token).collect();
        let x: Vec<f64> = tokens
            .iter()
            .flat_map(|(shared, own)| own.iter().map(move |x| f64::from(shared + x)))
            .collect();
        let case = Layer { n: 8, weights: rng.normals(64 * 8, 1.0), gram: gram_of(&x, 8), x };
        let h = hessian(&case.gram, 8, 0.01);
        let [joint, single] = ["pattern=2:4,mask=M", "pattern=2:4"]
            .map(|pattern| zeros(&pruned(&case, &format!("sparsegpt:{pattern}"))));
        assert_ne!(joint, single);
        // Before the first group no column has gone.
        for (row, found) in case.weights.chunks(8).zip(joint.chunks(8)) {
            let mask = |bits: u32| (0..8).map(|j| bits >> j & 1 == 1).collect::<Vec<bool>>();
            let lost = |bits: &u32| {
                let after = refitted(&h, &f64s(row), &mask(*bits), RefitWay::Primal);
                loss(&h, row, &after.iter().map(|w| *w as f32).collect::<Vec<f32>>())
            };
            let pairs = (0u32..16).filter(|bits| bits.count_ones() == 2);
            let best = mask(pairs.min_by(|a, b| lost(a).total_cmp(&lost(b))).unwrap());
            assert_eq!(found[..4], best[..4]);
        }
    }
}
