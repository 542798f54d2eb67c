//! A pruned weight matrix `[rows, cols]` without its zeros, for products with few rows (decoding).
//!
//! Two formats, one list of u32 words each. Both hold every value that is not +0.0 to the bit, f32 or f16 (two in a word,
//! low half first); what a format leaves out is +0.0.
//!
//! - 2:4 (Mishra et al. 2021, arXiv 2104.08378, section 3): of four neighbouring inputs at most two are kept. Two output
//!   rows share a vector: values `[pairs, chunks, 4 groups, 2 rows, 2]`, and beside every value the two bits that say
//!   which of the four inputs it belongs to, indices `[pairs, chunks]`, 32 bits for the 16 values of a chunk. 4 + 32 bytes
//!   for 32 weights in f16.
//! - bitmask: masks `[rows, chunks]`, a bit for each of 32 inputs; starts `[rows + 1]`, where the values of a row begin;
//!   the kept values one after the other.
//!
//! The values start on eight words after the indices, so that shaders read them as vectors.

use super::{Device, Ids, Precision, WeightValues};
use half::f16;

/// How zeros are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Two values of every four, zeros among them where fewer are left.
    TwoOfFour,
    /// A bit for every weight, wherever the zeros are.
    Bitmask,
}

/// A packed matrix on a device. Cloning shares the memory.
#[derive(Clone)]
pub struct Packed {
    /// What the words hold.
    pub format: Format,
    /// Of the values.
    pub precision: Precision,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Weights that are stored as values; the padding of 2:4 is not among them.
    pub kept: usize,
    words: Ids,
}

/// Values that a vector load may read behind the last one.
const SLACK: usize = 16;

impl Format {
    /// Inputs that share a word of indices.
    pub fn chunk(self) -> usize {
        match self {
            Format::TwoOfFour => 16,
            Format::Bitmask => 32,
        }
    }

    /// Words before the values: indices or masks, starts, and what brings them to a multiple of eight.
    fn head(self, rows: usize, cols: usize) -> usize {
        let chunks = cols.div_ceil(self.chunk());
        match self {
            Format::TwoOfFour => (rows.div_ceil(2) * chunks).next_multiple_of(8),
            Format::Bitmask => (rows * chunks + rows + 1).next_multiple_of(8),
        }
    }
}

impl Packed {
    /// Packs a matrix. `None` where a group of four has more than two values, or where 32 bits cannot count them.
    pub fn new(
        device: &Device,
        format: Format,
        rows: usize,
        cols: usize,
        values: WeightValues<'_>,
    ) -> Option<Packed> {
        let list = Values::new(values);
        assert_eq!(list.bits.len(), rows * cols, "packed matrix [{rows}, {cols}]");
        // Shaders count values in u32; the indices are fewer.
        u32::try_from(rows.checked_mul(cols.next_multiple_of(32))?.checked_add(64 * SLACK)?)
            .ok()?;
        let mut words = vec![0; format.head(rows, cols)];
        let kept = match format {
            Format::TwoOfFour => list.two_of_four(cols, &mut words)?,
            Format::Bitmask => list.bitmask(rows, cols, &mut words),
        };
        let words = device.ids(&words);
        Some(Packed { format, precision: list.precision, rows, cols, kept, words })
    }

    /// Indices and values together.
    pub fn words(&self) -> &Ids {
        &self.words
    }

    /// Indices and values together, on the device.
    pub fn bytes(&self) -> usize {
        self.words.len() * 4
    }

    /// Words of indices in a row (2:4: a pair of rows).
    pub fn chunks(&self) -> usize {
        self.cols.div_ceil(self.format.chunk())
    }

    /// The word at which the values start.
    pub fn values_at(&self) -> usize {
        self.format.head(self.rows, self.cols)
    }

    /// The matrix, row-major; only on the CPU device.
    pub fn unpack(&self) -> Vec<f32> {
        let mut all = vec![0.0; self.rows * self.cols];
        self.for_each(|row, col, value| all[row * self.cols + col] = value);
        all
    }

