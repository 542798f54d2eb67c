//! The CPU form: a few rows of A against 8 rows of B at a time, both packed with the column outermost.
//!
//! Every product is summed over the columns in order, whatever tile it falls into, so that equal rows give equal
//! bits; what is compared are whole steps.

use super::{EPS, STEP, stepped};
use crate::backend::{Ids, Tensor, View};
use crate::kernels::math::Lanes;

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

/// group `[cols, A]` times panel `[cols, B]`. Indices and not zipped iterators: compilers leave those as calls here.
fn multiply(group: &[[f32; A]], panel: &[[f32; B]]) -> Products {
    let mut sums = [[Lanes::splat(0.0); 2]; A];
    for k in 0..group.len() {
        let ([left, right], _) = panel[k].as_chunks::<4>() else { break };
        let (left, right) = (Lanes::load(left), Lanes::load(right));
        for i in 0..A {
            let a = Lanes::splat(group[k][i]);
            sums[i] = [sums[i][0].plus(a.times(left)), sums[i][1].plus(a.times(right))];
        }
    }
    let mut products = [[0.0; B]; A];
    for i in 0..A {
        let ([left, right], _) = products[i].as_chunks_mut::<4>() else { break };
        sums[i][0].store(left);
        sums[i][1].store(right);
    }
    products
}

/// The same sums, eight lanes at a time; no fused multiply-add, so the same bits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn multiply_avx2(group: &[[f32; A]], panel: &[[f32; B]]) -> Products {
    use std::arch::x86_64::{
        _mm256_add_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_setzero_ps,
        _mm256_storeu_ps,
    };
    let mut sums = [_mm256_setzero_ps(); A];
    for k in 0..group.len() {
        // SAFETY: eight values.
        let b = unsafe { _mm256_loadu_ps(panel[k].as_ptr()) };
        for i in 0..A {
            sums[i] = _mm256_add_ps(sums[i], _mm256_mul_ps(_mm256_set1_ps(group[k][i]), b));
        }
    }
    let mut products = [[0.0; B]; A];
    for i in 0..A {
        // SAFETY: eight values.
        unsafe { _mm256_storeu_ps(products[i].as_mut_ptr(), sums[i]) };
    }
    products
}

fn products(group: &[f32], panel: &[f32]) -> Products {
    let (group, panel) = (group.as_chunks::<A>().0, panel.as_chunks::<B>().0);
    assert_eq!(group.len(), panel.len(), "rows of one width");
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the instructions are there.
        return unsafe { multiply_avx2(group, panel) };
    }
    multiply(group, panel)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn four_lanes_and_eight_give_the_same_bits() {
        if !is_x86_feature_detected!("avx2") {
            eprintln!("skipped: no AVX2");
            return;
        }
        let mut rng = crate::Rng::new(1);
        let (group, panel) = (rng.normals(A * 37, 1.0), rng.normals(B * 37, 1.0));
        let plain = multiply(group.as_chunks::<A>().0, panel.as_chunks::<B>().0);
        assert_eq!(plain, products(&group, &panel));
    }
}
