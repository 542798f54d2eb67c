//! Linear layer whose weights are whole numbers with scales: y = x Wᵀ + bias + residual.
//!
//! Shapes as in `matmul`; W `[out, in]` as `backend::PackedBlocks`. A product of many rows widens the weights (`widen`). In
//! one of few rows, which waits for the weights, inputs are whole numbers too: of every chunk of 32
//! x = t n with n of 16 bits and t = max |x| / 32,639, so that a product of a chunk is
//!   t s sum (code - zero) n
//! with an exact sum in i32. That moves an input by 1.5e-5 of the largest in its chunk at most, far less than the weights
//! were moved. A chunk that holds an infinite or undefined input gives an undefined sum.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;
mod widen;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(not(target_arch = "wasm32"))]
use native as cpu;
#[cfg(target_arch = "wasm32")]
use wasm as cpu;
pub(super) use widen::dropped_bits;

use super::cpu_gemm::Rows;
use super::packed::FEW_ROWS;
use super::simd::widened;
use crate::Rng;
use crate::backend::{Bits, Blocks, CHUNK, PackedBlocks};
use half::f16;

/// The largest whole number of an input: 127 times 256 and 127 more, so that both of its bytes can have a sign.
const MOST: f32 = 32639.0;

/// Adds x Wᵀ to y `[x.rows, w.rows]` on the CPU.
pub(super) fn accumulate(x: Rows<'_>, w: &PackedBlocks, y: &mut [f32]) {
    assert_eq!(x.cols, w.cols, "activations and quantised weights");
    assert_eq!(y.len(), x.rows * w.rows, "results");
    if x.cols == 0 {
        return;
    }
    if x.rows > FEW_ROWS {
        return widen::accumulate(x, &WeightRows::of(w), w.dtype, y);
    }
    let input = |t: usize| cpu::inputs(&x.values[t * x.stride..][..x.cols], w.group, w.bits);
    let inputs: Vec<Inputs> = (0..x.rows).map(input).collect();
    cpu::accumulate(&WeightRows::of(w), &inputs, y);
}

/// W on the CPU, as [`PackedBlocks`] has it.
struct WeightRows<'a> {
    bits: Bits,
    codes: &'a [u8],
    /// f16
    scales: &'a [u16],
    /// Empty where all are 0.
    zeros: &'a [i8],
    rows: usize,
    /// Of a row.
    groups: usize,
    /// Of a row of codes.
    bytes: usize,
    /// Of a group.
    chunks: usize,
}

impl WeightRows<'_> {
    fn of(w: &PackedBlocks) -> WeightRows<'_> {
        let (head, codes) = w.words().cpu().split_at(w.codes_at());
        let (scales, zeros) = head.split_at(w.zeros_at());
        WeightRows {
            bits: w.bits,
            codes: bytemuck::cast_slice(codes),
            scales: bytemuck::cast_slice(scales),
            zeros: if w.has_zeros { bytemuck::cast_slice(zeros) } else { &[] },
            rows: w.rows,
            groups: w.groups(),
            bytes: 4 * w.row_words(),
            chunks: w.group.div_ceil(CHUNK),
        }
    }

    fn row(&self, row: usize) -> BlockRow<'_> {
        let groups = row * self.groups..(row + 1) * self.groups;
        BlockRow {
            bits: self.bits,
            codes: &self.codes[row * self.bytes..(row + 1) * self.bytes],
            scales: &self.scales[groups.clone()],
            zeros: if self.zeros.is_empty() { &[] } else { &self.zeros[groups] },
            chunks: self.chunks,
        }
    }

    /// Adds x Wᵀ to y by the product of two rows, every row of W read once.
    #[inline(always)]
    fn each(&self, x: &[Inputs], y: &mut [f32], product: impl Fn(&BlockRow<'_>, &Inputs) -> f32) {
        for row in 0..self.rows {
            let of_row = self.row(row);
            for (inputs, y) in x.iter().zip(y.chunks_exact_mut(self.rows)) {
                y[row] += product(&of_row, inputs);
            }
        }
    }
}

/// One row of x as whole numbers.
#[derive(Default)]
struct Inputs {
    /// `[chunks, CHUNK]`
    numbers: Vec<i16>,
    /// `[chunks]`
    scales: Vec<f32>,
    /// Sums of the inputs `[groups]`: what a zero is multiplied with.
    totals: Vec<f32>,
    /// For int4.
    #[cfg(target_arch = "x86_64")]
    halves: x86::Halves,
}