    /// Calls `f(row, col, value)` for everything stored but padding, row by row (2:4: two rows at a time).
    pub fn for_each(&self, mut f: impl FnMut(usize, usize, f32)) {
        let words = self.words.cpu();
        let (index, values) = words.split_at(self.values_at());
        let value = |i: usize| match self.precision {
            Precision::F32 => f32::from_bits(values[i]),
            Precision::F16 => f16::from_bits((values[i / 2] >> (16 * (i % 2))) as u16).to_f32(),
        };
        let chunks = self.chunks();
        match self.format {
            Format::TwoOfFour => {
                for i in 0..self.rows.div_ceil(2) * chunks * 16 {
                    let (word, lane) = (i / 16, i % 16);
                    let input = (index[word] >> (2 * lane) & 3) as usize;
                    let row = word / chunks * 2 + lane % 4 / 2;
                    let col = word % chunks * 16 + lane / 4 * 4 + input;
                    let v = value(i);
                    // Padding is +0.0; so is nothing that was kept.
                    if v.to_bits() != 0 {
                        f(row, col, v);
                    }
                }
            }
            Format::Bitmask => {
                let mut i = 0;
                for (word, &mask) in index[..self.rows * chunks].iter().enumerate() {
                    for bit in (0..32).filter(|bit| mask >> bit & 1 != 0) {
                        f(word / chunks, word % chunks * 32 + bit, value(i));
                        i += 1;
                    }
                }
            }
        }
    }
}

/// Bit patterns of a dense matrix.
struct Values {
    precision: Precision,
    bits: Vec<u32>,
}

impl Values {
    fn new(values: WeightValues<'_>) -> Self {
        match values {
            WeightValues::F32(v) => {
                Self { precision: Precision::F32, bits: v.iter().map(|x| x.to_bits()).collect() }
            }
            WeightValues::F16(v) => {
                let bits = v.iter().map(|x| u32::from(x.to_bits())).collect();
                Self { precision: Precision::F16, bits }
            }
        }
    }

    /// Appends values and what a vector load may read behind them; the words stay a multiple of four.
    fn append(&self, mut values: Vec<u32>, words: &mut Vec<u32>) {
        values.resize(values.len().next_multiple_of(SLACK) + SLACK, 0);
        match self.precision {
            Precision::F32 => words.extend(values),
            Precision::F16 => words.extend(values.chunks(2).map(|v| v[0] | v[1] << 16)),
        }
    }

    fn two_of_four(&self, cols: usize, words: &mut Vec<u32>) -> Option<usize> {
        let (chunk, mut kept) = (Format::TwoOfFour.chunk(), 0);
        let chunks = cols.div_ceil(chunk);
        let rows = self.bits.len().checked_div(cols).unwrap_or(0);
        let mut values = vec![0; rows.div_ceil(2) * chunks * 16];
        for (r, row) in self.bits.chunks(cols.max(1)).enumerate() {
            for (g, group) in row.chunks(4).enumerate() {
                let word = r / 2 * chunks + g / 4;
                let mut lane = g % 4 * 4 + r % 2 * 2;
                let end = lane + 2;
                for (input, &bits) in group.iter().enumerate().filter(|(_, bits)| **bits != 0) {
                    if lane == end {
                        return None;
                    }
                    values[word * 16 + lane] = bits;
                    words[word] |= (input as u32) << (2 * lane);
                    (lane, kept) = (lane + 1, kept + 1);
                }
            }
        }
        self.append(values, words);
        Some(kept)
    }

    fn bitmask(&self, rows: usize, cols: usize, words: &mut Vec<u32>) -> usize {
        let chunks = cols.div_ceil(Format::Bitmask.chunk());
        let mut values = Vec::new();
        for (r, row) in self.bits.chunks(cols.max(1)).enumerate() {
            for (c, &bits) in row.iter().enumerate().filter(|(_, bits)| **bits != 0) {
                words[r * chunks + c / 32] |= 1 << (c % 32);
                values.push(bits);
            }
            words[rows * chunks + r + 1] = values.len() as u32;
        }
        let kept = values.len();
        self.append(values, words);
        kept
    }
}

