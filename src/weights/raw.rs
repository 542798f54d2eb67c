//! A tensor as a file holds it, and its values.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::tensor::Dtype as FileDtype;
use std::borrow::Cow;
use std::fmt;

/// Element types read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE double; rounded to f32 when it is read.
    F64,
    /// IEEE single.
    F32,
    /// IEEE half: 11 significant bits, at most 65,504.
    F16,
    /// The upper half of an f32: 8 significant bits.
    BF16,
}

impl Dtype {
    /// Of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// The nearest value that a file of this type can hold.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F64 | Self::F32 => value,
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::BF16 => bf16::from_f32(value).to_f32(),
        }
    }

    /// Little-endian bytes of values, each rounded to this type.
    pub fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F64 => values.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect(),
            Self::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
            Self::BF16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
        }
    }

    pub(super) fn of(dtype: FileDtype) -> Option<Self> {
        match dtype {
            FileDtype::F64 => Some(Self::F64),
            FileDtype::F32 => Some(Self::F32),
            FileDtype::F16 => Some(Self::F16),
            FileDtype::BF16 => Some(Self::BF16),
            _ => None,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A tensor as it stands in the file: little-endian, row-major, at any alignment.
#[derive(Debug, Clone)]
pub struct RawTensor<'a> {
    /// Of every element.
    pub dtype: Dtype,
    /// Outermost first; empty for a single number.
    pub shape: Vec<usize>,
    /// The elements and nothing else.
    pub bytes: Cow<'a, [u8]>,
}

impl RawTensor<'_> {
    /// The values in f32; exact but for F64, which is rounded.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F64 => {
                let (words, _) = self.bytes.as_chunks();
                words.iter().map(|word| f64::from_le_bytes(*word) as f32).collect()
            }
            Dtype::F32 => {
                let (words, _) = self.bytes.as_chunks();
                words.iter().map(|word| f32::from_le_bytes(*word)).collect()
            }
            Dtype::BF16 => {
                let widen = |bits: u16| f32::from_bits(u32::from(bits) << 16);
                self.bits().into_iter().map(widen).collect()
            }
            Dtype::F16 => {
                let halves = self.halves().unwrap_or_default();
                let mut out = vec![0.0; halves.len()];
                halves.convert_to_f32_slice(&mut out);
                out
            }
        }
    }

    /// Place of the first value that is NaN or infinite in f32, found without a copy.
    pub fn first_not_finite(&self) -> Option<usize> {
        // In every type such a value has all bits of its exponent set.
        let halves =
            |mask: i16| first_of(&self.bytes, |half| i16::from_le_bytes(half) & mask, mask);
        match self.dtype {
            Dtype::F16 => halves(0x7c00),
            Dtype::BF16 => halves(0x7f80),
            Dtype::F32 => {
                let mask = 0x7f80_0000;
                first_of(&self.bytes, |word| i32::from_le_bytes(word) & mask, mask)
            }
            Dtype::F64 => {
                let (words, _) = self.bytes.as_chunks();
                words.iter().position(|word| !(f64::from_le_bytes(*word) as f32).is_finite())
            }
        }
    }

    /// The values when they are f16, without a conversion: where they lie, or a copy of what lies at an odd address.
    pub fn halves(&self) -> Option<Cow<'_, [f16]>> {
        if self.dtype != Dtype::F16 {
            return None;
        }
        Some(match bytemuck::try_cast_slice(&self.bytes) {
            Ok(halves) if cfg!(target_endian = "little") => Cow::Borrowed(halves),
            _ => Cow::Owned(bytemuck::cast_vec(self.bits())),
        })
    }

    fn bits(&self) -> Vec<u16> {
        let (halves, _) = self.bytes.as_chunks();
        halves.iter().map(|half| u16::from_le_bytes(*half)).collect()
    }
}

/// Elements of which the largest is taken before it is looked at: without a way out, several are taken at once. In the page
/// one after the other, which is smaller.
const TOGETHER: usize = if cfg!(target_arch = "wasm32") { 1 } else { 4096 };

/// Place of the first element whose exponent is the largest that there is.
fn first_of<T: Ord + Copy + Default, const N: usize>(
    bytes: &[u8],
    exponent: impl Fn([u8; N]) -> T,
    largest: T,
) -> Option<usize> {
    let (words, _) = bytes.as_chunks();
    let is_it = |word: &[u8; N]| exponent(*word) == largest;
    if TOGETHER == 1 {
        return words.iter().position(is_it);
    }
    let most =
        |words: &[[u8; N]]| words.iter().fold(T::default(), |most, word| most.max(exponent(*word)));
    let holds_it = |words: &[[u8; N]]| most(words) == largest;
    let start = words.chunks(TOGETHER).position(holds_it)? * TOGETHER;
    words[start..].iter().position(is_it).map(|at| start + at)
}
