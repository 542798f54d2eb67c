//! The CPU form: a few rows of A against 8 rows of B at a time, both packed with the column outermost.
//!
//! Every product is summed over the columns in order, whatever tile it falls into, so that equal rows give equal
//! bits; what is compared are whole steps.

use super::{EPS, STEP, stepped};
use crate::backend::{Ids, Tensor, View};
use crate::kernels::simd::{self, Kernel, Vector};

/// Sums held at once: A * B / 4 registers of wasm (8 of 16), A * B / 8 of AVX2 (8 of 16).
const A: usize = if cfg!(target_arch = "wasm32") { 4 } else { 8 };
const B: usize = 8;
/// Rows of A that stay in the cache while B goes by.
const BLOCK: usize = 32;

type Products = [[f32; B]; A];

/// The largest cosine so far and the row that has it.
#[derive(Clone, Copy)]
struct Best {
    value: f32,
    row: u32,
}

pub fn token_match(x: View<'_>, rows: &[u32], n_a: usize) -> (Tensor, Ids) {
    let (rows_a, rows_b) = rows.split_at(n_a);
    let (packed_a, packed_b) = (pack::<A>(x, rows_a), pack::<B>(x, rows_b));
    // A cosine is above -2, so something is always found; NaN alone is not, and then the first row stands in.
    let mut best = vec![Best { value: -2.0, row: u32::MAX }; n_a];
    let blocks = best.chunks_mut(BLOCK).zip(packed_a.chunks(BLOCK * x.cols));
    for (best, block) in blocks {
        for (panel, rows) in packed_b.chunks_exact(B * x.cols).zip(rows_b.chunks(B)) {
            for (best, group) in best.chunks_mut(A).zip(block.chunks_exact(A * x.cols)) {
                update(best, &products(group, panel), rows);
            }
        }
    }
    let row = |b: &Best| if b.row == u32::MAX { rows_b[0] } else { b.row };
    let values = best.iter().map(|b| b.value).collect();
    (Tensor::on_cpu(n_a, 1, values), Ids::on_cpu(best.iter().map(row).collect()))
}

/// Unit rows in panels of `W`: panel, column, row; the last panel is filled with zeros.
fn pack<const W: usize>(x: View<'_>, rows: &[u32]) -> Vec<f32> {
    let mut packed = vec![0.0; rows.len().div_ceil(W) * W * x.cols];
    for (panel, rows) in packed.chunks_exact_mut(W * x.cols).zip(rows.chunks(W)) {
        for (i, &row) in rows.iter().enumerate() {
            let row = x.cpu_row(row as usize);
            let scale = 1.0 / length(row).max(EPS);
            panel.chunks_exact_mut(W).zip(row).for_each(|(to, v)| to[i] = v * scale);
        }
    }
    packed
}

fn length(row: &[f32]) -> f32 {
    let mut partial = [0.0_f32; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        partial.iter_mut().zip(chunk).for_each(|(p, v)| *p += v * v);
    }
    partial.iter_mut().zip(rest).for_each(|(p, v)| *p += v * v);
    partial.iter().sum::<f32>().sqrt()
}

fn update(best: &mut [Best], products: &Products, rows: &[u32]) {
    for (best, products) in best.iter_mut().zip(products) {
        // Almost always nothing changes, which eight compares at once can tell.
        // A product this little below the best may yet round up to it.
        let least = best.value - STEP;
        let candidate = products.iter().fold(false, |any, &value| any | (value >= least));
        if !candidate {
            continue;
        }
        for (&product, &row) in products.iter().zip(rows) {
            let value = stepped(product);
            if value > best.value || (value == best.value && row < best.row) {
                *best = Best { value, row };
            }
        }
    }
}

/// group `[cols, A]` times panel `[cols, B]`. No fused multiply-add, so that every width gives the same bits. Indices and
/// not zipped iterators: compilers leave those as calls here.
struct Multiply<'a> {
    group: &'a [[f32; A]],
    panel: &'a [[f32; B]],
}

impl Kernel for Multiply<'_> {
    type Output = Products;

    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    fn run<V: Vector>(self) -> Products {
        if V::LANES > B {
            return self.run::<V::Narrower>();
        }
        let vectors = B / V::LANES;
        let mut sums = [[V::splat(0.0); 2]; A];
        for k in 0..self.group.len() {
            for v in 0..vectors {
                // SAFETY: LANES * (v + 1) <= B, the length of a row of the panel.
                let b = unsafe { V::load(self.panel[k].as_ptr().add(v * V::LANES)) };
                for i in 0..A {
                    sums[i][v] = sums[i][v].plus(V::splat(self.group[k][i]).times(b));
                }
            }
        }
        let mut products = [[0.0; B]; A];
        for i in 0..A {
            for v in 0..vectors {
                // SAFETY: as above.
                unsafe { sums[i][v].store(products[i].as_mut_ptr().add(v * V::LANES)) };
            }
        }
        products
    }
}

fn products(group: &[f32], panel: &[f32]) -> Products {
    let (group, panel) = (group.as_chunks::<A>().0, panel.as_chunks::<B>().0);
    assert_eq!(group.len(), panel.len(), "rows of one width");
    simd::run(Multiply { group, panel })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::F32x4;

    #[test]
    fn four_lanes_and_the_widest_give_the_same_bits() {
        let mut rng = crate::Rng::new(1);
        let (group, panel) = (rng.normals(A * 37, 1.0), rng.normals(B * 37, 1.0));
        let (g, p) = (group.as_chunks::<A>().0, panel.as_chunks::<B>().0);
        assert_eq!(Multiply { group: g, panel: p }.run::<F32x4>(), products(&group, &panel));
    }
}