/// Whether every group of four neighbouring inputs holds at most two values.
pub fn fits_two_of_four(cols: usize, values: &[f32]) -> bool {
    let few = |group: &[f32]| group.iter().filter(|x| x.to_bits() != 0).count() <= 2;
    values.chunks(cols.max(1)).all(|row| row.chunks(4).all(few))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    /// Sizes 1 and around every chunk, and none.
    const SIZES: &[(usize, usize)] = &[
        (0, 0),
        (0, 5),
        (3, 0),
        (1, 1),
        (2, 3),
        (3, 4),
        (5, 15),
        (7, 16),
        (8, 17),
        (9, 31),
        (2, 32),
        (5, 33),
        (6, 100),
    ];

    /// Normals of which at most two of four stay, with the values that are easily lost.
    fn sparse(rng: &mut Rng, rows: usize, cols: usize) -> Vec<f32> {
        let mut values = rng.normals(rows * cols, 1.0);
        for row in values.chunks_mut(cols.max(1)) {
            for group in row.chunks_mut(4) {
                for _ in 0..group.len().saturating_sub(2) + rng.below(2) {
                    group[rng.below(group.len())] = 0.0;
                }
                while group.iter().filter(|x| **x != 0.0).count() > 2 {
                    group[rng.below(group.len())] = 0.0;
                }
            }
        }
        let special = [-0.0, f32::INFINITY, f32::MIN_POSITIVE, -65504.0, 6e-8];
        for (to, x) in values.iter_mut().filter(|x| **x != 0.0).zip(special) {
            *to = x;
        }
        values
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn unpacking_gives_the_same_bits() {
        let mut rng = Rng::new(3);
        for &(rows, cols) in SIZES {
            let values = sparse(&mut rng, rows, cols);
            let halves: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
            let rounded: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
            assert!(fits_two_of_four(cols, &values));
            for format in [Format::TwoOfFour, Format::Bitmask] {
                let pack = |v| Packed::new(&Device::Cpu, format, rows, cols, v).unwrap();
                let packed = pack(WeightValues::F32(&values));
                assert_eq!(bits(&packed.unpack()), bits(&values), "{format:?} {rows}x{cols}");
                assert_eq!(packed.kept, values.iter().filter(|x| x.to_bits() != 0).count());
                let packed = pack(WeightValues::F16(&halves));
                assert_eq!(bits(&packed.unpack()), bits(&rounded), "{format:?} {rows}x{cols} f16");
            }
        }
    }

    #[test]
    fn a_third_value_in_a_group_does_not_fit_two_of_four() {
        for (cols, third) in [(4, 3), (7, 6), (20, 19)] {
            let mut values = vec![0.0; 3 * cols];
            let row = &mut values[2 * cols..];
            row[third / 4 * 4] = 1.0;
            row[third / 4 * 4 + 1] = -0.0; // keeps its sign, so it counts
            let pack = |v: &[f32]| {
                Packed::new(&Device::Cpu, Format::TwoOfFour, 3, cols, WeightValues::F32(v))
                    .is_some()
            };
            assert!(pack(&values) && fits_two_of_four(cols, &values));
            values[2 * cols + third] = 2.0;
            assert!(!pack(&values) && !fits_two_of_four(cols, &values));
        }
    }

    #[test]
    fn bytes_are_those_of_the_formats() {
        let (rows, cols) = (64, 768);
        let values: Vec<f32> = (0..rows * cols).map(|i| f32::from(u8::from(i % 4 < 2))).collect();
        let halves: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
        let bytes = |format, v| {
            let packed = Packed::new(&Device::Cpu, format, rows, cols, v).unwrap();
            packed.bytes() as f64 / (rows * cols) as f64
        };
        // 2 of 4 values and 4 bits for a group, or one bit a weight; starts and slack are below one per cent.
        for (format, v, expected) in [
            (Format::TwoOfFour, WeightValues::F16(&halves), 1.125),
            (Format::TwoOfFour, WeightValues::F32(&values), 2.125),
            (Format::Bitmask, WeightValues::F16(&halves), 1.125),
            (Format::Bitmask, WeightValues::F32(&values), 2.125),
        ] {
            let found = bytes(format, v);
            assert!((expected..expected * 1.01).contains(&found), "{format:?} {found}");
        }
    }
}
