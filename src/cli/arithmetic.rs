//! `--arithmetic`: what the CPU multiplies many rows with.

use crate::arithmetic::{self, Arithmetic};
use crate::session::spec::Backend;
use crate::{Error, Result};
use clap::ValueEnum;

/// The reference, or what is faster where the processor has it.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArithmeticArg {
    F32,
    Bf16,
}

impl From<ArithmeticArg> for Arithmetic {
    fn from(arg: ArithmeticArg) -> Arithmetic {
        match arg {
            ArithmeticArg::F32 => Arithmetic::F32,
            ArithmeticArg::Bf16 => Arithmetic::Bf16,
        }
    }
}

/// Takes on this arithmetic and gives the backend that has it: bf16 runs on the CPU alone.
///
/// Errors: bf16 on a GPU, or where the processor has no instruction for it.
pub fn choose(arithmetic: ArithmeticArg, backend: Backend) -> Result<Backend> {
    if arithmetic == ArithmeticArg::F32 {
        arithmetic::set(Arithmetic::F32)?;
        return Ok(backend);
    }
    if backend == Backend::Gpu {
        let expected = "--backend cpu: kernels on a GPU multiply in f32";
        return Err(Error::input("--arithmetic", "bf16 on a GPU", expected));
    }
    arithmetic::set(Arithmetic::Bf16)?;
    Ok(Backend::Cpu)
}

/// The same for what prints no name of a device: a sentence where it is not the reference.
pub fn sentence() -> Option<&'static str> {
    (arithmetic::current() == Arithmetic::Bf16)
        .then_some("Products of many rows were made in bf16, not in f32: these are not the reference's figures.")
}
