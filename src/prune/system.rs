//! One small positive definite system A x = b, by Cholesky A = L Lᵀ in f64: the work of a compensation row by row.
//!
//! The lower half lies in groups of four rows: group i holds columns 0..4 (i + 1), of each the four values side by side.
//! Then a tile of 4 x 4 products stays in registers while it walks the columns that are done, and both of its factors are
//! read from neighbours. Rows that fill up the last group are those of a multiple of the unit matrix.

use super::pair::Pair;

/// Rows of a group.
const SIDE: usize = 4;

/// Four rows of one column.
type Quad = [f64; SIDE];

/// A system; its memory is used again by the next one.
#[derive(Default)]
pub struct System {
    /// Unknowns.
    n: usize,
    quads: Vec<Quad>,
    /// b, filled up with zeros, then x.
    vector: Vec<f64>,
}

/// Quads before group `i`.
const fn start(i: usize) -> usize {
    2 * i * (i + 1)
}

impl System {
    /// Takes A_CC for the chosen indices C of the symmetric `a` `[n, n]`.
    pub fn choose(&mut self, a: &[f64], n: usize, chosen: &[usize]) {
        assert_eq!(a.len(), n * n, "matrix [{n}, {n}]");
        self.n = chosen.len();
        self.quads.clear();
        for (i, group) in chosen.chunks(SIDE).enumerate() {
            let rows: [&[f64]; SIDE] =
                std::array::from_fn(|r| group.get(r).map_or(&[][..], |&j| &a[j * n..(j + 1) * n]));
            let columns = &chosen[..chosen.len().min(SIDE * (i + 1))];
            let quad = |&j: &usize| rows.map(|row| row.get(j).copied().unwrap_or(0.0));
            self.quads.extend(columns.iter().map(quad));
        }
        self.quads.resize(start(chosen.len().div_ceil(SIDE)), [0.0; SIDE]);
    }

    /// Replaces b `[n]` by x. What was chosen is destroyed. False when A is not positive definite in f64.
    pub fn solve(&mut self, b: &mut [f64]) -> bool {
        assert_eq!(b.len(), self.n, "system of {} unknowns", self.n);
        let groups = self.n.div_ceil(SIDE);
        let at = |k: usize| (start(k / SIDE) + k, k % SIDE);
        let largest = (0..self.n).map(at).map(|(k, r)| self.quads[k][r]).fold(0.0, f64::max);
        let floor = self.n as f64 * f64::EPSILON * largest;
        for (k, r) in (self.n..SIDE * groups).map(at) {
            self.quads[k][r] = largest;
        }
        self.vector.clear();
        self.vector.extend_from_slice(b);
        self.vector.resize(SIDE * groups, 0.0);
        for i in 0..groups {
            let (above, group) = self.quads.split_at_mut(start(i));
            let group = &mut group[..SIDE * (i + 1)];
            if !factor(above, group, floor) {
                return false;
            }
            substitute(group, &mut self.vector[..SIDE * (i + 1)]);
        }
        for i in (0..groups).rev() {
            substitute_back(
                &self.quads[start(i)..start(i + 1)],
                &mut self.vector[..SIDE * (i + 1)],
            );
        }
        b.copy_from_slice(&self.vector[..b.len()]);
        true
    }
}

/// Replaces a group of A by that of L; `above` holds the groups of L before it. False when a pivot is not above `floor`.
fn factor(above: &[Quad], group: &mut [Quad], floor: f64) -> bool {
    let own = group.len() / SIDE - 1;
    for j in 0..own {
        let other = &above[start(j)..start(j + 1)];
        let (done, here) = group.split_at_mut(SIDE * j);
        let products = products(done, other);
        let diagonal = &other[SIDE * j..];
        for c in 0..SIDE {
            let quad = less(here[c], products[c], 1.0);
            let before = here.iter().zip(diagonal).take(c);
            let quad = before.fold(quad, |quad, (x, d)| less(quad, *x, d[c]));
            here[c] = quad.map(|x| x / diagonal[c][c]);
        }
    }
    let (done, here) = group.split_at_mut(SIDE * own);
    let products = products(done, done);
    for c in 0..SIDE {
        let quad = less(here[c], products[c], 1.0);
        let quad = here.iter().take(c).fold(quad, |quad, x| less(quad, *x, x[c]));
        let pivot = quad[c];
        if pivot.is_nan() || pivot <= floor {
            return false;
        }
        let scale = 1.0 / pivot.sqrt();
        here[c] = quad.map(|x| x * scale);
    }
    true
}

