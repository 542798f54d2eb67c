//! A weight matrix `[rows, cols]` as small whole numbers with scales: w = scale (code - zero).
//!
//! A scale belongs to `group` neighbouring inputs of an output row, the last group may be shorter; so does a zero, where
//! the grid is not symmetric. Codes are kept centred: -2^(bits - 1) to 2^(bits - 1) - 1. [`Blocks`] is plain data;
//! [`PackedBlocks`] is what a device reads, one list of u32 words:
//!
//! - scales `[rows, groups]` in f16, two in a word, low half first;
//! - zeros `[rows, groups]`, a signed byte each, where there are some;
//! - codes `[rows, chunks]`, a chunk is 32 inputs: 8 bits: their bytes; 4 bits: 16 bytes, byte i holds input i in its low
//!   half and input i + 16 in its high half, each 8 more than the code. Inputs behind the last one have code 0.
//!
//! Each part starts on eight words.

use super::{Device, Ids};
use crate::weights::Dtype;
use half::f16;

/// Inputs of a chunk.
pub const CHUNK: usize = 32;

/// Bits of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// int4, -8 to 7.
    Four,
    /// int8, -128 to 127.
    Eight,
}

impl Bits {
    /// Highest of the codes before they are centred: 15 or 255.
    pub fn most(self) -> u8 {
        match self {
            Bits::Four => 15,
            Bits::Eight => 255,
        }
    }

    /// Words of a chunk of codes.
    fn words(self) -> usize {
        match self {
            Bits::Four => 4,
            Bits::Eight => 8,
        }
    }
}

/// A quantised matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocks {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Of every code.
    pub bits: Bits,
    /// Inputs that share a scale: a multiple of [`CHUNK`], or all of them.
    pub group: usize,
    /// `[rows, cols]`
    pub codes: Vec<i8>,
    /// `[rows, groups]`
    pub scales: Vec<f16>,
    /// `[rows, groups]`; empty where all are 0.
    pub zeros: Vec<i8>,
}

impl Blocks {
    /// Groups of a row.
    pub fn groups(&self) -> usize {
        self.cols.div_ceil(self.group)
    }

    /// The weights, row-major; each is exact in f32.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.codes.len());
        for (row, codes) in self.codes.chunks(self.cols.max(1)).enumerate() {
            for (g, codes) in codes.chunks(self.group).enumerate() {
                let at = row * self.groups() + g;
                let zero = i32::from(self.zeros.get(at).copied().unwrap_or(0));
                let scale = self.scales[at].to_f32();
                values.extend(codes.iter().map(|c| scale * (i32::from(*c) - zero) as f32));
            }
        }
        values
    }
}

/// A quantised matrix on a device. Cloning shares the memory.
#[derive(Clone)]
pub struct PackedBlocks {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Of every code.
    pub bits: Bits,
    /// Inputs that share a scale, as in [`Blocks`].
    pub group: usize,
    /// Whether the grid is not symmetric.
    pub has_zeros: bool,
    /// What products of many rows round the weights to: the type in which the checkpoint, and so an export, stores them.
    pub dtype: Dtype,
    words: Ids,
}

impl PackedBlocks {
    /// Lays the parts out and copies them to the device; parts that do not fit together are our mistake.
    pub fn new(device: &Device, blocks: &Blocks, dtype: Dtype) -> PackedBlocks {
        let Blocks { rows, cols, bits, group, .. } = *blocks;
        assert!(group >= cols || group.is_multiple_of(CHUNK), "group of {group} inputs");
        assert_eq!(blocks.codes.len(), rows * cols, "blocks [{rows}, {cols}]");
        assert_eq!(blocks.scales.len(), rows * blocks.groups(), "scales");
        let scales = blocks.scales.iter().flat_map(|s| s.to_bits().to_le_bytes());
        let mut words = words_of(scales);
        words.extend(words_of(blocks.zeros.iter().map(|z| *z as u8)));
        for row in blocks.codes.chunks(cols.max(1)) {
            for chunk in row.chunks(CHUNK) {
                let mut codes = [0i8; CHUNK];
                codes[..chunk.len()].copy_from_slice(chunk);
                words.extend(chunk_words(bits, codes));
            }
        }
        let has_zeros = !blocks.zeros.is_empty();
        PackedBlocks { rows, cols, bits, group, has_zeros, dtype, words: device.ids(&words) }
    }

    /// Scales, zeros and codes, as described above.
    pub fn words(&self) -> &Ids {
        &self.words
    }

    /// Of all parts on the device, with what fills them up to eight words.
    pub fn bytes(&self) -> usize {
        self.words.len() * 4
    }

    /// Scales of a row.
    pub fn groups(&self) -> usize {
        self.cols.div_ceil(self.group)
    }

    /// Chunks of a row.
    pub fn chunks(&self) -> usize {
        self.cols.div_ceil(CHUNK)
    }

    /// The word at which the zeros start; the codes, where there are none.
    pub fn zeros_at(&self) -> usize {
        (self.rows * self.groups()).div_ceil(2).next_multiple_of(8)
    }

    /// The word at which the codes start.
    pub fn codes_at(&self) -> usize {
        let zeros = if self.has_zeros { (self.rows * self.groups()).div_ceil(4) } else { 0 };
        self.zeros_at() + zeros.next_multiple_of(8)
    }

    /// Words of a row of codes.
    pub fn row_words(&self) -> usize {
        self.chunks() * self.bits.words()
    }
}

/// Bytes as words, filled up to a multiple of eight.
fn words_of(bytes: impl Iterator<Item = u8>) -> Vec<u32> {
    let mut bytes: Vec<u8> = bytes.collect();
    bytes.resize(bytes.len().next_multiple_of(CHUNK), 0);
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|w| u32::from_le_bytes(*w)).collect()
}

fn chunk_words(bits: Bits, codes: [i8; CHUNK]) -> Vec<u32> {
    match bits {
        Bits::Eight => words_of(codes.iter().map(|c| *c as u8)),
        Bits::Four => {
            let nibble = |i: usize| (codes[i] + 8) as u8;
            let bytes: Vec<u8> = (0..16).map(|i| nibble(i) | nibble(i + 16) << 4).collect();
            let (words, _) = bytes.as_chunks::<4>();
            words.iter().map(|w| u32::from_le_bytes(*w)).collect()
        }
    }
}
