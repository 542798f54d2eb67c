//! How the values of a weight matrix are stored, on either device.

/// Bits of a stored value. Arithmetic is f32 in all of them. Whole numbers with a scale a block of inputs have a
/// form of their own, [`super::Blocks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// IEEE half; two values in a word, low half first.
    F16,
    /// IEEE single.
    F32,
}

impl Precision {
    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Precision::F16 => 2,
            Precision::F32 => 4,
        }
    }

    /// The constant that tells a shader which of the two it reads.
    pub fn constant(self) -> (&'static str, f64) {
        ("F16", f64::from(u8::from(self == Precision::F16)))
    }
}