/// a - f b
#[inline(always)]
fn less(a: Quad, b: Quad, f: f64) -> Quad {
    std::array::from_fn(|r| a[r] - f * b[r])
}

/// For four columns c of the other group: the sum over the done columns k of `group[k]` times `other[k][c]`.
#[inline(always)]
fn products(group: &[Quad], other: &[Quad]) -> [Quad; SIDE] {
    let mut sums = [[Pair::ZERO; 2]; SIDE];
    for (x, y) in group.iter().zip(other) {
        let x = halves(x);
        for (sums, &y) in sums.iter_mut().zip(y) {
            let y = Pair::both(y);
            *sums = [sums[0].plus(x[0].times(y)), sums[1].plus(x[1].times(y))];
        }
    }
    sums.map(whole)
}

fn halves(quad: &Quad) -> [Pair; 2] {
    let (halves, _) = quad.as_chunks::<2>();
    [Pair::load(&halves[0]), Pair::load(&halves[1])]
}

fn whole([low, high]: [Pair; 2]) -> Quad {
    let ([a, b], [c, d]) = (low.values(), high.values());
    [a, b, c, d]
}

/// L y = b for the rows of a group, whose b ends `vector`; y is known before them.
fn substitute(group: &[Quad], vector: &mut [f64]) {
    let (known, open) = vector.split_at_mut(group.len() - SIDE);
    let (done, diagonal) = group.split_at(known.len());
    let mut rest: Quad = std::array::from_fn(|r| open[r]);
    let sum = done.iter().zip(known.iter()).fold([0.0; SIDE], |sum, (l, y)| less(sum, *l, -y));
    rest = less(rest, sum, 1.0);
    for c in 0..SIDE {
        open[c] = rest[c] / diagonal[c][c];
        rest = less(rest, diagonal[c], open[c]);
    }
}

/// Lᵀ x = y for the rows of a group, whose y ends `vector`; takes its part off the rows before.
fn substitute_back(group: &[Quad], vector: &mut [f64]) {
    let (before, open) = vector.split_at_mut(group.len() - SIDE);
    let (above, diagonal) = group.split_at(before.len());
    for c in (0..SIDE).rev() {
        let later: f64 = (c + 1..SIDE).map(|r| diagonal[c][r] * open[r]).sum();
        open[c] = (open[c] - later) / diagonal[c][c];
    }
    for (y, l) in before.iter_mut().zip(above) {
        let part: f64 = l.iter().zip(open.iter()).map(|(l, x)| l * x).sum();
        *y -= part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::linalg::{dot, tests::positive};

    #[test]
    fn a_chosen_system_is_solved() {
        let mut system = System::default();
        for n in [1, 2, 4, 5, 9, 40, 67] {
            let all = n + 3;
            let a = positive(all, 90 + n as u64);
            let chosen: Vec<usize> = (0..all).filter(|j| j % 13 != 1).take(n).collect();
            let rows = chosen.iter().map(|&i| chosen.iter().map(move |&j| i * all + j));
            let x: Vec<f64> = (0..chosen.len()).map(|i| i as f64 - 1.5).collect();
            let dense = |row: Vec<f64>| dot(&row, &x);
            let mut b: Vec<f64> = rows.map(|row| dense(row.map(|k| a[k]).collect())).collect();
            system.choose(&a, all, &chosen);
            assert!(system.solve(&mut b), "{n}");
            assert!(b.iter().zip(&x).all(|(b, x)| (b - x).abs() < 1e-9), "{n}: {b:?}");
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        let mut system = System::default();
        for a in [
            [1.0, 1.0, 1.0, 1.0],
            [f64::NAN, 0.0, 0.0, 1.0],
            [0.0; 4],
            [1.0, 2.0, 2.0, 1.0],
            // Below 2 ε of the largest.
            [1e8, 0.0, 0.0, 1e-8],
        ] {
            system.choose(&a, 2, &[0, 1]);
            assert!(!system.solve(&mut [1.0, 1.0]), "{a:?}");
        }
        system.choose(&[], 0, &[]);
        assert!(system.solve(&mut []), "nothing to solve");
    }
}