impl Inputs {
    /// `group` inputs share a scale of the weights.
    #[inline(always)]
    fn of(x: &[f32], group: usize) -> Inputs {
        let chunks = x.len().div_ceil(CHUNK);
        let mut inputs = Inputs::default();
        inputs.numbers.resize(chunks * CHUNK, 0);
        for (x, numbers) in x.chunks(CHUNK).zip(inputs.numbers.chunks_exact_mut(CHUNK)) {
            // Without their signs floats sort like their bits, and what is not finite comes last.
            let bits = x.iter().fold(0, |most, x| most.max((x.to_bits() & 0x7fff_ffff) as i32));
            let (scale, back) = match f32::from_bits(bits as u32) {
                0.0 => (0.0, 0.0),
                most if most.is_finite() => (most / MOST, MOST / most),
                _ => (f32::NAN, 0.0),
            };
            let back = if back.is_finite() { back } else { 0.0 }; // below 1e-34
            for (number, x) in numbers.iter_mut().zip(x) {
                // Adding 1.5 * 2^23 rounds to the nearest whole number, halves to the even one, and leaves it in the low bits.
                *number = (x * back + 12_582_912.0).to_bits() as i16;
            }
            inputs.scales.push(scale);
        }
        let chunks = group.div_ceil(CHUNK);
        let groups = inputs.numbers.chunks(chunks * CHUNK).zip(inputs.scales.chunks(chunks));
        let total = |(numbers, scales): (&[i16], &[f32])| -> f32 {
            let sum = |numbers: &[i16]| numbers.iter().map(|n| i32::from(*n)).sum::<i32>() as f32;
            numbers.chunks(CHUNK).zip(scales).map(|(numbers, scale)| sum(numbers) * scale).sum()
        };
        inputs.totals = groups.map(total).collect();
        inputs
    }
}

/// One row of W.
struct BlockRow<'a> {
    bits: Bits,
    /// As in [`PackedBlocks`].
    codes: &'a [u8],
    /// f16
    scales: &'a [u16],
    /// Empty where all are 0.
    zeros: &'a [i8],
    /// Of a group.
    chunks: usize,
}

impl BlockRow<'_> {
    /// Bytes of a chunk.
    fn chunk_bytes(&self) -> usize {
        match self.bits {
            Bits::Four => CHUNK / 2,
            Bits::Eight => CHUNK,
        }
    }

    /// What is taken off a stored code of this group: its zero, and 8 where the code is half a byte.
    fn zero(&self, group: usize) -> i16 {
        let stored = if self.bits == Bits::Four { 8 } else { 0 };
        stored + i16::from(self.zeros.get(group).copied().unwrap_or(0))
    }

    /// (scale, zero, codes, numbers of x, scales of x) of every group.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code))]
    fn groups<'a>(
        &'a self,
        x: &'a Inputs,
    ) -> impl Iterator<Item = (f32, i16, &'a [u8], &'a [i16], &'a [f32])> {
        let codes = self.codes.chunks(self.chunks * self.chunk_bytes());
        let numbers = x.numbers.chunks(self.chunks * CHUNK);
        let rest = codes.zip(numbers).zip(x.scales.chunks(self.chunks));
        self.scales.iter().enumerate().zip(rest).map(|((g, scale), ((codes, numbers), scales))| {
            (widened(f16::from_bits(*scale)), self.zero(g), codes, numbers, scales)
        })
    }
}

/// Random codes and zeros; scales of which a product stays of order 1.
pub(super) fn random_blocks(
    rng: &mut Rng,
    (rows, cols): (usize, usize),
    bits: Bits,
    group: usize,
    has_zeros: bool,
) -> Blocks {
    let half = i32::from(bits.most() / 2 + 1);
    let mut code = || (rng.below(2 * half as usize) as i32 - half) as i8;
    let codes = (0..rows * cols).map(|_| code()).collect();
    let n = rows * cols.div_ceil(group);
    let zeros = if has_zeros { (0..n).map(|_| code() / 2).collect() } else { Vec::new() };
    let scale = |i: usize| f16::from_f32((1 + i % 7) as f32 / (4 * half) as f32);
    Blocks { rows, cols, bits, group, codes, scales: (0..n).map(scale).collect(), zeros }
}

