//! For every row of one set the most similar row of another set, by cosine.
//!
//! g_a = max_b cos(x_a, x_b), f_a = the b that attains it, the smaller row among equals, with
//! cos(x, y) = (x / max(|x|, 1e-6)) . (y / max(|y|, 1e-6)), so that a zero row is similar to nothing and not NaN.
//! Cosines are rounded to whole steps of 2^-16 before they are compared: equal rows (the same token twice at the first
//! layer of a transformer) have a cosine of 1 but for the rounding of a sum, which would otherwise decide, on each
//! device in its own way. Rounded they are ties, and the smaller row wins on every device.
//! Shapes: x `[seq_len, d]`, rows `[n_a + n_b]` (the set A, then the set B), g `[n_a, 1]`, f `[n_a]`.
//! Source: arXiv 2410.14725, equations 6 and 7.
//!
//! Three launches: unit rows are packed four to a vector, columns outermost, so that lanes read neighbours; tiles of
//! 64x64 products leave a maximum for each eight b's, the n_a * n_b matrix is never stored; the maxima are combined.

mod cpu;

use super::rows::numbers;
use super::{Case, groups};
use crate::Rng;
use crate::backend::gpu::{Buffer, Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Ids, Tensor, View};
use bytemuck::{Pod, Zeroable};

/// Rows this short have no direction.
const EPS: f32 = 1e-6;
/// 2^-16: 1 is a whole number of steps, and half a step is more than a sum of 4,096 rounded products of unit rows is off.
pub(super) const STEP: f32 = 1.0 / 65_536.0;
/// Rows of A and of B a workgroup compares.
const TILE: usize = 64;
/// Rows of A and of B an invocation compares; both sets are padded to it.
const EIGHT: usize = 8;

static PACK: Shader = Shader {
    name: "token_match_pack",
    source: &[wgsl!(include_str!("../../shaders/token_match_pack.wgsl"))],
    reads: 2,
    writes: 1,
};
static MATCH: Shader = Shader {
    name: "token_match",
    source: &[wgsl!(include_str!("../../shaders/token_match.wgsl"))],
    reads: 2,
    writes: 2,
};
static BEST: Shader = Shader {
    name: "token_match_best",
    source: &[wgsl!(include_str!("../../shaders/token_match_best.wgsl"))],
    reads: 3,
    writes: 2,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n_a: u32,
    n_b: u32,
    cols: u32,
    x_offset: u32,
    x_stride: u32,
    /// Vectors of four rows: of A, and of both sets.
    slots_a: u32,
    slots: u32,
    eps: f32,
}

/// A cosine in whole steps, halves upwards; as the shaders round.
pub(super) fn stepped(cosine: f32) -> f32 {
    (cosine / STEP + 0.5).floor() * STEP
}

/// Matches the first `n_a` of `rows` against the others; gives the similarity `[n_a, 1]` and the row matched.
pub fn token_match<'a>(
    device: &Device,
    x: impl Into<View<'a>>,
    rows: &Ids,
    n_a: usize,
) -> (Tensor, Ids) {
    let x = x.into();
    assert!(n_a >= 1 && n_a < rows.len(), "token_match {n_a} of {} rows", rows.len());
    match device {
        Device::Cpu => cpu::token_match(x, rows.cpu(), n_a),
        Device::Gpu(gpu) => on_gpu(gpu, x, rows, n_a),
    }
}

fn on_gpu(gpu: &Gpu, x: View<'_>, rows: &Ids, n_a: usize) -> (Tensor, Ids) {
    let n_b = rows.len() - n_a;
    let slots = |rows: usize| rows.next_multiple_of(EIGHT) / 4;
    let (slots_a, slots) = (slots(n_a), slots(n_a) + slots(n_b));
    let eights = n_b.div_ceil(EIGHT);
    let params = Params {
        n_a: n_a as u32,
        n_b: n_b as u32,
        cols: x.cols as u32,
        x_offset: x.offset() as u32,
        x_stride: x.stride() as u32,
        slots_a: slots_a as u32,
        slots: slots as u32,
        eps: EPS,
    };
    let launch = |shader: &'static Shader, reads: &[&Buffer], writes: &[&Buffer], groups| {
        gpu.dispatch(&Dispatch {
            shader,
            entry: "main",
            constants: &[],
            params: bytemuck::bytes_of(&params),
            reads,
            writes,
            groups,
        });
    };
    let packed = gpu.alloc(x.cols * slots * 16);
    launch(&PACK, &[x.tensor.gpu(), rows.gpu()], &[&packed], [groups(slots, 4), 1, 1]);
    let (value, row) = (gpu.alloc(eights * n_a * 4), gpu.alloc(eights * n_a * 4));
    let workgroups = [groups(n_b, TILE), groups(n_a, TILE), 1];
    launch(&MATCH, &[&packed, rows.gpu()], &[&value, &row], workgroups);
    let (similarity, matched) = (gpu.alloc(n_a * 4), gpu.alloc(n_a * 4));
    let outputs = [&similarity, &matched];
    launch(&BEST, &[&value, &row, rows.gpu()], &outputs, [groups(n_a, 64), 1, 1]);
    (Tensor::on_gpu(n_a, 1, similarity), Ids::on_gpu(n_a, matched))
}

