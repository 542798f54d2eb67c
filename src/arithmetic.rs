//! Which arithmetic many rows are multiplied with, natively.
//!
//! f32 unless a command says otherwise: it is the reference. The others are choices. On the CPU products of many rows may round
//! both factors to bf16 (8 bits of mantissa) and sum in f32; on a GPU they may round both factors to f16 (11 bits), multiply
//! and sum 16 inputs in f16 and add those sums in f32. Everything else, products of few rows among it, stays f32. Results
//! are others then, so every output that shows figures names it, through [`crate::backend::Device::label`].

use crate::{Error, Result};
use std::cell::Cell;

/// Of products of many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// The reference.
    F32,
    /// On the CPU: factors rounded to bf16, to the nearest and halves to even; sums in f32.
    Bf16,
    /// On a GPU: factors and sums of 16 products in f16; the sums of those in f32.
    F16,
}

thread_local! {
    /// Of the work that this thread starts. A product reads it before it shares its rows out to threads.
    static CURRENT: Cell<Arithmetic> = const { Cell::new(Arithmetic::F32) };
}

impl Arithmetic {
    /// "f32", "bf16" or "f16".
    pub fn id(self) -> &'static str {
        match self {
            Arithmetic::F32 => "f32",
            Arithmetic::Bf16 => "bf16",
            Arithmetic::F16 => "f16",
        }
    }

    /// What a device's name holds where its products are not f32; its figures are told apart by it.
    pub fn mark(self) -> &'static str {
        match self {
            Arithmetic::F32 => "",
            Arithmetic::Bf16 => "bf16 products of many rows",
            Arithmetic::F16 => "f16 products of many rows",
        }
    }

    /// The native CPU's name under this arithmetic.
    pub fn cpu_label(self) -> String {
        match self {
            // No processor multiplies in f16 here.
            Arithmetic::F32 | Arithmetic::F16 => "CPU (native)".into(),
            Arithmetic::Bf16 => format!("CPU (native, {})", self.mark()),
        }
    }

    /// The arithmetic that a device of this name multiplies with.
    pub fn of_label(label: &str) -> Arithmetic {
        // The mark of bf16 holds that of f16.
        let known = [Arithmetic::Bf16, Arithmetic::F16];
        known.into_iter().find(|one| label.contains(one.mark())).unwrap_or(Arithmetic::F32)
    }
}

/// Whether this processor multiplies bf16 and sums in f32: AVX-512 with BF16.
pub fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        has!("avx512f") && has!("avx512bw") && has!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The arithmetic of what this thread does from now on.
///
/// Errors: bf16 where the processor has no instruction for it. Whether a GPU has f16 says
/// [`Gpu::has_f16`](crate::backend::gpu::Gpu::has_f16).
pub fn set(asked: Arithmetic) -> Result<()> {
    if asked == Arithmetic::Bf16 && !has_bf16() {
        let found = "bf16 on a processor without AVX512_BF16";
        let expected =
            "f32, or a processor that has it (AMD since Zen 4, Intel Xeon since Sapphire Rapids)";
        return Err(Error::input("--arithmetic", found, expected));
    }
    CURRENT.set(asked);
    Ok(())
}

/// The arithmetic of what this thread does now.
pub fn current() -> Arithmetic {
    CURRENT.get()
}

/// f32 for what this thread does until the guard is dropped: weights are pruned so under either.
pub fn reference() -> Reference {
    Reference(CURRENT.replace(Arithmetic::F32))
}

/// Gives back the arithmetic that there was.
#[must_use]
pub struct Reference(Arithmetic);

impl Drop for Reference {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_arithmetic() {
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
            assert_eq!(Arithmetic::of_label(&arithmetic.cpu_label()), arithmetic);
        }
        let card = format!("A card (Vulkan, {})", Arithmetic::F16.mark());
        assert_eq!(Arithmetic::of_label(&card), Arithmetic::F16);
        assert_eq!(Arithmetic::of_label(""), Arithmetic::F32);
    }

    #[test]
    fn bf16_is_taken_only_where_the_processor_has_it() {
        assert_eq!(current(), Arithmetic::F32);
        let taken = set(Arithmetic::Bf16);
        assert_eq!(taken.is_ok(), has_bf16());
        match taken {
            Ok(()) => {
                assert_eq!(current(), Arithmetic::Bf16);
                let guard = reference();
                assert_eq!(current(), Arithmetic::F32);
                drop(guard);
                assert_eq!(current(), Arithmetic::Bf16);
            }
            Err(error) => {
                assert_eq!(current(), Arithmetic::F32);
                assert!(error.to_string().contains("AVX512_BF16"), "{error}");
            }
        }
        set(Arithmetic::F32).unwrap();
    }
}
