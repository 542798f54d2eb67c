//! Linear layer of few rows whose weights are packed without their zeros: y = x Wᵀ + bias + residual.
//!
//! Shapes as in `matmul`; W `[out, in]` as 2:4 or under bitmasks (`backend::Packed`), x of at most [`FEW_ROWS`] rows. Such
//! a product waits for the weights, so fewer bytes are less time; products of many rows do not, and take the dense form.
//! The zeros that are left out are not multiplied: an infinite x times a removed weight is no NaN here.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(not(target_arch = "wasm32"))]
use native as cpu;
#[cfg(target_arch = "wasm32")]
use wasm as cpu;

use super::cpu_gemm::Rows;
use super::matmul::parts;
use super::{Case, groups, random};
use crate::Rng;
use crate::backend::gpu::{Dispatch, Gpu, Shader, wgsl};
use crate::backend::{Device, Format, Packed, Precision, WeightValues};
use half::f16;

/// The text of a shader is its parts one after the other.
macro_rules! shader {
    ($name:literal) => {
        Shader {
            name: $name,
            source: &[
                parts::WEIGHTS,
                parts::INPUT,
                parts::OUTPUT,
                wgsl!(include_str!(concat!("../../shaders/", $name, ".wgsl"))),
            ],
            reads: 5,
            writes: 1,
        }
    };
}

static TWO_OF_FOUR: Shader = shader!("packed_two_of_four");
static BITMASK: Shader = shader!("packed_bitmask");

/// Most rows for which the weights are what takes time.
pub const FEW_ROWS: usize = 4;

/// Adds x Wᵀ to y `[x.rows, w.rows]` on the CPU.
pub(super) fn accumulate(x: Rows<'_>, w: &Packed, y: &mut [f32]) {
    assert_eq!(x.cols, w.cols, "activations and packed weights");
    assert_eq!(y.len(), x.rows * w.rows, "results");
    // Kernels read whole chunks; behind the last input stand zeros.
    let width = x.cols.next_multiple_of(32);
    let mut padded = vec![0.0; x.rows * width];
    for (t, to) in padded.chunks_exact_mut(width.max(1)).enumerate() {
        to[..x.cols].copy_from_slice(&x.values[t * x.stride..t * x.stride + x.cols]);
    }
    let (index, values) = w.words().cpu().split_at(w.values_at());
    let chunks = w.chunks();
    let sums = Sums { index, values, chunks, precision: w.precision, x: &padded, width };
    match w.format {
        Format::TwoOfFour => {
            for pair in 0..w.rows.div_ceil(2) {
                for (t, y) in y.chunks_exact_mut(w.rows).enumerate() {
                    let to = &mut y[pair * 2..];
                    to.iter_mut().zip(cpu::two_of_four(&sums, pair, t)).for_each(|(y, s)| *y += s);
                }
            }
        }
        #[cfg(target_arch = "wasm32")]
        Format::Bitmask => unreachable!("slower than dense here: no matrix is packed so"),
        #[cfg(not(target_arch = "wasm32"))]
        Format::Bitmask => {
            let starts = &index[w.rows * chunks..];
            for row in 0..w.rows {
                let values = starts[row] as usize..starts[row + 1] as usize;
                for (t, y) in y.chunks_exact_mut(w.rows).enumerate() {
                    y[row] += cpu::bitmask(&sums, row, values.clone(), t);
                }
            }
        }
    }
}

/// What the CPU kernels walk.
struct Sums<'a> {
    /// Indices or masks, `chunks` a row (2:4: a pair of rows); behind masks the starts.
    index: &'a [u32],
    values: &'a [u32],
    chunks: usize,
    precision: Precision,
    /// `[rows, width]`, zeros from the last input on
    x: &'a [f32],
    width: usize,
}

impl Sums<'_> {
    /// The words of indices of a row (2:4: a pair of rows).
    fn index(&self, row: usize) -> &[u32] {
        &self.index[row * self.chunks..(row + 1) * self.chunks]
    }

    /// Row `t` of x.
    fn x(&self, t: usize) -> &[f32] {
        &self.x[t * self.width..(t + 1) * self.width]
    }
}

/// How the GPU computes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PackedForm {
    /// An invocation a row (2:4: two); software adapters punish barriers.
    Direct,
    /// Eight neighbours a row (2:4: two), for real GPUs.
    Shared,
}

impl PackedForm {
    pub(super) fn of(gpu: &Gpu) -> PackedForm {
        if gpu.is_software() { PackedForm::Direct } else { PackedForm::Shared }
    }

    /// Launches it with buffers and parameters of `matmul`; `first` of the reads is this matrix.
    pub(super) fn run(self, gpu: &Gpu, w: &Packed, dispatch: Dispatch<'_>) {
        let (shader, per_row) = match w.format {
            Format::TwoOfFour => (&TWO_OF_FOUR, w.rows.div_ceil(2)),
            Format::Bitmask => (&BITMASK, w.rows),
        };
        let (entry, size) = match self {
            PackedForm::Direct => ("direct", 16),
            PackedForm::Shared => ("shared_rows", 8),
        };
        gpu.dispatch(&Dispatch {
            shader,
            entry,
            groups: [groups(per_row, size), 1, 1],
            ..dispatch
        });
    }
}