/// The equation, one number after the other.
#[cfg_attr(target_arch = "wasm32", allow(dead_code))]
fn plain(row: &BlockRow<'_>, x: &Inputs) -> f32 {
    let mut sum = 0.0;
    for (scale, zero, codes, numbers, scales) in row.groups(x) {
        let chunks = codes.chunks_exact(row.chunk_bytes()).zip(numbers.chunks_exact(CHUNK));
        for ((codes, numbers), of_x) in chunks.zip(scales) {
            let code = |i: usize| match row.bits {
                Bits::Eight => i32::from(codes[i] as i8),
                Bits::Four => i32::from(codes[i % 16] >> (i / 16 * 4) & 15),
            };
            let products = numbers.iter().enumerate();
            let dot: i32 = products.map(|(i, n)| (code(i) - i32::from(zero)) * i32::from(*n)).sum();
            sum += dot as f32 * of_x * scale;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Device;
    use crate::weights::Dtype;

    /// Random codes; every size and kind of grid.
    fn examples() -> Vec<Blocks> {
        let mut rng = Rng::new(12);
        let mut all = Vec::new();
        for (rows, cols) in
            [(1usize, 1usize), (3, 31), (2, 32), (5, 33), (4, 64), (3, 200), (2, 777)]
        {
            for bits in [Bits::Four, Bits::Eight] {
                for (group, has_zeros) in [(cols, false), (32, true), (64, false), (128, true)] {
                    let group = if group < cols { group } else { cols };
                    all.push(random_blocks(&mut rng, (rows, cols), bits, group, has_zeros));
                }
            }
        }
        all
    }

    #[test]
    fn the_product_is_that_of_the_dequantised_weights() {
        let mut rng = Rng::new(13);
        for blocks in examples() {
            let Blocks { rows, cols, bits, group, .. } = blocks;
            // Inputs of few rows move by 1.5e-5 of the largest of 32, which may be four times a usual one.
            let few = (3, Dtype::F32, 4e-5);
            let many = [Dtype::F32, Dtype::F16, Dtype::BF16].map(|dtype| (7, dtype, 1e-6));
            for (n, dtype, share) in many.into_iter().chain([few]) {
                let packed = PackedBlocks::new(&Device::Cpu, &blocks, dtype);
                let stride = cols + 2;
                let values = rng.normals(n * stride, 1.0);
                let x = Rows { values: &values, rows: n, cols, stride };
                let mut found = vec![0.5; n * rows];
                accumulate(x, &packed, &mut found);
                let weights: Vec<f32> = blocks.to_f32().iter().map(|w| dtype.round(*w)).collect();
                for (i, found) in found.iter().enumerate() {
                    let x = &values[i / rows * stride..][..cols];
                    let w = &weights[i % rows * cols..][..cols];
                    let products = || x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
                    let (exact, size) =
                        (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
                    let most = share * size + 1e-6 + 0.3 * share;
                    let d = (f64::from(*found) - 0.5 - exact).abs();
                    let case = format!("{rows}x{cols} {bits:?} {group} {n} {dtype}");
                    assert!(d <= most, "{case}: {found} {exact} {most}");
                }
            }
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn vectors_and_plain_loops_agree() {
        let mut rng = Rng::new(14);
        for blocks in examples() {
            let packed = PackedBlocks::new(&Device::Cpu, &blocks, Dtype::F16);
            let x = rng.normals(blocks.cols, 1.0);
            let x = [cpu::inputs(&x, blocks.group, blocks.bits)];
            let rows = WeightRows::of(&packed);
            let (mut found, mut expected) = (vec![0.0; blocks.rows], vec![0.0; blocks.rows]);
            cpu::accumulate(&rows, &x, &mut found);
            rows.each(&x, &mut expected, plain);
            for (a, b) in found.iter().zip(&expected) {
                // The same whole numbers, added in another order.
                assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{a} {b} {:?}", blocks.bits);
            }
        }
    }

    #[test]
    fn an_input_that_is_not_finite_is_not_hidden() {
        let blocks = examples().remove(8);
        let packed = PackedBlocks::new(&Device::Cpu, &blocks, Dtype::F16);
        for broken in [f32::NAN, f32::INFINITY] {
            let mut values = vec![1.0; blocks.cols];
            values[0] = broken;
            let x = Rows { values: &values, rows: 1, cols: blocks.cols, stride: blocks.cols };
            let mut y = vec![0.0; blocks.rows];
            accumulate(x, &packed, &mut y);
            assert!(y.iter().all(|y| !y.is_finite()), "{y:?}");
        }
    }
}