/// Sizes 1, around the 4 and 8 rows of an invocation, the tile of 64 rows and 16 columns, and one that divides nothing;
/// rows that are equal or zero; all on views.
pub fn cases() -> Vec<Case> {
    let sizes = [
        (1, 1, 1),
        (7, 4, 3),
        (8, 8, 4),
        (9, 5, 15),
        (63, 64, 16),
        (64, 65, 17),
        (65, 63, 5),
        (77, 300, 130),
    ];
    let case = |name: String, n_a: usize, n_b: usize, cols: usize| Case {
        name,
        tolerance: 1.01 * STEP,
        why: "a cosine near the middle of two steps may fall to either; the rows themselves must be equal",
        run: Box::new(move |device| {
            let mut rng = Rng::new(1);
            let n = n_a + n_b;
            let mut values = rng.normals((n + 2) * (cols + 3), 1.0);
            // A zero row, and pairs of equal rows.
            values[..cols + 3].fill(0.0);
            for row in (7..n).step_by(7) {
                values.copy_within((row - 1) * (cols + 3)..row * (cols + 3), row * (cols + 3));
            }
            let x = device.tensor(n + 2, cols + 3, &values);
            // Every row once, in an order that is not increasing.
            let rows: Vec<u32> = (0..n).map(|i| (i % 2 * n.div_ceil(2) + i / 2) as u32).collect();
            let (g, f) = token_match(device, x.columns(3, cols), &device.ids(&rows), n_a);
            vec![g, numbers(device, &f, n)]
        }),
    };
    let sized = |(n_a, n_b, cols)| {
        case(format!("token_match {n_a} against {n_b} in columns of width {cols}"), n_a, n_b, cols)
    };
    sizes.into_iter().map(sized).collect()
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::super::random;
    use super::*;

    #[test]
    fn the_best_row_is_the_one_a_plain_search_finds() {
        let (n, n_a, d) = (50, 21, 13);
        let x = random(&Device::Cpu, &mut Rng::new(5), n, d);
        let rows: Vec<u32> = (0..n as u32).rev().collect();
        let (g, f) = token_match(&Device::Cpu, &x, &Device::Cpu.ids(&rows), n_a);
        let row = |i: u32| x.cpu()[i as usize * d..][..d].iter().map(|&v| f64::from(v));
        let dot = |i, j| row(i).zip(row(j)).map(|(a, b)| a * b).sum::<f64>();
        for a in 0..n_a {
            let i = rows[a];
            let cosine = |j: u32| dot(i, j) / (dot(i, i) * dot(j, j)).sqrt();
            let best = rows[n_a..].iter().max_by(|j, k| cosine(**j).total_cmp(&cosine(**k)));
            assert_eq!(Some(&f.cpu()[a]), best);
            // Half a step, and the rounding of a sum of 13.
            let bound = f64::from(STEP) / 2.0 + 1e-6;
            assert!((f64::from(g.cpu()[a]) - cosine(f.cpu()[a])).abs() < bound);
        }
    }

    #[test]
    fn equal_rows_are_ties_whatever_the_rounding_of_their_sums() {
        // Pairs of equal rows of many lengths: cosines of 0.9999999 and 1.0000001 before they are rounded.
        let (n, d) = (40, 257);
        let mut values = random(&Device::Cpu, &mut Rng::new(6), n, d).cpu().to_vec();
        values.copy_within(..n / 2 * d, n / 2 * d);
        let x = Device::Cpu.tensor(n, d, &values);
        let rows: Vec<u32> = (0..n as u32).collect();
        let mut devices = vec![Device::Cpu];
        devices.extend(crate::backend::gpu_for_tests());
        for device in devices {
            let x = device.tensor(n, d, x.cpu());
            let (g, f) = token_match(&device, &x, &device.ids(&rows), n / 2);
            let found = pollster::block_on(device.read(&g)).unwrap();
            assert_eq!(found, vec![1.0; n / 2], "{}", device.kind());
            let matched = pollster::block_on(device.read_ids(&f)).unwrap();
            assert_eq!(matched, rows[n / 2..], "{}", device.kind());
        }
    }

    #[test]
    fn a_zero_row_is_similar_to_nothing_and_takes_the_smallest_row() {
        let x = Device::Cpu.tensor(4, 2, &[0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        let (g, f) = token_match(&Device::Cpu, &x, &Device::Cpu.ids(&[0, 3, 2, 1]), 2);
        assert_eq!((g.cpu(), f.cpu()), (&[0.0, 0.0][..], &[1, 1][..]));
    }
}