/// Where the values start, counted in values.
pub(super) fn first_value(w: &Packed) -> usize {
    match w.precision {
        Precision::F16 => w.values_at() * 2,
        Precision::F32 => w.values_at(),
    }
}

/// Both formats, precisions and forms, at sizes 1, around a pair of rows, a chunk and a workgroup, and at one that
/// divides nothing; without, with few and with many zeros in a row; an empty matrix row.
pub fn cases() -> Vec<Case> {
    let sizes = [
        (1, 1, 1),
        (1, 2, 16),
        (2, 3, 15),
        (3, 31, 17),
        (4, 33, 32),
        (1, 65, 33),
        (2, 130, 264),
        (1, 37, 776),
    ];
    let mut cases = Vec::new();
    for format in [Format::TwoOfFour, Format::Bitmask] {
        for form in [PackedForm::Direct, PackedForm::Shared] {
            for (i, size) in sizes.into_iter().enumerate() {
                let half = i % 2 == usize::from(form == PackedForm::Shared);
                let share = [0.5, 0.8, 0.2][i % 3];
                cases.push(case(Example { format, half, size, share }, form));
            }
        }
    }
    cases
}

/// A packed matrix of (rows of x, outputs, inputs).
#[derive(Clone, Copy)]
struct Example {
    format: Format,
    half: bool,
    size: (usize, usize, usize),
    share: f32,
}

impl Example {
    /// The values, with the zeros that the format wants; row 1 has nothing else.
    fn values(&self, rng: &mut Rng) -> Vec<f32> {
        let (_, outs, depth) = self.size;
        let mut values = rng.normals(outs * depth, 1.0);
        for (r, row) in values.chunks_exact_mut(depth).enumerate() {
            for group in row.chunks_mut(4) {
                match self.format {
                    Format::TwoOfFour => {
                        let first = rng.below(4);
                        for zero in [first, (first + 1 + rng.below(3)) % 4] {
                            group.iter_mut().skip(zero).take(1).for_each(|w| *w = 0.0);
                        }
                    }
                    Format::Bitmask => {
                        group.iter_mut().for_each(|w| *w *= f32::from(rng.uniform() >= self.share))
                    }
                }
            }
            if r == 1 {
                row.fill(0.0);
            }
        }
        // Products with zero may be -0.0, which is a value.
        values.iter().map(|w| f16::from_f32(w + 0.0).to_f32()).collect()
    }

    fn packed(&self, device: &Device, values: &[f32]) -> Packed {
        let (_, outs, depth) = self.size;
        let halves: Vec<f16> = values.iter().map(|&w| f16::from_f32(w)).collect();
        let values = if self.half { WeightValues::F16(&halves) } else { WeightValues::F32(values) };
        Packed::new(device, self.format, outs, depth, values).expect("the values fit the format")
    }
}

fn case(example: Example, form: PackedForm) -> Case {
    let (rows, outs, depth) = example.size;
    let kind = if example.half { "f16" } else { "f32" };
    Case {
        name: format!(
            "packed {:?} {form:?} {rows}x{depth} by {kind} {outs}x{depth}",
            example.format
        ),
        tolerance: if depth > 264 { 2e-4 } else { 5e-5 },
        why: "sums of up to 264 (one: 776) products of normals in another order",
        run: Box::new(move |device| {
            let mut rng = Rng::new(9);
            let offset = if depth % 4 == 0 { 4 } else { 3 };
            let x = random(device, &mut rng, rows, depth + 2 * offset);
            let bias = (outs % 2 == 1).then(|| random(device, &mut rng, 1, outs));
            let residual = (outs % 3 == 0).then(|| random(device, &mut rng, rows, outs));
            let values = example.values(&mut rng);
            let w = device.matrix(outs, depth, WeightValues::F32(&values));
            let job = super::matmul::MatmulJob::new(
                x.columns(offset, depth),
                &w,
                bias.as_ref(),
                residual.as_ref(),
            );
            vec![match device {
                Device::Gpu(gpu) => job.on_gpu_packed(gpu, &example.packed(device, &values), form),
                // The dense form: an independent sum.
                Device::Cpu => super::matmul::matmul(
                    device,
                    x.columns(offset, depth),
                    &w,
                    bias.as_ref(),
                    residual.as_ref(),
                ),
            }]
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::largest_difference;
    use crate::kernels::matmul::matmul;

    /// The equation over the zeros too, in f64.
    fn plain(x: Rows<'_>, w: &[f32], outs: usize) -> Vec<f32> {
        let entry = |i: usize| {
            let x = &x.values[i / outs * x.stride..][..x.cols];
            let w = &w[i % outs * x.len()..][..x.len()];
            x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>() as f32
        };
        (0..x.rows * outs).map(entry).collect()
    }

    /// Those that the CPU has a kernel for.
    fn formats() -> &'static [Format] {
        match cfg!(target_arch = "wasm32") {
            true => &[Format::TwoOfFour],
            false => &[Format::TwoOfFour, Format::Bitmask],
        }
    }

    fn examples() -> impl Iterator<Item = Example> {
        let sizes =
            [(1, 1, 1), (1, 2, 4), (2, 3, 15), (3, 7, 16), (4, 8, 17), (1, 9, 33), (2, 5, 1553)];
        formats().iter().flat_map(move |&format| {
            sizes.into_iter().flat_map(move |size| {
                [(false, 0.5), (true, 0.8), (true, 0.0), (false, 1.0)]
                    .map(move |(half, share)| Example { format, half, size, share })
            })
        })
    }

    #[test]
    fn packed_weights_give_the_product_of_the_masked_dense_ones() {
        let mut rng = Rng::new(4);
        for example in examples() {
            // wasm has no f16 on the CPU.
            if example.half && cfg!(target_arch = "wasm32") {
                continue;
            }
            let (rows, outs, depth) = example.size;
            let stride = depth + 3;
            let x = rng.normals(rows * stride, 1.0);
            let x = Rows { values: &x, rows, cols: depth, stride };
            let values = example.values(&mut rng);
            let packed = example.packed(&Device::Cpu, &values);
            let mut found = vec![0.0; rows * outs];
            accumulate(x, &packed, &mut found);
            let d = largest_difference(&found, &plain(x, &values, outs));
            // Rounding grows with the square root of the number of products.
            let bound = 4e-6 * (depth as f32).sqrt();
            assert!(d < bound, "{:?} {:?} {}: {d}", example.format, example.size, example.share);
        }
    }

    #[test]
    fn what_a_row_holds_does_not_reach_its_neighbours() {
        for &format in formats() {
            let (outs, depth) = (5, 40);
            let mut values = vec![0.0; outs * depth];
            values[2 * depth + 7] = f32::INFINITY;
            values[2 * depth + 39] = f32::NAN;
            let w = WeightValues::F32(&values);
            let packed = Packed::new(&Device::Cpu, format, outs, depth, w).expect("two values fit");
            let mut y = vec![0.0; outs];
            let x = Rows { values: &[1.0; 40], rows: 1, cols: depth, stride: depth };
            accumulate(x, &packed, &mut y);
            assert!(y[2].is_nan());
            y.remove(2);
            assert_eq!(y, [0.0; 4], "{format:?}");
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn the_plain_loops_agree_with_those_of_this_machine() {
        let mut rng = Rng::new(5);
        for example in examples() {
            let (rows, outs, depth) = example.size;
            let width = depth.next_multiple_of(32);
            let mut x = rng.normals(rows * width, 1.0);
            x.chunks_exact_mut(width).for_each(|row| row[depth..].fill(0.0));
            let packed = example.packed(&Device::Cpu, &example.values(&mut rng));
            let (index, values) = packed.words().cpu().split_at(packed.values_at());
            let (chunks, precision) = (packed.chunks(), packed.precision);
            let sums = Sums { index, values, chunks, precision, x: &x, width };
            for t in 0..rows {
                for row in 0..outs {
                    let (a, b) = match packed.format {
                        Format::TwoOfFour => (
                            native::two_of_four(&sums, row / 2, t)[row % 2],
                            native::plain_two_of_four(&sums, row / 2, t)[row % 2],
                        ),
                        Format::Bitmask => {
                            let starts = &index[outs * chunks + row..];
                            let at = starts[0] as usize..starts[1] as usize;
                            (
                                native::bitmask(&sums, row, at.clone(), t),
                                native::plain_bitmask(&sums, row, at, t),
                            )
                        }
                    };
                    let bound = 4e-6 * (depth as f32).sqrt();
                    assert!(
                        (a - b).abs() <= bound * b.abs().max(1.0),
                        "{:?}: {a} {b}",
                        example.size
                    );
                }
            }
        }
    }

    #[test]
    fn few_rows_take_the_packed_form_and_many_the_dense_one() {
        let device = Device::Cpu;
        let (outs, depth) = (6, 20);
        let example =
            Example { format: Format::TwoOfFour, half: false, size: (1, outs, depth), share: 0.5 };
        let values = example.values(&mut Rng::new(6));
        let dense = device.matrix(outs, depth, WeightValues::F32(&values));
        let other: Vec<f32> = values.iter().map(|w| w * 2.0).collect();
        // The packed form of twice the matrix, so that the results tell which one was read.
        let mixed = dense.clone().pack(&device, WeightValues::F32(&other));
        assert_eq!(mixed.packed().map(|p| p.format), Some(Format::TwoOfFour));
        for rows in [1, FEW_ROWS, FEW_ROWS + 1] {
            let x = random(&device, &mut Rng::new(7), rows, depth);
            let y = matmul(&device, &x, &dense, None, None);
            let z = matmul(&device, &x, &mixed, None, None);
            let factor = if rows <= FEW_ROWS { 2.0 } else { 1.0 };
            let expected: Vec<f32> = y.cpu().iter().map(|y| y * factor).collect();
            assert!(largest_difference(z.cpu(), &expected) < 1e-5, "{rows} rows");
        }
    }
}
